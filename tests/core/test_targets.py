"""Targets follow the tasks: registered, judged by, drained before a stop, whatever gets lost on the way."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from awsorch.core import events
from awsorch.core.commands import SendTasks, SyncTargets
from awsorch.core.events_services import SeenTarget, TargetsFailed, TargetsSeen
from awsorch.core.model import LoadBalancer, NetworkBinding, Task
from awsorch.core.model_attachments import INTERFACE, Attachment
from awsorch.core.planners.sync_targets import LONGEST_DRAIN_S
from awsorch.core.services.targets import address_of, targets_state
from awsorch.core.state import ClusterState
from tests.support.builders import a_definition, a_task, an_instance
from tests.support.service_world import GROUP, Conduct, ServiceWorld

WHERE = f"in (target-group {GROUP})"


@pytest.fixture
def world() -> ServiceWorld:
    return ServiceWorld()


class Balancer:
    """Answers SyncTargets by hand: ``asked`` are those that were not answered yet."""

    def __init__(self, world: ServiceWorld) -> None:
        self.world = world
        self.asked: list[SyncTargets] = []
        self.told: list[SendTasks] = []
        world.drops = self._take

    def _take(self, command: Any) -> bool:
        if isinstance(command, SyncTargets):
            self.asked.append(command)
            return True
        self.told.append(command)
        return False

    def say(self, states: dict[tuple[str, int], str], of: SyncTargets | None = None, **words: Any) -> None:
        """Answer the newest command (or ``of``): the whole group, by target."""
        command = of or self.asked[-1]
        self.world.act(
            TargetsSeen(
                group=command.group,
                revision=command.revision,
                targets=tuple(SeenTarget(target_id=i, port=p, state=s, **words) for (i, p), s in states.items()),
                registered=frozenset(command.register),
                deregistered=frozenset(command.deregister),
            )
        )

    def fail(self, **members: Any) -> None:
        """Answer that it came to nothing."""
        failure = {"action": "register", "code": "Bad", "message": "no", **members}
        self.world.act(TargetsFailed(group=GROUP, **failure))


def registered(world: ServiceWorld) -> set[tuple[str, int]]:
    return set(world.registered)


def addresses(world: ServiceWorld, tasks: Iterable[Task]) -> set[tuple[str, int]]:
    balancer = LoadBalancer(target_group_arn=GROUP, container_name="app", container_port=80)
    found = {address_of(world.state, task, balancer) for task in tasks}
    return {address for address in found if address is not None}


def steady(world: ServiceWorld) -> None:
    world.run(600, until=world.steady)


def one_task(world: ServiceWorld) -> tuple[Balancer, Task, tuple[str, int]]:
    """A service of one task that is registered and healthy, and the balancer that said so."""
    balancer = Balancer(world)
    world.create(count=1, balanced=True)
    world.run(30, until=lambda: bool(balancer.asked and balancer.asked[-1].register))
    (address,) = balancer.asked[-1].register
    balancer.say({address: "healthy"})
    (task,) = world.tasks()
    return balancer, task, address


def test_a_service_is_steady_when_its_targets_are_healthy(world: ServiceWorld) -> None:
    world.create(count=3, balanced=True)
    steady(world)
    assert registered(world) == addresses(world, world.tasks())
    started, put, completed, last = world.said()
    assert started.startswith("has started 3 tasks")
    assert put == f"registered 3 targets {WHERE}"
    assert completed.endswith("deployment completed.")
    assert last == "has reached a steady state."


def test_a_rollout_says_what_it_does_to_targets_in_ecs_order(world: ServiceWorld) -> None:
    world.create(count=2, balanced=True)
    steady(world)
    before = len(world.said())
    old = world.primary().id
    world.deploy()
    world.run(30)
    assert registered(world) == addresses(world, world.tasks())
    said = [text.split(" (task")[0].split(" (target-group")[0] for text in world.said()[before:]]
    assert [text for text in said if "deployment" not in text and "steady" not in text] == [
        "has started 2 tasks:",
        "registered 2 targets in",
        "has stopped 2 running tasks:",
        "deregistered 2 targets in",
        "has begun draining connections on 2 tasks.",
    ]
    heads = [event.message for event in world.state.service_events.values() if "draining" in event.message]
    assert heads == [f"(service web, taskSet {old}) has begun draining connections on 2 tasks."]


def test_a_task_is_stopped_after_its_targets_have_drained(world: ServiceWorld) -> None:
    balancer, task, address = one_task(world)
    balancer.told.clear()
    stopping = world.act(events.StopTask(task_id=task.id))
    assert (stopping.last_status, stopping.desired_status, stopping.told_status) == (
        "DEACTIVATING",
        "STOPPED",
        "RUNNING",
    )
    world.run(60)
    assert balancer.asked[-1].deregister == (address,)
    balancer.say({address: "draining"})
    world.run(60)
    assert balancer.asked[-1].deregister == (), "what drains need not be deregistered again"
    assert not any(task.id in (command.task_ids or ()) for command in balancer.told)
    balancer.say({})
    assert world.state.tasks[task.id].last_status == "STOPPING"
    assert [command.task_ids for command in balancer.told if task.id in (command.task_ids or ())] == [(task.id,)]
    world.run(1)
    assert world.state.tasks[task.id].last_status == "STOPPED"


def test_a_stop_that_got_lost_after_draining_is_sent_again(world: ServiceWorld) -> None:
    balancer, task, _ = one_task(world)
    world.act(events.StopTask(task_id=task.id))
    world.run(1)
    world.drops = lambda command: True
    balancer.say({})
    world.drops = lambda command: isinstance(command, SyncTargets)
    world.run(60)
    assert world.state.tasks[task.id].last_status == "STOPPED"


def test_a_container_that_runs_is_let_in_when_its_check_says_so(world: ServiceWorld) -> None:
    balancer = Balancer(world)
    world.conduct["web:1"] = Conduct(health="UNKNOWN")
    definition = a_definition()
    document = dict(definition.definition)
    document["containerDefinitions"] = [{**document["containerDefinitions"][0], "healthCheck": {"command": ["true"]}}]
    wish = replace(world.wish("web", 1, balanced=True), definition=replace(definition, definition=document))
    world.wish = lambda *_, **__: wish  # type: ignore[method-assign]
    world.create(count=1, balanced=True)
    world.run(30)
    (task,) = world.tasks()
    assert not balancer.asked
    world.act(events.HealthReported(task_id=task.id, health={"app": "HEALTHY"}))
    world.run(1)
    (address,) = balancer.asked[-1].register
    balancer.say({address: "initial"})
    world.act(events.HealthReported(task_id=task.id, health={"app": "UNKNOWN"}))
    world.run(5)
    assert balancer.asked[-1].deregister == (), "who gets traffic is now for the load balancer to say"


@pytest.mark.parametrize("seed", range(12))
def test_whatever_gets_lost_targets_end_equal_to_the_tasks(seed: int) -> None:
    world = ServiceWorld()
    chance = random.Random(seed)
    world.drops = lambda command: chance.random() < 0.3
    world.create(count=4, balanced=True)
    world.run(chance.uniform(1, 20))
    world.deploy()
    world.run(chance.uniform(1, 20))
    for task in world.tasks()[:2]:
        world.crash(task.id)
    world.update(desired_count=3)
    steady(world)
    world.drops = lambda command: False
    world.run(120)
    assert len(world.tasks()) == 3
    assert registered(world) == addresses(world, world.tasks())
    assert len(world.state.targets) == 3


def test_targets_of_others_are_left_alone(world: ServiceWorld) -> None:
    world.registered["i-other", 80] = 0.0
    world.create(count=1, balanced=True)
    steady(world)
    world.update(desired_count=0)
    world.run(60)
    assert registered(world) == {("i-other", 80)}
    assert not world.state.targets


def test_a_target_that_vanished_is_registered_again(world: ServiceWorld) -> None:
    world.create(count=1, balanced=True)
    steady(world)
    world.registered.clear()
    world.run(60)
    assert registered(world) == addresses(world, world.tasks())


def test_a_crashed_task_leaves_its_group_and_its_port_may_be_used_again(world: ServiceWorld) -> None:
    balancer, task, address = one_task(world)
    world._ports -= 1
    world.crash(task.id)
    world.run(10, until=lambda: bool(world.tasks()))
    world.run(1)
    assert balancer.asked[-1].register == (address,)
    (new,) = world.tasks()
    (target,) = world.state.targets.values()
    assert (target.task_id, target.state) == (new.id, None)
    assert targets_state(world.state, new) == ("UNKNOWN", None)
    balancer.say({address: "healthy"})
    assert targets_state(world.state, new) == ("HEALTHY", None)


def test_an_answer_from_before_the_wish_changed_says_nothing(world: ServiceWorld) -> None:
    balancer, task, address = one_task(world)
    world.run(30)
    early = balancer.asked[-1]
    world.act(events.StopTask(task_id=task.id))
    world.run(1)
    deregister = balancer.asked[-1]
    balancer.say({}, of=replace(early, deregister=(address,)))
    assert world.state.tasks[task.id].last_status == "DEACTIVATING"
    balancer.say({}, of=deregister)
    assert world.state.tasks[task.id].last_status == "STOPPING"


@pytest.mark.parametrize("state", ["initial", "unused", "unavailable", "absent"])
def test_what_is_neither_healthy_nor_unhealthy_waits(world: ServiceWorld, state: str) -> None:
    balancer, task, address = one_task(world)
    balancer.say({address: state} if state != "absent" else {})
    assert world.state.tasks[task.id].desired_status == "RUNNING"
    assert targets_state(world.state, task) == ("UNKNOWN", None)


def test_a_target_group_without_health_checks_takes_targets_as_they_are(world: ServiceWorld) -> None:
    balancer, task, address = one_task(world)
    balancer.say({address: "unavailable"}, reason="Target.HealthCheckDisabled")
    assert targets_state(world.state, task) == ("HEALTHY", None)


def test_unhealthy_targets_are_said_with_their_reason(world: ServiceWorld) -> None:
    balancer, task, address = one_task(world)
    words = {"reason": "Target.Timeout", "description": "Request timed out"}
    balancer.say({address: "unhealthy"}, **words)
    balancer.say({address: "unhealthy"}, **words)
    expected = f"(task {task.id}) (instance {address[0]}) (port {address[1]}) is unhealthy {WHERE}"
    assert [text for text in world.said() if "unhealthy" in text] == [f"{expected} due to (reason Request timed out)"]
    assert targets_state(world.state, task) == ("UNHEALTHY", f"Task failed ELB health checks {WHERE}")


def test_failures_are_said_once_while_they_last(world: ServiceWorld) -> None:
    balancer, _, address = one_task(world)
    for _ in range(3):
        balancer.fail()
        balancer.fail(action="describe", throttled=True)
    balancer.say({})
    balancer.fail()
    text = f"failed to register targets {WHERE} with (error Bad: no)"
    throttled = "operations are being throttled on elb. Will try again later."
    assert [said for said in world.said() if said in (text, throttled)] == [text, throttled]
    balancer.say({address: "healthy"})
    balancer.fail()
    assert world.said().count(text) == 2


def test_a_deleted_target_group_keeps_no_task_from_being_stopped(world: ServiceWorld) -> None:
    balancer, task, _ = one_task(world)
    balancer.fail(action="describe", gone=True)
    balancer.fail(action="describe", gone=True)
    text = f"{world.primary().id} is not healthy in target-group {GROUP} due to TARGET GROUP IS NOT FOUND"
    assert world.said().count(text) == 1
    assert world.state.tasks[task.id].desired_status == "RUNNING", "its containers are all right"
    world.act(events.StopTask(task_id=task.id))
    world.run(1)
    balancer.fail(action="deregister", gone=True)
    assert world.state.tasks[task.id].last_status == "STOPPING"
    world.run(10)
    assert world.state.tasks[task.id].last_status == "STOPPED"


def test_no_draining_is_awaited_for_ever(world: ServiceWorld) -> None:
    balancer, task, address = one_task(world)
    world.act(events.StopTask(task_id=task.id))
    world.run(5)
    balancer.say({address: "draining"})
    world.run(LONGEST_DRAIN_S - 30)
    assert world.state.tasks[task.id].last_status == "DEACTIVATING"
    world.run(60)
    assert world.state.tasks[task.id].last_status == "STOPPED"


def test_a_task_whose_instance_is_deregistered_while_it_drains_ends(world: ServiceWorld) -> None:
    balancer, task, address = one_task(world)
    world.act(events.StopTask(task_id=task.id))
    world.act(events.DeregisterInstance(instance_id=task.instance_id or "", force=True))
    world.run(5)
    assert world.state.tasks[task.id].last_status == "STOPPED"
    assert balancer.asked[-1].deregister == (address,)
    balancer.say({})
    assert not [target for target in world.state.targets.values() if target.task_id == task.id]


def test_the_quieter_a_group_the_seldomer_it_is_asked(world: ServiceWorld) -> None:
    balancer, _, address = one_task(world)
    balancer.asked.clear()
    world.run(20)
    soon = len(balancer.asked)
    world.run(400)
    balancer.asked.clear()
    world.run(200)
    assert len(balancer.asked) == 10
    assert soon >= 5
    assert all(not command.register and not command.deregister for command in balancer.asked)
    balancer.say({address: "initial"})
    balancer.asked.clear()
    world.run(10)
    assert len(balancer.asked) >= 4


def test_a_group_without_targets_is_not_asked(world: ServiceWorld) -> None:
    world.create(count=1, balanced=True)
    steady(world)
    world.update(desired_count=0)
    world.run(120)
    balancer = Balancer(world)
    looks = world.looks
    world.run(3600)
    assert not balancer.asked
    assert world.looks - looks < 10


def test_many_targets_take_many_bounded_looks() -> None:
    world = ServiceWorld(instances=12)
    balancer = Balancer(world)
    act, sizes = world.act, [0]

    def counted(event: events.Event) -> Any:
        reply = act(event)
        sizes.append(len(world.state.targets))
        return reply

    world.act = counted  # type: ignore[method-assign]
    world.create(count=120, balanced=True)
    world.run(60)
    assert max(later - earlier for earlier, later in pairwise(sizes)) <= 50
    assert sizes[-1] == len(balancer.asked[-1].register) == 120


# --- addresses -------------------------------------------------------------------------------------------------------


def state_with(task: Task, mode: str = "bridge", **instance: Any) -> ClusterState:
    definition = a_definition()
    state = ClusterState("seed")
    made = replace(definition, definition={**definition.definition, "networkMode": mode})
    state.load([made, an_instance(**{"ec2_instance_id": "i-1", **instance}), task], 1)
    return state


def running_task(**members: Any) -> Task:
    task = a_task(instance_id=an_instance().id, last_status="RUNNING", started_at=1.0)
    binding = NetworkBinding(container_port=80, host_port=32768)
    return replace(task, containers=(replace(task.containers[0], network_bindings=(binding,)),), **members)


TO_GROUP = LoadBalancer(target_group_arn=GROUP, container_name="app", container_port=80)
ENI = Attachment(id="a", type=INTERFACE, details={"privateIPv4Address": "10.0.0.7"})


@pytest.mark.parametrize(
    ("mode", "task", "balancer", "expected"),
    [
        ("bridge", running_task(), TO_GROUP, ("i-1", 32768)),
        ("bridge", running_task(), replace(TO_GROUP, container_port=81), None),
        ("host", running_task(), TO_GROUP, ("i-1", 80)),
        ("awsvpc", running_task(attachments=(ENI,)), TO_GROUP, ("10.0.0.7", 80)),
        ("awsvpc", running_task(), TO_GROUP, None),
        ("bridge", running_task(), replace(TO_GROUP, target_group_arn=None, load_balancer_name="old"), ("i-1", 0)),
    ],
)
def test_what_stands_for_a_task_follows_from_its_network(
    mode: str, task: Task, balancer: LoadBalancer, expected: tuple[str, int] | None
) -> None:
    assert address_of(state_with(task, mode), task, balancer) == expected


def test_a_machine_that_is_no_ec2_instance_is_said_to_have_no_address(world: ServiceWorld) -> None:
    for instance in list(world.state.instances.values()):
        world.state.set(type(instance), instance.id, replace(instance, ec2_instance_id=None))
    world.create(count=1, balanced=True)
    world.run(30)
    (task,) = world.tasks()
    error = f"(error task {task.id} has no address for container app, port 80)"
    assert f"failed to register targets {WHERE} with {error}" in world.said()
