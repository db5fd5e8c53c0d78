"""EC2: runs the machines that managed providers order, ends them, and tells how machines are.

An order is one instance. Its id is EC2's ClientToken, and a tag of the instance: whatever was lost on the way, asking
again finds the instance instead of making another. Nothing is decided here.
Source: Amazon EC2 API, RunInstances ("Ensuring idempotency in EC2 API requests"), DescribeInstances,
TerminateInstances.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.adapters.load_balancers import Post
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
#: DescribeInstances and TerminateInstances get so many ids at once.
BATCH = 100
_IDS = re.compile(r"i-[0-9a-f]+")

UserData = Callable[[str], str]
"""Of instances of a cluster: the text that makes them join it."""


class Ec2Machines:
    """Implements engine.ports.Machines and engine.ports.Subnets."""

    def __init__(self, aws: AwsCalls, post: Post, user_data: UserData) -> None:
        self._aws = aws
        self._post = post
        self._user_data = user_data
        self._turns = Turns()
        self._orders: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._images: dict[str, str] = {}
        self._root_devices: dict[str, str] = {}

    def launch_machines(self, cluster: str, command: LaunchMachines) -> None:
        """Run each order that is not being run."""
        for order in command.launches:
            if order.id not in self._orders:
                self._orders.add(order.id)
                self._begin(self._launch(cluster, command, order), f"launch {order.id}")

    def end_machines(self, cluster: str, command: EndMachines) -> None:
        """TerminateInstances, then see."""
        self._begin(self._end(cluster, command), "end machines")

    def watch_machines(self, cluster: str, command: WatchMachines) -> None:
        """DescribeInstances of these."""
        self._begin(self._watch(cluster, command), "watch machines")

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
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "Monitoring": {"Enabled": template.get("monitoring") == "DETAILED"},
            "BlockDeviceMappings": await self._disks(image, template),
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": _tags(cluster, command.provider, order)}
                for kind in ("instance", "volume")
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
        """The newest image when it was first asked for."""
        if architecture not in self._images:
            answer = await self._aws.call("ssm", "get_parameter", Name=IMAGES[architecture])
            self._images[architecture] = answer["Parameter"]["Value"]
        return self._images[architecture]

    async def _disks(self, image: str, template: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The root volume in the size that is asked for."""
        size = template.get("storageConfiguration", {}).get("storageSizeGiB")
        if size is None:
            return []
        if image not in self._root_devices:
            answer = await self._aws.call("ec2", "describe_images", ImageIds=[image])
            images = answer.get("Images") or [{}]
            self._root_devices[image] = images[0].get("RootDeviceName", "/dev/xvda")
        disk = {"VolumeSize": size, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
        return [{"DeviceName": self._root_devices[image], "Ebs": disk}]

    # --- seeing and ending -------------------------------------------------------------------------------------------

    async def _end(self, cluster: str, command: EndMachines) -> None:
        try:
            for ids in _batches(command.machines):
                async with self._turns.one():
                    await self._known(ids, self._terminate)
            await self._tell(cluster, command.provider, command.machines)
        except AwsError as error:
            logger.info("machines of %s were not ended: %s", command.provider, error)
        except Exception:
            logger.exception("machines of %s were not ended; a planner will ask again", command.provider)

    async def _terminate(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        await self._aws.call("ec2", "terminate_instances", InstanceIds=list(ids))
        return []

    async def _watch(self, cluster: str, command: WatchMachines) -> None:
        try:
            await self._tell(cluster, command.provider, command.machines)
        except AwsError as error:
            logger.info("machines could not be looked at: %s", error)
        except Exception:
            logger.exception("machines could not be looked at; a planner will ask again")

    async def _tell(self, cluster: str, provider: str | None, machines: Sequence[str]) -> None:
        seen: list[SeenMachine] = []
        for ids in _batches(machines):
            async with self._turns.one():
                seen += [_seen(instance) for instance in await self._known(ids, self._describe)]
        there = {machine.id for machine in seen}
        missing = tuple(machine_id for machine_id in machines if machine_id not in there)
        event = MachinesSeen(cause="DescribeInstances", provider=provider, machines=tuple(seen), missing=missing)
        self._post(cluster, event)

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
    tags = {
        LAUNCH_TAG: order.id,
        "AmazonECSManaged": "true",
        "Name": f"{cluster}-{provider}",
        "awsorch:cluster": cluster,
        "awsorch:capacity-provider": provider,
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[at : at + BATCH] for at in range(0, len(ids), BATCH))


def _instances(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]


def _seen(instance: Mapping[str, Any]) -> SeenMachine:
    return SeenMachine(
        id=instance["InstanceId"],
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        instance_type=instance.get("InstanceType", ""),
        state=instance["State"]["Name"],
        spot=instance.get("InstanceLifecycle") == "spot",
    )
