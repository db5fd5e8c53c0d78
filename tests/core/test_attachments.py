"""Tasks with an interface of their own: they wait for it, tell where they are, and leave none behind."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from awsorch.core import events
from awsorch.core.commands import ProvideAttachment, ReleaseAttachment, SendTasks
from awsorch.core.errors import Refusal
from awsorch.core.model import Resources
from awsorch.core.model_attachments import (
    ATTACHED,
    DELETED,
    DETACHING,
    INTERFACE,
    PRECREATED,
    VOLUME,
    TaskNetwork,
    TaskVolume,
)
from awsorch.core.planners.provide_attachments import FAREWELL_S, PATIENCE_S
from awsorch.core.services.targets import address_of
from awsorch.core.wakes import RETENTION_S, all_keys
from tests.support.attachment_world import SUBNETS, AttachmentWorld

TIMEOUT = "Timeout waiting for network interface provisioning to complete."


@pytest.fixture
def world() -> AttachmentWorld:
    return AttachmentWorld()


def run_one(world: AttachmentWorld) -> Any:
    """A task that runs."""
    (task,) = world.launch().tasks
    world.run(30, until=lambda: world.now_of(task).last_status == "RUNNING")
    return world.now_of(task)


def test_a_task_is_provisioning_until_its_agent_has_the_interface(world: AttachmentWorld) -> None:
    (task,) = world.launch().tasks
    (attachment,) = task.attachments
    assert (task.last_status, attachment.status) == ("PROVISIONING", PRECREATED)
    assert attachment.details == {"subnetId": SUBNETS[task.zone]}
    world.run(30, until=lambda: world.now_of(task).last_status == "RUNNING")
    task = world.now_of(task)
    assert task.attachments[0].status == ATTACHED
    (asked,) = world.asked
    assert (asked.machine, asked.subnet) == (
        world.state.instances[task.instance_id].ec2_instance_id,
        SUBNETS[task.zone],
    )
    assert asked.security_groups == ("sg-1",)
    what = [entry.what for entry in task.story]
    assert what.index("PENDING") < what.index("RUNNING")


def test_a_task_that_ends_is_deprovisioning_until_its_interface_is_gone(world: AttachmentWorld) -> None:
    task = run_one(world)
    world.stop(task)
    world.run(30, until=lambda: world.now_of(task).attachments[0].status == DETACHING)
    leaving = world.now_of(task)
    assert (leaving.last_status, leaving.stopped_at, leaving.holds_resources) == ("DEPROVISIONING", None, False)
    assert leaving.containers[0].last_status == "STOPPED"
    world.run(30, until=lambda: world.now_of(task).last_status == "STOPPED")
    over = world.now_of(task)
    assert (over.attachments[0].status, over.stopped_at) == (DELETED, world.now)
    assert over.stopped_reason == "Task stopped by user"
    assert world.interfaces == {}
    world.run(RETENTION_S + 60)
    assert task.id not in world.state.tasks


def test_one_that_is_stopped_before_its_agent_hears_of_it_ends_at_once(world: AttachmentWorld) -> None:
    (task,) = world.launch().tasks
    world.run(1.05)
    world.stop(task)
    assert world.now_of(task).last_status == "DEPROVISIONING"
    world.run(30)
    assert (world.now_of(task).last_status, world.interfaces) == ("STOPPED", {})


def test_it_is_said_whether_ec2_may_still_be_making_what_is_to_go(world: AttachmentWorld) -> None:
    def doubtful(until: Any) -> bool:
        (task,) = world.launch().tasks
        world.run(30, until=lambda: until(world.now_of(task).attachments[0]))
        world.stop(task)
        world.run(30, until=lambda: world.released[-1:] and world.released[-1].task_id == task.id)
        return bool(world.released[-1].doubtful)

    assert not doubtful(lambda attachment: True), "it was never asked for"
    assert doubtful(lambda attachment: attachment.asked)
    assert not doubtful(lambda attachment: attachment.is_made)


def test_one_that_gets_no_interface_in_time_is_given_up(world: AttachmentWorld) -> None:
    world.drops = lambda command: isinstance(command, ProvideAttachment)
    (task,) = world.launch().tasks
    world.run(PATIENCE_S + 10)
    over = world.now_of(task)
    assert (over.last_status, over.stop_code, over.stopped_reason) == ("STOPPED", "TaskFailedToStart", TIMEOUT)


def test_one_whose_agent_never_sees_the_interface_is_given_up(world: AttachmentWorld) -> None:
    world.blind = True
    (task,) = world.launch().tasks
    world.run(PATIENCE_S + 10)
    assert (world.now_of(task).stopped_reason, world.interfaces) == (TIMEOUT, {})


def test_what_ec2_refuses_ends_the_task_with_its_reason(world: AttachmentWorld) -> None:
    world.refuses = "Unexpected EC2 error"
    (task,) = world.launch().tasks
    world.run(30)
    over = world.now_of(task)
    assert (over.last_status, over.stop_code) == ("STOPPED", "TaskFailedToStart")
    assert over.stopped_reason == "Unexpected EC2 error"


def test_an_interface_that_comes_too_late_goes_again(world: AttachmentWorld) -> None:
    world.provide_seconds = PATIENCE_S + 1
    world.launch()
    world.run(PATIENCE_S * 3)
    assert world.interfaces == {}


def test_a_task_counts_as_stopped_though_ec2_keeps_its_interface(world: AttachmentWorld) -> None:
    task = run_one(world)
    world.drops = lambda command: isinstance(command, ReleaseAttachment)
    world.stop(task)
    world.run(FAREWELL_S + 60)
    over = world.now_of(task)
    assert (over.last_status, over.attachments[0].status) == ("STOPPED", DETACHING)
    world.run(RETENTION_S)
    assert task.id in world.state.tasks, "it is remembered for as long as something of it is left"
    assert ("provide_attachments", task.id) in all_keys(world.state)
    world.drops = lambda command: False
    world.run(120)
    assert world.interfaces == {}
    assert task.id not in world.state.tasks


def test_an_instance_that_is_gone_takes_no_interface_with_it(world: AttachmentWorld) -> None:
    task = run_one(world)
    world.act(events.InstanceGone(instance_id=task.instance_id, reason="Host EC2 (instance i-001) terminated."))
    world.run(60)
    assert (world.now_of(task).last_status, world.interfaces) == ("STOPPED", {})


def test_tasks_have_no_more_interfaces_than_their_instance(world: AttachmentWorld) -> None:
    small = AttachmentWorld(instances=0)
    small.add_instance(resources=_resources(interfaces=2))
    placed = small.launch(3)
    assert len(placed.tasks) == 2
    assert [reason for _, reason in placed.failures] == ["RESOURCE:ENI"]
    small.run(30)
    small.stop(placed.tasks[0])
    small.run(30)
    assert len(small.launch(2).tasks) == 1


def test_an_instance_of_which_nobody_knows_takes_as_many_as_fit() -> None:
    world = AttachmentWorld(instances=0)
    world.add_instance(resources=_resources(interfaces=None))
    assert len(world.launch(9).tasks) == 9


def test_a_task_is_only_where_one_of_its_subnets_is(world: AttachmentWorld) -> None:
    only_b = TaskNetwork(subnets={"us-east-1b": "subnet-b"})
    placed = world.launch(4, network=only_b)
    assert {task.zone for task in placed.tasks} == {"us-east-1b"}
    assert {each.details["subnetId"] for task in placed.tasks for each in task.attachments} == {"subnet-b"}
    nowhere = world.launch(network=TaskNetwork(subnets={"us-east-1d": "subnet-d"}))
    assert (nowhere.tasks, len(nowhere.failures)) == ((), 3)


def test_a_cluster_is_not_deleted_while_ec2_has_something_of_it(world: AttachmentWorld) -> None:
    task = run_one(world)
    world.drops = lambda command: isinstance(command, ReleaseAttachment)
    world.stop(task)
    world.run(FAREWELL_S + 60)
    for instance in list(world.state.instances):
        world.act(events.DeregisterInstance(instance_id=instance, force=True))
    with pytest.raises(Refusal, match="Tasks are active"):
        world.act(events.CloseGate())
    world.drops = lambda command: False
    world.run(120)
    world.act(events.CloseGate())


def test_a_service_is_reached_at_its_tasks_own_addresses(world: AttachmentWorld) -> None:
    world.create(count=3, balanced=True)
    world.run(300, until=world.steady)
    addresses = set(world.interfaces.values())
    assert {target for target, port in world.registered} == addresses
    assert {port for _, port in world.registered} == {80}
    assert address_of(world.state, world.tasks()[0], _balancer(world)) is not None
    world.deploy()
    world.run(300, until=lambda: len(world.deployments()) == 1 and world.steady())
    world.run(60)
    assert {target for target, _ in world.registered} == set(world.interfaces.values())
    assert not addresses & set(world.interfaces.values())


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_lost_all_is_well_in_the_end(seed: int) -> None:
    chance, world = random.Random(seed), AttachmentWorld()
    world.drops = lambda command: (
        isinstance(command, (ProvideAttachment, ReleaseAttachment, SendTasks)) and chance.random() < 0.4
    )
    world.create(count=4, balanced=True)
    tasks = world.launch(3).tasks
    world.run(120)
    for task in tasks:
        world.stop(task)
    world.deploy()
    world.run(600)
    world.drops = lambda command: False
    world.run(300)
    running = [task for task in world.state.tasks.values() if task.last_status == "RUNNING"]
    assert len(running) == 4
    assert set(world.interfaces) == {each.id for task in running for each in task.attachments}
    assert all(world.now_of(task).last_status == "STOPPED" for task in tasks)


def _resources(**members: Any) -> Any:

    return Resources(cpu=2048, memory=3884, **members)


def _balancer(world: AttachmentWorld) -> Any:
    return world.tasks()[0].service.load_balancers[0]  # type: ignore[union-attr]


VOLUME_WISH = TaskVolume(name="data", type="gp3", size=8)


def test_a_task_waits_for_its_interface_and_its_volume(world: AttachmentWorld) -> None:
    (task,) = world.launch(volume=VOLUME_WISH).tasks
    assert [each.type for each in task.attachments] == [INTERFACE, VOLUME]
    world.drops = lambda command: isinstance(command, ProvideAttachment) and command.type == VOLUME
    world.run(20)
    waiting = world.now_of(task)
    assert (waiting.last_status, [each.status for each in waiting.attachments]) == (
        "PROVISIONING",
        [ATTACHED, PRECREATED],
    )
    world.drops = lambda command: False
    world.run(30, until=lambda: world.now_of(task).last_status == "RUNNING")
    (asked,) = [each for each in world.asked if each.type == VOLUME]
    assert (asked.volume, asked.zone) == (VOLUME_WISH, task.zone)
    world.stop(task)
    world.run(30)
    assert (world.now_of(task).last_status, world.interfaces) == ("STOPPED", {})


def test_a_volume_that_does_not_come_in_time_is_the_reason(world: AttachmentWorld) -> None:
    world.drops = lambda command: isinstance(command, ProvideAttachment) and command.type == VOLUME
    (task,) = world.launch(volume=VOLUME_WISH).tasks
    world.run(PATIENCE_S + 10)
    assert world.now_of(task).stopped_reason == "Timeout waiting for EBS volume attachment to complete."
    assert world.interfaces == {}


@pytest.mark.parametrize("deletes", [True, False])
def test_what_is_to_outlive_its_task_is_kept(world: AttachmentWorld, deletes: bool) -> None:
    released: list[ReleaseAttachment] = []
    (task,) = world.launch(volume=replace(VOLUME_WISH, deletes=deletes)).tasks
    world.run(30, until=lambda: world.now_of(task).last_status == "RUNNING")

    def note(command: Any) -> bool:
        if isinstance(command, ReleaseAttachment):
            released.append(command)
        return False

    world.drops = note
    world.stop(task)
    world.run(30)
    assert {(each.type, each.keep) for each in released} == {(INTERFACE, False), (VOLUME, not deletes)}
