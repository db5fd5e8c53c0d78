"""The port to a container engine, and the failures it may raise: all that the agent knows of Docker.

Two adapters keep the same contract: `docker_engine` and `simulated_engine`. Ids are the engine's; times are
seconds since the epoch; a container is one that carries this instance's label, others do not exist here.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from awsorch.agent.states import Health

LABELS = "com.amazonaws.ecs."
TASK_ARN_LABEL = LABELS + "task-arn"
CONTAINER_NAME_LABEL = LABELS + "container-name"
FAMILY_LABEL = LABELS + "task-definition-family"
VERSION_LABEL = LABELS + "task-definition-version"
CLUSTER_LABEL = LABELS + "cluster"
INSTANCE_LABEL = LABELS + "container-instance-arn"


DISK_FULL = "no space left on device"
"""What an engine says at the end when its disk is full."""


class EngineError(Exception):
    """A call that failed. `name` is ECS's word for it; `str()` is the reason as ECS reports it."""

    name = "DockerStateError"

    def __init__(self, text: str) -> None:
        super().__init__(f"{self.name}: {text}")
        self.text = text


class CannotPullContainerError(EngineError):
    """`retriable`: another try may succeed (the registry did not answer, rather than refuse)."""

    name = "CannotPullContainerError"

    def __init__(self, text: str, *, retriable: bool = False) -> None:
        super().__init__(text)
        self.retriable = retriable


class CannotCreateContainerError(EngineError):
    name = "CannotCreateContainerError"

    def __init__(self, text: str, *, image_missing: bool = False) -> None:
        super().__init__(text)
        self.image_missing = image_missing


class CannotStartContainerError(EngineError):
    name = "CannotStartContainerError"


class CannotStopContainerError(EngineError):
    name = "CannotStopContainerError"


class CannotInspectContainerError(EngineError):
    name = "CannotInspectContainerError"


class CannotCreateVolumeError(EngineError):
    name = "CannotCreateVolumeError"


class GoneError(EngineError):
    """There is no such container (any more)."""


class DockerTimeoutError(EngineError):
    """The engine took the call and did not answer in time; it may still do what it was asked for."""

    name = "DockerTimeoutError"


class EngineUnavailableError(EngineError):
    """Nobody answers at the engine's address, or the connection broke: try again when it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """`cpus`: logical processors, `memory` in MiB, `api_version` such as "1.41".

    `bridge_address` is the host's own IPv4 address on the default bridge, which its containers reach; empty when
    there is no such bridge. `cgroup_parent` is where it puts containers: a path, or a slice; empty where it is not the
    agent's to say.
    """

    version: str
    api_version: str
    cpus: int
    memory: int
    log_drivers: tuple[str, ...] = ()
    volume_plugins: tuple[str, ...] = ()
    cgroup_driver: str = ""
    cgroup_version: str = ""
    bridge_address: str = ""
    cgroup_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """A container as the engine has it. `status` is Docker's: created, running, paused, exited, dead…"""

    id: str
    name: str
    labels: Mapping[str, str]
    status: str
    exit_code: int | None = None
    out_of_memory: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    health: Health = Health.UNKNOWN

    @property
    def is_running(self) -> bool:
        return self.status in ("running", "paused", "restarting")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """`digest` ("sha256:…") is the registry's; an image built or loaded here has none. `created_at` is when it was
    built, where a list of images tells it."""

    id: str
    digest: str = ""
    names: tuple[str, ...] = ()
    created_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Something the engine saw happen to a container: `what` is start, die, oom, destroy or health."""

    what: str
    id: str
    labels: Mapping[str, str]
    at: float
    exit_code: int | None = None
    health: Health = Health.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The stream of occurrences is open: what was missed before has to be looked up."""


Sink = Callable[[Occurrence | Connected], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateArguments:
    """`body` is that of the Docker Engine API's POST /containers/create."""

    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeArguments:
    name: str
    driver: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class Containers(Protocol):
    """Calls about containers. All raise EngineError; DockerTimeoutError when the engine does not answer."""

    async def create(self, arguments: CreateArguments) -> str:
        """The new container's id. One of that name that exists already is the answer, not an error."""

    async def start(self, container: str) -> None:
        """Returns when it runs; one that runs already is left alone."""

    async def terminate(self, container: str) -> bool:
        """Sends its stop signal. False, and no error, when it does not run or does not exist."""

    async def kill(self, container: str) -> bool:
        """Sends SIGKILL. False, and no error, when it does not run or does not exist."""

    async def remove(self, container: str) -> None:
        """Removes a container and its anonymous volumes; no error when there is none."""

    async def find(self, labels: Mapping[str, str]) -> list[str]:
        """The ids of all containers, running or not, with these labels."""

    async def inspect(self, container: str) -> ContainerFacts | None:
        """The container with this id or name; None when there is none."""


class Descriptions(Protocol):
    """What the engine tells of containers, in its own words."""

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        """All that the engine says of a container, as the Docker Engine API's GET /containers/{id}/json does."""

    async def stats(self, container: str) -> Mapping[str, Any] | None:
        """What a container uses now, as GET /containers/{id}/stats does; None when it does not run."""


class Images(Protocol):
    """Calls about images."""

    async def pull(self, image: str, credentials: Mapping[str, str] | None) -> None:
        """Raises CannotPullContainerError. `credentials`: username, password (Docker's AuthConfig)."""

    async def inspect_image(self, image: str) -> ImageFacts | None: ...

    async def list_images(self) -> list[ImageFacts]:
        """All images, those without a name as well."""

    async def load_image(self, archive: bytes) -> None:
        """Adds the images of an archive as `docker save` makes it."""

    async def remove_image(self, image: str) -> None:
        """No error when it does not exist; EngineError when a container uses it."""


class Volumes(Protocol):
    """Calls about named volumes."""

    async def create_volume(self, arguments: VolumeArguments) -> None:
        """Creating one that exists with the same driver is no error. Raises CannotCreateVolumeError."""

    async def has_volume(self, name: str) -> bool: ...

    async def remove_volume(self, name: str) -> None:
        """No error when there is none."""


class Logs(Protocol):
    """What containers print."""

    def logs(self, container: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
        """Lines, or pieces of long ones, with their times (ns), those after `after` only, until the container ends.

        Raises EngineError, GoneError where there is no such container."""


class RunningCommand(Protocol):
    """A command in a container, with a terminal. All raise EngineError but `end`."""

    def output(self) -> AsyncIterator[bytes]:
        """What it prints, until it has ended."""

    async def type(self, data: bytes) -> None:
        """Gives it input."""

    async def resize(self, columns: int, rows: int) -> None: ...

    async def exit_code(self) -> int | None:
        """None while it runs, or when it was ended."""

    async def end(self) -> None:
        """Ends it if it still runs, and lets go of what it took here."""


class Commands(Protocol):
    """Commands beside a container's own."""

    async def run_command(self, container: str, command: Sequence[str]) -> RunningCommand:
        """Runs it as root. Raises EngineError."""


class Engine(Containers, Descriptions, Images, Volumes, Logs, Commands, Protocol):
    """A container engine."""

    async def facts(self) -> EngineFacts:
        """What the engine and its host are."""

    async def ping(self) -> None:
        """Raises EngineError when the engine does not answer."""

    def watch(self, labels: Mapping[str, str], sink: Sink) -> None:
        """Call `sink` in the event loop with Connected and every occurrence, over reconnections, until close.

        After Connected nothing is missed until the connection is lost; then comes another Connected.
        """

    async def close(self) -> None:
        """Ends the stream and lets go of connections; containers are not touched."""
