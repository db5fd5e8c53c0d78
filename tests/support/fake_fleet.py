"""EC2, EC2 Auto Scaling, and what else the fleet's adapters call, in memory: behaves as documented, and fails when it
is told to.

Time is the event loop's, so under the virtual-time loop an hour of waiting in a hook costs nothing. The suite in
tests/contract holds it to what moto (and AWS's documentation) does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from awsorch.adapters.aws import AwsError
from tests.support.fake_groups import NO_CAPACITY, FakeGroups, refusal
from tests.support.fake_interfaces import BLOCKS, FakeInterfaces, described
from tests.support.fake_volumes import FakeVolumes
from tests.support.unreliable import Unreliable

SUBNETS = {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b", "us-east-1c": "subnet-c"}
#: (vCPUs, MiB, architecture) of the instance types that there are.
TYPES = {
    "t3.medium": (2, 4096, "x86_64"),
    "m5.large": (2, 8192, "x86_64"),
    "m5.xlarge": (4, 16384, "x86_64"),
    "m6g.large": (2, 8192, "arm64"),
}
#: A message that was received and not deleted is shown again after this long. Seconds.
HIDDEN_S = 30.0


@dataclass(slots=True, kw_only=True)
class FakeInstance:
    """An EC2 instance. ``group``: the Auto Scaling group that launched it, with ``lifecycle``, its state there;
    ``request``: what RunInstances was asked for."""

    id: str
    instance_type: str
    zone: str
    launched_at: float
    state: str = "pending"
    spot: bool = False
    group: str | None = None
    lifecycle: str = "Pending"
    protected: bool = False
    heartbeat: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        """Whether EC2 has it and does not end it."""
        return self.state in ("pending", "running")

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        specified = self.request.get("TagSpecifications", ())
        return {t["Key"]: t["Value"] for each in specified if each["ResourceType"] == "instance" for t in each["Tags"]}


def _nothing(instance: FakeInstance) -> None:
    """What happens to an instance when nobody minds."""


class FakeEc2:
    """Instances. ``boot_seconds``: from pending to running; ``end_seconds``: from shutting-down to terminated;
    ``invisible_seconds``: a new instance is not described for so long. ``none_left``: (type, zone) that can't be had;
    ``limit``: so many instances at most. Called with an instance: ``running`` when it has come up, ``over`` when it
    runs no more, ``gone`` when it is terminated, ``ordered`` when somebody who calls has it end."""

    def __init__(self, subnets: Mapping[str, str]) -> None:
        self.subnets = dict(subnets)
        self.instances: dict[str, FakeInstance] = {}
        self.boot_seconds: Callable[[], float] = lambda: 10.0
        self.end_seconds = 5.0
        self.invisible_seconds = 0.0
        self.none_left: set[tuple[str, str]] = set()
        self.limit: int | None = None
        self.running = self.over = self.gone = self.ordered = _nothing
        self._numbers = count(1)

    @property
    def now(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        asyncio.get_running_loop().call_later(seconds, act)

    def up(self) -> list[FakeInstance]:
        """Those that cost money."""
        return [instance for instance in self.instances.values() if instance.is_up]

    def is_out_of(self, instance_type: str, zone: str) -> bool:
        """Whether a launch of that type there would be refused."""
        return (instance_type, zone) in self.none_left or (self.limit is not None and len(self.up()) >= self.limit)

    def why_not(self, instance_type: str, zone: str) -> str:
        """Why, in EC2's words."""
        if (instance_type, zone) in self.none_left:
            return NO_CAPACITY.format(instance_type, zone)
        return f"You have requested more vCPU capacity than your current vCPU limit of {self.limit} allows."

    def start(self, **members: Any) -> FakeInstance:
        """A new instance, which boots."""
        instance = FakeInstance(id=f"i-{next(self._numbers):017x}", launched_at=self.now, **members)
        self.instances[instance.id] = instance

        def run() -> None:
            if instance.state == "pending":
                instance.state = "running"
                if instance.lifecycle == "Pending":
                    instance.lifecycle = "InService"
                self.running(instance)

        self.later(self.boot_seconds(), run)
        return instance

    def adopt(self, instance_id: str, zone: str) -> None:
        """An instance that somebody else launched, and that runs."""
        self.instances[instance_id] = FakeInstance(
            id=instance_id, instance_type="t3.medium", zone=zone, launched_at=float("-inf"), state="running"
        )

    def end(self, instance: FakeInstance) -> None:
        """TerminateInstances, or the host dies."""
        if not instance.is_up:
            return
        instance.state = "shutting-down"
        self.over(instance)

        def finish() -> None:
            instance.state = "terminated"
            self.gone(instance)

        self.later(self.end_seconds, finish)

    def require(self, ids: Iterable[str]) -> list[FakeInstance]:
        """The instances, all of which EC2 must know of."""
        unknown = [each for each in ids if each not in self.instances or not self.is_shown(self.instances[each])]
        if unknown:
            raise not_found("InvalidInstanceID.NotFound", "instance ID", unknown)
        return [self.instances[each] for each in ids]

    def is_shown(self, instance: FakeInstance) -> bool:
        """Whether DescribeInstances knows it already."""
        return instance.launched_at + self.invisible_seconds <= self.now


def not_found(code: str, what: str, ids: list[str]) -> AwsError:
    """EC2's way of saying so."""
    message = (
        f"The {what}s '{', '.join(ids)}' do not exist" if len(ids) > 1 else f"The {what} '{ids[0]}' does not exist"
    )
    return AwsError(code, message, refused=True)


class FakeQueue:
    """An SQS queue."""

    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}
        self._hidden_until: dict[str, float] = {}
        self._numbers = count(1)
        self._news = asyncio.Event()

    def send(self, body: str) -> None:
        """SendMessage."""
        self.bodies[f"receipt-{next(self._numbers)}"] = body
        self._news.set()

    async def receive(self, most: int, wait: float) -> list[tuple[str, str]]:
        """ReceiveMessage: (receipt handle, body) of those that are visible, held back until there are some."""
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        while True:
            visible = [receipt for receipt in self.bodies if self._hidden_until.get(receipt, 0.0) <= loop.time()][:most]
            if visible or loop.time() >= end:
                self._hidden_until.update(dict.fromkeys(visible, loop.time() + HIDDEN_S))
                return [(receipt, self.bodies[receipt]) for receipt in visible]
            self._news.clear()
            soonest = min([end, *(at for r, at in self._hidden_until.items() if r in self.bodies)])
            try:
                await asyncio.wait_for(self._news.wait(), max(soonest - loop.time(), 0.001))
            except TimeoutError:
                continue

    def delete(self, receipt: str) -> None:
        """DeleteMessage."""
        self.bodies.pop(receipt, None)


class FakeFleet(Unreliable):
    """AWS as the fleet's adapters call it: ``ec2``, ``scaling``, ``queues`` by URL, ``metrics`` that were put.
    ``image``: the newest, which SSM's public parameters name."""

    def __init__(self) -> None:
        super().__init__()
        self.ec2 = FakeEc2(SUBNETS)
        self.scaling = FakeGroups(self.ec2)
        self.ec2.gone = self.scaling.instance_over
        self.queues: dict[str, FakeQueue] = {}
        self.metrics: list[Mapping[str, Any]] = []
        self.image = "ami-1"
        self.interfaces = FakeInterfaces(lambda: self.ec2.now)
        self.volumes = FakeVolumes(lambda: self.ec2.now)
        self._by_token: dict[str, FakeInstance] = {}

    # --- Auto Scaling ------------------------------------------------------------------------------------------------

    def _describe_auto_scaling_groups(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"AutoScalingGroups": self.scaling.describe(parameters["AutoScalingGroupNames"])}

    def _set_desired_capacity(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.scaling.set_size(parameters["AutoScalingGroupName"], parameters["DesiredCapacity"])
        return {}

    def _terminate_instance_in_auto_scaling_group(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.scaling.terminate(parameters["InstanceId"], shrink=parameters["ShouldDecrementDesiredCapacity"])
        return {"Activity": {}}

    def _set_instance_protection(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        protected = parameters["ProtectedFromScaleIn"]
        self.scaling.protect(parameters["AutoScalingGroupName"], parameters["InstanceIds"], protected=protected)
        return {}

    def _create_or_update_tags(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        for tag in parameters["Tags"]:
            self.scaling.require(tag["ResourceId"]).tags[tag["Key"]] = tag["Value"]
        return {}

    def _describe_lifecycle_hooks(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        group = self.scaling.require(parameters["AutoScalingGroupName"])
        return {"LifecycleHooks": [{"LifecycleHookName": name} for name in group.hooks]}

    def _put_lifecycle_hook(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        group = self.scaling.require(parameters["AutoScalingGroupName"])
        group.hooks[parameters["LifecycleHookName"]] = float(parameters["HeartbeatTimeout"])
        return {}

    def _delete_lifecycle_hook(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        group = self.scaling.require(parameters["AutoScalingGroupName"])
        if group.hooks.pop(parameters["LifecycleHookName"], None) is None:
            raise refusal("No Lifecycle Hook found for given name")
        return {}

    def _complete_lifecycle_action(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.scaling.answer_hook(parameters, over=True)
        return {}

    def _record_lifecycle_action_heartbeat(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.scaling.answer_hook(parameters, over=False)
        return {}

    def _describe_scaling_activities(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        group = self.scaling.require(parameters["AutoScalingGroupName"])
        return {"Activities": group.activities[::-1][: parameters["MaxRecords"]]}

    # --- EC2 ---------------------------------------------------------------------------------------------------------

    def _run_instances(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        known = self._by_token.get(parameters["ClientToken"])
        if known is not None:
            if known.request != parameters:
                message = "The provided ClientToken is already in use with other parameters."
                raise AwsError("IdempotentParameterMismatch", message, refused=True)
            return {"Instances": [_described(known)]}
        kind, subnet = parameters["InstanceType"], parameters["SubnetId"]
        zone = next((zone for zone, each in self.ec2.subnets.items() if each == subnet), None)
        if zone is None:
            raise not_found("InvalidSubnetID.NotFound", "subnet ID", [subnet])
        if kind not in TYPES:
            raise AwsError("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.", refused=True)
        if self.ec2.is_out_of(kind, zone):
            lacks = (kind, zone) in self.ec2.none_left
            # That EC2 has none left is the server's fault by its status, 500.
            code = "InsufficientInstanceCapacity" if lacks else "VcpuLimitExceeded"
            raise AwsError(code, self.ec2.why_not(kind, zone), refused=not lacks)
        spot = "InstanceMarketOptions" in parameters
        instance = self.ec2.start(instance_type=kind, zone=zone, spot=spot, request=parameters)
        self._by_token[parameters["ClientToken"]] = instance
        return {"Instances": [_described(instance)]}

    def _describe_instances(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        if "InstanceIds" in parameters:
            found = self.ec2.require(parameters["InstanceIds"])
        else:
            found = [each for each in self.ec2.instances.values() if self.ec2.is_shown(each)]
        for each in parameters.get("Filters", ()):
            found = [instance for instance in found if _filtered(instance, each["Name"]) in each["Values"]]
        return {"Reservations": [{"Instances": [self._with_interfaces(instance)]} for instance in found]}

    def _with_interfaces(self, instance: FakeInstance) -> Mapping[str, Any]:
        first = {"Attachment": {"DeviceIndex": 0}}
        others = [described(each) for each in self.interfaces.on(instance.id)]
        disks = [{"DeviceName": each} for each in self.volumes.devices(instance.id)]
        return {**_described(instance), "NetworkInterfaces": [first, *others], "BlockDeviceMappings": disks}

    def _terminate_instances(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        for instance in self.ec2.require(parameters["InstanceIds"]):
            self.ec2.ordered(instance)
            self.ec2.end(instance)
        return {}

    def _describe_subnets(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        zones = {subnet: zone for zone, subnet in self.ec2.subnets.items()}
        unknown = [subnet for subnet in parameters["SubnetIds"] if subnet not in zones]
        if unknown:
            raise not_found("InvalidSubnetID.NotFound", "subnet ID", unknown[:1])
        return {
            "Subnets": [
                {
                    "SubnetId": each,
                    "AvailabilityZone": zones[each],
                    **({} if each in self.interfaces.only_6 else {"CidrBlock": self._block(each)}),
                    "Ipv6CidrBlockAssociationSet": [
                        {"Ipv6CidrBlock": block, "Ipv6CidrBlockState": {"State": "associated"}}
                        for subnet, block in self.interfaces.blocks_6.items()
                        if subnet == each
                    ],
                }
                for each in parameters["SubnetIds"]
            ]
        }

    def _associate_subnet_cidr_block(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.interfaces.blocks_6[parameters["SubnetId"]] = parameters["Ipv6CidrBlock"]
        return {}

    def _block(self, subnet: str) -> str:
        return BLOCKS[list(self.ec2.subnets.values()).index(subnet)]

    def _create_volume(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.volumes.create(parameters)

    def _describe_volumes(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Volumes": self.volumes.describe({each["Name"]: each["Values"] for each in parameters["Filters"]})}

    def _attach_volume(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        (instance,) = self.ec2.require([parameters["InstanceId"]])
        self.volumes.attach(parameters["VolumeId"], instance.id, parameters["Device"])
        return {}

    def _detach_volume(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.volumes.detach(parameters["VolumeId"])
        return {}

    def _delete_volume(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.volumes.delete(parameters["VolumeId"])
        return {}

    def _delete_tags(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        (resource,) = parameters["Resources"]
        self.volumes.untag(resource, [tag["Key"] for tag in parameters["Tags"]])
        return {}

    def _create_network_interface(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        subnet = parameters["SubnetId"]
        if subnet not in self.ec2.subnets.values():
            raise not_found("InvalidSubnetID.NotFound", "subnet ID", [subnet])
        return {"NetworkInterface": described(self.interfaces.create(parameters, self._block(subnet)))}

    def _describe_network_interfaces(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        filters = {each["Name"]: each["Values"] for each in parameters["Filters"]}
        return {"NetworkInterfaces": self.interfaces.describe(filters)}

    def _attach_network_interface(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        (instance,) = self.ec2.require([parameters["InstanceId"]])
        self.interfaces.attach(parameters["NetworkInterfaceId"], instance.id, parameters["DeviceIndex"])
        return {}

    def _detach_network_interface(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.interfaces.detach(parameters["AttachmentId"])
        return {}

    def _delete_network_interface(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.interfaces.delete(parameters["NetworkInterfaceId"])
        return {}

    def _describe_instance_types(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "InstanceTypes": [
                {
                    "InstanceType": name,
                    "VCpuInfo": {"DefaultVCpus": TYPES[name][0]},
                    "MemoryInfo": {"SizeInMiB": TYPES[name][1]},
                    "ProcessorInfo": {"SupportedArchitectures": [TYPES[name][2]]},
                }
                for name in parameters["InstanceTypes"]
            ]
        }

    def _describe_launch_template_versions(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        template = parameters["LaunchTemplateId"]
        kinds = {group.template or f"lt-{group.name}": group.types[0] for group in self.scaling.groups.values()}
        if template not in kinds:
            raise not_found("InvalidLaunchTemplateId.NotFound", "launch template ID", [template])
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": {"InstanceType": kinds[template]}}]}

    def _describe_images(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Images": [{"ImageId": each, "RootDeviceName": "/dev/xvda"} for each in parameters["ImageIds"]]}

    # --- others ------------------------------------------------------------------------------------------------------

    def _get_parameter(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Parameter": {"Name": parameters["Name"], "Value": self.image}}

    def _put_metric_data(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.metrics += parameters["MetricData"]
        return {}

    def _queue(self, url: str) -> FakeQueue:
        if url not in self.queues:
            raise AwsError(
                "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.", refused=True
            )
        return self.queues[url]

    async def _receive_message(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        queue = self._queue(parameters["QueueUrl"])
        messages = await queue.receive(parameters["MaxNumberOfMessages"], parameters["WaitTimeSeconds"])
        return (
            {"Messages": [{"ReceiptHandle": receipt, "Body": body} for receipt, body in messages]} if messages else {}
        )

    def _delete_message(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self._queue(parameters["QueueUrl"]).delete(parameters["ReceiptHandle"])
        return {}


def _filtered(instance: FakeInstance, name: str) -> str | None:
    if name == "instance-state-name":
        return instance.state
    kind, _, tag = name.partition(":")
    if kind != "tag":
        raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid", refused=True)
    return instance.tags.get(tag)


def _described(instance: FakeInstance) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "InstanceType": instance.instance_type,
        "State": {"Name": instance.state},
        "Placement": {"AvailabilityZone": instance.zone},
        "Tags": [{"Key": key, "Value": value} for key, value in instance.tags.items()],
        **({"InstanceLifecycle": "spot"} if instance.spot else {}),
    }
