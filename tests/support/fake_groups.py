"""Auto Scaling groups in memory, as EC2 Auto Scaling documents them: what a group does by itself, and when.

Time is the event loop's. A group keeps as many instances as are desired: it launches over its zones, replaces what
died, takes from its largest zone what is too much, and lets those wait that leave through a termination hook.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from awsorch.adapters.aws import AwsError

if TYPE_CHECKING:
    from tests.support.fake_fleet import FakeEc2, FakeInstance

NO_CAPACITY = (
    "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}). Our system will be "
    "working on provisioning additional capacity."
)


@dataclass(slots=True, kw_only=True)
class FakeScalingGroup:
    """One group. ``types``: what it launches, the first choice first; ``zones``: zone → subnet; ``hooks``: name →
    seconds to a heartbeat. ``launching`` are under way, or to be tried again; ``activities``: last is newest."""

    name: str
    minimum: int
    maximum: int
    desired: int
    types: tuple[str, ...]
    zones: dict[str, str]
    template: str | None = None
    protects_new: bool = False
    spot: bool = False
    hooks: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    members: dict[str, FakeInstance] = field(default_factory=dict)
    launching: int = 0
    activities: list[dict[str, Any]] = field(default_factory=list)
    deleted: bool = False

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:u-1:autoScalingGroupName/{self.name}"

    def staying(self) -> list[FakeInstance]:
        """The instances that count in its size."""
        return [instance for instance in self.members.values() if not instance.lifecycle.startswith("Terminat")]


def refusal(message: str) -> AwsError:
    """EC2 Auto Scaling's way of saying no."""
    return AwsError("ValidationError", message, refused=True)


class FakeGroups:
    """All groups, and the calls about them. ``launch_seconds``: from a decision to the instance; ``notice_seconds``:
    until it finds one dead; ``retry_seconds``: until a failed launch is tried again."""

    def __init__(self, ec2: FakeEc2) -> None:
        self._ec2 = ec2
        self.groups: dict[str, FakeScalingGroup] = {}
        self.launch_seconds = 2.0
        self.notice_seconds = 30.0
        self.retry_seconds = 20.0

    def add(self, name: str, **members: Any) -> FakeScalingGroup:
        """A new group, which launches what it is short of."""
        wanted = {"minimum": 0, "maximum": 10, "desired": 0, "types": ("t3.medium",), "zones": dict(self._ec2.subnets)}
        group = self.groups[name] = FakeScalingGroup(name=name, **{**wanted, **members})
        self.settle(group)
        return group

    def delete(self, name: str) -> None:
        """DeleteAutoScalingGroup with force."""
        group = self.groups.pop(name)
        group.deleted = True
        for instance in list(group.members.values()):
            self._ec2.end(instance)

    # --- what groups do by themselves --------------------------------------------------------------------------------

    def settle(self, group: FakeScalingGroup) -> None:
        """Launch what is missing, let go of what is too much."""
        staying = group.staying()
        for _ in range(group.desired - len(staying) - group.launching):
            group.launching += 1
            self._ec2.later(self.launch_seconds, lambda: self._launch(group))
        for _ in range(len(staying) - group.desired):
            chosen = self._too_much(group)
            if chosen is not None:
                self.let_go(group, chosen)

    def _launch(self, group: FakeScalingGroup) -> None:
        if group.deleted or len(group.staying()) + group.launching > group.desired:
            group.launching -= 1
            return
        counts = Counter(instance.zone for instance in group.staying())
        zones = sorted(group.zones, key=lambda zone: (counts[zone], zone))
        choice = next(
            ((kind, zone) for zone in zones for kind in group.types if not self._ec2.is_out_of(kind, zone)), None
        )
        if choice is None:
            self._note(group, "Failed", "Launching a new EC2 instance", self._ec2.why_not(group.types[0], zones[0]))
            self._ec2.later(self.retry_seconds, lambda: self._launch(group))
            return
        group.launching -= 1
        instance = self._ec2.start(instance_type=choice[0], zone=choice[1], spot=group.spot, group=group.name)
        instance.protected = group.protects_new
        group.members[instance.id] = instance
        self._note(group, "Successful", f"Launching a new EC2 instance: {instance.id}", "")

    def _too_much(self, group: FakeScalingGroup) -> FakeInstance | None:
        """The default termination policy: of the zone with most, the oldest; protected ones stay."""
        free = [instance for instance in group.staying() if not instance.protected]
        counts = Counter(instance.zone for instance in group.staying())
        return min(free, key=lambda each: (-counts[each.zone], each.launched_at, each.id), default=None)

    def let_go(self, group: FakeScalingGroup, instance: FakeInstance) -> None:
        """End an instance of the group, through its hook if there is one."""
        if instance.lifecycle.startswith("Terminat"):
            return
        self._note(group, "Successful", f"Terminating EC2 instance: {instance.id}", "")
        if group.hooks and instance.is_up:
            instance.lifecycle = "Terminating:Wait"
            self._wait(group, instance)
        else:
            self._proceed(instance)

    def _wait(self, group: FakeScalingGroup, instance: FakeInstance) -> None:
        """Until somebody completes the action, or no heartbeat comes."""
        instance.heartbeat += 1
        heard = instance.heartbeat

        def give_up() -> None:
            if instance.heartbeat == heard and instance.lifecycle == "Terminating:Wait":
                self._proceed(instance)

        self._ec2.later(min(group.hooks.values(), default=0.0), give_up)

    def _proceed(self, instance: FakeInstance) -> None:
        instance.lifecycle = "Terminating:Proceed"
        self._ec2.end(instance)

    def instance_over(self, instance: FakeInstance) -> None:
        """EC2 has terminated it, by the group's doing or without it: in that case the group finds out after a while."""
        group = self.groups.get(instance.group or "")
        if group is None:
            return

        def forget() -> None:
            group.members.pop(instance.id, None)
            if not group.deleted:
                self.settle(group)

        if instance.lifecycle.startswith("Terminat"):
            forget()
        else:
            self._ec2.later(self.notice_seconds, forget)

    @staticmethod
    def _note(group: FakeScalingGroup, status: str, description: str, message: str) -> None:
        activity = {"StatusCode": status, "Description": description, "StatusMessage": message}
        group.activities.append({"ActivityId": f"{group.name}-{len(group.activities)}", **activity})

    # --- calls -------------------------------------------------------------------------------------------------------

    def require(self, name: str) -> FakeScalingGroup:
        """The group of this name."""
        if name not in self.groups:
            raise refusal(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return self.groups[name]

    def describe(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """DescribeAutoScalingGroups of those there are."""
        return [_described(self.groups[name]) for name in names if name in self.groups]

    def set_size(self, name: str, size: int) -> None:
        """SetDesiredCapacity."""
        group = self.require(name)
        for bad, word, limit in (
            (size > group.maximum, "above max", group.maximum),
            (size < group.minimum, "below min", group.minimum),
        ):
            if bad:
                raise refusal(f"New SetDesiredCapacity value {size} is {word} value {limit} for the AutoScalingGroup.")
        group.desired = size
        self.settle(group)

    def resize(self, name: str, minimum: int, maximum: int) -> None:
        """UpdateAutoScalingGroup: the desired size is brought within the bounds."""
        group = self.require(name)
        group.minimum, group.maximum = minimum, maximum
        group.desired = max(min(group.desired, maximum), minimum)
        self.settle(group)

    def terminate(self, instance_id: str, *, shrink: bool) -> None:
        """TerminateInstanceInAutoScalingGroup."""
        group, instance = self._member(instance_id)
        if shrink and not instance.lifecycle.startswith("Terminat"):
            if group.desired <= group.minimum:
                raise refusal(
                    f"Currently, desiredSize equals minSize ({group.minimum}). Terminating instance without "
                    "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
                    "flag to false or lower group's min size."
                )
            group.desired -= 1
        self._ec2.ordered(instance)
        self.let_go(group, instance)
        self.settle(group)

    def protect(self, name: str, ids: Iterable[str], *, protected: bool) -> None:
        """SetInstanceProtection."""
        group = self.require(name)
        for instance_id in ids:
            if instance_id not in group.members:
                raise refusal(f"The instance {instance_id} is not part of Auto Scaling group {name}.")
        for instance_id in ids:
            group.members[instance_id].protected = protected

    def answer_hook(self, parameters: Mapping[str, Any], *, over: bool) -> None:
        """CompleteLifecycleAction, or RecordLifecycleActionHeartbeat."""
        group = self.require(parameters["AutoScalingGroupName"])
        instance = group.members.get(parameters["InstanceId"])
        if (
            instance is None
            or instance.lifecycle != "Terminating:Wait"
            or parameters["LifecycleHookName"] not in group.hooks
        ):
            raise refusal(f"No active Lifecycle Action found with instance ID {parameters['InstanceId']}")
        if over:
            self._proceed(instance)
        else:
            self._wait(group, instance)

    def _member(self, instance_id: str) -> tuple[FakeScalingGroup, FakeInstance]:
        for group in self.groups.values():
            if instance_id in group.members:
                return group, group.members[instance_id]
        raise refusal(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def _described(group: FakeScalingGroup) -> dict[str, Any]:
    template = {"LaunchTemplateId": group.template or f"lt-{group.name}", "Version": "1"}
    overrides = [{"InstanceType": kind} for kind in group.types]
    policy = {"LaunchTemplateSpecification": template, "Overrides": overrides}
    share = {"OnDemandPercentageAboveBaseCapacity": 0 if group.spot else 100}
    mixed = {"MixedInstancesPolicy": {"LaunchTemplate": policy, "InstancesDistribution": share}}
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "MinSize": group.minimum,
        "MaxSize": group.maximum,
        "DesiredCapacity": group.desired,
        "AvailabilityZones": sorted(group.zones),
        "VPCZoneIdentifier": ",".join(group.zones.values()),
        "NewInstancesProtectedFromScaleIn": group.protects_new,
        "Tags": [{"Key": key, "Value": value} for key, value in group.tags.items()],
        "Instances": [_described_member(instance) for instance in group.members.values()],
        **(mixed if len(group.types) > 1 or group.spot else {"LaunchTemplate": template}),
    }


def _described_member(instance: FakeInstance) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "InstanceType": instance.instance_type,
        "AvailabilityZone": instance.zone,
        "LifecycleState": instance.lifecycle,
        "HealthStatus": "Healthy",
        "ProtectedFromScaleIn": instance.protected,
    }
