"""The parts of a task as ACS carries them (agent protocol: PayloadMessage): containers, volumes, interfaces.

Fields have the names, types and units of the wire. What the Docker agent does not take from plain fields
travels in `DockerConfig` as JSON strings in the shape of the Docker Engine API.
"""

import msgspec

from awsorch.wire.envelope import Integer, Shape


class IAMRoleCredentials(Shape, frozen=True, kw_only=True):
    """Credentials of a task's role; `expiration` is ISO 8601 and is handed to containers as it is."""

    credentials_id: str = ""
    role_arn: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    expiration: str = ""
    credential_scope: str = ""


class DockerConfig(Shape, frozen=True, kw_only=True):
    """`config` and `host_config` are JSON strings, laid over what the agent derives from plain fields."""

    version: str = ""
    config: str = ""
    host_config: str = ""


class PortMapping(Shape, frozen=True, kw_only=True):
    """`host_port` 0 lets the agent choose; a range has `container_port_range` ("9000-9002") instead."""

    container_port: Integer = 0
    host_port: Integer = 0
    container_port_range: str = ""
    protocol: str = ""


class MountPoint(Shape, frozen=True, kw_only=True):
    source_volume: str = ""
    container_path: str = ""
    read_only: bool = False


class VolumeFrom(Shape, frozen=True, kw_only=True):
    source_container: str = ""
    read_only: bool = False


class ContainerDependency(Shape, frozen=True, kw_only=True):
    """`condition` is START, COMPLETE, SUCCESS or HEALTHY."""

    container_name: str = ""
    condition: str = ""


class EnvironmentFile(Shape, frozen=True, kw_only=True):
    value: str = ""
    type: str = ""


class Secret(Shape, frozen=True, kw_only=True):
    """A value the agent fetches with the execution role; `provider` is "ssm" or "asm"."""

    name: str = ""
    value_from: str = ""
    region: str = ""
    container_path: str = ""
    type: str = ""
    provider: str = ""
    target: str = ""


class RestartPolicy(Shape, frozen=True, kw_only=True):
    """`restart_attempt_period` in seconds."""

    enabled: bool = False
    ignored_exit_codes: tuple[Integer, ...] = ()
    restart_attempt_period: Integer = 0


class ECRAuthData(Shape, frozen=True, kw_only=True):
    registry_id: str = ""
    region: str = ""
    endpoint_override: str = ""
    use_execution_role: bool = False


class ASMAuthData(Shape, frozen=True, kw_only=True):
    credentials_parameter: str = ""
    region: str = ""


class RegistryAuthentication(Shape, frozen=True, kw_only=True):
    """`type` is "ecr" or "asm" and tells which of the two is set."""

    type: str = ""
    ecr_auth_data: ECRAuthData | None = None
    asm_auth_data: ASMAuthData | None = None


class FirelensConfiguration(Shape, frozen=True, kw_only=True):
    type: str = ""
    options: dict[str, str] = msgspec.field(default_factory=dict)


class ManagedAgent(Shape, frozen=True, kw_only=True):
    name: str = ""
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class Container(Shape, frozen=True, kw_only=True):
    """`memory` in MiB (0: no hard limit), `cpu` in CPU shares, time-outs in seconds."""

    name: str = ""
    image: str = ""
    container_arn: str = ""
    essential: bool = False
    cpu: Integer = 0
    memory: Integer = 0
    command: tuple[str, ...] = ()
    entry_point: tuple[str, ...] | None = None
    overrides: str = ""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    environment_files: tuple[EnvironmentFile, ...] = ()
    secrets: tuple[Secret, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()
    links: tuple[str, ...] = ()
    mount_points: tuple[MountPoint, ...] = ()
    volumes_from: tuple[VolumeFrom, ...] = ()
    depends_on: tuple[ContainerDependency, ...] = ()
    start_timeout: Integer | None = None
    stop_timeout: Integer | None = None
    restart_policy: RestartPolicy | None = None
    health_check_type: str = ""
    docker_config: DockerConfig | None = None
    registry_authentication: RegistryAuthentication | None = None
    logs_auth_strategy: str = ""
    firelens_configuration: FirelensConfiguration | None = None
    managed_agents: tuple[ManagedAgent, ...] = ()
    credential_specs: tuple[str, ...] = ()
    network_interface_names: tuple[str, ...] = ()


class HostVolume(Shape, frozen=True, kw_only=True):
    """An empty `source_path` makes a Docker volume that lives as long as the task."""

    source_path: str = ""


class DockerVolume(Shape, frozen=True, kw_only=True):
    """`scope` is "task" or "shared"."""

    scope: str = ""
    autoprovision: bool = False
    driver: str = ""
    driver_opts: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class EFSAuthorization(Shape, frozen=True, kw_only=True):
    access_point_id: str = ""
    iam: str = ""


class EFSVolume(Shape, frozen=True, kw_only=True):
    file_system_id: str = ""
    root_directory: str = ""
    transit_encryption: str = ""
    transit_encryption_port: Integer = 0
    authorization_config: EFSAuthorization | None = None


class FSxAuthorization(Shape, frozen=True, kw_only=True):
    credentials_parameter: str = ""
    domain: str = ""


class FSxWindowsFileServerVolume(Shape, frozen=True, kw_only=True):
    file_system_id: str = ""
    root_directory: str = ""
    authorization_config: FSxAuthorization | None = None


class Volume(Shape, frozen=True, kw_only=True):
    """`type` is host, docker, efs, fsxWindowsFileServer or attachment; all but the last need their config."""

    name: str = ""
    type: str = ""
    host: HostVolume | None = None
    docker_volume_configuration: DockerVolume | None = None
    efs_volume_configuration: EFSVolume | None = None
    fsx_windows_file_server_volume_configuration: FSxWindowsFileServerVolume | None = None


class AssociationContent(Shape, frozen=True, kw_only=True):
    value: str = ""
    encoding: str = ""


class Association(Shape, frozen=True, kw_only=True):
    """A device for a container; for type "gpu" the name is the GPU's id and there is just one container."""

    name: str = ""
    type: str = ""
    content: AssociationContent | None = None
    containers: tuple[str, ...] = ()


class ProxyConfiguration(Shape, frozen=True, kw_only=True):
    type: str = ""
    container_name: str = ""
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class AttachmentProperty(Shape, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""


class Attachment(Shape, frozen=True, kw_only=True):
    attachment_arn: str = ""
    attachment_type: str = ""
    attachment_properties: tuple[AttachmentProperty, ...] = ()


class IPv4Address(Shape, frozen=True, kw_only=True):
    private_address: str = ""
    primary: bool = False


class IPv6Address(Shape, frozen=True, kw_only=True):
    address: str = ""
    primary: bool = False


class VlanProperties(Shape, frozen=True, kw_only=True):
    vlan_id: str = ""
    trunk_interface_mac_address: str = ""


class TunnelProperties(Shape, frozen=True, kw_only=True):
    tunnel_id: str = ""
    interface_ip_address: str = ""


class VethProperties(Shape, frozen=True, kw_only=True):
    peer_interface: str = ""


class ElasticNetworkInterface(Shape, frozen=True, kw_only=True):
    """An interface of an awsvpc task; gateways carry their prefix length ("10.0.0.1/24")."""

    name: str = ""
    mac_address: str = ""
    attachment_arn: str = ""
    ec2_id: str = ""
    index: Integer = 0
    interface_association_protocol: str = ""
    interface_vlan_properties: VlanProperties | None = None
    interface_tunnel_properties: TunnelProperties | None = None
    interface_veth_properties: VethProperties | None = None
    ipv4_addresses: tuple[IPv4Address, ...] = ()
    ipv6_addresses: tuple[IPv6Address, ...] = ()
    domain_name: tuple[str, ...] = ()
    domain_name_servers: tuple[str, ...] = ()
    private_dns_name: str = ""
    subnet_gateway_ipv4_address: str = ""
    subnet_gateway_ipv6_address: str = ""


class Task(Shape, frozen=True, kw_only=True):
    """A task for the agent. `cpu` in vCPUs, `memory` in MiB; a stop needs only `arn` and `desired_status`."""

    arn: str = ""
    desired_status: str = ""
    family: str = ""
    version: str = ""
    task_cluster_arn: str = ""
    overrides: str = ""
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    cpu: float = 0.0
    memory: Integer = 0
    network_mode: str = ""
    pid_mode: str = ""
    ipc_mode: str = ""
    role_credentials: IAMRoleCredentials | None = None
    execution_role_credentials: IAMRoleCredentials | None = None
    elastic_network_interfaces: tuple[ElasticNetworkInterface, ...] = ()
    associations: tuple[Association, ...] = ()
    proxy_configuration: ProxyConfiguration | None = None
    attachments: tuple[Attachment, ...] = ()
    launch_type: str = ""
    service_name: str = ""
    group: str = ""
    task_definition_account_id: str = ""
    zone: str = ""
    enable_fault_injection: bool = False
