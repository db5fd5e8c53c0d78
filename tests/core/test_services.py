"""Services are kept at their count and rolled out within their bounds."""

from __future__ import annotations

from collections import Counter

import pytest

from awsorch.core.commands import SendTasks
from awsorch.core.errors import Refusal
from awsorch.core.events import Look, StopTask, TaskRefused
from awsorch.core.events_services import ProtectTasks, StopServiceDeployment
from awsorch.core.model import Strategy
from awsorch.core.rules import services
from tests.support.service_world import ROLLING, Conduct, ServiceWorld

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


@pytest.fixture
def world() -> ServiceWorld:
    return ServiceWorld()


def steady(world: ServiceWorld, name: str = "web") -> None:
    world.run(600, until=lambda: world.steady(name))


def test_a_new_service_starts_its_tasks_and_says_so(world: ServiceWorld) -> None:
    world.create(count=3)
    assert (world.primary().status, world.primary().rollout_state) == ("PRIMARY", "IN_PROGRESS")
    steady(world)
    assert len(world.tasks()) == 3
    assert world.primary().rollout_state == "COMPLETED"
    assert world.primary().rollout_reason == f"ECS deployment {world.primary().id} completed."
    started, completed, last = world.said()
    assert started.startswith("has started 3 tasks: (task ")
    assert completed == f"(deployment {world.primary().id}) deployment completed."
    assert last == "has reached a steady state."


def test_tasks_spread_over_zones(world: ServiceWorld) -> None:
    world.create(count=6)
    steady(world)
    assert sorted(Counter(task.zone for task in world.tasks()).values()) == [2, 2, 2]
    assert {task.started_by for task in world.tasks()} == {world.primary().id}
    assert {task.group for task in world.tasks()} == {"service:web"}


def test_a_crashed_task_is_replaced(world: ServiceWorld) -> None:
    world.create(count=3)
    steady(world)
    world.run(30)
    world.crash(world.tasks()[0].id)
    world.run(2)
    assert len(world.tasks()) == 3
    steady(world)
    assert world.primary().failed_tasks == 0


def test_a_stopped_task_is_replaced_and_is_no_failure(world: ServiceWorld) -> None:
    world.create(count=1)
    steady(world)
    world.act(StopTask(task_id=world.tasks()[0].id))
    world.run(10)
    assert len(world.tasks()) == 1
    assert world.primary().failed_tasks == 0


def test_scaling_out_and_in_keeps_zones_even(world: ServiceWorld) -> None:
    world.create(count=3)
    steady(world)
    world.update(desired_count=9)
    steady(world)
    assert len(world.tasks()) == 9
    world.update(desired_count=3)
    steady(world)
    assert sorted(Counter(task.zone for task in world.tasks()).values()) == [1, 1, 1]
    world.run(5)
    reason = {t.stopped_reason for t in world.tasks(status="STOPPED")}
    assert reason == {f"Scaling activity initiated by (deployment {world.primary().id})"}


def test_binpack_scales_in_on_the_emptiest_instance(world: ServiceWorld) -> None:
    world.create(count=3, name="other", family="other", strategies=(Strategy(type="binpack", field="memory"),))
    world.create(count=4, strategies=(Strategy(type="spread", field="instanceId"),))
    steady(world)
    world.update(strategies=(Strategy(type="binpack", field="memory"),), desired_count=1)
    steady(world)
    assert world.tasks()[0].instance_id == world.tasks("other")[0].instance_id


@pytest.mark.parametrize(
    ("minimum", "maximum", "most", "least"),
    [(100, 200, 8, 4), (100, 125, 5, 4), (50, 100, 4, 2), (75, 125, 5, 3), (0, 100, 4, 0)],
)
def test_a_rollout_stays_within_its_bounds(
    world: ServiceWorld, minimum: int, maximum: int, most: int, least: int
) -> None:
    world.create(count=4, configuration={"minimumHealthyPercent": minimum, "maximumPercent": maximum})
    steady(world)
    first = world.primary()
    world.deploy()
    assert [d.status for d in world.deployments()] == ["PRIMARY", "ACTIVE"]
    lives, healthies = [], []

    def done() -> bool:
        crews = world.state.service_index.crews("web").values()
        lives.append(sum(crew.live for crew in crews))
        healthies.append(sum(len(crew.healthy) for crew in crews))
        return world.steady()

    world.run(600, until=done)
    assert max(lives) <= most
    assert min(healthies) >= least
    assert {task.definition for task in world.tasks()} == {"web:2"}
    assert [d.number for d in world.deployments()] == [world.primary().number] != [first.number]


def test_a_rollout_that_can_not_move_says_so(world: ServiceWorld) -> None:
    world.create(count=2, configuration={"maximumPercent": 100})
    steady(world)
    world.deploy()
    world.run(60)
    assert world.said()[-1].startswith("was unable to stop or start tasks during a deployment because of the service")
    assert len(world.tasks()) == 2
    world.update(configuration={"maximumPercent": 150, "minimumHealthyPercent": 100})
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:2"}


def test_the_breaker_stops_a_rollout_and_turns_back(world: ServiceWorld) -> None:
    world.create(count=4, configuration=BREAKER)
    steady(world)
    world.conduct["web:2"] = Conduct(fails=True)
    world.deploy()
    bad = world.primary()
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:1"}
    failed = f"(deployment {bad.id}) deployment failed: tasks failed to start."
    back = f"rolling back to deployment {world.primary().id}."
    assert [text for text in world.said() if "fail" in text or "rolling" in text] == [failed, back]
    history = world.state.service_deployments[f"web/{world.service().service_deployment}"]
    assert (history.status, history.failure_count, history.failure_threshold) == ("ROLLBACK_SUCCESSFUL", 4, 3)
    assert history.rollback is not None
    assert history.rollback.revision == world.primary().revision


def test_containers_that_end_before_they_are_healthy_open_the_breaker() -> None:
    world = ServiceWorld(settle=40)
    world.create(count=1, configuration=BREAKER)
    steady(world)
    world.conduct["web:2"] = Conduct(exits_after=2)
    world.deploy()
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:1"}


def test_without_rollback_the_old_tasks_stay(world: ServiceWorld) -> None:
    world.create(count=4, configuration={"deploymentCircuitBreaker": {"enable": True, "rollback": False}})
    steady(world)
    world.conduct["web:2"] = Conduct(fails=True)
    world.deploy()
    world.run(600)
    assert world.primary().rollout_state == "FAILED"
    assert world.primary().rollout_reason == "ECS deployment circuit breaker: tasks failed to start."
    assert {task.definition for task in world.tasks()} == {"web:1"}
    world.crash(world.tasks()[0].id)
    world.run(60)
    assert [task.definition for task in world.tasks()] == ["web:1"] * 4
    world.deploy(revision=3)
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:3"}


def test_a_first_deployment_that_fails_has_nowhere_to_go(world: ServiceWorld) -> None:
    world.conduct["web:1"] = Conduct(fails=True)
    world.create(count=2, configuration=BREAKER)
    world.run(600)
    assert world.primary().rollout_state == "FAILED"
    assert not world.tasks()
    started = len(world.tasks(status="STOPPED"))
    world.run(3000)
    assert len(world.tasks(status="STOPPED")) == started


def test_starts_that_keep_failing_are_throttled(world: ServiceWorld) -> None:
    world.conduct["web:1"] = Conduct(fails=True)
    world.create(count=1)
    world.run(600)
    assert 5 <= world.primary().failed_tasks <= 10
    assert any("is unable to consistently start tasks successfully." in text for text in world.said())
    assert world.primary().rollout_state == "IN_PROGRESS"
    world.conduct["web:1"] = Conduct()
    world.run(1800, until=world.steady)


def test_two_updates_at_once_leave_one_winner(world: ServiceWorld) -> None:
    world.create(count=4)
    steady(world)
    world.deploy(revision=2)
    world.run(1.5)
    world.deploy(revision=3)
    assert [d.status for d in world.deployments()] == ["PRIMARY", "ACTIVE", "ACTIVE"]
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:3"}
    assert len(world.deployments()) == 1
    states = sorted(h.status for h in world.state.service_deployments.values())
    assert states == ["STOPPED", "SUCCESSFUL", "SUCCESSFUL"]


def test_a_cluster_without_room_says_why_and_goes_on_when_there_is(world: ServiceWorld) -> None:
    world.create(count=4, port=8080)
    world.run(30)
    assert len(world.tasks()) == 3
    assert "is already using a port required by your task" in world.said()[-1]
    world.run(600)
    assert sum("was unable to place a task" in text for text in world.said()) == 1
    world.add_instance()
    steady(world)
    assert len(world.tasks()) == 4


def test_an_empty_cluster_is_named() -> None:
    world = ServiceWorld(instances=0)
    world.create(count=1)
    world.run(10)
    assert "Reason: No Container Instances were found in your cluster." in world.said()[0]
    world.add_instance()
    steady(world)


def test_a_daemon_is_on_every_instance(world: ServiceWorld) -> None:
    world.create(
        scheduling_strategy="DAEMON", count=0, configuration={"maximumPercent": 100, "minimumHealthyPercent": 0}
    )
    steady(world)
    assert world.service().desired_count == 3
    assert len({task.instance_id for task in world.tasks()}) == 3
    world.add_instance()
    world.run(20)
    assert len({task.instance_id for task in world.tasks()}) == 4
    world.deploy()
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:2"}
    assert len({task.instance_id for task in world.tasks()}) == len(world.tasks()) == 4


def test_unhealthy_tasks_are_replaced_but_not_in_their_grace_period(world: ServiceWorld) -> None:
    world.create(count=2, balanced=True, grace_seconds=60)
    steady(world)
    world.run(60)
    sick = world.tasks()[0]
    port = sick.containers[0].network_bindings[0].host_port
    assert port is not None
    instance = world.state.instances[sick.instance_id or ""]
    world.health[instance.ec2_instance_id or "", port] = "UNHEALTHY"
    world.run(120)
    steady(world)
    assert sick.id not in [task.id for task in world.tasks()]
    stopped = world.state.tasks[sick.id]
    assert stopped.stop_code == "ServiceSchedulerInitiated"
    assert (stopped.stopped_reason or "").startswith("Task failed ELB health checks in (target-group arn:")


def test_deleting_a_service(world: ServiceWorld) -> None:
    world.create(count=2)
    steady(world)
    with pytest.raises(Refusal, match="The service cannot be stopped while it is scaled above 0"):
        world.delete()
    assert world.delete(force=True).status == "DRAINING"
    world.run(30)
    assert world.service().status == "INACTIVE"
    assert not world.tasks()
    world.create(count=1)
    steady(world)
    world.update(desired_count=0)
    world.run(30)
    world.delete()
    world.run(4000)
    assert not world.state.services
    assert not world.state.service_events
    assert not world.state.service_revisions
    assert not world.state.service_deployments


def test_zones_are_evened_out_new_tasks_first() -> None:
    world = ServiceWorld(instances=1)
    world.create(count=4, zone_rebalancing="ENABLED")
    steady(world)
    world.add_instance()
    world.act(Look(planner="keep_services", subject="web"))
    assert world.service().moving == 2
    steady(world)
    world.run(5)
    assert sorted(Counter(task.zone for task in world.tasks()).values()) == [2, 2]
    assert "is not AZ balanced with 4 tasks in us-east-1b, 0 tasks in us-east-1c" in "\n".join(world.said())
    stopped = [task.stopped_reason for task in world.tasks(status="STOPPED")]
    assert len(stopped) == 2
    assert set(stopped) == {f"Availability-zone rebalancing initiated by (deployment {world.primary().id})"}


def test_protected_tasks_stay(world: ServiceWorld) -> None:
    world.create(count=3)
    steady(world)
    kept = world.tasks()[0]
    world.act(ProtectTasks(task_ids=(kept.id,), until=world.now + 600))
    world.update(desired_count=0)
    world.run(60)
    assert [task.id for task in world.tasks()] == [kept.id]
    assert "was unable to scale in" in world.said()[-1]
    assert world.act(ProtectTasks(task_ids=(kept.id,), until=None)) == {kept.id: world.state.tasks[kept.id]}
    steady(world)
    assert not world.tasks()


def test_a_protection_that_runs_out_lets_a_deployment_go_on(world: ServiceWorld) -> None:
    world.create(count=2)
    steady(world)
    kept = world.tasks()[0]
    world.act(ProtectTasks(task_ids=(kept.id,), until=world.now + 600))
    world.deploy()
    world.run(300)
    assert sorted(task.definition for task in world.tasks()) == ["web:1", "web:2", "web:2"]
    assert world.primary().rollout_state == "IN_PROGRESS"
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:2"}


def test_turning_back_by_hand(world: ServiceWorld) -> None:
    world.create(count=2)
    steady(world)
    first = world.primary().revision
    world.conduct["web:2"] = Conduct(start_seconds=60)
    world.deploy()
    world.run(10)
    history = world.service().service_deployment
    world.act(StopServiceDeployment(service="web", id=history or ""))
    steady(world)
    assert world.primary().revision == first
    assert {task.definition for task in world.tasks()} == {"web:1"}
    with pytest.raises(Refusal, match="can't be stopped because its status is ROLLBACK_SUCCESSFUL"):
        world.act(StopServiceDeployment(service="web", id=history or ""))
    assert world.state.service_deployments[f"web/{history}"].status == "ROLLBACK_SUCCESSFUL"


def test_alarms_fail_a_deployment_unless_they_were_on_before(world: ServiceWorld) -> None:
    alarms = {"alarms": {"alarmNames": ["high"], "enable": True, "rollback": True}, "bakeTimeInMinutes": 2}
    world.create(count=1)
    steady(world)
    world.update(configuration={**ROLLING, **alarms})
    world.alarms_on = {"high"}
    world.deploy(revision=2)
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:2"}
    world.alarms_on = set()
    world.deploy(revision=3)
    world.run(60)
    assert world.primary().rollout_state == "IN_PROGRESS"
    world.alarms_on = {"high"}
    steady(world)
    assert {task.definition for task in world.tasks()} == {"web:2"}
    assert any(text.endswith("deployment failed: alarm detected.") for text in world.said())


def test_a_deployment_completes_when_its_older_tasks_get_no_more_requests(world: ServiceWorld) -> None:
    world.create(count=2, balanced=True)
    steady(world)
    world.deploy()
    world.run(600, until=lambda: world.primary().rollout_state == "COMPLETED")
    old = {task.id for task in world.state.tasks.values() if task.definition == "web:1"}
    serving = {target.task_id for target in world.state.targets.values() if target.state != "draining"}
    assert not old & serving
    texts = [text.split(" ")[0] for text in world.said()]
    assert texts.index("(deployment", 4) > texts.index("deregistered")


def test_a_cluster_has_so_many_services_that_are_not_gone(world: ServiceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_SERVICES", 2)
    world.create("a", count=0)
    world.create("b", count=0)
    with pytest.raises(Refusal, match=r"The cluster has reached the limit of 2 services\."):
        world.create("c", count=0)
    world.delete("a", force=True)
    world.run(5, until=lambda: world.state.services["a"].status == "INACTIVE")
    world.create("c", count=0)
    assert world.state.services["c"].status == "ACTIVE"


def test_a_role_that_cannot_be_assumed_is_said_once(world: ServiceWorld) -> None:
    why = "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/gone' that was provided for this task."
    world.drops = lambda command: isinstance(command, SendTasks)
    world.create(count=2)
    world.run(5)
    for task in list(world.state.tasks.values()):
        world.act(TaskRefused(task_id=task.id, reason=why))
    assert [each for each in world.said() if "failed to launch" in each] == [
        f"failed to launch a task with (error {why})."
    ]
    assert {task.stop_code for task in world.state.tasks.values()} == {"TaskFailedToStart"}
