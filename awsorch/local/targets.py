"""Targets: registered, deregistered and described as Elastic Load Balancing (2015-12-01) does it.

They are kept by id, port and zone, with the health that the balancer's checks find; moto keeps one a machine and calls
it healthy. Sources: RegisterTargets, DeregisterTargets, DescribeTargetHealth and "Target health status" in ELB's user
guides. Where a target is, and that its zone and VPC are the load balancer's, is not held against it: on a local cloud
all are on one machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from awsorch.local.balancer.model import ServerHealth
from awsorch.local.ec2 import Ec2Error
from awsorch.local.elb_facts import Facts, Shape, TargetGroup
from awsorch.local.elb_watch import FactsUnknown
from awsorch.local.front_ends import Carrier, FrontEnds, Kept
from awsorch.local.query_protocol import QueryRefused
from awsorch.local.targets_db import Registration
from awsorch.local.targets_instances import OVER, Instances

_MAX_TARGETS = 1000
"""ELB's quota of targets in a target group."""
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
_PORTS = range(1, 65536)
_REGISTERING = ServerHealth(
    state="initial", reason="Elb.RegistrationInProgress", description="Target registration is in progress"
)
_DRAINING = ServerHealth(
    state="draining", reason="Target.DeregistrationInProgress", description="Target deregistration is in progress"
)
_NOT_REGISTERED = ServerHealth(
    state="unused", reason="Target.NotRegistered", description="Target is not registered to the target group"
)
_NOT_IN_USE = ServerHealth(
    state="unused",
    reason="Target.NotInUse",
    description="Target group is not configured to receive traffic from the load balancer",
)
_NOT_CARRIED = ServerHealth(
    state="unused",
    reason="Target.NotInUse",
    description="Target group is used by nothing that a local cloud carries; awsorch balancers says why",
)


class Targets:
    """The three operations. Each raises QueryRefused with ELB's codes."""

    def __init__(
        self,
        *,
        front_ends: FrontEnds,
        kept: Kept,
        instances: Instances,
        balancer: Carrier,
        clock: Callable[[], float],
    ) -> None:
        self._front_ends = front_ends
        self._registrations = kept.registrations
        self._addresses = kept.addresses
        self._instances = instances
        self._balancer = balancer
        self._clock = clock

    async def register(self, group_arn: str, targets: Sequence[Shape]) -> None:
        """RegisterTargets; a target that drains is registered again."""
        facts = await self.facts()
        group = _group(facts, group_arn)
        wanted = [_wanted(group, each) for each in targets]
        known = {each.key for each in self._registrations.of(group_arn) if each.draining_until is None}
        if len(known | {each.key for each in wanted}) > _MAX_TARGETS:
            raise QueryRefused("TooManyTargets", f"You cannot register more than {_MAX_TARGETS} targets.")
        self.admit(await self.placed(group, wanted))

    async def deregister(self, group_arn: str, targets: Sequence[Shape]) -> None:
        """DeregisterTargets; what is not registered is no error."""
        facts = await self.facts()
        group = _group(facts, group_arn)
        meant = [_wanted(group, each) for each in targets]
        self.withdraw(group, [each for each in self._registrations.of(group_arn) if _is_meant(each, meant)])

    async def describe(self, group_arn: str, targets: Sequence[Shape]) -> list[dict[str, Any]]:
        """DescribeTargetHealth: the registered and the draining targets, or those asked for."""
        facts = await self.facts()
        group = _group(facts, group_arn)
        health = await self.health_of(group)
        found = self._registrations.of(group_arn)
        if targets:
            meant = [_wanted(group, each) for each in targets]
            found = tuple(
                next((each for each in found if _is_meant(each, [one])), replace(one, owner="")) for one in meant
            )
        return [_described(group, each, health.get(each.key, _NOT_REGISTERED)) for each in found]

    async def facts(self) -> Facts:
        """What is known of load balancers, as of now; what has drained long enough is gone. Raises QueryRefused."""
        if self._registrations.expire(self._clock()):
            self._front_ends.targets_changed()
        try:
            return await self._front_ends.facts()
        except FactsUnknown:
            message = "What load balancers there are is not known yet; the service behind awsorch may be starting."
            raise QueryRefused("ServiceUnavailable", message, 503) from None

    async def placed(self, group: TargetGroup, wanted: Sequence[Registration]) -> list[Registration]:
        """The registrations with the addresses of their targets. Raises QueryRefused for one that cannot be reached."""
        if group.target_type == "ip":
            return [replace(each, address=each.id) for each in wanted]
        if group.target_type == "alb":
            return [replace(each, address=self._addresses.known_address(each.id) or "") for each in wanted]
        if group.target_type != "instance":
            return list(wanted)
        try:
            found = await self._instances.find({each.id for each in wanted})
        except Ec2Error as error:
            raise QueryRefused("ServiceUnavailable", f"EC2 does not answer: {error}. Try again.", 503) from error
        for each in wanted:
            if each.id not in found:
                raise QueryRefused("InvalidTarget", f"Instance ID '{each.id}' is not valid")
        dead = sorted({each.id for each in wanted if found[each.id].state in {"stopping", "stopped", *OVER}})
        if dead:
            names = ", ".join(f"'{each}'" for each in dead)
            raise QueryRefused(
                "InvalidTarget", f"The following targets are not in a running state and cannot be registered: {names}"
            )
        return [replace(each, address=found[each.id].address) for each in wanted]

    def admit(self, registrations: Sequence[Registration]) -> None:
        """Register targets that have been placed."""
        self._registrations.put(registrations)
        self._front_ends.targets_changed()

    def withdraw(self, group: TargetGroup, registrations: Sequence[Registration]) -> None:
        """Let targets drain, those that get traffic at all; the others go at once."""
        delay = group.deregistration_delay_seconds if self._front_ends.plan.uses.get(group.key) else 0.0
        leaving = [each for each in registrations if each.draining_until is None]
        if delay > 0:
            until = self._clock() + delay
            self._registrations.put(replace(each, draining_until=until) for each in leaving)
        else:
            self._registrations.remove(leaving)
        self._front_ends.targets_changed()

    async def health_of(self, group: TargetGroup) -> Mapping[str, ServerHealth]:
        """The health of all targets of a target group, by the keys of their registrations."""
        seen = await self._balancer.health(group.key) if self._front_ends.plan.uses.get(group.key) else {}
        return {each.key: self._health(group, each, seen) for each in self._registrations.of(group.owner)}

    def _health(self, group: TargetGroup, target: Registration, seen: Mapping[str, ServerHealth]) -> ServerHealth:
        if target.draining_until is not None:
            return _DRAINING
        carried = self._front_ends.plan.uses.get(group.key)
        if not carried:
            return _NOT_IN_USE if carried is None else _NOT_CARRIED
        state = self._instances.state(target.id)
        if state in {"stopping", "stopped"}:
            description = f"Target is in the {state} state"
            return ServerHealth(state="unused", reason="Target.InvalidState", description=description)
        found = seen.get(target.key, _REGISTERING)
        if found.state == "unused":  # of a listener that is being opened, or that could not be
            return _NOT_CARRIED if self._front_ends.is_settled() else _REGISTERING
        return found


def _group(facts: Facts, arn: str) -> TargetGroup:
    group = facts.target_groups.get(arn)
    if group is None or group.owner != arn:
        raise QueryRefused("TargetGroupNotFound", f"Target groups '{arn}' not found")
    return group


def _wanted(group: TargetGroup, target: Shape) -> Registration:
    """The registration that a TargetDescription means, checked against the kind of its target group."""
    target_id, port = target.get("Id", ""), target.get("Port", group.port)
    if not target_id:
        raise QueryRefused("ValidationError", "A target must have an Id")
    if group.target_type != "lambda" and port not in _PORTS:
        raise QueryRefused("ValidationError", f"Port '{port}' of target '{target_id}' should be from 1 to 65535")
    if group.target_type == "instance" and not _INSTANCE_ID.fullmatch(target_id):
        raise QueryRefused("InvalidTarget", f"Instance ID '{target_id}' is not valid")
    if group.target_type == "ip" and not _is_ip_address(target_id):
        raise QueryRefused("ValidationError", f"The IP address '{target_id}' is not a valid IP address")
    return Registration(owner=group.key, id=target_id, port=int(port), zone=target.get("AvailabilityZone", ""))


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_meant(registration: Registration, meant: Sequence[Registration]) -> bool:
    """Whether one of the targets meant is this one; without a zone they mean any."""
    return any(
        each.id == registration.id and each.port == registration.port and each.zone in {"", registration.zone}
        for each in meant
    )


def _described(group: TargetGroup, target: Registration, health: ServerHealth) -> dict[str, Any]:
    """A TargetHealthDescription."""
    said = {"State": health.state, "Reason": health.reason or None, "Description": health.description or None}
    return {
        "Target": {"Id": target.id, "Port": target.port or group.port, "AvailabilityZone": target.zone or None},
        "HealthCheckPort": str(group.check.port or target.port or group.port),
        "TargetHealth": {name: value for name, value in said.items() if value is not None},
    }
