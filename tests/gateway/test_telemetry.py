"""An agent's telemetry conversation: acknowledgements, and which of its words are news to the state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from awsorch.core.events import HealthReported, InstanceHealthReported
from awsorch.core.model import ContainerInstance, Task
from awsorch.core.state import ClusterState
from awsorch.core.utilization import Used
from awsorch.gateway.control import HEARTBEAT_S, Instance
from awsorch.gateway.telemetry import SAMPLES_LIMIT, SILENCE_S, TelemetrySession
from awsorch.wire import tcs
from tests.support.builders import a_task, an_instance

INSTANCE = an_instance("1" * 32)


def a_session() -> TelemetrySession:
    return TelemetrySession(Instance(cluster="default", id=INSTANCE.id, arn=INSTANCE.arn, cluster_arn="c"), 0.0)


def a_state(*records: Any) -> ClusterState:
    state = ClusterState("seed")
    for record in records:
        state.set(type(record), record.key, record)
    return state


def checked_task(health: str = "UNKNOWN", **members: Any) -> Task:
    task = a_task("2" * 32, instance_id=INSTANCE.id)
    container = replace(task.containers[0], has_health_check=True, health_status=health, **members)
    return replace(task, containers=(container,))


def health_of(task: Task, status: str, name: str = "app") -> tcs.PublishHealthRequest:
    containers = (tcs.ContainerHealth(container_name=name, health_status=status),)
    return tcs.PublishHealthRequest(tasks=(tcs.TaskHealth(task_arn=task.arn, containers=containers),))


def metrics(fin: bool, **values: float) -> tcs.PublishMetricsRequest:
    containers = tuple(
        tcs.ContainerMetric(container_name=name, cpu_stats_set=tcs.DoubleStats(max=value))
        for name, value in values.items()
    )
    return tcs.PublishMetricsRequest(
        metadata=tcs.MetricsMetadata(fin=fin),
        task_metrics=(tcs.TaskMetric(task_arn="t", container_metrics=containers),),
    )


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (tcs.PublishMetricsRequest(), tcs.AckPublishMetric),
        (tcs.PublishHealthRequest(), tcs.AckPublishHealth),
        (tcs.PublishInstanceStatusRequest(), tcs.AckPublishInstanceStatus),
    ],
)
def test_every_publication_is_acknowledged(message: tcs.TCSMessage, answer: type[tcs.TCSMessage]) -> None:
    heard = a_session().receive(message, a_state(INSTANCE), 1.0)
    assert type(heard.reply) is answer
    assert list(heard.events) == []


def test_what_is_no_publication_is_not_answered() -> None:
    for message in (None, tcs.AckPublishMetric()):
        assert a_session().receive(message, a_state(INSTANCE), 1.0).reply is None


def test_only_a_change_of_health_is_news() -> None:
    session, task = a_session(), checked_task()
    (event,) = session.receive(health_of(task, "HEALTHY"), a_state(INSTANCE, task), 1.0).events
    assert isinstance(event, HealthReported)
    assert (event.task_id, event.health) == (task.id, {"app": "HEALTHY"})
    known = checked_task("HEALTHY")
    assert not session.receive(health_of(known, "HEALTHY"), a_state(INSTANCE, known), 2.0).events


@pytest.mark.parametrize(
    ("task", "status", "name"),
    [
        (checked_task(last_status="STOPPED"), "HEALTHY", "app"),
        (checked_task(), "SPLENDID", "app"),
        (checked_task(), "", "app"),
        (checked_task(), "HEALTHY", "other"),
        (a_task("2" * 32, instance_id=INSTANCE.id), "HEALTHY", "app"),
        (replace(checked_task(), instance_id="9" * 32), "HEALTHY", "app"),
    ],
    ids=["stopped", "no such status", "no status", "no such container", "no health check", "another's task"],
)
def test_what_cannot_be_true_is_no_news(task: Task, status: str, name: str) -> None:
    assert not a_session().receive(health_of(task, status, name), a_state(INSTANCE, task), 1.0).events


def test_a_task_that_is_gone_has_no_health() -> None:
    assert not a_session().receive(health_of(checked_task(), "HEALTHY"), a_state(INSTANCE), 1.0).events


def status(kind: str, value: str, **members: Any) -> tcs.PublishInstanceStatusRequest:
    return tcs.PublishInstanceStatusRequest(statuses=(tcs.InstanceStatus(type=kind, status=value, **members),))


def test_instance_health_is_news_in_ecs_words_when_it_changes() -> None:
    session = a_session()
    message = status("ContainerRuntime", "IMPAIRED", status_reason="x" * 5000, last_updated=5.5, last_status_change=4.5)
    (event,) = session.receive(message, a_state(INSTANCE), 1.0).events
    assert isinstance(event, InstanceHealthReported)
    assert event.health == {
        "CONTAINER_RUNTIME": {
            "status": "IMPAIRED",
            "statusReason": "x" * 1024,
            "lastUpdated": 5.5,
            "lastStatusChange": 4.5,
        }
    }
    known: ContainerInstance = replace(INSTANCE, health=event.health)
    assert not session.receive(message, a_state(known), 2.0).events
    assert session.receive(status("ContainerRuntime", "OK"), a_state(known), 3.0).events


@pytest.mark.parametrize(("kind", "value"), [("Mood", "OK"), ("ContainerRuntime", "SPLENDID"), ("", "")])
def test_unknown_checks_and_states_are_passed_over(kind: str, value: str) -> None:
    assert not a_session().receive(status(kind, value), a_state(INSTANCE), 1.0).events


def test_times_that_no_client_can_read_are_left_out() -> None:
    message = status("ContainerRuntime", "OK", last_updated=1e300, last_status_change=-1.0)
    (event,) = a_session().receive(message, a_state(INSTANCE), 1.0).events
    assert isinstance(event, InstanceHealthReported)
    assert event.health == {"CONTAINER_RUNTIME": {"status": "OK"}}


def test_an_instance_that_is_gone_has_no_health() -> None:
    assert not a_session().receive(status("ContainerRuntime", "OK"), a_state(), 1.0).events


def test_the_latest_complete_round_of_metrics_is_kept() -> None:
    session, state = a_session(), a_state(INSTANCE)
    session.receive(metrics(False, a=1.0), state, 1.0)
    assert session.metrics == {}
    session.receive(metrics(True, b=2.0), state, 1.0)
    assert set(session.metrics) == {("t", "a"), ("t", "b")}
    session.receive(metrics(True, b=3.0), state, 21.0)
    assert set(session.metrics) == {("t", "b")}
    stats = session.metrics["t", "b"].cpu_stats_set
    assert stats is not None
    assert stats.max == 3.0
    session.receive(tcs.PublishMetricsRequest(metadata=tcs.MetricsMetadata(idle=True, fin=True)), state, 41.0)
    assert session.metrics == {}


def test_metrics_are_bounded_whatever_the_agent_sends() -> None:
    session = a_session()
    for part in range(3):
        names = {f"c{part}-{number}": 1.0 for number in range(SAMPLES_LIMIT)}
        session.receive(metrics(part == 2, **names), a_state(INSTANCE), 1.0)
    assert len(session.metrics) == SAMPLES_LIMIT


def sample(task: str, name: str, *, cpu: float, memory: float, samples: int = 1) -> tcs.TaskMetric:
    def stats(value: float) -> tcs.DoubleStats:
        return tcs.DoubleStats(min=value, max=value, sum=value, sample_count=samples)

    metric = tcs.ContainerMetric(container_name=name, cpu_stats_set=stats(cpu), memory_stats_set=stats(memory))
    return tcs.TaskMetric(task_arn=task, container_metrics=(metric,))


def publish(session: TelemetrySession, *tasks: tcs.TaskMetric) -> None:
    metadata = tcs.MetricsMetadata(fin=True)
    session.receive(tcs.PublishMetricsRequest(metadata=metadata, task_metrics=tasks), a_state(INSTANCE), 1.0)


def test_what_a_task_used_is_the_average_of_its_rounds_and_the_sum_of_its_containers() -> None:
    session = a_session()
    publish(session, sample("t", "a", cpu=10.0, memory=100.0), sample("t", "b", cpu=5.0, memory=20.0))
    publish(session, sample("t", "a", cpu=40.0, memory=600.0, samples=2), sample("u", "a", cpu=1.0, memory=1.0))
    assert session.take_usage() == {"t": Used(cpu=20.0, memory=220.0), "u": Used(cpu=1.0, memory=1.0)}
    assert session.take_usage() == {}


@pytest.mark.parametrize(
    "odd",
    [
        sample("t", "a", cpu=float("nan"), memory=1.0),
        sample("t", "a", cpu=1.0, memory=float("inf")),
        sample("t", "a", cpu=-1.0, memory=1.0),
        sample("t", "a", cpu=1.0, memory=1.0, samples=0),
        tcs.TaskMetric(task_arn="t", container_metrics=(tcs.ContainerMetric(container_name="a"),)),
    ],
)
def test_what_is_no_figure_is_not_counted(odd: tcs.TaskMetric) -> None:
    session = a_session()
    publish(session, odd)
    assert session.take_usage() == {}


def test_a_heartbeat_is_due_only_where_there_was_nothing_to_acknowledge() -> None:
    session = a_session()
    assert session.due == HEARTBEAT_S
    session.receive(tcs.PublishMetricsRequest(), a_state(INSTANCE), 20.0)
    assert session.due == 20.0 + HEARTBEAT_S
    assert not session.tick(HEARTBEAT_S)
    assert session.tick(20.0 + HEARTBEAT_S)
    assert not session.tick(21.0 + HEARTBEAT_S)


def test_a_silent_agent_is_let_go_after_long() -> None:
    session = a_session()
    assert not session.is_silent(SILENCE_S - 1)
    assert session.is_silent(SILENCE_S)
    session.receive(None, a_state(), SILENCE_S)
    assert not session.is_silent(SILENCE_S + 1)
