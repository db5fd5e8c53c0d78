"""Updates of agents: what is asked, what is sent until it is answered, and what counts as updated."""

from __future__ import annotations

import pytest

from awsorch.core import events
from awsorch.core.commands import UpdateAgent
from awsorch.core.errors import Refusal
from awsorch.core.model import AgentPackage, ContainerInstance, Resources
from awsorch.core.planners.update_agents import PATIENCE_S
from awsorch.core.state import ClusterState
from awsorch.core.step import Outcome, step
from awsorch.core.wakes import RESEND_AFTER_S, all_keys

KEY = ("update_agents", "i")
NEW = AgentPackage(version="2.0", location="https://example.com/awsorch-2.0-py3-none-any.whl", signature="a" * 64)


class World:
    """One instance, whose agent is connected."""

    def __init__(self) -> None:
        self.state = ClusterState("seed")
        self.now = 0.0
        self.do(events.OpenGate())
        self.do(
            events.RegisterInstance(instance_id="i", arn="arn/i", resources=Resources(cpu=1, memory=1), attributes={})
        )
        self.connect("1.0")

    @property
    def instance(self) -> ContainerInstance:
        return self.state.instances["i"]

    @property
    def status(self) -> str | None:
        return self.instance.agent_update_status

    def do(self, event: events.Event) -> Outcome:
        return step(self.state, event, self.now)

    def connect(self, release: str, prefix: str = "awsorch-") -> None:
        self.do(
            events.AgentConnected(instance_id="i", session="s", agent_version="1.105.1", agent_hash=prefix + release)
        )

    def ask(self, package: AgentPackage | None = NEW) -> Outcome:
        return self.do(events.AskAgentUpdate(instance_id="i", package=package))

    def answer(self, *, performing: bool, reason: str | None = None, signature: str = NEW.signature) -> None:
        answered = events.AgentUpdateAnswered(
            instance_id="i", signature=signature, performing=performing, reason=reason
        )
        self.do(answered)

    def look(self) -> list[UpdateAgent]:
        outcome = self.do(events.Look(planner=KEY[0], subject=KEY[1]))
        return [each for each in outcome.commands if isinstance(each, UpdateAgent)]


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_staged_then_performed_and_done_when_the_new_one_connects(world: World) -> None:
    outcome = world.ask()
    assert (outcome.reply.agent_update_status, outcome.wakes[KEY]) == ("PENDING", 0.0)
    assert world.look() == [UpdateAgent(instance_id="i", package=NEW, perform=False)]
    assert world.status == "STAGING"
    world.answer(performing=False)
    assert world.status == "STAGED"
    assert world.look() == [UpdateAgent(instance_id="i", package=NEW, perform=True)]
    world.answer(performing=True)
    assert world.status == "UPDATING"
    assert world.look() == []
    world.connect("2.0")
    assert world.status == "UPDATED"
    assert world.look() == []


def test_what_is_lost_is_sent_again_and_after_a_start_too(world: World) -> None:
    world.ask()
    world.look()
    outcome = world.do(events.Look(planner=KEY[0], subject=KEY[1]))
    assert outcome.wakes[KEY] == world.now + RESEND_AFTER_S
    assert len(world.look()) == 1
    assert KEY in set(all_keys(world.state))


def test_an_agent_that_is_away_is_told_when_it_is_back(world: World) -> None:
    world.do(events.AgentDisconnected(instance_id="i", session="s"))
    world.ask()
    assert world.look() == []
    outcome = world.do(events.AgentConnected(instance_id="i", session="t", agent_hash="awsorch-1.0"))
    assert outcome.wakes[KEY] == 0.0
    assert len(world.look()) == 1


def test_an_answer_that_was_lost_is_made_up_for_by_what_connects(world: World) -> None:
    world.ask()
    world.look()
    world.connect("2.0")
    assert world.status == "UPDATED"


@pytest.mark.parametrize("performing", [False, True])
def test_an_agent_that_cannot_has_failed_and_may_be_asked_again(world: World, performing: bool) -> None:
    world.ask()
    world.answer(performing=performing, reason="no space left on device")
    assert world.status == "FAILED"
    assert world.look() == []
    world.ask()
    assert world.status == "PENDING"


def test_one_that_came_back_as_it_was_has_failed_until_it_is_the_new_one_after_all(world: World) -> None:
    world.ask()
    world.answer(performing=False)
    world.answer(performing=True)
    world.connect("1.0")
    assert world.status == "FAILED"
    world.connect("2.0")
    assert world.status == "UPDATED"


def test_it_is_given_up_in_the_end(world: World) -> None:
    world.ask()
    world.do(events.AgentDisconnected(instance_id="i", session="s"))
    world.now = PATIENCE_S - 1
    world.look()
    assert world.status == "PENDING"
    world.now = PATIENCE_S
    world.look()
    assert world.status == "FAILED"


def test_answers_about_another_package_or_too_late_are_no_news(world: World) -> None:
    world.ask()
    world.answer(performing=False, signature="b" * 64)
    assert world.status == "PENDING"
    world.answer(performing=True)
    world.answer(performing=False)
    assert world.status == "UPDATING"
    world.connect("2.0")
    world.answer(performing=False, reason="late")
    assert world.status == "UPDATED"


def test_what_there_is_no_update_for(world: World) -> None:
    def refusal(package: AgentPackage | None = NEW) -> str:
        with pytest.raises(Refusal) as refused:
            world.ask(package)
        return f"{refused.value.code}: {refused.value.message}"

    assert refusal(None) == (
        "NoUpdateAvailableException: There is no update available for your container agent (version 1.105.1): the "
        "controller has no package of a newer one (AWSORCH_AGENT_PACKAGE)."
    )
    world.connect("2.0")
    assert refusal().endswith("it is awsorch 2.0 already.")
    world.connect("8d7c6b5a", prefix="")
    assert refusal().endswith("it is not awsorch's own agent.")
    world.connect("1.0")
    world.ask()
    assert refusal() == "UpdateInProgressException: An update of the container agent is in progress (PENDING)."
    world.do(events.DeregisterInstance(instance_id="i", force=True))
    assert refusal() == "ClientException: Referenced container instance i not found."
