"""The messages of TCS, the websocket on which an agent publishes metrics, container health and its status.

The agent puts a block of signed HTTP-style headers before each envelope; the controller answers plain ones.
Times are seconds since the epoch with milliseconds as fraction; memory is in MiB, CPU in percent of the host.
"""

from collections.abc import Mapping

from awsorch.wire.envelope import Integer, Shape, Vocabulary

_HEADERS_END = "\r\n\r\n"


class TCSMessage(Shape, frozen=True, kw_only=True):
    """Any message of the telemetry websocket."""


class DoubleStats(Shape, frozen=True, kw_only=True):
    min: float = 0.0
    max: float = 0.0
    sample_count: Integer = 0
    sum: float = 0.0


class LongStats(Shape, frozen=True, kw_only=True):
    """Counters; the overflow members carry what goes beyond 64 bits."""

    min: Integer = 0
    max: Integer = 0
    sample_count: Integer = 0
    sum: Integer = 0
    overflow_min: Integer = 0
    overflow_max: Integer = 0
    overflow_sum: Integer = 0


class NetworkStats(Shape, frozen=True, kw_only=True):
    rx_bytes: LongStats | None = None
    rx_bytes_per_second: DoubleStats | None = None
    rx_dropped: LongStats | None = None
    rx_errors: LongStats | None = None
    rx_packets: LongStats | None = None
    tx_bytes: LongStats | None = None
    tx_bytes_per_second: DoubleStats | None = None
    tx_dropped: LongStats | None = None
    tx_errors: LongStats | None = None
    tx_packets: LongStats | None = None


class StorageStats(Shape, frozen=True, kw_only=True):
    read_size_bytes: LongStats | None = None
    write_size_bytes: LongStats | None = None


class RestartStats(Shape, frozen=True, kw_only=True):
    """Restarts since the previous message, not in all."""

    restart_count: Integer = 0


class ContainerMetric(Shape, frozen=True, kw_only=True):
    container_name: str = ""
    container_arn: str = ""
    cpu_stats_set: DoubleStats | None = None
    memory_stats_set: DoubleStats | None = None
    network_stats_set: NetworkStats | None = None
    storage_stats_set: StorageStats | None = None
    restart_stats_set: RestartStats | None = None


class TaskMetric(Shape, frozen=True, kw_only=True):
    task_arn: str = ""
    cluster_arn: str = ""
    task_definition_family: str = ""
    task_definition_version: str = ""
    container_metrics: tuple[ContainerMetric, ...] = ()


class MetricsMetadata(Shape, frozen=True, kw_only=True):
    """One round may be several messages with one `message_id`; the last has `fin`."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    idle: bool = False
    fin: bool = False


class PublishMetricsRequest(TCSMessage, frozen=True, kw_only=True):
    metadata: MetricsMetadata | None = None
    timestamp: float = 0.0
    task_metrics: tuple[TaskMetric, ...] = ()


class ContainerHealth(Shape, frozen=True, kw_only=True):
    """`health_status` is HEALTHY, UNHEALTHY or UNKNOWN, as Docker says it."""

    container_name: str = ""
    health_status: str = ""
    status_since: float = 0.0
    status_message: str = ""


class TaskHealth(Shape, frozen=True, kw_only=True):
    task_arn: str = ""
    cluster_arn: str = ""
    task_definition_family: str = ""
    task_definition_version: str = ""
    containers: tuple[ContainerHealth, ...] = ()


class HealthMetadata(Shape, frozen=True, kw_only=True):
    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    fin: bool = False


class PublishHealthRequest(TCSMessage, frozen=True, kw_only=True):
    metadata: HealthMetadata | None = None
    timestamp: float = 0.0
    tasks: tuple[TaskHealth, ...] = ()


class InstanceStatus(Shape, frozen=True, kw_only=True):
    """`type` is ContainerRuntime, EBSDaemon, Agent or ACCELERATED_COMPUTE; `status` OK, IMPAIRED, …"""

    type: str = ""
    status: str = ""
    status_reason: str = ""
    last_updated: float = 0.0
    last_status_change: float = 0.0


class InstanceStatusMetadata(Shape, frozen=True, kw_only=True):
    cluster: str = ""
    container_instance: str = ""
    request_id: str = ""


class PublishInstanceStatusRequest(TCSMessage, frozen=True, kw_only=True):
    metadata: InstanceStatusMetadata | None = None
    timestamp: float = 0.0
    statuses: tuple[InstanceStatus, ...] = ()


class AckPublishMetric(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


class AckPublishHealth(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


class AckPublishInstanceStatus(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


class HeartbeatMessage(TCSMessage, frozen=True, kw_only=True):
    """Tells that the connection lives; it is not acknowledged."""

    healthy: bool = False


class StopTelemetrySessionMessage(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


class ServerException(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


class BadRequestException(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


class ResourceValidationException(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


class InvalidParameterException(TCSMessage, frozen=True, kw_only=True):
    message: str = ""


_VOCABULARY: Vocabulary[TCSMessage] = Vocabulary(TCSMessage.__subclasses__())


def encode_tcs(message: TCSMessage, headers: Mapping[str, str] | None = None) -> str:
    """The text frame for `message`; an agent passes the headers of its signature."""
    envelope = _VOCABULARY.encode(message)
    if headers is None:
        return envelope
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n" + envelope


def decode_tcs(text: str) -> TCSMessage | None:
    """The message in a frame with or without a header block; None when its type is not known.

    The headers' signature is not looked at: the connection was authenticated when it was opened, and a frame
    cannot come from anyone else. Raises WireError (BadRequestException).
    """
    return _VOCABULARY.decode(split_frame(text)[1])


def split_frame(text: str) -> tuple[dict[str, str], str]:
    """The header block (names in lower case; empty when there is none) and the envelope of a frame."""
    if text.lstrip().startswith("{"):
        return {}, text
    block, separator, envelope = text.partition(_HEADERS_END)
    if not separator:
        return {}, text
    headers = {}
    for line in block.split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers, envelope
