"""What a supervisor is given: its host, its engine, its store, and who listens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from awsorch.agent.assignment import Assignment
from awsorch.agent.cloudwatch_logs import CloudWatchLogs
from awsorch.agent.ebs import Volumes
from awsorch.agent.engine import Engine
from awsorch.agent.environment import Placement
from awsorch.agent.host import Host
from awsorch.agent.images import ImageStock
from awsorch.agent.inputs import TaskInputs
from awsorch.agent.metadata_files import MetadataFiles
from awsorch.agent.ports import Ports
from awsorch.agent.registry_access import RegistryAccess
from awsorch.agent.settings import Settings
from awsorch.agent.state_file import Store
from awsorch.agent.task_limits import TaskLimits
from awsorch.agent.task_networks import TaskNetworks


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a supervisor works with and on. `clock` gives seconds since the epoch.

    `tasks` (every task the agent knows, stopped ones until their cleanup) is the supervisor's to change; others look.
    """

    settings: Settings
    place: Placement
    clock: Callable[[], float]
    suffix: Callable[[], str]
    engine: Engine
    images: ImageStock
    inputs: TaskInputs
    registries: RegistryAccess
    cloudwatch: CloudWatchLogs
    limits: TaskLimits
    networks: TaskNetworks
    volumes: Volumes
    store: Store
    host: Host
    ports: Ports
    tasks: dict[str, Assignment]
    metadata_files: MetadataFiles = field(default_factory=MetadataFiles)


class Listener(Protocol):
    """Who wants to know at once."""

    def health_changed(self) -> None: ...

    def tasks_changed(self) -> None: ...
