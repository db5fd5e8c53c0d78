"""What can happen to a task, and what its life asks for in return.

Events are facts, whoever saw them: a call of the engine that ended, the engine's event stream, the
controller, a timer. Actions are calls and messages to make. Times are seconds since the epoch.
"""

from dataclasses import dataclass

from awsorch.agent.states import ContainerChange, Health, Status, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The host has room: the task may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWanted:
    """The controller wants it stopped, or (with a reason) the agent cannot run it."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Time has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDue:
    """Changes of containers have waited long enough for a change of the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    container: str
    image_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFailed:
    """`fatal`: do not try a local image, stop the task (pull behaviours `always` and `once`)."""

    container: str
    error: str
    fatal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    container: str
    docker_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFailed:
    """`image_missing`: the engine has no such image, so a failed pull is the cause."""

    container: str
    error: str
    image_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """It runs. `docker_id`: the container was looked up, perhaps before its creation was heard of."""

    container: str
    at: float
    docker_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed:
    container: str
    error: str
    exit_code: int | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """`missed`: it happened while no agent was there; such an exit is reported and not restarted.

    `looked_up`: `at` is the process's end as the engine's record has it. Otherwise it is the time of the engine's
    event, which is a little later; a short run can end before the time of the event of its own start.
    """

    container: str
    exit_code: int | None
    at: float
    out_of_memory: bool = False
    missed: bool = False
    looked_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RanOutOfMemory:
    """The kernel killed a process of the container; whether the container dies of it, Died will say."""

    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    container: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged:
    container: str
    health: Health
    at: float


ContainerEvent = (
    Pulled
    | PullFailed
    | Created
    | CreateFailed
    | Started
    | StartFailed
    | Died
    | RanOutOfMemory
    | Vanished
    | HealthChanged
)
TaskEvent = Admitted | StopWanted | Looked | ReportDue
Event = ContainerEvent | TaskEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """Send the container its stop signal."""

    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Ask the engine what the container is doing: what was told is not enough to know."""

    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Tell the controller: the task's status, with all changes of containers that it has not heard of."""

    status: Status
    reason: str
    changes: tuple[ContainerChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSoon:
    """Changes of containers wait in `unreported`: send ReportDue when nothing else took them along."""


Action = Pull | Create | Start | Terminate | Kill | LookUp | Report | ReportSoon


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`look_at`: when to send Looked even if nothing happens (None: never)."""

    state: TaskState
    actions: tuple[Action, ...] = ()
    look_at: float | None = None
