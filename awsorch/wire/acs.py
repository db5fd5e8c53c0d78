"""The messages of ACS, the websocket over which the controller gives an agent its work.

The classes are named as the types on the wire; the parts of a task are in `acs_task`. Message ids are opaque
strings, `generated_at` is in milliseconds since the epoch, `seq_num` and `timeline` come from one increasing
counter for each container instance.
"""

from awsorch.wire.acs_task import (
    ASMAuthData,
    Association,
    AssociationContent,
    Attachment,
    AttachmentProperty,
    Container,
    ContainerDependency,
    DockerConfig,
    DockerVolume,
    ECRAuthData,
    EFSAuthorization,
    EFSVolume,
    ElasticNetworkInterface,
    EnvironmentFile,
    FirelensConfiguration,
    FSxAuthorization,
    FSxWindowsFileServerVolume,
    HostVolume,
    IAMRoleCredentials,
    IPv4Address,
    IPv6Address,
    ManagedAgent,
    MountPoint,
    PortMapping,
    ProxyConfiguration,
    RegistryAuthentication,
    RestartPolicy,
    Secret,
    Task,
    TunnelProperties,
    VethProperties,
    VlanProperties,
    Volume,
    VolumeFrom,
)
from awsorch.wire.envelope import Integer, Shape, Vocabulary


class ACSMessage(Shape, frozen=True, kw_only=True):
    """Any message of the control websocket."""


class HeartbeatMessage(ACSMessage, frozen=True, kw_only=True):
    message_id: str = ""
    healthy: bool = False


class HeartbeatAckRequest(ACSMessage, frozen=True, kw_only=True):
    message_id: str = ""


class PayloadMessage(ACSMessage, frozen=True, kw_only=True):
    """Tasks to start and to stop; acknowledged by AckRequest when all of them were accepted."""

    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    generated_at: Integer = 0
    seq_num: Integer = 0
    timeline: Integer = 0
    tasks: tuple[Task, ...] = ()


class AckRequest(ACSMessage, frozen=True, kw_only=True):
    """`cluster` and `container_instance` are the two ARNs of the message that is acknowledged."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""


class NackRequest(ACSMessage, frozen=True, kw_only=True):
    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    reason: str = ""


class IAMRoleCredentialsMessage(ACSMessage, frozen=True, kw_only=True):
    """Fresh credentials for a task; `role_type` is TaskApplication or TaskExecution."""

    message_id: str = ""
    task_arn: str = ""
    task_cluster_arn: str = ""
    role_type: str = ""
    role_credentials: IAMRoleCredentials | None = None


class IAMRoleCredentialsAckRequest(ACSMessage, frozen=True, kw_only=True):
    message_id: str = ""
    credentials_id: str = ""
    expiration: str = ""


class TaskIdentifier(Shape, frozen=True, kw_only=True):
    task_arn: str = ""
    task_cluster_arn: str = ""
    desired_status: str = ""


class TaskManifestMessage(ACSMessage, frozen=True, kw_only=True):
    """Every task that the controller believes to be on the container instance; it never starts one."""

    message_id: str = ""
    cluster_arn: str = ""
    container_instance_arn: str = ""
    generated_at: Integer = 0
    timeline: Integer = 0
    tasks: tuple[TaskIdentifier, ...] = ()


class TaskStopVerificationMessage(ACSMessage, frozen=True, kw_only=True):
    """The agent's tasks that a manifest did not list; `message_id` is the manifest's."""

    message_id: str = ""
    stop_candidates: tuple[TaskIdentifier, ...] = ()


class TaskStopVerificationAck(ACSMessage, frozen=True, kw_only=True):
    """The candidates that the agent shall stop; `message_id` is the manifest's."""

    message_id: str = ""
    generated_at: Integer = 0
    stop_tasks: tuple[TaskIdentifier, ...] = ()


class AttachTaskNetworkInterfacesMessage(ACSMessage, frozen=True, kw_only=True):
    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    generated_at: Integer = 0
    task_arn: str = ""
    task_cluster_arn: str = ""
    wait_timeout_ms: Integer = 0
    elastic_network_interfaces: tuple[ElasticNetworkInterface, ...] = ()


class AttachInstanceNetworkInterfacesMessage(ACSMessage, frozen=True, kw_only=True):
    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    generated_at: Integer = 0
    wait_timeout_ms: Integer = 0
    elastic_network_interfaces: tuple[ElasticNetworkInterface, ...] = ()


class ConfirmAttachmentMessage(ACSMessage, frozen=True, kw_only=True):
    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    generated_at: Integer = 0
    task_arn: str = ""
    task_cluster_arn: str = ""
    wait_timeout_ms: Integer = 0
    attachment: Attachment | None = None


class UpdateInfo(Shape, frozen=True, kw_only=True):
    """`signature` is the SHA-256 of what is at `location`, in hex."""

    location: str = ""
    signature: str = ""


class StageUpdateMessage(ACSMessage, frozen=True, kw_only=True):
    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    update_info: UpdateInfo | None = None


class AwsorchExecuteCommandMessage(ACSMessage, frozen=True, kw_only=True):
    """awsorch's own: an agent that said that it runs commands in containers comes to `path`, at the controller's host,
    by websocket, and runs this one for whoever is there."""

    session_id: str = ""
    task_arn: str = ""
    container_name: str = ""
    command: str = ""
    path: str = ""


class PerformUpdateMessage(ACSMessage, frozen=True, kw_only=True):
    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    update_info: UpdateInfo | None = None


class CloseMessage(ACSMessage, frozen=True, kw_only=True):
    """Words for the agent's log; the server closes the socket itself."""

    message: str = ""


class ErrorMessage(ACSMessage, frozen=True, kw_only=True):
    message: str = ""


class ServerException(ACSMessage, frozen=True, kw_only=True):
    message: str = ""


class BadRequestException(ACSMessage, frozen=True, kw_only=True):
    message: str = ""


class InvalidClusterException(ACSMessage, frozen=True, kw_only=True):
    message: str = ""


class InvalidInstanceException(ACSMessage, frozen=True, kw_only=True):
    message: str = ""


class AccessDeniedException(ACSMessage, frozen=True, kw_only=True):
    message: str = ""


class InactiveInstanceException(ACSMessage, frozen=True, kw_only=True):
    message: str = ""


_VOCABULARY: Vocabulary[ACSMessage] = Vocabulary(ACSMessage.__subclasses__())

encode_acs = _VOCABULARY.encode
decode_acs = _VOCABULARY.decode

__all__ = [
    "ACSMessage",
    "ASMAuthData",
    "AccessDeniedException",
    "AckRequest",
    "Association",
    "AssociationContent",
    "AttachInstanceNetworkInterfacesMessage",
    "AttachTaskNetworkInterfacesMessage",
    "Attachment",
    "AttachmentProperty",
    "AwsorchExecuteCommandMessage",
    "BadRequestException",
    "CloseMessage",
    "ConfirmAttachmentMessage",
    "Container",
    "ContainerDependency",
    "DockerConfig",
    "DockerVolume",
    "ECRAuthData",
    "EFSAuthorization",
    "EFSVolume",
    "ElasticNetworkInterface",
    "EnvironmentFile",
    "ErrorMessage",
    "FSxAuthorization",
    "FSxWindowsFileServerVolume",
    "FirelensConfiguration",
    "HeartbeatAckRequest",
    "HeartbeatMessage",
    "HostVolume",
    "IAMRoleCredentials",
    "IAMRoleCredentialsAckRequest",
    "IAMRoleCredentialsMessage",
    "IPv4Address",
    "IPv6Address",
    "InactiveInstanceException",
    "InvalidClusterException",
    "InvalidInstanceException",
    "ManagedAgent",
    "MountPoint",
    "NackRequest",
    "PayloadMessage",
    "PerformUpdateMessage",
    "PortMapping",
    "ProxyConfiguration",
    "RegistryAuthentication",
    "RestartPolicy",
    "Secret",
    "ServerException",
    "StageUpdateMessage",
    "Task",
    "TaskIdentifier",
    "TaskManifestMessage",
    "TaskStopVerificationAck",
    "TaskStopVerificationMessage",
    "TunnelProperties",
    "UpdateInfo",
    "VethProperties",
    "VlanProperties",
    "Volume",
    "VolumeFrom",
    "decode_acs",
    "encode_acs",
]
