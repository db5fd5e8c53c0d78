"""What a task's containers are told in their environment: where they are, and where to find their agent.

Variables are those in which SDKs and ECS's own tools look. Source: ECS developer guide, "Amazon ECS container agent
environment"; SDK reference, "Container credential provider".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from awsorch.wire import acs

LINK_LOCAL = "169.254.170.2"
"""Where SDKs look for their agent, on port 80."""
CREDENTIALS_PATH = "/v2/credentials/"
"""Where containers find their role's credentials, at 169.254.170.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a task's containers are created: what is the instance's, not the task's. They call `agent_url`, and with
    `is_routed` 169.254.170.2, which leads to the same agent; with `is_routed_on_host` even in the host's network.
    `environment` is what all find. With `ships_logs` the agent brings their lines to CloudWatch Logs;
    else the engine does, at `logs_endpoint` if that is not the region's own. Log routers have folders in
    `firelens_folder`; empty where there can be none. `gpu_runtime` is the engine's for containers with GPUs.
    `efs_folder` stands in for EFS; else it is mounted by ECS's plugin, or as plain NFS."""

    instance_arn: str
    cluster: str
    region: str
    agent_url: str = ""
    is_routed: bool = False
    is_routed_on_host: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    ships_logs: bool = False
    logs_endpoint: str = ""
    logs_by_execution_role: bool = False
    firelens_folder: str = ""
    gpu_runtime: str = ""
    efs_folder: str = ""
    has_efs_plugin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What one container is given besides its definition: `from_files` gives way to what that says, `secrets` to
    nothing. `router_config` is what a log router's definition names in S3."""

    from_files: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    log_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    router_config: str = field(default="", repr=False)


NONE = Inputs()


def variables(
    task: acs.Task, container: acs.Container, endpoint_id: str, place: Placement, inputs: Inputs = NONE
) -> list[str]:
    """The environment of one container, as Docker takes it; what the definition says wins over the region and over
    environment files."""
    is_routed = place.is_routed_on_host if task.network_mode == "host" else place.is_routed
    region = {"AWS_REGION": place.region, "AWS_DEFAULT_REGION": place.region} if place.region else {}
    agent = {}
    if place.agent_url and endpoint_id:
        base = f"http://{LINK_LOCAL}" if is_routed else place.agent_url
        agent["ECS_AGENT_URI"] = f"{base}/api/{endpoint_id}"
        agent["ECS_CONTAINER_METADATA_URI"] = f"{base}/v3/{endpoint_id}"
        agent["ECS_CONTAINER_METADATA_URI_V4"] = f"{base}/v4/{endpoint_id}"
    if is_routed and credentials_id(task):
        agent["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = CREDENTIALS_PATH + credentials_id(task)
    merged = {**place.environment, **region, **inputs.from_files, **container.environment, **inputs.secrets, **agent}
    return [f"{name}={value}" for name, value in merged.items()]


def credentials_id(task: acs.Task) -> str:
    """What the credentials of the task's role are known by; empty where it has none."""
    return task.role_credentials.credentials_id if task.role_credentials is not None else ""
