"""The instances of classic load balancers: registered, deregistered and described as Elastic Load Balancing
(2012-06-01) does it.

They are kept with the targets of target groups, under their load balancer's key. Sources:
RegisterInstancesWithLoadBalancer, DeregisterInstancesFromLoadBalancer, DescribeInstanceHealth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from awsorch.local.balancer.model import ServerHealth
from awsorch.local.elb_facts import Facts, Shape, TargetGroup, classic_key
from awsorch.local.query_protocol import QueryRefused
from awsorch.local.targets import Targets
from awsorch.local.targets_db import Registration, Registrations

_NOTHING = "N/A"
_REGISTERING = "Instance registration is still in progress."
_DRAINING = "Instance deregistration currently in progress."
_NOT_REGISTERED = "Instance is not currently registered with the LoadBalancer."
_FAILED = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively."


class ClassicTargets:
    """The three operations. Each raises QueryRefused with ELB's codes."""

    def __init__(self, targets: Targets, registrations: Registrations) -> None:
        self._targets = targets
        self._registrations = registrations

    async def register(self, name: str, instances: Sequence[Shape]) -> list[dict[str, str]]:
        """RegisterInstancesWithLoadBalancer; answers the instances that are registered then."""
        _, group = await self._group(name)
        wanted = [_wanted(group, each) for each in instances]
        try:
            placed = await self._targets.placed(group, wanted)
        except QueryRefused as refusal:
            code = "InvalidInstance" if refusal.error.code == "InvalidTarget" else refusal.error.code
            raise QueryRefused(code, refusal.error.message, refusal.error.status) from None
        self._targets.admit(placed)
        return self.instances(name)

    async def deregister(self, name: str, instances: Sequence[Shape]) -> list[dict[str, str]]:
        """DeregisterInstancesFromLoadBalancer; answers the instances that are registered then."""
        _, group = await self._group(name)
        meant = {each.get("InstanceId") for each in instances}
        self._targets.withdraw(group, [each for each in self._registrations.of(group.owner) if each.id in meant])
        return self.instances(name)

    async def describe(self, name: str, instances: Sequence[Shape]) -> list[dict[str, str]]:
        """DescribeInstanceHealth: the registered and the draining instances, or those asked for."""
        facts, group = await self._group(name)
        health: dict[str, ServerHealth] = {}
        for each in facts.groups_of(group.owner):
            health |= {key: _worse(health.get(key), one) for key, one in (await self._targets.health_of(each)).items()}
        states = {each.id: _state(each.id, health[each.key]) for each in self._registrations.of(group.owner)}
        if not instances:
            return list(states.values())
        asked = [_wanted(group, each).id for each in instances]
        return [
            states.get(each) or _instance_state(each, "OutOfService", "Instance", _NOT_REGISTERED) for each in asked
        ]

    def instances(self, name: str) -> list[dict[str, str]]:
        """The instances of a load balancer, as DescribeLoadBalancers lists them."""
        kept = self._registrations.of(classic_key(name))
        return [{"InstanceId": each.id} for each in kept if each.draining_until is None]

    async def _group(self, name: str) -> tuple[Facts, TargetGroup]:
        """Any of a load balancer's target groups: they share their targets."""
        facts = await self._targets.facts()
        groups = facts.groups_of(classic_key(name))
        if classic_key(name) not in facts.load_balancers:
            raise QueryRefused("LoadBalancerNotFound", f"There is no ACTIVE Load Balancer named '{name}'")
        if not groups:
            raise QueryRefused("ValidationError", f"Load balancer '{name}' has no listener; create one first")
        return facts, groups[0]


def _wanted(group: TargetGroup, instance: Shape) -> Registration:
    instance_id = instance.get("InstanceId", "")
    if not instance_id.startswith("i-"):
        raise QueryRefused("InvalidInstance", f"Could not find EC2 instance {instance_id}.")
    return Registration(owner=group.owner, id=instance_id, port=0)


_ORDER: Mapping[str, int] = {"unhealthy": 0, "unused": 1, "initial": 2, "draining": 3, "healthy": 4}


def _worse(one: ServerHealth | None, other: ServerHealth) -> ServerHealth:
    return other if one is None or _ORDER[other.state] < _ORDER[one.state] else one


def _state(instance_id: str, health: ServerHealth) -> dict[str, str]:
    match health.state:
        case "healthy":
            return _instance_state(instance_id, "InService", _NOTHING, _NOTHING)
        case "draining":
            return _instance_state(instance_id, "InService", _NOTHING, _DRAINING)
        case "initial":
            return _instance_state(instance_id, "OutOfService", "ELB", _REGISTERING)
        case "unused":
            return _instance_state(instance_id, "OutOfService", "Instance", health.description)
        case _:
            return _instance_state(instance_id, "OutOfService", "Instance", _FAILED)


def _instance_state(instance_id: str, state: str, reason: str, description: str) -> dict[str, str]:
    return {"InstanceId": instance_id, "State": state, "ReasonCode": reason, "Description": description}
