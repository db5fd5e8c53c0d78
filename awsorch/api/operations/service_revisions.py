"""What the tasks of a service are to run: a wish for a service revision, read from a request, or derived from the
current revision and an update.

Source: ECS API, CreateService, UpdateService, ServiceRevision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.api.calls import Call
from awsorch.api.operations.launches import read_launch_type
from awsorch.api.operations.networks import read_network
from awsorch.api.operations.service_load_balancers import read_load_balancers
from awsorch.api.operations.task_volumes import read_volume
from awsorch.api.views_services import load_balancer_view
from awsorch.core.errors import invalid_parameter, unsupported
from awsorch.core.events_services import RevisionWish
from awsorch.core.model import StrategyItem, TaskDefinition
from awsorch.core.model_services import ServiceRevision

Members = Mapping[str, Any]

#: Members of a revision that are kept as they were given.
CARRIED = ("networkConfiguration", "serviceConnectConfiguration", "volumeConfigurations")
_UNSUPPORTED = {
    "serviceRegistries": "Service discovery (serviceRegistries)",
    "vpcLatticeConfigurations": "VPC Lattice (vpcLatticeConfigurations)",
    "gatewayConnectors": "Gateways (gatewayConnectors)",
    "monitoring": "A metric resolution of its own (monitoring)",
}
#: Members of UpdateService that make a deployment where they differ from what is there. (Another capacity provider
#: strategy comes with forceNewDeployment.)
DEPLOYING = (
    "taskDefinition",
    "loadBalancers",
    "platformVersion",
    *CARRIED,
    *_UNSUPPORTED,
)


async def read_wish(
    call: Call, members: Members, definition: TaskDefinition, strategy: tuple[StrategyItem, ...]
) -> RevisionWish:
    """A revision of this definition with these members of a request and this capacity provider strategy. Raises ECS's
    refusals for what can't be."""
    for member, what in _UNSUPPORTED.items():
        if members.get(member):
            raise unsupported(f"{what} is not supported by this version of awsorch.")
    if members.get("serviceConnectConfiguration", {}).get("enabled"):
        raise unsupported("Service Connect (serviceConnectConfiguration) is not supported by this version of awsorch.")
    launch_type = read_launch_type(members, definition, strategy)
    if launch_type == "EXTERNAL" and members.get("loadBalancers"):
        raise invalid_parameter("Load balancers are not supported with the EXTERNAL launch type.")
    return RevisionWish(
        definition=definition,
        network=await read_network(call, members, definition),
        volume=read_volume(members, definition, of_service=True),
        launch_type=launch_type,
        capacity_provider_strategy=strategy,
        load_balancers=read_load_balancers(members.get("loadBalancers", ()), definition.definition),
        document={member: members[member] for member in CARRIED if members.get(member)},
    )


async def derive_wish(
    call: Call, revision: ServiceRevision, definition: TaskDefinition, strategy: tuple[StrategyItem, ...]
) -> RevisionWish:
    """The current revision with what the request says in its place. ``strategy`` is the new one, () for none."""
    current = {
        "launchType": revision.launch_type,
        "loadBalancers": [load_balancer_view(balancer) for balancer in revision.load_balancers],
        **revision.document,
    }
    return await read_wish(call, {**current, **call.request}, definition, strategy)


def is_same(revision: ServiceRevision, wish: RevisionWish) -> bool:
    """Whether a revision is already as wished."""
    return (
        revision.definition == wish.definition.key
        and revision.launch_type == wish.launch_type
        and revision.capacity_provider_strategy == wish.capacity_provider_strategy
        and revision.load_balancers == wish.load_balancers
        and revision.document == wish.document
    )
