"""Stack policies: what they allow, and that an update that they deny changes nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.stack_policy import DELETE, denied, read_policy
from tests.local.stacks.world import StackWorld, queue
from tests.support.virtual_time import VirtualTimeLoop, run

Scene = Callable[[StackWorld], Awaitable[None]]
MODIFY, REPLACE = "Update:Modify", "Update:Replace"
QUEUE = "AWS::SQS::Queue"
ALLOW = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
KEEP = {"Effect": "Deny", "Action": [DELETE, REPLACE], "Principal": "*", "Resource": "LogicalResourceId/Data*"}


def policy(*statements: Any) -> str:
    return json.dumps({"Statement": list(statements)})


def test_without_a_policy_everything_is_allowed() -> None:
    assert denied("", DELETE, "Data", QUEUE) == ""


@pytest.mark.parametrize(
    ("statements", "action", "name", "said"),
    [
        ([ALLOW], DELETE, "Data", ""),
        ([KEEP], MODIFY, "Other", "no statement allows [Update:Modify] for resource [LogicalResourceId/Other]"),
        ([ALLOW, KEEP], MODIFY, "Data", ""),
        ([ALLOW, KEEP], REPLACE, "Other", ""),
        (
            [ALLOW, KEEP],
            REPLACE,
            "DataBase",
            "Statement [#2] does not allow [Update:Delete, Update:Replace] for resource [LogicalResourceId/DataBase]",
        ),
        ([{**ALLOW, "Condition": {"StringLike": {"ResourceType": "AWS::SQS::*"}}}], MODIFY, "A", ""),
        (
            [{**ALLOW, "Condition": {"StringEquals": {"ResourceType": ["AWS::EC2::VPC"]}}}],
            MODIFY,
            "A",
            "no statement allows",
        ),
        ([{"Effect": "Allow", "NotAction": DELETE, "Principal": "*", "Resource": "*"}], MODIFY, "A", ""),
        ([{"Effect": "Allow", "NotAction": DELETE, "Principal": "*", "Resource": "*"}], DELETE, "A", "no statement"),
        (
            [ALLOW, {"Effect": "Deny", "Action": "Update:*", "Principal": "*", "NotResource": "LogicalResourceId/A"}],
            MODIFY,
            "B",
            "Action denied by stack policy: Statement [#2] does not allow [Update:*] for resource "
            "[LogicalResourceId/B]",
        ),
    ],
)
def test_a_denial_outweighs_and_what_nothing_allows_is_denied(
    statements: list[Any], action: str, name: str, said: str
) -> None:
    why = denied(policy(*statements), action, name, QUEUE)
    assert said in why
    assert bool(why) is bool(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "a list of statements"),
        (policy("x"), "statement #1 must be an object"),
        (policy({**ALLOW, "Effect": "Maybe"}), "Effect of statement #1 must be Allow or Deny"),
        (policy({**ALLOW, "Principal": "me"}), r"Principal of statement #1 must be \*"),
        (policy(ALLOW, {**ALLOW, "Action": "s3:*"}), r"s3:\* of statement #2 is none of"),
        (policy({**ALLOW, "NotAction": DELETE}), "either Action or NotAction"),
        (policy({**ALLOW, "Resource": "Data"}), "Data of statement #1 must be"),
        (policy({**ALLOW, "Condition": {"Bool": {}}}), "StringEquals or StringLike of ResourceType"),
        (policy({**ALLOW, "More": 1}), "unknown member More"),
        (" " * 16385, "at most 16384 bytes"),
    ],
)
def test_what_is_no_policy_is_said(text: str, said: str) -> None:
    with pytest.raises(StackRefused, match=f"Error validating stack policy: .*{said}"):
        read_policy(text)


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scene], None]:
    """Plays a scene in a fresh world."""

    def play(scene: Scene) -> None:
        async def whole(_: VirtualTimeLoop) -> None:
            world = StackWorld(tmp_path)
            try:
                await scene(world)
            finally:
                await world.close()

        run(whole)

    return play


BEFORE = {"Data": queue(1), "Other": queue(1)}


@pytest.mark.parametrize(
    ("after", "action"),
    [
        ({"Data": queue(1, name="x"), "Other": queue(1)}, REPLACE),
        ({"Other": queue(1)}, DELETE),
    ],
)
def test_an_update_that_is_denied_changes_nothing(play: Callable[[Scene], None], after: Any, action: str) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create(BEFORE, StackPolicyBody=policy(ALLOW, KEEP))
        before = dict(world.cloud.there)
        assert (await world.update(after))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert world.cloud.there == before
        assert world.reasons()["Data"].startswith("Action denied by stack policy: Statement [#2] does not allow [")
        during = policy(ALLOW)
        stack = await world.update(after, StackPolicyDuringUpdateBody=during)
        assert stack["StackStatus"] == "UPDATE_COMPLETE"
        assert world.cloud.there != before
        kept = await world.stacks.get_stack_policy({"StackName": "shop"})
        assert kept == {"StackPolicyBody": policy(ALLOW, KEEP)}, "what held during the update is forgotten"

    play(scene)


def test_policies_are_set_and_read(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        named = {"StackName": "shop"}
        await world.create(BEFORE)
        assert await world.stacks.get_stack_policy(named) == {}
        world.cloud.objects = {"policy.json": policy(KEEP)}
        await world.stacks.set_stack_policy({**named, "StackPolicyURL": "https://b.s3.amazonaws.com/policy.json"})
        assert await world.stacks.get_stack_policy(named) == {"StackPolicyBody": policy(KEEP)}
        with pytest.raises(StackRefused, match="either StackPolicyBody or StackPolicyURL"):
            await world.stacks.set_stack_policy(named)
        with pytest.raises(StackRefused, match="Error validating stack policy"):
            await world.stacks.set_stack_policy({**named, "StackPolicyBody": "no"})
        assert (await world.update({"Data": queue(2), "Other": queue(1)}))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert world.cloud.names() == {"Data", "Other"}

    play(scene)
