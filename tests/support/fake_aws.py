"""AWS as adapters call it, in memory: target groups, Classic Load Balancers and alarms that behave as documented, and
fail when they are told to.

Time is the event loop's, so under the virtual-time loop an hour of draining costs nothing. The suite in
tests/contract/test_load_balancers.py holds it to what moto (and AWS's documentation) does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.adapters.aws import AwsError
from tests.support.unreliable import Unreliable

Address = tuple[str, int]


@dataclass(slots=True, kw_only=True)
class FakeGroup:
    """A target group (or a Classic Load Balancer, with port 0 everywhere).

    ``health`` says what checks find, by target; the others are healthy. A target is ``initial`` for the first
    ``initial_seconds`` and drains for ``drain_seconds``. Without ``listeners`` all are unused.
    """

    arn: str
    target_type: str = "instance"
    port: int = 80
    protocol: str = "HTTP"
    listeners: tuple[str, ...] = ("arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/1",)
    initial_seconds: float = 2.0
    drain_seconds: float = 10.0
    health: dict[Address, str] = field(default_factory=dict)
    since: dict[Address, float] = field(default_factory=dict)
    draining: dict[Address, float] = field(default_factory=dict)

    def register(self, targets: Iterable[Address], now: float) -> None:
        """Let them in; what is in stays as it is, what drains comes back."""
        for target in targets:
            self.draining.pop(target, None)
            self.since.setdefault(target, now)

    def deregister(self, targets: Iterable[Address], now: float) -> None:
        """Begin to let them go. Those that are not in are no error."""
        for target in targets:
            if self.since.pop(target, None) is not None and self.drain_seconds > 0:
                self.draining[target] = now + self.drain_seconds

    def state_of(self, target: Address, now: float) -> tuple[str, str, str]:
        """(state, reason code, description) of a registered target."""
        if not self.listeners:
            return "unused", "Target.NotInUse", "Target group is not configured to receive traffic from a load balancer"
        if now < self.since[target] + self.initial_seconds:
            return "initial", "Elb.InitialHealthChecking", "Initial health checks in progress"
        if self.health.get(target, "healthy") == "healthy":
            return "healthy", "", ""
        return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"

    def seen(self, now: float) -> dict[Address, tuple[str, str, str]]:
        """Every target that is in or on its way out."""
        self.draining = {target: end for target, end in self.draining.items() if end > now}
        leaving = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
        return {t: self.state_of(t, now) for t in self.since} | dict.fromkeys(self.draining, leaving)

    @property
    def registered(self) -> set[Address]:
        """What gets, or is about to get, traffic."""
        return set(self.since)


class FakeAws(Unreliable):
    """``groups`` by ARN, ``elbs`` by name, ``alarms`` by name with their state. ``bad_targets`` are ids that ELB
    refuses; the other knobs are Unreliable's."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, FakeGroup] = {}
        self.elbs: dict[str, FakeGroup] = {}
        self.alarms: dict[str, str] = {}
        self.bad_targets: set[str] = set()

    def add_group(self, arn: str, **members: Any) -> FakeGroup:
        """A new target group."""
        self.groups[arn] = FakeGroup(arn=arn, **members)
        return self.groups[arn]

    def add_elb(self, name: str, **members: Any) -> FakeGroup:
        """A new Classic Load Balancer."""
        self.elbs[name] = FakeGroup(arn=name, **members)
        return self.elbs[name]

    # --- elbv2 -------------------------------------------------------------------------------------------------------

    def _group(self, arn: str) -> FakeGroup:
        if arn not in self.groups:
            raise AwsError("TargetGroupNotFound", f"Target groups '{arn}' not found", refused=True)
        return self.groups[arn]

    def _targets(self, parameters: Mapping[str, Any]) -> list[Address]:
        group = self._group(parameters["TargetGroupArn"])
        return [(target["Id"], target.get("Port", group.port)) for target in parameters["Targets"]]

    def _refuse_bad(self, targets: Iterable[Address]) -> None:
        bad = sorted({target_id for target_id, _ in targets} & self.bad_targets)
        if bad:
            names = ", ".join(f"'{target_id}'" for target_id in bad)
            raise AwsError("InvalidTarget", f"The following targets are not in a running state: {names}", refused=True)

    def _register_targets(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        targets = self._targets(parameters)
        self._refuse_bad(targets)
        self._group(parameters["TargetGroupArn"]).register(targets, _now())
        return {}

    def _deregister_targets(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self._group(parameters["TargetGroupArn"]).deregister(self._targets(parameters), _now())
        return {}

    def _describe_target_health(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        seen = self._group(parameters["TargetGroupArn"]).seen(_now())
        return {"TargetHealthDescriptions": [_health(target, said) for target, said in seen.items()]}

    def _describe_target_groups(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        groups = [self._group(arn) for arn in parameters["TargetGroupArns"]]
        return {
            "TargetGroups": [
                {
                    "TargetGroupArn": group.arn,
                    "TargetType": group.target_type,
                    "Port": group.port,
                    "Protocol": group.protocol,
                    "LoadBalancerArns": list(group.listeners),
                }
                for group in groups
            ]
        }

    # --- elb ---------------------------------------------------------------------------------------------------------

    def _elb(self, parameters: Mapping[str, Any]) -> FakeGroup:
        name = parameters["LoadBalancerName"]
        if name not in self.elbs:
            raise AwsError("LoadBalancerNotFound", f"There is no ACTIVE Load Balancer named '{name}'", refused=True)
        return self.elbs[name]

    def _register_instances_with_load_balancer(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self._elb(parameters).register([(each["InstanceId"], 0) for each in parameters["Instances"]], _now())
        return {}

    def _deregister_instances_from_load_balancer(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self._elb(parameters).deregister([(each["InstanceId"], 0) for each in parameters["Instances"]], _now())
        return {}

    def _describe_instance_health(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        seen = self._elb(parameters).seen(_now())
        return {"InstanceStates": [_instance_state(target, said) for target, said in seen.items()]}

    # --- cloudwatch --------------------------------------------------------------------------------------------------

    def _describe_alarms(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = parameters.get("StateValue")
        found = [
            {"AlarmName": name, "StateValue": self.alarms[name]}
            for name in parameters["AlarmNames"]
            if name in self.alarms and wanted in (None, self.alarms[name])
        ]
        return {"MetricAlarms": found, "CompositeAlarms": []}


def _now() -> float:
    return asyncio.get_running_loop().time()


def _health(target: Address, said: tuple[str, str, str]) -> dict[str, Any]:
    state, reason, description = said
    words = {"Reason": reason, "Description": description} if reason else {}
    return {"Target": {"Id": target[0], "Port": target[1]}, "TargetHealth": {"State": state, **words}}


_CLASSIC = {
    "initial": ("OutOfService", "ELB", "Instance registration is still in progress."),
    "healthy": ("InService", "N/A", "N/A"),
    "unhealthy": (
        "OutOfService",
        "Instance",
        "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.",
    ),
    "draining": ("InService", "N/A", "Instance deregistration currently in progress."),
}


def _instance_state(target: Address, said: tuple[str, str, str]) -> dict[str, str]:
    state, reason, description = _CLASSIC[said[0]]
    return {"InstanceId": target[0], "State": state, "ReasonCode": reason, "Description": description}
