"""One suite for those who run, end and look at EC2 instances: on the fake and on moto; and what they do when calls
fail, on the fake in virtual time. The promise that matters: one order, one instance."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from awsorch.adapters.aws import AwsError
from awsorch.adapters.machines import IMAGE_LIFE_S, LAUNCH_TAG, Ec2Machines
from awsorch.core.commands import EndMachines, LaunchMachines, WatchMachines
from awsorch.core.events_capacity import MachinesLaunched, MachinesSeen, SeenMachine
from awsorch.core.model_capacity import Launch
from awsorch.engine.ports import CloudFailure
from tests.contract.fleets import FakeOutside, Outside, Posts, Recorder, run_with
from tests.support.builders import an_offer

#: EC2 refuses ids of another length as malformed; this one could be an instance's.
STRANGER = "i-0123456789abcdef0"
SETTINGS: dict[str, Any] = {
    "instanceLaunchTemplate": {
        "ec2InstanceProfileArn": "arn:aws:iam::123456789012:instance-profile/ecs",
        "storageConfiguration": {"storageSizeGiB": 50},
        "monitoring": "DETAILED",
        "networkConfiguration": {"securityGroups": ["sg-1"]},
    }
}
Make = Callable[[], Outside]


@dataclass(slots=True)
class Stage:
    """The adapter, what is behind it, and what was posted."""

    outside: Outside
    aws: Recorder
    adapter: Ec2Machines
    posts: Posts
    user_data: list[str]

    def order(self, **members: Any) -> Launch:
        """A new one, for the first zone."""
        made = Launch(
            id=f"{len(self.aws.operations):08}-0000-4000-8000-{id(members):012}",
            provider="cp",
            offer=an_offer(),
            zone=next(iter(self.outside.subnets())),
            ordered_at=0.0,
        )
        return replace(made, **members)

    def launch(self, *orders: Launch, settings: dict[str, Any] | None = None) -> None:
        subnets = {**self.outside.subnets(), "us-east-1z": "subnet-0123456789abcdef0"}
        command = LaunchMachines(provider="cp", launches=orders, settings=settings or {}, subnets=subnets)
        self.adapter.launch_machines("default", command)

    def watch(self, *machines: str) -> None:
        self.adapter.watch_machines("default", WatchMachines(provider="cp", machines=machines))

    def end(self, *machines: str) -> None:
        self.adapter.end_machines("default", EndMachines(provider="cp", group=None, machines=machines))

    async def launched(self, order: Launch, settings: dict[str, Any] | None = None) -> str:
        """The instance that came of an order."""
        event = await self.posts.next(lambda: self.launch(order, settings=settings))
        assert isinstance(event, MachinesLaunched), event
        ((order_id, instance_id),) = event.launched
        assert (order_id, event.refused, event.provider) == (order.id, (), "cp")
        return instance_id

    async def seen(self, machine: str, state: str) -> SeenMachine:
        """The machine, once it is in that state."""
        event: MachinesSeen = await self.posts.until(
            lambda: self.watch(machine), lambda seen: [each.state for each in seen.machines] == [state]
        )
        return event.machines[0]


def play(make: Make, scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def staged(outside: Outside) -> None:
        aws, posts, user_data = Recorder(outside.calls), Posts(), ["#!/bin/sh\n"]

        def user_data_of(cluster: str) -> str:
            if not user_data:
                raise AwsError("ClientException", "no user data", refused=True)
            return f"{user_data[0]}ECS_CLUSTER={cluster}"

        adapter = Ec2Machines(aws, posts.post, user_data_of)
        await scene(Stage(outside, aws, adapter, posts, user_data))
        await adapter.close()

    run_with(make, staged)


def test_an_order_becomes_an_instance(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        order = replace(stage.order(), tags={"team": "a", "Name": "mine", "AmazonECSManaged": "no"})
        machine = await stage.launched(order)
        seen = await stage.seen(machine, "running")
        assert (seen.zone, seen.instance_type, seen.spot) == (order.zone, "t3.medium", False)
        tags = stage.outside.tags_of(machine)
        assert tags[LAUNCH_TAG] == order.id
        assert (tags["awsorch:cluster"], tags["awsorch:capacity-provider"]) == ("default", "cp")
        assert (tags["AmazonECSManaged"], tags["team"], tags["Name"]) == ("true", "a", "mine")

    play(fleet, scene)


def test_spot_instances(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        machine = await stage.launched(stage.order(offer=an_offer(spot=True)))
        assert (await stage.seen(machine, "running")).spot

    play(fleet, scene)


def test_orders_go_side_by_side_and_each_says_what_came_of_it(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        orders = [stage.order(id=f"{n:08}-0000-4000-8000-{id(stage):012}") for n in range(3)]
        bad = stage.order(zone="us-east-1z")
        stage.launch(*orders, bad, *orders)
        await stage.posts.after(4)
        events = [event for event in stage.posts.events if isinstance(event, MachinesLaunched)]
        launched = dict(pair for event in events for pair in event.launched)
        assert set(launched) == {order.id for order in orders}
        assert len(set(launched.values())) == 3
        ((refusal,),) = [event.refused for event in events if event.refused]
        assert (refusal.launch, refusal.code) == (bad.id, "InvalidSubnetID.NotFound")
        assert refusal.message
        assert stage.aws.operations.count("run_instances") == 4

    play(fleet, scene)


def test_an_order_that_is_given_again_is_the_same_instance(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        order = stage.order()
        machine = await stage.launched(order)
        assert await stage.launched(replace(order, attempts=2)) == machine
        await stage.posts.next(lambda: stage.end(machine))
        await stage.seen(machine, "terminated")
        assert await stage.launched(replace(order, attempts=3)) == machine

    play(fleet, scene)


def test_what_is_ended_is_seen_so_and_strangers_are_missing(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        one, two = [await stage.launched(stage.order()) for _ in range(2)]
        event = await stage.posts.next(lambda: stage.watch(one, STRANGER, two))
        assert isinstance(event, MachinesSeen)
        assert ({machine.id for machine in event.machines}, event.missing) == ({one, two}, (STRANGER,))
        event = await stage.posts.next(lambda: stage.end(one, STRANGER))
        assert isinstance(event, MachinesSeen)
        assert (event.provider, event.missing) == ("cp", (STRANGER,))
        assert [machine.id for machine in event.machines] == [one]
        await stage.seen(one, "terminated")
        await stage.seen(two, "running")
        stage.end(one)
        event = await stage.posts.next(lambda: stage.watch(STRANGER))
        assert isinstance(event, MachinesSeen)

    play(fleet, scene)


def test_zones_of_subnets(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        subnets = dict(stage.outside.subnets())
        assert await stage.adapter.zones(list(subnets.values())) == subnets
        with pytest.raises(CloudFailure, match=r"InvalidSubnetID\.NotFound"):
            await stage.adapter.zones(["subnet-0123456789abcdef0"])

    play(fleet, scene)


# --- faults ----------------------------------------------------------------------------------------------------------


def fake(stage: Stage) -> Any:
    assert isinstance(stage.outside, FakeOutside)
    return stage.outside.fleet


def test_what_the_provider_is_set_to_is_asked_for() -> None:
    async def scene(stage: Stage) -> None:
        machine = await stage.launched(stage.order(offer=an_offer(spot=True)), settings=SETTINGS)
        request = fake(stage).ec2.instances[machine].request
        assert request["IamInstanceProfile"] == {"Arn": "arn:aws:iam::123456789012:instance-profile/ecs"}
        assert request["SecurityGroupIds"] == ["sg-1"]
        assert request["Monitoring"] == {"Enabled": True}
        assert request["MetadataOptions"]["HttpTokens"] == "required"
        ((disk,),) = (request["BlockDeviceMappings"],)
        assert (disk["DeviceName"], disk["Ebs"]["VolumeSize"]) == ("/dev/xvda", 50)
        assert request["InstanceMarketOptions"]["MarketType"] == "spot"
        assert request["UserData"].endswith("ECS_CLUSTER=default")

    play(FakeOutside, scene)


async def nothing_follows(stage: Stage, act: Callable[[], object]) -> None:
    count = len(stage.posts.events)
    act()
    await asyncio.sleep(60)
    assert len(stage.posts.events) == count


def test_a_lost_answer_says_nothing_and_the_order_stays_one_instance() -> None:
    async def scene(stage: Stage) -> None:
        order = stage.order()
        fake(stage).loses = lambda operation: operation == "run_instances"
        await nothing_follows(stage, lambda: stage.launch(order))
        fake(stage).loses = lambda operation: False
        machine = await stage.launched(replace(order, attempts=2))
        assert list(fake(stage).ec2.instances) == [machine]

    play(FakeOutside, scene)


def test_an_instance_that_is_not_listed_yet_is_found_by_its_token() -> None:
    async def scene(stage: Stage) -> None:
        order = stage.order()
        fake(stage).ec2.invisible_seconds = 1000.0
        machine = await stage.launched(order)
        assert await stage.launched(replace(order, attempts=2)) == machine
        event = await stage.posts.next(lambda: stage.watch(machine))
        assert isinstance(event, MachinesSeen)
        assert event.missing == (machine,)

    play(FakeOutside, scene)


def test_an_order_that_other_user_data_carried_out_is_not_refused() -> None:
    async def scene(stage: Stage) -> None:
        order = stage.order()
        fake(stage).ec2.invisible_seconds = 30.0
        machine = await stage.launched(order)
        stage.user_data[0] = "#!/bin/bash\n"
        await nothing_follows(stage, lambda: stage.launch(replace(order, attempts=2)))
        assert await stage.launched(replace(order, attempts=3)) == machine
        assert list(fake(stage).ec2.instances) == [machine]

    play(FakeOutside, scene)


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded"])
def test_what_ec2_has_none_of_is_refused(code: str) -> None:
    async def scene(stage: Stage) -> None:
        order = stage.order()
        if code == "VcpuLimitExceeded":
            fake(stage).ec2.limit = 0
        else:
            fake(stage).ec2.none_left = {("t3.medium", order.zone)}
        event = await stage.posts.next(lambda: stage.launch(order))
        assert isinstance(event, MachinesLaunched)
        ((refusal,), launched) = (event.refused, event.launched)
        assert (refusal.launch, refusal.code, launched) == (order.id, code, ())
        assert refusal.message

    play(FakeOutside, scene)


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "InternalError", "ReadTimeoutError"])
def test_what_is_not_known_is_not_said(code: str) -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).fault = lambda operation: AwsError(code, "why")
        order = stage.order()
        await nothing_follows(stage, lambda: stage.launch(order))
        await nothing_follows(stage, lambda: stage.watch(STRANGER))
        await nothing_follows(stage, lambda: stage.end(STRANGER))
        fake(stage).fault = lambda operation: None
        await stage.launched(replace(order, attempts=2))

    play(FakeOutside, scene)


def test_many_machines_are_asked_for_in_batches() -> None:
    async def scene(stage: Stage) -> None:
        orders = [stage.order(id=f"order-{n}") for n in range(120)]
        stage.launch(*orders)
        await stage.posts.after(120)
        ids = tuple(fake(stage).ec2.instances)
        stage.watch(*ids)
        await stage.posts.after(122)
        events = [event for event in stage.posts.events if isinstance(event, MachinesSeen)]
        assert [(len(event.machines), event.missing) for event in events] == [(100, ()), (20, ())]
        assert [len(call["InstanceIds"]) for call in fake(stage).called("describe_instances")] == [100, 20]

    play(FakeOutside, scene)


def test_machines_that_wait_to_be_looked_at_are_asked_for_together_and_once() -> None:
    async def scene(stage: Stage) -> None:
        one, two, three = [await stage.launched(stage.order()) for _ in range(3)]
        fake(stage).delay = lambda operation: 10.0
        stage.watch(one)
        for _ in range(50):
            await asyncio.sleep(0.1)
            stage.watch(two)
            stage.watch(two, three)
            stage.end(three)
        await asyncio.sleep(60)
        asked = [list(call["InstanceIds"]) for call in fake(stage).called("describe_instances")]
        assert sorted(asked) == sorted([[one], [two, three], [three], [three]])
        assert len(fake(stage).called("terminate_instances")) == 2

    play(FakeOutside, scene)


def test_while_nothing_answers_what_waits_does_not_grow() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 20.0
        fake(stage).fault = lambda operation: AwsError("ReadTimeoutError", "")
        for _ in range(300):
            stage.watch(STRANGER)
            stage.end(STRANGER)
            await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 3
        assert len(stage.aws.operations) <= 62

    play(FakeOutside, scene)


def test_a_newer_image_is_found_within_a_day() -> None:
    async def scene(stage: Stage) -> None:
        images = []
        for image, wait in (("ami-1", IMAGE_LIFE_S - 60), ("ami-2", 60), ("ami-2", 0)):
            fake(stage).image = image
            machine = await stage.launched(stage.order())
            images.append(fake(stage).ec2.instances[machine].request["ImageId"])
            await asyncio.sleep(wait)
        assert images == ["ami-1", "ami-1", "ami-2"]

    play(FakeOutside, scene)


def test_a_cluster_that_machines_could_not_join_gets_none() -> None:
    async def scene(stage: Stage) -> None:
        stage.user_data.clear()
        event = await stage.posts.next(lambda: stage.launch(stage.order()))
        assert isinstance(event, MachinesLaunched)
        ((refusal,), launched) = (event.refused, event.launched)
        assert (refusal.code, refusal.message, launched) == ("ClientException", "no user data", ())
        assert not fake(stage).ec2.instances

    play(FakeOutside, scene)


def test_a_bug_ends_one_order_and_not_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stage: Stage) -> None:
        order = stage.order()
        await nothing_follows(stage, lambda: stage.launch(replace(order, zone="unheard of")))
        await stage.launched(order)

    with caplog.at_level(logging.ERROR):
        play(FakeOutside, scene)
    assert "a planner will ask again" in caplog.text


def test_closing_leaves_nothing_running() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 100.0
        stage.launch(stage.order())
        stage.watch(STRANGER)
        await asyncio.sleep(1)
        await stage.adapter.close()
        assert len(asyncio.all_tasks()) == 1
        assert not stage.posts.events

    play(FakeOutside, scene)
