"""One suite for those who make network interfaces for tasks: on the fake and on moto; and what they do when calls fail,
on the fake in virtual time. The promise that matters: one attachment, one interface, and none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.adapters.machines import Ec2Machines
from awsorch.adapters.task_attachments import Ec2Attachments
from awsorch.adapters.task_interfaces import ATTACHMENT_TAG
from awsorch.core.commands import LaunchMachines, ProvideAttachment, ReleaseAttachment
from awsorch.core.events_attachments import AttachmentProvided, AttachmentRefused, AttachmentReleased
from awsorch.core.events_capacity import MachinesLaunched
from awsorch.core.model_attachments import ADDRESS, ADDRESS_6, INTERFACE
from awsorch.core.model_capacity import Launch
from tests.contract.fleets import FakeOutside, Outside, Posts, Recorder, run_with
from tests.support.builders import an_offer, arn

ATTACHMENT = "5d0c7d2e-2a3c-4a62-9c53-6a0b3b6f3c1d"
TASK = arn("task/default/" + "a" * 32)
Make = Callable[[], Outside]


@dataclass(slots=True)
class Stage:
    """The adapter, what is behind it, what was posted, and an instance."""

    outside: Outside
    aws: Recorder
    adapter: Ec2Attachments
    posts: Posts
    machine: str

    def provide(self, attachment: str = ATTACHMENT, **members: Any) -> None:
        given = {"machine": self.machine, "subnet": next(iter(self.outside.subnets().values())), **members}
        command = ProvideAttachment(
            task_id="a" * 32,
            task_arn=arn("task/default/" + "a" * 32),
            attachment_id=attachment,
            type=INTERFACE,
            **given,
        )
        self.adapter.provide_attachment("default", command)

    def release(self, attachment: str = ATTACHMENT, *, doubtful: bool = False) -> None:
        command = ReleaseAttachment(task_id="a" * 32, attachment_id=attachment, type=INTERFACE, doubtful=doubtful)
        self.adapter.release_attachment("default", command)

    async def provided(self, attachment: str = ATTACHMENT) -> AttachmentProvided:
        event = await self.posts.next(lambda: self.provide(attachment))
        assert isinstance(event, AttachmentProvided), event
        return event

    async def interfaces(self, attachment: str = ATTACHMENT) -> list[Mapping[str, Any]]:
        """What EC2 has for an attachment."""
        wanted = [{"Name": f"tag:{ATTACHMENT_TAG}", "Values": [attachment]}]
        answer = await self.outside.calls.call("ec2", "describe_network_interfaces", Filters=wanted)
        found: list[Mapping[str, Any]] = answer["NetworkInterfaces"]
        return found


def play(make: Make, scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def staged(outside: Outside) -> None:
        aws, posts = Recorder(outside.calls), Posts()
        adapter = Ec2Attachments(aws, posts.post)
        await scene(Stage(outside, aws, adapter, posts, await machine_of(outside, aws, posts)))
        await adapter.close()

    run_with(make, staged)


async def machine_of(outside: Outside, aws: Recorder, posts: Posts) -> str:
    """An instance in the first zone."""
    machines = Ec2Machines(aws, posts.post, lambda cluster: "")
    zone = next(iter(outside.subnets()))
    order = Launch(id=f"{id(posts):036}", provider="cp", offer=an_offer(), zone=zone, ordered_at=0.0)
    command = LaunchMachines(provider="cp", launches=(order,), settings={}, subnets=outside.subnets())
    event = await posts.next(lambda: machines.launch_machines("default", command))
    assert isinstance(event, MachinesLaunched), event
    await machines.close()
    return event.launched[0][1]


def test_an_interface_is_made_and_attached_and_goes_without_a_trace(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        event = await stage.provided()
        (interface,) = await stage.interfaces()
        assert interface["Attachment"]["InstanceId"] == stage.machine
        assert interface["Attachment"]["DeviceIndex"] == 1
        assert event.details[ADDRESS] == interface["PrivateIpAddress"]
        assert event.details["networkInterfaceId"] == interface["NetworkInterfaceId"]
        assert event.details["macAddress"] == interface["MacAddress"]
        gateway, _, length = event.facts["subnetGatewayIpv4Address"].partition("/")
        assert gateway.endswith(".1")
        assert length.isdigit()
        assert isinstance(await stage.posts.next(stage.release), AttachmentReleased)
        assert await stage.interfaces() == []

    play(fleet, scene)


@pytest.mark.parametrize("wanted", [True, False])
def test_an_interface_has_an_ipv6_address_where_its_subnet_does_and_it_is_wanted(fleet: Make, wanted: bool) -> None:
    async def scene(stage: Stage) -> None:
        subnet = next(iter(stage.outside.subnets().values()))
        block = IPv6Network("2600:1f13:4d9:e603::/64")
        await stage.outside.calls.call("ec2", "associate_subnet_cidr_block", SubnetId=subnet, Ipv6CidrBlock=str(block))
        own = ATTACHMENT.replace("5d", "66" if wanted else "64")
        event = await stage.posts.next(lambda: stage.provide(own, ipv6=wanted))
        assert isinstance(event, AttachmentProvided), event
        (interface,) = await stage.interfaces(own)
        made = [each["Ipv6Address"] for each in interface["Ipv6Addresses"]]
        assert len(made) == wanted
        assert [event.details.get(ADDRESS_6)] == (made or [None])
        assert all(IPv6Address(each) in block for each in made)
        gateway = "2600:1f13:4d9:e603::1/64" if wanted else None
        assert event.facts.get("subnetGatewayIpv6Address") == gateway

    play(fleet, scene)


def test_whoever_asks_again_gets_the_same_one(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        assert (await stage.provided()).details == (await stage.provided()).details
        assert len(await stage.interfaces()) == 1
        assert stage.aws.operations.count("create_network_interface") == 1

    play(fleet, scene)


def test_each_has_a_place_of_its_own_on_the_instance(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        names = [ATTACHMENT.replace("5d", each) for each in ("aa", "bb")]
        for name in names:
            stage.provide(name)
        await stage.posts.after(1 + len(names))
        found = [(await stage.interfaces(name))[0]["Attachment"]["DeviceIndex"] for name in names]
        assert sorted(found) == [1, 2]

    play(fleet, scene)


def test_what_was_never_made_is_released_at_once(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(await stage.posts.next(stage.release), AttachmentReleased)
        assert isinstance(await stage.posts.next(stage.release), AttachmentReleased)

    play(fleet, scene)


def test_a_subnet_that_is_not_there_is_the_tasks_reason(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        event = await stage.posts.next(lambda: stage.provide(subnet="subnet-0123456789abcdef0"))
        assert isinstance(event, AttachmentRefused), event
        assert event.reason.startswith(
            "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled in "
            "subnet 'subnet-0123456789abcdef0': InvalidSubnetID.NotFound"
        )

    play(fleet, scene)


# --- faults ----------------------------------------------------------------------------------------------------------


def fake(stage: Stage) -> Any:
    assert isinstance(stage.outside, FakeOutside)
    return stage.outside.fleet


@pytest.mark.parametrize("operation", ["create_network_interface", "attach_network_interface"])
def test_an_answer_that_is_lost_makes_no_second_one(operation: str) -> None:
    async def scene(stage: Stage) -> None:
        lost = [operation]
        fake(stage).loses = lambda each: each in lost and bool(lost.pop())
        stage.provide()
        await asyncio.sleep(1.0)
        assert not lost
        await stage.provided()
        assert len(fake(stage).interfaces.interfaces) == 1

    play(FakeOutside, scene)


def test_a_full_subnet_is_the_tasks_reason_and_a_full_instance_is_waited_for() -> None:
    async def scene(stage: Stage) -> None:
        interfaces, subnet = fake(stage).interfaces, next(iter(stage.outside.subnets().values()))
        interfaces.full.add(subnet)
        event = await stage.posts.next(stage.provide)
        assert isinstance(event, AttachmentRefused)
        assert "InsufficientFreeAddressesInSubnet" in event.reason
        interfaces.full.clear()
        interfaces.limit = 0
        stage.provide()
        await asyncio.sleep(1.0)
        assert stage.aws.operations.count("attach_network_interface") == 1
        interfaces.limit = 1
        await stage.provided()

    play(FakeOutside, scene)


def test_a_subnet_without_ipv4_is_the_tasks_reason() -> None:
    async def scene(stage: Stage) -> None:
        subnet = next(iter(stage.outside.subnets().values()))
        fake(stage).interfaces.only_6.add(subnet)
        event = await stage.posts.next(stage.provide)
        assert isinstance(event, AttachmentRefused)
        assert f"The subnet '{subnet}' has IPv6 addresses only" in event.reason

    play(FakeOutside, scene)


def test_a_throttled_call_says_nothing_of_the_task() -> None:
    async def scene(stage: Stage) -> None:
        failing = [AwsError("RequestLimitExceeded", "slower", refused=True)]
        fake(stage).fault = lambda operation: failing.pop() if failing else None
        stage.provide()
        await asyncio.sleep(1.0)
        assert not failing
        await stage.provided()
        assert not [event for event in stage.posts.events if isinstance(event, AttachmentRefused)]

    play(FakeOutside, scene)


def test_a_release_waits_for_what_is_being_made() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 2.0 if operation == "create_network_interface" else 0.0
        stage.provide()
        stage.release()
        await stage.posts.after(3)
        assert [type(event) for event in stage.posts.events[1:]] == [AttachmentProvided, AttachmentReleased]
        assert fake(stage).interfaces.interfaces == {}

    play(FakeOutside, scene)


class Unheeding:
    """EC2 carries out what it was asked, though whoever asked it is killed meanwhile."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws
        self._calls: set[asyncio.Task[Mapping[str, Any]]] = set()

    async def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        call = asyncio.ensure_future(self._aws.call(service, operation, **parameters))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.shield(call)


def test_what_a_killed_controller_had_asked_for_does_not_stay() -> None:
    """The next one is told to release the attachment before EC2 has made the interface."""

    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 8.0 if operation == "create_network_interface" else 0.0
        killed = Ec2Attachments(Unheeding(stage.aws), stage.posts.post)
        stage.adapter, following = killed, stage.adapter
        stage.provide()
        await asyncio.sleep(1.0)
        await killed.close()
        stage.adapter = following
        before = len(stage.posts.events)
        while len(stage.posts.events) == before:  # a planner asks until it is gone
            stage.release(doubtful=True)
            await asyncio.sleep(5.0)
        await asyncio.sleep(60.0)
        assert stage.aws.operations.count("create_network_interface") == 1
        assert fake(stage).interfaces.interfaces == {}
        assert isinstance(stage.posts.events[-1], AttachmentReleased)

    play(FakeOutside, scene)


def test_what_this_controller_has_an_answer_about_is_released_at_once() -> None:
    async def scene(stage: Stage) -> None:
        await stage.posts.next(lambda: stage.provide(subnet="subnet-0123456789abcdef0"))
        began = asyncio.get_running_loop().time()
        await stage.posts.next(lambda: stage.release(doubtful=True))
        assert asyncio.get_running_loop().time() - began < 1.0

    play(FakeOutside, scene)


def test_an_interface_goes_though_its_instance_went_first() -> None:
    async def scene(stage: Stage) -> None:
        await stage.provided()
        fake(stage).interfaces.instance_over(stage.machine)
        assert isinstance(await stage.posts.next(stage.release), AttachmentReleased)
        assert fake(stage).interfaces.interfaces == {}

    play(FakeOutside, scene)
