"""What this instance can do, in the names ECS matches task definitions with. Only what is built is claimed."""

from collections.abc import Iterator

from awsorch.agent.efs import CAPABILITY
from awsorch.agent.engine import EngineFacts
from awsorch.agent.identity import Identity
from awsorch.agent.settings import Settings

PREFIX = "com.amazonaws.ecs.capability."
_FIRELENS = (
    PREFIX + "logging-driver.awsfirelens",
    "ecs.capability.firelens.fluentd",
    "ecs.capability.firelens.fluentbit",
    "ecs.capability.firelens.options.config.file",
    "ecs.capability.firelens.options.config.s3",
    "ecs.capability.firelens.non-root-user",
    "ecs.capability.logging-driver.awsfirelens.log-driver-buffer-limit",
)
_ALWAYS = (
    "ecs.capability.container-ordering",
    "ecs.capability.full-sync",
    "ecs.capability.network.container-port-range",
    "ecs.capability.container-restart-policy",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.execute-command",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.env-files.s3",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.ecr-endpoint",
    "ecs.capability.execution-role-ecr-pull",
    PREFIX + "ecr-auth",
)
API_VERSIONS = (17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 29, 30, 32)
"""Minor versions of the Docker API (1.x) that ECS knows as attributes."""


def attributes(
    settings: Settings, facts: EngineFacts, identity: Identity, machine: str, *, first: bool
) -> list[dict[str, str]]:
    """The attributes of RegisterContainerInstance; custom ones only on the `first` registration.

    `machine` is the processor's name as the kernel has it. What the identity document says (instance type, zone,
    image, architecture) ECS adds itself.
    """
    named = dict(settings.instance.attributes) if first else {}
    listed = [{"name": name, "value": value} for name, value in named.items()]
    listed += [{"name": name} for name in _capabilities(settings, facts)]
    listed += [
        {"name": "ecs.os-type", "value": "linux"},
        {"name": "ecs.os-family", "value": "LINUX"},
        {"name": "ecs.os-type-detailed", "value": settings.instance.os_family},
    ]
    places = {
        "ecs.vpc-id": identity.vpc_id,
        "ecs.subnet-id": identity.subnet_id,
        "ecs.outpost-arn": identity.outpost_arn,
    }
    listed += [{"name": name, "value": value} for name, value in places.items() if value]
    if settings.external:
        architecture = "arm64" if machine in ("aarch64", "arm64") else "x86_64"
        listed.append({"name": "ecs.cpu-architecture", "value": architecture})
    return listed


def _of_networks(settings: Settings, facts: EngineFacts) -> Iterator[str]:
    """Tasks with interfaces of their own find their agent by way of the engine's bridge."""
    if settings.instance.task_interfaces and facts.bridge_address and not settings.external:
        yield "ecs.capability.task-eni"
        if settings.instance.ipv6:
            yield "ecs.capability.task-eni.ipv6"
        if settings.instance.block_metadata:
            yield "ecs.capability.task-eni-block-instance-metadata"


def _capabilities(settings: Settings, facts: EngineFacts) -> Iterator[str]:
    instance = settings.instance
    yield from _ALWAYS
    if not instance.privileged_disabled:
        yield PREFIX + "privileged-container"
    if instance.selinux_capable:
        yield PREFIX + "selinux"
    if instance.apparmor_capable:
        yield PREFIX + "apparmor"
    newest = int(facts.api_version.partition(".")[2] or 0)
    for minor in API_VERSIONS:
        if minor <= newest:
            yield f"{PREFIX}docker-remote-api.1.{minor}"
    by_agent = settings.engine.awslogs_by_agent
    if "awslogs" in instance.logging_drivers and (by_agent or settings.engine.awslogs_by_execution_role):
        yield "ecs.capability.execution-role-awslogs"
    for driver in instance.logging_drivers:
        if driver == "none" or driver in facts.log_drivers or (driver == "awslogs" and by_agent):
            yield f"{PREFIX}logging-driver.{driver}"
    yield "ecs.capability.efs"
    if instance.efs_folder or CAPABILITY in instance.volume_plugin_capabilities:
        yield "ecs.capability.efsAuth"
    if instance.block_volumes and not settings.external:
        yield "ecs.capability.storage.ebs-task-volume-attach"
    if "fluentd" in facts.log_drivers and settings.data_dir:
        yield from _FIRELENS
    if settings.task_roles and facts.bridge_address:
        yield PREFIX + "task-iam-role"
    if settings.task_roles_on_host and facts.bridge_address:
        yield PREFIX + "task-iam-role-network-host"
    yield from _of_networks(settings, facts)
    if not settings.engine.health_check_disabled:
        yield "ecs.capability.container-health-check"
    yield "ecs.capability.docker-plugin.local"
    for plugin in facts.volume_plugins:
        if plugin != "local":
            yield f"ecs.capability.docker-plugin.{plugin.replace(':', '.')}"
    if settings.external:
        yield "ecs.capability.external"
