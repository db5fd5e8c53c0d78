"""The two things that targets are registered in: target groups, and Classic Load Balancers, which know instances only.

Both say the same of themselves in different words; here they say it in the words of target groups.
Source: Elastic Load Balancing API 2015-12-01 (RegisterTargets, DeregisterTargets, DescribeTargetHealth) and 2012-06-01
(RegisterInstancesWithLoadBalancer, DeregisterInstancesFromLoadBalancer, DescribeInstanceHealth).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from awsorch.adapters.aws import AwsCalls
from awsorch.core.events_services import SeenTarget

Address = tuple[str, int]


class Group(Protocol):
    """What targets are registered in. All calls raise AwsError."""

    async def register(self, targets: Sequence[Address]) -> None:
        """Register all of these."""
        ...

    async def deregister(self, targets: Sequence[Address]) -> None:
        """Begin to take these out."""
        ...

    async def describe(self) -> tuple[SeenTarget, ...]:
        """Every target that is in, or on its way out."""
        ...


def group_of(aws: AwsCalls, name: str) -> Group:
    """What a name stands for: a target group's ARN, or ``elb/<name>``."""
    return ClassicBalancer(aws, name.removeprefix("elb/")) if name.startswith("elb/") else TargetGroup(aws, name)


class TargetGroup:
    """A target group of an Application, Network or Gateway Load Balancer."""

    def __init__(self, aws: AwsCalls, arn: str) -> None:
        self._aws = aws
        self._arn = arn

    async def register(self, targets: Sequence[Address]) -> None:
        """RegisterTargets."""
        await self._aws.call("elbv2", "register_targets", TargetGroupArn=self._arn, Targets=_described(targets))

    async def deregister(self, targets: Sequence[Address]) -> None:
        """DeregisterTargets."""
        await self._aws.call("elbv2", "deregister_targets", TargetGroupArn=self._arn, Targets=_described(targets))

    async def describe(self) -> tuple[SeenTarget, ...]:
        """DescribeTargetHealth of the whole group."""
        answer = await self._aws.call("elbv2", "describe_target_health", TargetGroupArn=self._arn)
        return tuple(_seen(described) for described in answer["TargetHealthDescriptions"])


def _described(targets: Sequence[Address]) -> list[dict[str, Any]]:
    return [{"Id": target_id, "Port": port} for target_id, port in targets]


def _seen(described: Mapping[str, Any]) -> SeenTarget:
    health = described.get("TargetHealth", {})
    return SeenTarget(
        target_id=described["Target"]["Id"],
        port=described["Target"].get("Port", 0),
        state=health.get("State", "initial"),
        reason=health.get("Reason"),
        description=health.get("Description"),
    )


class ClassicBalancer:
    """A Classic Load Balancer. Its instances have no port of their own: it is 0 here."""

    def __init__(self, aws: AwsCalls, name: str) -> None:
        self._aws = aws
        self._name = name

    async def register(self, targets: Sequence[Address]) -> None:
        """RegisterInstancesWithLoadBalancer."""
        await self._call("register_instances_with_load_balancer", Instances=_instances(targets))

    async def deregister(self, targets: Sequence[Address]) -> None:
        """DeregisterInstancesFromLoadBalancer."""
        await self._call("deregister_instances_from_load_balancer", Instances=_instances(targets))

    async def describe(self) -> tuple[SeenTarget, ...]:
        """DescribeInstanceHealth of every registered instance."""
        answer = await self._call("describe_instance_health")
        return tuple(_seen_instance(state) for state in answer["InstanceStates"])

    async def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        return await self._aws.call("elb", operation, LoadBalancerName=self._name, **parameters)


def _instances(targets: Sequence[Address]) -> list[dict[str, str]]:
    return [{"InstanceId": target_id} for target_id, _ in targets]


def _seen_instance(said: Mapping[str, Any]) -> SeenTarget:
    description = said.get("Description")
    return SeenTarget(
        target_id=said["InstanceId"],
        port=0,
        state=_state_of(said.get("State", "Unknown"), description or ""),
        reason=said.get("ReasonCode"),
        description=description,
    )


def _state_of(state: str, description: str) -> str:
    """The state of a target that a Classic Load Balancer means. Only its descriptions tell an instance that has not
    been healthy yet from one that is not any more."""
    if "deregistration" in description:
        return "draining"
    if state == "InService":
        return "healthy"
    return "unhealthy" if state == "OutOfService" and "UnhealthyThreshold" in description else "initial"
