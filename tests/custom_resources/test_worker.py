"""Requests for custom resources: carried out once, whatever comes twice, late, out of order, or is cut off."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from awsorch.adapters.aws import AwsError
from awsorch.custom_resources.answers import NotTaken
from awsorch.custom_resources.conduct import LIMIT_S
from awsorch.custom_resources.journal import RETENTION_S
from tests.custom_resources.world import ACCOUNT, STACK, URL, World, play

RED, BLUE = {"Name": "red", "Count": "1"}, {"Name": "blue", "Count": "1"}


async def created(world: World, model: dict[str, Any] = RED, id: str = "c") -> str:
    """A resource of the stack; its physical id."""
    before = len(world.responses.answers)
    world.send("Create", model, id)
    answer = await world.responses.after(before + 1)
    assert answer["Status"] == "SUCCESS", answer
    await asyncio.sleep(1)
    return str(answer["PhysicalResourceId"])


async def updated(world: World, previous: dict[str, Any], model: dict[str, Any], pid: str, id: str) -> dict[str, Any]:
    before = len(world.responses.answers)
    world.send("Update", model, id, previous=previous, PhysicalResourceId=pid)
    answer = await world.responses.after(before + 1)
    await asyncio.sleep(1)
    return answer


def test_a_resource_is_made_changed_and_removed() -> None:
    async def scene(world: World) -> None:
        pid = await created(world)
        assert world.responses.answers == [
            {
                "Status": "SUCCESS",
                "Reason": "",
                "PhysicalResourceId": pid,
                "StackId": STACK,
                "RequestId": "c",
                "LogicalResourceId": "Web",
                "Data": {"Arn": f"arn:{pid}"},
            }
        ]
        more = {**RED, "Count": "2"}
        answer = await updated(world, RED, more, pid, "u")
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", pid)
        assert world.resources.there == {pid: more}
        world.send("Delete", more, "d", PhysicalResourceId=pid)
        assert (await world.responses.after(3))["Status"] == "SUCCESS"
        assert not world.resources.there
        assert set(world.responses.urls) == {URL}
        await asyncio.sleep(1)
        assert not world.queue.bodies

    play(scene)


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_a_request_that_is_killed_anywhere_is_carried_on(kind: str) -> None:
    """Every half of a tenth of a second in the life of a request."""
    moments = range(1, 45)

    def one(moment: int) -> None:
        async def scene(world: World) -> None:
            pid = await created(world) if kind != "Create" else ""
            before = len(world.responses.answers)
            named = {"PhysicalResourceId": pid} if pid else {}
            world.send(kind, BLUE if kind == "Update" else RED, "x", previous=RED, **named)
            await asyncio.sleep(moment * 0.05)
            await world.kill()
            await world.start()
            answer = await world.responses.after(before + 1)
            assert (answer["Status"], answer["RequestId"]) == ("SUCCESS", "x")
            await asyncio.sleep(100)
            there = {"Create": 1, "Update": 2, "Delete": 0}[kind]
            assert len(world.resources.there) == there, f"killed after {moment * 0.05} s"
            assert len({each["PhysicalResourceId"] for each in world.responses.answers[before:]}) == 1
            assert not world.journal.open_requests()
            assert not world.queue.bodies

        play(scene)

    for moment in moments:
        one(moment)


def test_a_message_that_comes_twice_is_answered_once() -> None:
    async def scene(world: World) -> None:
        world.send("Create", RED, "c")
        world.send("Create", RED, "c")
        await world.responses.after(1)
        await world.kill()
        await world.start()
        world.send("Create", RED, "c")
        await asyncio.sleep(60)
        assert len(world.responses.answers) == 1
        assert len(world.resources.did) == 1
        assert not world.queue.bodies

    play(scene)


def test_a_delete_that_overtakes_its_create_leaves_nothing() -> None:
    async def scene(world: World) -> None:
        at = world.loop.clock()
        world.send("Delete", RED, "d", PhysicalResourceId="shop-Web-ABC", at=at)
        assert (await world.responses.after(1))["Status"] == "SUCCESS"
        world.send("Create", RED, "c", at=at - 5)
        answer = await world.responses.after(2)
        assert answer["Status"] == "FAILED"
        assert "A later request" in answer["Reason"]
        assert not any(each.startswith("CREATE") for each in world.resources.did)
        await asyncio.sleep(1)
        assert await created(world, id="again")
        assert len(world.resources.there) == 1

    play(scene)


def test_a_delete_that_comes_while_its_create_goes_on_removes_what_that_made() -> None:
    async def scene(world: World) -> None:
        world.resources.stuck = True
        world.send("Create", RED, "c")
        await asyncio.sleep(5)
        assert world.resources.there
        world.resources.stuck = False
        # CloudFormation did not hear of the id, and has one of its own.
        world.send("Delete", RED, "d", PhysicalResourceId="shop-Web-ABC")
        await world.responses.after(2)
        first, second = world.responses.answers
        assert (first["RequestId"], first["Status"]) == ("c", "FAILED")
        assert (second["RequestId"], second["Status"]) == ("d", "SUCCESS")
        assert not world.resources.there

    play(scene)


def test_a_stack_that_turns_back_gets_the_old_resource_again() -> None:
    async def scene(world: World) -> None:
        old = await created(world)
        new = (await updated(world, RED, BLUE, old, "u"))["PhysicalResourceId"]
        assert new != old
        answer = await updated(world, BLUE, RED, new, "back")
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", old)
        assert answer["Data"] == {"Arn": f"arn:{old}"}
        world.send("Delete", BLUE, "clean-up", PhysicalResourceId=new)
        await world.responses.after(4)
        assert set(world.resources.there) == {old}

    play(scene)


def test_a_replaced_resource_that_is_gone_is_made_anew() -> None:
    async def scene(world: World) -> None:
        old = await created(world)
        new = (await updated(world, RED, BLUE, old, "u"))["PhysicalResourceId"]
        world.send("Delete", RED, "clean-up", PhysicalResourceId=old)
        await world.responses.after(3)
        await asyncio.sleep(1)
        answer = await updated(world, BLUE, RED, new, "u2")
        assert answer["PhysicalResourceId"] not in (old, new)

    play(scene)


def test_a_replacement_that_fails_leaves_nothing_of_itself() -> None:
    async def scene(world: World) -> None:
        old = await created(world)
        world.resources.failing["CREATE"] = "NotStabilized"
        answer = await updated(world, RED, BLUE, old, "u")
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", old)
        assert answer["Reason"] == "no more today (NotStabilized)"
        assert set(world.resources.there) == {old}
        back = await updated(world, BLUE, RED, old, "back")
        assert (back["Status"], back["PhysicalResourceId"]) == ("SUCCESS", old)

    play(scene)


def test_a_creation_that_fails_names_what_is_to_be_deleted() -> None:
    async def scene(world: World) -> None:
        world.resources.failing["CREATE"] = "NotStabilized"
        world.send("Create", RED, "c")
        answer = await world.responses.after(1)
        assert answer["Status"] == "FAILED"
        assert set(world.resources.there) == {answer["PhysicalResourceId"]}

    play(scene)


def test_what_takes_too_long_is_told_while_somebody_listens() -> None:
    async def scene(world: World) -> None:
        world.resources.stuck = True
        begun = world.loop.time()
        world.send("Create", RED, "c")
        answer = await world.responses.after(1)
        assert answer["Status"] == "FAILED"
        assert "still in progress after 50 minutes" in answer["Reason"]
        assert LIMIT_S <= world.loop.time() - begun < LIMIT_S + 60

    play(scene)


def test_a_request_that_comes_too_late_makes_nothing() -> None:
    async def scene(world: World) -> None:
        world.send("Create", RED, "c", at=world.loop.clock() - LIMIT_S - 1)
        answer = await world.responses.after(1)
        assert "too late" in answer["Reason"]
        assert not world.resources.there
        world.send("Delete", RED, "d", PhysicalResourceId=answer["PhysicalResourceId"])
        assert (await world.responses.after(2))["Status"] == "SUCCESS"
        assert not world.resources.did, "what was never made is not asked to go"

    play(scene)


def test_faults_that_pass_are_waited_for() -> None:
    async def scene(world: World) -> None:
        world.resources.passing = 20
        assert await created(world)
        assert world.resources.retried >= 19

    play(scene)


def test_answers_are_sent_until_they_arrive(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(world: World) -> None:
        world.responses.refusals = [NotTaken("away", final=False)] * 8
        await created(world)
        world.responses.refusals = [NotTaken("HTTP status 403", final=True)]
        world.send("Create", RED, "other", LogicalResourceId="Other")
        await asyncio.sleep(600)
        assert len(world.responses.answers) == 1
        assert not world.journal.open_requests()
        world.responses.refusals = [NotTaken("away", final=False)] * 10_000
        world.send("Create", RED, "third", LogicalResourceId="Third")
        await asyncio.sleep(4 * 3600)
        assert not world.journal.open_requests(), "the URL is no longer good"

    with caplog.at_level(logging.WARNING):
        play(scene)
    assert "not taken: HTTP status 403" in caplog.text


def test_a_store_that_is_away_loses_nothing() -> None:
    async def scene(world: World) -> None:
        world.store.faults.full = True
        world.send("Create", RED, "c")
        await asyncio.sleep(120)
        assert world.queue.bodies
        assert not world.resources.there
        world.store.faults.full = False
        await asyncio.sleep(120)
        await world.responses.after(1)
        world.store.faults.next_commits = ["after", "before"] * 8
        world.send("Create", BLUE, "o", LogicalResourceId="Other")
        await world.responses.after(2)
        await asyncio.sleep(60)
        assert len(world.resources.there) == 2
        assert not world.queue.bodies

    play(scene)


def test_a_queue_that_is_away_is_asked_again() -> None:
    async def scene(world: World) -> None:
        world.aws.fault = lambda operation: AwsError("InternalError", "")
        world.send("Create", RED, "c")
        await asyncio.sleep(300)
        world.aws.obey()
        await world.responses.after(1)

    play(scene)


def test_a_queue_without_envelopes_is_read_as_well() -> None:
    async def scene(world: World) -> None:
        world.send("Create", RED, "c")
        (receipt,) = world.queue.bodies
        world.queue.bodies[receipt] = json.loads(world.queue.bodies[receipt])["Message"]
        assert (await world.responses.after(1))["Status"] == "SUCCESS"

    play(scene)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"outer": {"TopicArn": f"arn:aws:sns:eu-west-1:{ACCOUNT}:other"}}, "comes from the topic"),
        ({"outer": {"Type": "SubscriptionConfirmation"}}, "SubscriptionConfirmation"),
        ({"outer": {"Message": "no json"}}, "no JSON object"),
        ({"ServiceToken": "arn:aws:sns:eu-west-1:999999999999:x"}, "ServiceToken should be"),
        ({"StackId": STACK.replace(ACCOUNT, "999999999999")}, "not of the topic's account"),
        ({"StackId": "shop"}, "not the ARN of a stack"),
        ({"RequestType": "Explode"}, "Create, Update or Delete"),
        ({"RequestId": 7}, "RequestId is missing"),
        ({"ResourceProperties": []}, "ResourceProperties should be an object"),
        ({"ResponseURL": "https://evil.example/x"}, "evil.example"),
        ({"ResponseURL": URL.replace("euwest1", "useast1")}, "is not CloudFormation's in eu-west-1"),
        ({"ResponseURL": URL.replace("euwest1.", "euwest1evil.")}, "is not CloudFormation's"),
        ({"ResponseURL": URL.replace("https", "http")}, "is not CloudFormation's"),
        ({"ResponseURL": URL.replace("https://", "https://me@")}, "is not CloudFormation's"),
        ({"ResponseURL": URL.replace(".amazonaws.com/", ".amazonaws.com:8080/")}, "is not CloudFormation's"),
        ({"ResponseURL": URL.replace("amazonaws.com/", "amazonaws.com.evil.example/")}, "is not CloudFormation's"),
        ({"ResponseURL": "http://169.254.169.254/latest/api/token"}, "169.254.169.254"),
        ({"ResponseURL": "http://door:4567/x"}, "door"),
        ({"ResponseURL": "https://[half"}, "(none)"),
        ({"ResponseURL": "file:///etc/passwd"}, "is not CloudFormation's"),
    ],
)
def test_what_is_forged_is_refused_and_nobody_is_called(
    changed: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        world.send("Create", RED, "c", **changed)
        await asyncio.sleep(60)
        assert not world.responses.urls
        assert not world.resources.there
        assert not world.queue.bodies, "it does not come for ever"

    with caplog.at_level(logging.WARNING):
        play(scene)
    assert said in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://door:4566/awsorch/stacks/letters/x?Signature=1",
        URL.replace(".s3.eu-west-1.", ".s3."),
        URL.replace(".s3.eu-west-1.", ".s3-eu-west-1."),
        URL.replace(".s3.eu-west-1.", ".s3.dualstack.eu-west-1."),
        URL.replace(".amazonaws.com/", ".amazonaws.com:443/"),
    ],
)
def test_answers_go_to_cloudformation_and_the_hosts_that_are_allowed(url: str) -> None:
    async def scene(world: World) -> None:
        world.send("Create", RED, "c", ResponseURL=url)
        await world.responses.after(1)
        assert world.responses.urls == [url]

    play(scene)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"AwsorchType": "AWS::ECS::Volcano", "Model": {}}, "does not support AwsorchType 'AWS::ECS::Volcano'"),
        ({}, "does not support AwsorchType ''"),
    ],
)
def test_what_is_not_supported_fails_in_words(properties: dict[str, Any], said: str) -> None:
    async def scene(world: World) -> None:
        world.send("Create", RED, "c", ResourceProperties=properties)
        answer = await world.responses.after(1)
        assert answer["Status"] == "FAILED"
        assert said in answer["Reason"]
        assert "it supports AWS::ECS::Service" in answer["Reason"]

    play(scene)


@pytest.mark.parametrize(
    ("model", "patterns", "refused"),
    [
        ({"TaskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/a"}, (), None),
        ({"TaskRoleArn": "a"}, (), None),
        ({"TaskRoleArn": "arn:aws:iam::999999999999:role/a"}, (), "arn:aws:iam::999999999999:role/a"),
        ({"taskrolearn": "arn:aws:iam::999999999999:role/a"}, (), "arn:aws:iam::999999999999:role/a"),
        ({"ExecutionRoleArn": "boss"}, ("arn:aws:iam::*:role/app-*",), f"arn:aws:iam::{ACCOUNT}:role/boss"),
        ({"ExecutionRoleArn": "app-1"}, ("arn:aws:iam::*:role/app-*",), None),
        ({"Role": "boss", "Tags": []}, ("arn:aws:iam::*:role/app-*",), f"arn:aws:iam::{ACCOUNT}:role/boss"),
        ({"VolumeConfigurations": [{"ManagedEBSVolume": {"RoleArn": "b"}}]}, ("x",), f"arn:aws:iam::{ACCOUNT}:role/b"),
    ],
)
def test_roles_are_given_only_where_that_is_allowed(
    model: dict[str, Any], patterns: tuple[str, ...], refused: str | None
) -> None:
    async def scene(world: World) -> None:
        world.roles = patterns
        await world.kill()
        await world.start()
        world.send("Create", model, "c")
        answer = await world.responses.after(1)
        assert answer["Status"] == ("FAILED" if refused else "SUCCESS")
        if refused:
            assert f"The role {refused} may not be given" in answer["Reason"]
            assert "AWSORCH_CUSTOM_RESOURCE_ROLES" in answer["Reason"]
            assert not world.resources.there

    play(scene)


def test_requests_are_forgotten_when_they_can_come_no_more() -> None:
    async def scene(world: World) -> None:
        await created(world)
        await asyncio.sleep(RETENTION_S + 60)
        await created(world, id="later")
        assert [each.request_id for each in world.journal.of_resource(STACK, "Web")] == ["later"]

    play(scene)
