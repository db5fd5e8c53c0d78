"""The records of a task's life: statuses, what definitions say, and what is known. Nothing here decides.

Times are seconds since the epoch.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum


class Status(IntEnum):
    """Where a container or task is; it only moves forward."""

    NONE = 0
    PULLED = 1
    CREATED = 2
    RUNNING = 3
    STOPPED = 4


class Call(Enum):
    """A call of the engine that is under way for a container."""

    PULL = "PULL"
    CREATE = "CREATE"
    START = "START"
    RESTART = "RESTART"


class Condition(Enum):
    """What a container waits for in another one, before it is created."""

    CREATED = "CREATED"
    START = "START"
    COMPLETE = "COMPLETE"
    SUCCESS = "SUCCESS"
    HEALTHY = "HEALTHY"


class Health(Enum):
    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    on: str
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRule:
    """Restart on exit, unless the code is ignored or the last start is less than `attempt_period` s ago."""

    ignored_exit_codes: tuple[int, ...] = ()
    attempt_period: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRules:
    """What a container's definition says about its life; time-outs in seconds, None for no limit."""

    name: str
    essential: bool = True
    depends_on: tuple[Dependency, ...] = ()
    start_timeout: float | None = None
    stop_timeout: float = 30.0
    restart: RestartRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """`began_at` is the first start, `started_at` the last one, `health_at` the last change of health,
    `last_death_at` the death that the last restart followed.

    `in_doubt`: a death was told while a start was under way; it may be the new one's or an old one's.
    """

    known: Status = Status.NONE
    call: Call | None = None
    docker_id: str | None = None
    exit_code: int | None = None
    reason: str = ""
    pull_error: str = ""
    image_digest: str = ""
    began_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    last_death_at: float | None = None
    signalled_at: float | None = None
    killed_at: float | None = None
    out_of_memory: bool = False
    in_doubt: bool = False
    restarts: int = 0
    health: Health = Health.UNKNOWN
    health_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerChange:
    """A container's new status, as it has to be reported; kept until a report takes it along."""

    name: str
    status: Status
    docker_id: str | None = None
    exit_code: int | None = None
    reason: str = ""
    image_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """`admitted`: the host's resources are taken for it. `stopping`: its desired status is STOPPED."""

    containers: dict[str, ContainerState]
    admitted: bool = False
    stopping: bool = False
    known: Status = Status.NONE
    reported: Status = Status.NONE
    reason: str = ""
    unreported: tuple[ContainerChange, ...] = ()
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None


def begin(rules: tuple[ContainerRules, ...]) -> TaskState:
    """The state of a task that has just arrived."""
    return TaskState(containers={each.name: ContainerState() for each in rules})


def reported_as(status: Status) -> str:
    """ECS's word for a status: everything before RUNNING is PENDING."""
    return status.name if status >= Status.RUNNING else "PENDING"


def change_of(name: str, state: ContainerState) -> ContainerChange:
    return ContainerChange(
        name=name,
        status=state.known,
        docker_id=state.docker_id,
        exit_code=state.exit_code,
        reason=state.reason,
        image_digest=state.image_digest,
    )
