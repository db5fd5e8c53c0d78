"""EC2: runs the machines that managed providers order, ends them, and tells how machines are.

An order is one instance. Its id is EC2's ClientToken, and a tag of the instance: whatever was lost on the way, asking
again finds the instance instead of making another. Machines that are to be looked at, or ended, while others are, join
those that wait: however slow EC2 is, no machine waits twice. Nothing is decided here.
Source: Amazon EC2 API, RunInstances ("Ensuring idempotency in EC2 API requests"), DescribeInstances,
TerminateInstances.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from awsorch.adapters.answers import FOR_EVER, Answers
from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.adapters.load_balancers import Post
from awsorch.adapters.user_data import UserData
from awsorch.core.commands import EndMachines, LaunchMachines, WatchMachines
from awsorch.core.events_capacity import LaunchRefused, MachinesLaunched, MachinesSeen, SeenMachine
from awsorch.core.model_capacity import Launch
from awsorch.engine.ports import CloudFailure

logger = logging.getLogger(__name__)

LAUNCH_TAG = "awsorch:launch"
#: Public parameters with the newest image, by architecture.
IMAGES = {
    "x86_64": "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id",
    "arm64": "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id",
}
#: Which image is the newest is asked again after this long. Seconds.
IMAGE_LIFE_S = 24 * 3600.0
#: DescribeInstances and TerminateInstances get so many ids at once.
BATCH = 100
_IDS = re.compile(r"i-[0-9a-f]+")

_Lane = tuple[type[Any], str, str | None]
"""Machines of one cluster and provider that wait for the same: EndMachines, or WatchMachines."""


class Ec2Machines:
    """Implements engine.ports.Machines and engine.ports.Subnets."""

    def __init__(self, aws: AwsCalls, post: Post, user_data: UserData) -> None:
        self._aws = aws
        self._post = post
        self._user_data = user_data
        self._turns = Turns()
        self._orders: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: dict[_Lane, dict[str, None]] = {}
        self._images = Answers[str]()
        self._root_devices = Answers[str]()

    def launch_machines(self, cluster: str, command: LaunchMachines) -> None:
        """Run each order that is not being run."""
        for order in command.launches:
            if order.id not in self._orders:
                self._orders.add(order.id)
                self._begin(self._launch(cluster, command, order), f"launch {order.id}")

    def end_machines(self, cluster: str, command: EndMachines) -> None:
        """TerminateInstances, then see."""
        self._enter((EndMachines, cluster, command.provider), command.machines)

    def watch_machines(self, cluster: str, command: WatchMachines) -> None:
        """DescribeInstances of these."""
        self._enter((WatchMachines, cluster, command.provider), command.machines)

    async def zones(self, subnets: Sequence[str]) -> Mapping[str, str]:
        """Availability Zone → the first of these subnets (by id) that is in it. Raises CloudFailure."""
        try:
            async with self._turns.one():
                answer = await self._aws.call("ec2", "describe_subnets", SubnetIds=list(subnets))
        except AwsError as error:
            raise CloudFailure(error.code, error.message) from error
        found = sorted(answer["Subnets"], key=lambda subnet: str(subnet["SubnetId"]), reverse=True)
        return {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in found}

    async def close(self) -> None:
        """Stop calling. What was under way may or may not have been done."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # --- launching ---------------------------------------------------------------------------------------------------

    async def _launch(self, cluster: str, command: LaunchMachines, order: Launch) -> None:
        try:
            async with self._turns.one():
                machine_id = await self._find(order) if order.attempts > 1 else None
                machine_id = machine_id or await self._run(cluster, command, order)
        except AwsError as error:
            logger.info("order %s of %s: %s", order.id, command.provider, error)
            if _is_refusal(error):
                refusal = LaunchRefused(launch=order.id, code=error.code, message=error.message)
                self._post(
                    cluster, MachinesLaunched(cause="RunInstances", provider=command.provider, refused=(refusal,))
                )
        except Exception:
            logger.exception("order %s was not carried out; a planner will ask again", order.id)
        else:
            launched = ((order.id, machine_id),)
            self._post(cluster, MachinesLaunched(cause="RunInstances", provider=command.provider, launched=launched))
        finally:
            self._orders.discard(order.id)

    async def _find(self, order: Launch) -> str | None:
        """The instance of an order that was given before, though it may have ended since."""
        wanted = [{"Name": f"tag:{LAUNCH_TAG}", "Values": [order.id]}]
        answer = await self._aws.call("ec2", "describe_instances", Filters=wanted)
        return next((instance["InstanceId"] for instance in _instances(answer)), None)

    async def _run(self, cluster: str, command: LaunchMachines, order: Launch) -> str:
        template = command.settings.get("instanceLaunchTemplate", {})
        image = await self._image(order.offer.architecture)
        parameters: dict[str, Any] = {
            "ClientToken": order.id,
            "ImageId": image,
            "InstanceType": order.offer.instance_type,
            "MinCount": 1,
            "MaxCount": 1,
            "UserData": self._user_data(cluster),
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "Monitoring": {"Enabled": template.get("monitoring") == "DETAILED"},
            "BlockDeviceMappings": await self._disks(image, template),
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": _tags(cluster, command.provider, order)}
                for kind in ("instance", "volume", "network-interface")
            ],
        }
        network = template.get("networkConfiguration", {})
        parameters["SubnetId"] = command.subnets[order.zone]
        if network.get("securityGroups"):
            parameters["SecurityGroupIds"] = list(network["securityGroups"])
        if "ec2InstanceProfileArn" in template:
            parameters["IamInstanceProfile"] = {"Arn": template["ec2InstanceProfileArn"]}
        if order.offer.spot:
            parameters["InstanceMarketOptions"] = {
                "MarketType": "spot",
                "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
            }
        answer = await self._aws.call("ec2", "run_instances", **parameters)
        return str(answer["Instances"][0]["InstanceId"])

    async def _image(self, architecture: str) -> str:
        """The newest image."""

        async def ask() -> str:
            answer = await self._aws.call("ssm", "get_parameter", Name=IMAGES[architecture])
            return str(answer["Parameter"]["Value"])

        return await self._images.get(architecture, ask, seconds=IMAGE_LIFE_S)

    async def _disks(self, image: str, template: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The root volume in the size that is asked for."""
        size = template.get("storageConfiguration", {}).get("storageSizeGiB")
        if size is None:
            return []

        async def ask() -> str:
            answer = await self._aws.call("ec2", "describe_images", ImageIds=[image])
            images = answer.get("Images") or [{}]
            return str(images[0].get("RootDeviceName", "/dev/xvda"))

        device = await self._root_devices.get(image, ask, seconds=FOR_EVER)
        disk = {"VolumeSize": size, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
        return [{"DeviceName": device, "Ebs": disk}]

    # --- seeing and ending -------------------------------------------------------------------------------------------

    def _enter(self, lane: _Lane, machines: Sequence[str]) -> None:
        idle = lane not in self._waiting
        self._waiting.setdefault(lane, {}).update(dict.fromkeys(machines))
        if idle:
            self._begin(self._serve(lane), f"{lane[0].__name__} {lane[2]}")

    async def _serve(self, lane: _Lane) -> None:
        """End those that wait to be ended, and look at all, until none waits."""
        what, cluster, provider = lane
        try:
            while waiting := self._waiting[lane]:
                try:
                    async with self._turns.one():
                        ids = tuple(waiting)[:BATCH]
                        for machine_id in ids:
                            del waiting[machine_id]
                        if what is EndMachines:
                            await self._known(ids, self._terminate)
                        found = await self._known(ids, self._describe)
                    self._post(cluster, _event(provider, ids, found))
                except AwsError as error:
                    logger.info("%s of %s: %s", what.__name__, provider, error)
                except Exception:
                    logger.exception("%s of %s was not carried out; a planner will ask again", what.__name__, provider)
        finally:
            del self._waiting[lane]

    async def _terminate(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        await self._aws.call("ec2", "terminate_instances", InstanceIds=list(ids))
        return []

    async def _describe(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        return _instances(await self._aws.call("ec2", "describe_instances", InstanceIds=list(ids)))

    async def _known(
        self, ids: Sequence[str], call: Callable[[Sequence[str]], Coroutine[Any, Any, list[Mapping[str, Any]]]]
    ) -> list[Mapping[str, Any]]:
        """Ask without the ids that EC2 does not know: it refuses a call that names one."""
        left = list(ids)
        while left:
            try:
                return await call(left)
            except AwsError as error:
                unknown = set(_IDS.findall(error.message)) & set(left)
                if not error.code.startswith("InvalidInstanceID") or not unknown:
                    raise
                left = [machine_id for machine_id in left if machine_id not in unknown]
        return []


def _is_refusal(error: AwsError) -> bool:
    """Whether nothing was launched for good. EC2 answers 500 where it has no capacity; and a token that is taken says
    that the order was carried out, by a controller whose user data or image differed."""
    return (error.refused or error.code.startswith("Insufficient")) and error.code != "IdempotentParameterMismatch"


def _tags(cluster: str, provider: str, order: Launch) -> list[dict[str, str]]:
    """The provider's tags may name the machine; those that machines are found by are ours."""
    tags = {
        "Name": f"{cluster}-{provider}",
        **order.tags,
        LAUNCH_TAG: order.id,
        "AmazonECSManaged": "true",
        "awsorch:cluster": cluster,
        "awsorch:capacity-provider": provider,
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _instances(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]


def _event(provider: str | None, ids: Sequence[str], found: Sequence[Mapping[str, Any]]) -> MachinesSeen:
    """What was found of the machines that were asked for."""
    there = tuple(_seen(instance) for instance in found)
    missing = tuple(sorted(set(ids) - {machine.id for machine in there}))
    return MachinesSeen(cause="DescribeInstances", provider=provider, machines=there, missing=missing)


def _seen(instance: Mapping[str, Any]) -> SeenMachine:
    return SeenMachine(
        id=instance["InstanceId"],
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        instance_type=instance.get("InstanceType", ""),
        state=instance["State"]["Name"],
        spot=instance.get("InstanceLifecycle") == "spot",
    )
