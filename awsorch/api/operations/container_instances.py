"""RegisterContainerInstance, Deregister…, Describe…, List…, UpdateContainerInstancesState, UpdateContainerAgent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views import failure_view, instance_view
from awsorch.core.errors import client_error, invalid_parameter
from awsorch.core.events import AskAgentUpdate, DeregisterInstance, RegisterInstance, SetInstanceStatus
from awsorch.core.model import ContainerInstance, Resources
from awsorch.core.model_access import EXTERNAL
from awsorch.core.placement.place import matches
from awsorch.core.rules.account_settings import TRUNKING, effective_value, principal_of
from awsorch.core.state import ClusterState
from awsorch.core.tags import parse_tags

_KIND = "container-instance"
_ARCHITECTURES = {"x86_64": "x86_64", "arm64": "arm64", "amd64": "x86_64", "aarch64": "arm64"}
_TASK_INTERFACES = "ecs.capability.task-eni"
_NO_TRUNK = (
    "The account setting awsvpcTrunking has no effect: instances get no trunk network interface here. Tasks with "
    "networkMode awsvpc are limited by the number of network interfaces of the instance type."
)
#: Attributes that the control plane takes from the identity document, and the document's members.
_IDENTITY = (
    ("ecs.ami-id", "imageId"),
    ("ecs.availability-zone", "availabilityZone"),
    ("ecs.instance-type", "instanceType"),
)


@operation("RegisterContainerInstance")
async def register_container_instance(call: Call) -> Answer:
    """Every attribute that the agent sent comes back, with those that the identity document adds."""
    request = call.request
    cluster, partition = await call.cluster_partition()
    holder = call.holder
    is_external = holder is not None and holder.is_external
    # An external instance is who its key says, and no EC2 instance whatever document it shows.
    identity = {} if is_external else _identity_document(request.get("instanceIdentityDocument"))
    if holder is not None and identity.get("instanceId", holder.id) != holder.id:
        raise client_error(
            f"The instance identity document is of {identity['instanceId']}, the access key of {holder.id}."
        )
    attributes, custom = _attributes(request, identity)
    if is_external:
        attributes.setdefault(EXTERNAL, None)
    instance_id = uuid.uuid4().hex
    known = request.get("containerInstanceArn")
    version = request.get("versionInfo", {})
    event = RegisterInstance(
        cause=call.cause,
        instance_id=instance_id,
        arn=call.scope.container_instance(cluster.name, instance_id),
        known_id=call.resource_id(known, _KIND, cluster) if known else None,
        ec2_instance_id=holder.id if holder is not None else identity.get("instanceId"),
        resources=_resources(request, _interfaces(call, attributes.get("ecs.instance-type"))),
        attributes=attributes,
        custom=custom,
        agent_version=version.get("agentVersion"),
        agent_hash=version.get("agentHash"),
        docker_version=version.get("dockerVersion"),
        tags=parse_tags(request.get("tags", ())),
        client_token=request.get("clientToken"),
        status_reason=await _without_trunk(call) if _TASK_INTERFACES in attributes else None,
    )
    instance = await partition.submit(event)
    view = await partition.read(lambda state: instance_view(instance, state, frozenset(("TAGS",))))
    return {"containerInstance": view}


async def _without_trunk(call: Call) -> str | None:
    """What is to be told of an instance whose role has ``awsvpcTrunking`` on; None where it is off."""
    principal = principal_of(call.caller_arn)
    value = await call.registry.read(lambda state: effective_value(state.settings, TRUNKING, principal, call.scope))
    return _NO_TRUNK if value == "enabled" else None


def _identity_document(text: str | None) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise client_error("The instance identity document is not a JSON object.")
    return {name: value for name, value in document.items() if isinstance(value, str)}


def _attributes(
    request: Mapping[str, Any], identity: Mapping[str, Any]
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """All attributes, and the names of those that a user configured (ECS_INSTANCE_ATTRIBUTES)."""
    attributes: dict[str, str | None] = {a["name"]: a.get("value") for a in request.get("attributes", ())}
    custom = tuple(name for name in attributes if not name.startswith(("ecs.", "com.amazonaws.ecs.")))
    for name, member in _IDENTITY:
        if member in identity:
            attributes.setdefault(name, identity[member])
    if "architecture" in identity:
        attributes.setdefault("ecs.cpu-architecture", _ARCHITECTURES.get(identity["architecture"], "x86_64"))
    return attributes, custom


def _interfaces(call: Call, instance_type: str | None) -> int | None:
    """How many tasks with a network of their own the instance may have."""
    catalogue = call.controller.catalogue
    return catalogue.interfaces_of(instance_type) if catalogue is not None and instance_type else None


def _resources(request: Mapping[str, Any], interfaces: int | None) -> Resources:
    totals = {item.get("name"): item for item in request.get("totalResources", ())}

    def number(name: str) -> int:
        value = int(totals.get(name, {}).get("integerValue", 0))
        if value < 0:
            raise invalid_parameter(f"totalResources: {name} should not be negative, it is {value}.")
        return value

    def ports(name: str) -> tuple[int, ...]:
        texts: Iterable[str] = totals.get(name, {}).get("stringSetValue", ())
        if not all(text.isascii() and text.isdigit() and int(text) < 65536 for text in texts):
            raise invalid_parameter(f"totalResources: {name} should be port numbers.")
        return tuple(sorted({int(text) for text in texts}))

    gpus = tuple(d["id"] for d in request.get("platformDevices", ()) if d.get("type") == "GPU")
    return Resources(
        cpu=number("CPU"),
        memory=number("MEMORY"),
        reserved_tcp=ports("PORTS"),
        reserved_udp=ports("PORTS_UDP"),
        gpu_ids=gpus,
        interfaces=interfaces,
    )


@operation("DeregisterContainerInstance")
async def deregister_container_instance(call: Call) -> Answer:
    """INACTIVE at once; its tasks, when forced, follow."""
    cluster, partition = await call.cluster_partition()
    instance = await partition.submit(
        DeregisterInstance(
            cause=call.cause,
            instance_id=call.resource_id(call.request["containerInstance"], _KIND, cluster),
            force=call.request.get("force", False),
        )
    )
    view = await partition.read(lambda state: instance_view(instance, state, frozenset()))
    return {"containerInstance": view}


@operation("DescribeContainerInstances")
async def describe_container_instances(call: Call) -> Answer:
    """Instances by id or ARN; unknown ones are failures."""
    cluster, partition = await call.cluster_partition()
    ids = call.resource_ids(_names(call), _KIND, cluster)
    include = frozenset(call.request.get("include", ()))

    def look(state: ClusterState) -> Answer:
        found, failures = [], []
        for arn, instance_id in ids.items():
            instance = state.instances.get(instance_id or "")
            if instance is None:
                failures.append(failure_view(arn, "MISSING"))
            else:
                found.append(instance_view(instance, state, include))
        return {"containerInstances": found, "failures": failures}

    return await partition.read(look)


@operation("ListContainerInstances")
async def list_container_instances(call: Call) -> Answer:
    """ARNs, by id; ``filter`` in the cluster query language. INACTIVE ones only when asked for."""
    _, partition = await call.cluster_partition()
    size, after = page_size(call.request), start_after(call.request)
    status, expression = call.request.get("status"), call.request.get("filter")

    def look(state: ClusterState) -> Answer:
        keys = (
            key
            for key in state.instance_keys.after(after, len(state.instances))
            if _is_listed(state.instances[key], status) and (not expression or matches(state.fleet, key, expression))
        )
        page, token = take_page(keys, size)
        return {"containerInstanceArns": [state.instances[key].arn for key in page], "nextToken": token}

    return await partition.read(look)


def _is_listed(instance: ContainerInstance, status: str | None) -> bool:
    return instance.status == status if status else instance.status != "INACTIVE"


@operation("UpdateContainerInstancesState")
async def update_container_instances_state(call: Call) -> Answer:
    """ACTIVE or DRAINING for up to ten instances."""
    cluster, partition = await call.cluster_partition()
    status = call.request.get("status")
    if status not in ("ACTIVE", "DRAINING"):
        raise invalid_parameter("Container instance status should be one of [ACTIVE, DRAINING]")
    names = _names(call)
    if len(names) > 10:
        raise invalid_parameter("Container instances can have at most 10 items.")
    ids = call.resource_ids(names, _KIND, cluster)
    here = tuple(instance_id for instance_id in ids.values() if instance_id is not None)
    selection = await partition.submit(SetInstanceStatus(cause=call.cause, instance_ids=here, status=status))

    def look(state: ClusterState) -> Answer:
        return {
            "containerInstances": [instance_view(i, state, frozenset()) for i in selection.found],
            "failures": [
                failure_view(arn, selection.refused.get(instance_id or "", "MISSING"))
                for arn, instance_id in ids.items()
                if instance_id is None or instance_id in selection.refused
            ],
        }

    return await partition.read(look)


@operation("UpdateContainerAgent")
async def update_container_agent(call: Call) -> Answer:
    """To the package of the controller's settings; tasks go on. ``agentUpdateStatus`` says how far it is."""
    cluster, partition = await call.cluster_partition()
    instance_id = call.resource_id(call.request["containerInstance"], _KIND, cluster)
    event = AskAgentUpdate(cause=call.cause, instance_id=instance_id, package=call.agent_package)
    instance = await partition.submit(event)
    return await partition.read(lambda state: {"containerInstance": instance_view(instance, state, frozenset())})


def _names(call: Call) -> Sequence[str]:
    names: Sequence[str] = call.request.get("containerInstances", ())
    if not names:
        raise client_error("Container Instances cannot be empty.")
    if len(names) > 100:
        raise invalid_parameter("Container instances can have at most 100 items.")
    return names
