"""An agent's control conversation as a list of messages; time is passed in."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from awsorch.gateway.control import HEARTBEAT_S, SILENCE_S, ControlSession, Instance, Numbers
from awsorch.gateway.delivery import RESEND_LIMIT_S, RESEND_S, TASKS_LIMIT, WINDOW, Delivery, batches
from awsorch.wire import acs

ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/default/i1"
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/default"


class Conversation:
    """A session, and what the gateway would do with it; `tasks` is what the state says is unsettled."""

    def __init__(self, instance_id: str = "i1") -> None:
        ids, numbers = count(1), count(100)
        instance = Instance(cluster="default", id=instance_id, arn=ARN, cluster_arn=CLUSTER)
        self.session = ControlSession(instance, 0.0, lambda: f"m{next(ids)}")
        self.number = lambda: next(numbers)
        self.tasks: dict[str, acs.Task] = {}

    def flush(self, now: float) -> list[acs.PayloadMessage]:
        if not self.session.delivery.is_ready:
            return []
        pending, everything = self.session.delivery.take()
        wanted = self.tasks if everything else pending
        tasks = {task_id: self.tasks[task_id] for task_id in wanted if task_id in self.tasks}
        return [decoded(frame) for frame in self.session.payloads(tasks, pending, now, self.number)]

    def tell(self, now: float, *task_ids: str) -> list[acs.PayloadMessage]:
        for task_id in task_ids:
            self.tasks.setdefault(task_id, acs.Task(arn=task_id, desired_status="RUNNING"))
        self.session.delivery.want(task_ids)
        return self.flush(now)

    def ack(self, message: Any, now: float) -> None:
        ack = acs.AckRequest(cluster=CLUSTER, container_instance=ARN, message_id=message.message_id)
        assert self.session.receive(ack, now) is None


def decoded(frame: str) -> acs.PayloadMessage:
    message = acs.decode_acs(frame)
    assert isinstance(message, acs.PayloadMessage)
    return message


def arns(messages: list[acs.PayloadMessage]) -> list[list[str]]:
    return [[task.arn for task in message.tasks] for message in messages]


# --- payloads ---------------------------------------------------------------------------------------------------------


def test_a_payload_names_its_cluster_and_instance_and_counts_up() -> None:
    talk = Conversation()
    first, second = talk.tell(0.0, "a")[0], talk.tell(0.0, "b")[0]
    assert (first.cluster_arn, first.container_instance_arn) == (CLUSTER, ARN)
    assert first.message_id != second.message_id
    assert first.seq_num == first.timeline < second.seq_num


def test_what_was_acknowledged_is_not_sent_again() -> None:
    talk = Conversation()
    (message,) = talk.tell(0.0, "a", "b")
    talk.ack(message, 1.0)
    assert talk.session.delivery.due == float("inf")
    assert not talk.session.tick(RESEND_S)
    assert talk.flush(RESEND_S) == []


def test_what_was_not_acknowledged_is_sent_again_each_task_alone_and_ever_more_slowly() -> None:
    """One task that the agent refuses keeps it from acknowledging the others in the message."""
    talk = Conversation()
    (message,) = talk.tell(0.0, "good", "bad")
    assert talk.session.delivery.due == RESEND_S
    talk.session.tick(RESEND_S)
    again = talk.flush(RESEND_S)
    assert sorted(arns(again)) == [["bad"], ["good"]]
    assert message.message_id not in {each.message_id for each in again}
    good = next(each for each in again if each.tasks[0].arn == "good")
    talk.ack(good, RESEND_S)
    now, delays = RESEND_S, []
    for _ in range(8):
        delays.append(talk.session.delivery.due - now)
        now = talk.session.delivery.due
        talk.session.tick(now)
        assert arns(talk.flush(now)) == [["bad"]]
    assert delays == sorted(delays)
    assert delays[0] == 2 * RESEND_S
    assert delays[-1] == RESEND_LIMIT_S


def test_a_task_that_settled_meanwhile_is_not_sent_again() -> None:
    talk = Conversation()
    talk.tell(0.0, "a")
    del talk.tasks["a"]
    talk.session.tick(RESEND_S)
    assert talk.flush(RESEND_S) == []
    assert talk.session.delivery.due == float("inf")


def test_a_late_or_unknown_acknowledgement_is_no_harm() -> None:
    talk = Conversation()
    (message,) = talk.tell(0.0, "a")
    talk.session.tick(RESEND_S)
    (again,) = talk.flush(RESEND_S)
    talk.ack(message, RESEND_S + 1)
    talk.ack(acs.AckRequest(message_id="unheard of"), RESEND_S + 1)
    assert talk.session.delivery.due > RESEND_S
    talk.ack(again, RESEND_S + 2)
    talk.ack(again, RESEND_S + 2)
    assert talk.session.delivery.due == float("inf")


def test_while_the_window_is_full_changes_gather_into_one_payload() -> None:
    talk = Conversation()
    sent = [talk.tell(0.0, f"t{number}")[0] for number in range(WINDOW)]
    assert talk.tell(1.0, "x") == []
    assert talk.tell(2.0, "y", "x") == []
    talk.ack(sent[0], 3.0)
    assert arns(talk.flush(3.0)) == [["x", "y"]]


def test_everything_means_everything_that_has_not_settled() -> None:
    talk = Conversation()
    talk.tasks = {name: acs.Task(arn=name) for name in ("a", "b")}
    talk.session.delivery.want(None)
    assert arns(talk.flush(0.0)) == [["a", "b"]]


def test_many_tasks_are_several_payloads() -> None:
    talk = Conversation()
    names = [f"t{number}" for number in range(TASKS_LIMIT + 1)]
    assert [len(message.tasks) for message in talk.tell(0.0, *names)] == [TASKS_LIMIT, 1]


def test_large_tasks_are_spread_over_payloads_in_order() -> None:
    talk = Conversation()
    large = acs.Container(name="c", environment={"A": "x" * 200_000})
    talk.tasks = {f"t{n}": acs.Task(arn=f"t{n}", containers=(large,)) for n in range(5)}
    talk.tasks["huge"] = acs.Task(arn="huge", containers=(acs.Container(environment={"A": "x" * 900_000}),))
    messages = talk.tell(0.0, *talk.tasks)
    assert [arn for message in arns(messages) for arn in message] == [*(f"t{n}" for n in range(5)), "huge"]
    assert all(len(acs.encode_acs(message)) < 600_000 or len(message.tasks) == 1 for message in messages)


def test_what_could_not_be_read_is_still_pending() -> None:
    delivery = Delivery()
    delivery.want(["a"])
    delivery.want(None)
    taken = delivery.take()
    assert not delivery.is_ready
    delivery.want(["b"])
    delivery.put_back(*taken)
    assert delivery.take() == ({"a": 0, "b": 0}, True)


def test_a_delivery_that_has_nothing_to_do_holds_nothing() -> None:
    talk = Conversation()
    (message,) = talk.tell(0.0, "a")
    talk.ack(message, 1.0)
    assert [getattr(talk.session.delivery, slot) for slot in Delivery.__slots__] == [False, None, None]


def test_tasks_that_failed_before_go_alone() -> None:
    assert batches(("a", "b", "c"), {"b": 2}) == [(("a", "c"), 0), (("b",), 2)]


# --- heartbeats -------------------------------------------------------------------------------------------------------


def test_a_heartbeat_is_due_every_period_and_agents_take_turns() -> None:
    firsts = []
    for number in range(50):
        session = Conversation(f"i{number}").session
        firsts.append(session.due)
        assert session.due <= HEARTBEAT_S
        assert session.tick(session.due)
        session.receive(acs.HeartbeatAckRequest(message_id="m"), firsts[-1])
        assert session.due == pytest.approx(firsts[-1] + HEARTBEAT_S)
        assert not session.tick(firsts[-1] + 1)
    assert max(firsts) - min(firsts) > HEARTBEAT_S / 2


def test_an_agent_that_answers_nothing_is_gone() -> None:
    session = Conversation().session
    now = 0.0
    while not session.is_silent(now):
        session.tick(now)
        assert now < session.due <= SILENCE_S
        now = session.due
    assert now == SILENCE_S
    session.receive(None, SILENCE_S)
    assert not session.is_silent(SILENCE_S + 1)


# --- manifest and stop verification -----------------------------------------------------------------------------------


def test_the_manifest_is_sent_until_it_is_acknowledged() -> None:
    talk = Conversation()
    session = talk.session
    assert session.wants_manifest
    tasks = [acs.TaskIdentifier(task_arn="a", task_cluster_arn=CLUSTER, desired_status="RUNNING")]
    first = session.manifest(tasks, 0.0, 7)
    assert (first.timeline, first.tasks, first.container_instance_arn) == (7, tuple(tasks), ARN)
    assert not session.wants_manifest
    session.tick(RESEND_S)
    assert session.wants_manifest
    second = session.manifest(tasks, RESEND_S, 8)
    assert second.message_id != first.message_id
    session.tick(2 * RESEND_S)
    assert not session.wants_manifest
    talk.ack(second, 2 * RESEND_S)
    session.tick(1000 * RESEND_S)
    assert not session.wants_manifest


def test_only_the_newest_manifest_is_good_for_a_question() -> None:
    session = Conversation().session
    candidates = (acs.TaskIdentifier(task_arn="a"),)
    old = session.manifest([], 0.0, 1)
    session.tick(RESEND_S)
    new = session.manifest([], RESEND_S, 2)

    def ask(manifest: acs.TaskManifestMessage) -> Any:
        return session.receive(
            acs.TaskStopVerificationMessage(message_id=manifest.message_id, stop_candidates=candidates), RESEND_S
        )

    assert ask(old) is None
    question = ask(new)
    assert question.candidates == candidates
    answer = session.stop_verification(question, candidates, 3)
    assert (answer.message_id, answer.stop_tasks, answer.generated_at) == (new.message_id, candidates, 3)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_numbers_only_grow_whatever_the_clock_does_and_go_on_after_a_restart() -> None:
    times = iter([1000.0, 1000.0, 999.0, 2000.0])
    numbers = Numbers(lambda: next(times))
    assert [numbers.next() for _ in range(4)] == [1_000_000, 1_000_001, 1_000_002, 2_000_000]
    assert Numbers(lambda: 2001.0).next() > 2_000_000
