"""Commands reach the port that fulfils them, and what comes of them the cluster that asked."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from awsorch.core.commands import CloseSession, Command, SendTasks, SyncTargets, UpdateAgent, WatchAlarms
from awsorch.core.events import Event, OpenGate
from awsorch.core.model import AgentPackage
from awsorch.engine.outbox import Outbox

SEND = SendTasks(instance_id="i", task_ids=("t",))
CLOSE = CloseSession(instance_id="i", reason="why")
PACKAGE = AgentPackage(version="2.0", location="https://example.com/a.whl", signature="a" * 64)
UPDATE = UpdateAgent(instance_id="i", package=PACKAGE, perform=False)
SYNC = SyncTargets(group="g", revision=1)
WATCH = WatchAlarms(service="s", deployment="1", names=("a",))


class Ports:
    """All of them: ``calls`` is what they were told, ``posted`` what an inbox got."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.posted: list[Event] = []

    def send_tasks(self, *told: Any) -> None:
        self.calls.append(told)

    def close_session(self, *told: Any) -> None:
        self.calls.append(told)

    def update_agent(self, *told: Any) -> None:
        self.calls.append(told)

    def sync_targets(self, *told: Any) -> None:
        self.calls.append(told)

    def watch_alarms(self, *told: Any) -> None:
        raise RuntimeError("broken")

    def post(self, event: Event) -> None:
        self.posted.append(event)


@pytest.fixture
def ports() -> Ports:
    return Ports()


@pytest.fixture
def outbox(ports: Ports) -> Outbox:
    made = Outbox()
    made.connect(agents=ports)
    made.connect_aws(targets=ports, alarms=ports, inboxes={"blue": ports})
    return made


@pytest.mark.parametrize(
    ("command", "told"),
    [(SEND, ("blue", "i", ("t",))), (CLOSE, ("blue", "i", "why")), (UPDATE, ("blue", UPDATE)), (SYNC, ("blue", SYNC))],
)
def test_commands_reach_their_port(outbox: Outbox, ports: Ports, command: Command, told: tuple[Any, ...]) -> None:
    outbox.send("cluster/blue", command)
    assert ports.calls == [told]


def test_a_port_that_fails_is_logged_and_keeps_nobody(
    outbox: Outbox, ports: Ports, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        outbox.send("cluster/blue", WATCH)
    assert "was not carried out; a planner will ask for it again" in caplog.text
    outbox.send("cluster/blue", SEND)
    assert len(ports.calls) == 1


@pytest.mark.parametrize("command", [SEND, CLOSE, SYNC, WATCH])
def test_what_is_not_connected_drops_its_commands(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    Outbox().send("cluster/blue", command)
    assert not caplog.records


def test_events_go_to_the_cluster_that_asked_if_it_is_still_there(outbox: Outbox, ports: Ports) -> None:
    event = OpenGate()
    outbox.post("blue", event)
    outbox.post("gone", event)
    assert ports.posted == [event]
