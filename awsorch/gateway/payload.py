"""A task of the state as its agent gets it: Task and TaskDefinition records to the task of an ACS payload.

Pure. Overrides are merged here, because an agent only understands a whole container. Credentials of task roles are
not part of it. Source: agent protocol, PayloadMessage; ECS API, ContainerDefinition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.core.arn import Arn, parse_arn
from awsorch.core.definitions.document import is_ecr_image, is_secrets_manager, network_mode_of
from awsorch.core.definitions.overrides import environment_of
from awsorch.core.definitions.roles import EXECUTION, roles_of
from awsorch.core.model import Container, Task, TaskDefinition
from awsorch.core.model_attachments import INTERFACE, VOLUME
from awsorch.core.resources import overrides_by_name
from awsorch.gateway.docker_config import docker_config
from awsorch.gateway.interfaces import acs_interface, acs_volume_attachment
from awsorch.gateway.volumes import acs_volume
from awsorch.wire import acs

Document = Mapping[str, Any]

#: What every container finds in AWS_EXECUTION_ENV; agents do not add it.
EXECUTION_ENVIRONMENT = "AWS_ECS_EC2"

_RESERVATIONS = ("cpu", "memory", "memoryReservation", "environmentFiles")


def acs_stop(task: Task) -> acs.Task:
    """All that an agent needs to be told of a task that it shall stop."""
    return acs.Task(arn=task.arn, desired_status="STOPPED", task_cluster_arn=_cluster_arn(task))


def acs_task(task: Task, definition: TaskDefinition) -> acs.Task:
    """The whole task, as an agent needs it to start it."""
    document, overrides = definition.definition, task.overrides
    arn = _arn(task)
    own = overrides_by_name(overrides)
    records = {container.name: container for container in task.containers}
    cpu = overrides.get("cpu") or document.get("cpu")
    memory = overrides.get("memory") or document.get("memory")
    return acs.Task(
        arn=task.arn,
        desired_status=task.told_status,
        family=definition.family,
        version=str(definition.revision),
        task_cluster_arn=_cluster_arn(task),
        task_definition_account_id=arn.account,
        overrides="{}",
        containers=tuple(
            _container(task, document, container, own.get(container["name"], {}), records[container["name"]])
            for container in document["containerDefinitions"]
        ),
        volumes=tuple(acs_volume(volume) for volume in document.get("volumes", ())),
        cpu=int(cpu) / 1024 if cpu else 0.0,
        memory=int(memory) if memory else 0,
        network_mode=network_mode_of(document),
        pid_mode=document.get("pidMode", ""),
        ipc_mode=document.get("ipcMode", ""),
        elastic_network_interfaces=tuple(
            acs_interface(task, each) for each in task.attachments if each.type == INTERFACE
        ),
        attachments=tuple(acs_volume_attachment(task, each) for each in task.attachments if each.type == VOLUME),
        associations=tuple(_gpu(gpu, each.name) for each in task.containers for gpu in each.gpu_ids),
        proxy_configuration=_proxy(document.get("proxyConfiguration")),
        launch_type=task.launch_type,
        service_name=task.group.removeprefix("service:") if task.group.startswith("service:") else "",
        group=task.group,
        zone=task.zone or "",
        enable_fault_injection=document.get("enableFaultInjection", False),
    )


def _container(task: Task, document: Document, given: Document, override: Document, record: Container) -> acs.Container:
    container = {**given, **{member: override[member] for member in _RESERVATIONS if member in override}}
    region = _arn(task).region
    return acs.Container(
        name=container["name"],
        image=record.image,
        container_arn=record.arn,
        essential=container.get("essential", True),
        cpu=container.get("cpu", 0),
        memory=container.get("memory", 0),
        command=tuple(override.get("command") or container.get("command", ())),
        entry_point=tuple(container["entryPoint"]) if container.get("entryPoint") else None,
        overrides="{}",
        environment={"AWS_EXECUTION_ENV": EXECUTION_ENVIRONMENT, **environment_of(given, override)},
        environment_files=tuple(
            acs.EnvironmentFile(value=file["value"], type=file["type"])
            for file in container.get("environmentFiles", ())
        ),
        secrets=_secrets(container, region),
        port_mappings=tuple(_port_mapping(mapping) for mapping in container.get("portMappings", ())),
        links=tuple(container.get("links", ())),
        mount_points=tuple(_mount_point(mount) for mount in container.get("mountPoints", ())),
        volumes_from=tuple(
            acs.VolumeFrom(source_container=each["sourceContainer"], read_only=each.get("readOnly", False))
            for each in container.get("volumesFrom", ())
        ),
        depends_on=tuple(
            acs.ContainerDependency(container_name=each["containerName"], condition=each["condition"])
            for each in container.get("dependsOn", ())
        ),
        start_timeout=container.get("startTimeout"),
        stop_timeout=container.get("stopTimeout"),
        restart_policy=_restart_policy(container.get("restartPolicy")),
        health_check_type="docker" if "healthCheck" in container else "",
        docker_config=docker_config(document, container, task_id=task.id),
        registry_authentication=_registry_authentication(task, document, container, region),
        logs_auth_strategy=_logs_auth_strategy(task, document, container),
        firelens_configuration=_firelens(container.get("firelensConfiguration")),
        managed_agents=(acs.ManagedAgent(name="ExecuteCommandAgent"),) if task.enable_execute_command else (),
        credential_specs=tuple(container.get("credentialSpecs", ())),
    )


def _port_mapping(mapping: Document) -> acs.PortMapping:
    return acs.PortMapping(
        container_port=mapping.get("containerPort", 0),
        host_port=mapping.get("hostPort", 0),
        container_port_range=mapping.get("containerPortRange", ""),
        protocol=mapping.get("protocol", "tcp"),
    )


def _mount_point(mount: Document) -> acs.MountPoint:
    return acs.MountPoint(
        source_volume=mount.get("sourceVolume", ""),
        container_path=mount.get("containerPath", ""),
        read_only=mount.get("readOnly", False),
    )


def _restart_policy(policy: Document | None) -> acs.RestartPolicy | None:
    if policy is None:
        return None
    return acs.RestartPolicy(
        enabled=policy.get("enabled", False),
        ignored_exit_codes=tuple(policy.get("ignoredExitCodes", ())),
        restart_attempt_period=policy.get("restartAttemptPeriod", 300),
    )


def _secrets(container: Document, region: str) -> tuple[acs.Secret, ...]:
    options = (container.get("logConfiguration") or {}).get("secretOptions", ())
    return (
        *(_secret(secret, "CONTAINER", region) for secret in container.get("secrets", ())),
        *(_secret(secret, "LOG_DRIVER", region) for secret in options),
    )


def _secret(secret: Document, target: str, region: str) -> acs.Secret:
    source = secret["valueFrom"]
    return acs.Secret(
        name=secret["name"],
        value_from=source,
        region=_region_of(source, region),
        type="ENVIRONMENT_VARIABLE",
        provider="asm" if is_secrets_manager(source) else "ssm",
        target=target,
    )


def _region_of(source: str, region: str) -> str:
    """Where a secret is: an ARN says so, a name is of the task's own region."""
    return source.split(":")[3] if source.startswith("arn:") else region


def _registry_authentication(
    task: Task, document: Document, container: Document, region: str
) -> acs.RegistryAuthentication | None:
    credentials = (container.get("repositoryCredentials") or {}).get("credentialsParameter")
    if credentials:
        return acs.RegistryAuthentication(
            type="asm",
            asm_auth_data=acs.ASMAuthData(credentials_parameter=credentials, region=_region_of(credentials, region)),
        )
    if is_ecr_image(container):
        registry = container["image"].partition("/")[0].split(".")
        # <account>.dkr.ecr[-fips].<region>.…, or <account>.dkr-ecr.<region>.… on dual-stack endpoints
        place = registry[2] if registry[1] != "dkr" else registry[3]
        return acs.RegistryAuthentication(
            type="ecr",
            ecr_auth_data=acs.ECRAuthData(
                registry_id=registry[0],
                region=place,
                use_execution_role=EXECUTION in roles_of(document, task.overrides),
            ),
        )
    return None


def _logs_auth_strategy(task: Task, document: Document, container: Document) -> str:
    """In whose name a container's lines go to CloudWatch Logs; empty: the instance's, or they don't go there."""
    log = container.get("logConfiguration") or {}
    has_role = EXECUTION in roles_of(document, task.overrides)
    return "ExecutionRole" if has_role and log.get("logDriver") == "awslogs" else ""


def _firelens(given: Document | None) -> acs.FirelensConfiguration | None:
    if given is None:
        return None
    return acs.FirelensConfiguration(type=given["type"], options=dict(given.get("options", {})))


def _proxy(given: Document | None) -> acs.ProxyConfiguration | None:
    if given is None:
        return None
    return acs.ProxyConfiguration(
        type=given.get("type", "APPMESH"),
        container_name=given["containerName"],
        properties={each["name"]: each["value"] for each in given.get("properties", ())},
    )


def _gpu(gpu_id: str, container: str) -> acs.Association:
    return acs.Association(
        name=gpu_id,
        type="gpu",
        content=acs.AssociationContent(value=gpu_id, encoding="identity"),
        containers=(container,),
    )


def _arn(task: Task) -> Arn:
    arn = parse_arn(task.arn)
    assert arn is not None, task.arn
    return arn


def _cluster_arn(task: Task) -> str:
    prefix, _, rest = task.arn.partition(":task/")
    return f"{prefix}:cluster/{rest.partition('/')[0]}"
