"""Where containers' lines go in CloudWatch Logs, in the name of the task's execution role; of the instance's for tasks
without one.

Source: ECS developer guide, "Send Amazon ECS logs to CloudWatch"; CloudWatch Logs API.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from awsorch.agent.credentials import CredentialSource, NoCredentialsError
from awsorch.agent.log_events import LineStart, LogEvent, PatternError, event_start
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.services import Service, ServiceError, Services
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials

LOGS = Service(variable="CLOUDWATCH_LOGS", target="Logs_20140328", name="logs")
_FAILED = "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: "
_EXISTS = "ResourceAlreadyExistsException"


class LogError(Exception):
    """The stream can't be had; the text is the container's reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where one container's lines go. `start`: what an event's first line matches, None for any."""

    group: str
    stream: str
    region: str
    create_group: bool = False
    start: LineStart | None = None


def destination_of(options: Mapping[str, str], default_stream: str, region: str) -> Destination:
    """By the options of the driver awslogs. Raises LogError."""
    try:
        return Destination(
            group=options.get("awslogs-group", ""),
            stream=options.get("awslogs-stream") or default_stream,
            region=options.get("awslogs-region") or region,
            create_group=options.get("awslogs-create-group", "").lower() in ("true", "1", "t"),
            start=event_start(options),
        )
    except PatternError as error:
        raise LogError(f"{_FAILED}{error}") from error


class CloudWatchLogs:
    """Calls for one agent's tasks."""

    def __init__(self, services: Services, roles: RoleCredentialsStore, instance: CredentialSource) -> None:
        self._services = services
        self._roles = roles
        self._instance = instance

    async def open_stream(self, task: acs.Task, to: Destination) -> None:
        """Have the stream there, and the group if that may be created. Raises LogError."""
        wanted = {"logGroupName": to.group, "logStreamName": to.stream}
        try:
            if to.create_group:
                await self._create(task, to, "CreateLogGroup", {"logGroupName": to.group})
            await self._create(task, to, "CreateLogStream", wanted)
        except (ServiceError, NoCredentialsError) as error:
            raise LogError(f"{_FAILED}failed to create Cloudwatch log stream: {error}") from error

    async def _create(self, task: acs.Task, to: Destination, operation: str, wanted: Mapping[str, str]) -> None:
        try:
            await self._call(task, to, operation, wanted)
        except ServiceError as error:
            if error.code != _EXISTS:
                raise

    async def put(self, task: acs.Task, to: Destination, events: Sequence[LogEvent]) -> None:
        """Add events, one portion. Raises ServiceError, NoCredentialsError."""
        entries = [{"timestamp": each.at // 10**6, "message": each.message} for each in events]
        await self._call(
            task,
            to,
            "PutLogEvents",
            {"logGroupName": to.group, "logStreamName": to.stream, "logEvents": entries},
        )

    async def _call(self, task: acs.Task, to: Destination, operation: str, request: Mapping[str, object]) -> None:
        credentials: Credentials | None = await self._roles.of_execution_role(task)
        await self._services.call(
            LOGS,
            operation,
            request,
            region=to.region,
            credentials=credentials or await self._instance.get(),
        )
