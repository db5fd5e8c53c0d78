"""What stands for EC2, EC2 Auto Scaling and SQS in the suites of the fleet's adapters: the fake in virtual time, and
moto in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import boto3

from awsorch.adapters.aws import Aws, AwsCalls
from awsorch.core.events import Event
from tests.support import virtual_time
from tests.support.fake_fleet import FakeFleet, FakeQueue

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
WAIT_S = 20.0


class Outside(Protocol):
    """AWS, and how a test makes things in it and looks at them. Made anew for each test."""

    @property
    def calls(self) -> AwsCalls:
        """How it is called."""
        ...

    def make_group(self, *, maximum: int = 5, minimum: int = 0, desired: int = 0) -> str:
        """An Auto Scaling group of t3.medium: its name."""
        ...

    def tags_of_group(self, name: str) -> Mapping[str, str]:
        """Its tags."""
        ...

    def tags_of(self, instance_id: str) -> Mapping[str, str]:
        """The tags of an instance."""
        ...

    def subnets(self) -> Mapping[str, str]:
        """Zone → subnet."""
        ...

    def make_queue(self) -> str:
        """A queue's URL."""
        ...

    def send(self, queue: str, body: str) -> None:
        """Put a message in."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class FakeOutside:
    """The fake: an instance is there, and up, a little after it was asked for."""

    def __init__(self) -> None:
        self.calls = self.fleet = FakeFleet()
        self.fleet.ec2.boot_seconds = lambda: 1.0
        self.fleet.scaling.launch_seconds, self.fleet.scaling.retry_seconds = 0.5, 5.0
        self._made = 0

    def make_group(self, *, maximum: int = 5, minimum: int = 0, desired: int = 0) -> str:
        self._made += 1
        name = f"g-{self._made}"
        self.fleet.scaling.add(name, minimum=minimum, maximum=maximum, desired=desired)
        return name

    def tags_of_group(self, name: str) -> Mapping[str, str]:
        return self.fleet.scaling.groups[name].tags

    def tags_of(self, instance_id: str) -> Mapping[str, str]:
        return self.fleet.ec2.instances[instance_id].tags

    def subnets(self) -> Mapping[str, str]:
        return self.fleet.ec2.subnets

    def make_queue(self) -> str:
        self._made += 1
        url = f"https://sqs.us-east-1.amazonaws.com/123456789012/q-{self._made}"
        self.fleet.queues[url] = FakeQueue()
        return url

    def send(self, queue: str, body: str) -> None:
        self.fleet.queues[queue].send(body)

    async def close(self) -> None:
        return None


class MotoOutside:
    """moto at a URL."""

    _made = 0

    def __init__(self, url: str) -> None:
        self.calls = Aws(region="us-east-1", endpoint=url)
        self._ec2, self._scaling, self._sqs = (
            boto3.client(name, endpoint_url=url, **KEYS) for name in ("ec2", "autoscaling", "sqs")
        )

    def _new_name(self, what: str) -> str:
        MotoOutside._made += 1
        return f"{what}-{MotoOutside._made}"

    def make_group(self, *, maximum: int = 5, minimum: int = 0, desired: int = 0) -> str:
        name = self._new_name("g")
        image = self._ec2.describe_images()["Images"][0]["ImageId"]
        data = {"ImageId": image, "InstanceType": "t3.medium"}
        self._ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        self._scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=minimum,
            MaxSize=maximum,
            DesiredCapacity=desired,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "1"},
            VPCZoneIdentifier=",".join(self.subnets().values()),
        )
        return name

    def tags_of_group(self, name: str) -> Mapping[str, str]:
        (group,) = self._scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return {tag["Key"]: tag["Value"] for tag in group["Tags"]}

    def tags_of(self, instance_id: str) -> Mapping[str, str]:
        found = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return {tag["Key"]: tag["Value"] for tag in found["Tags"]}

    def subnets(self) -> Mapping[str, str]:
        found = sorted(self._ec2.describe_subnets()["Subnets"], key=lambda each: each["AvailabilityZone"])
        return {each["AvailabilityZone"]: each["SubnetId"] for each in found[:3]}

    def make_queue(self) -> str:
        url: str = self._sqs.create_queue(QueueName=self._new_name("q"))["QueueUrl"]
        return url

    def send(self, queue: str, body: str) -> None:
        self._sqs.send_message(QueueUrl=queue, MessageBody=body)

    async def close(self) -> None:
        await self.calls.close()


@dataclass(slots=True)
class Posts:
    """Events that were posted, and those who wait for them."""

    events: list[Event] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def post(self, cluster: str, event: Event) -> None:
        """Take one."""
        self.clusters.append(cluster)
        self.events.append(event)
        self.news.set()

    async def next(self, act: Callable[[], object] = lambda: None) -> Event:
        """The first event that comes after ``act``."""
        count = len(self.events)
        act()
        await self.after(count + 1)
        return self.events[count]

    async def after(self, count: int) -> None:
        """Wait until there are so many."""
        async with asyncio.timeout(WAIT_S):
            while len(self.events) < count:
                self.news.clear()
                await self.news.wait()

    async def until(self, act: Callable[[], object], condition: Callable[[Any], bool]) -> Any:
        """Do it again until what comes of it is as it should be: real instances take their time."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await self.next(act)
                if condition(event):
                    return event
                await asyncio.sleep(0.2)


class Recorder:
    """Calls, and which operations they were."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws
        self.operations: list[str] = []

    async def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """Pass it on."""
        self.operations.append(operation)
        return await self._aws.call(service, operation, **parameters)


def run_with(make: Callable[[], Outside], scene: Callable[[Outside], Awaitable[None]]) -> None:
    """Play a scene: in virtual time with the fake, in real time with moto."""

    async def played() -> None:
        outside = make()
        try:
            await scene(outside)
        finally:
            await outside.close()

    if make is FakeOutside:
        virtual_time.run(lambda _: played())
    else:
        asyncio.run(played())
