"""Steps of resources for other stack engines: what is refused, what is answered, when another resource is needed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from awsorch.cfn.contract import Action, Progress, Properties, Request, waiting
from awsorch.custom_resources.door import ResourcesDoor

TYPE = "AWS::ECS::Cluster"


class Types:
    """One type, whose name can't change."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return frozenset({"Name"} if previous.get("Name") != model.get("Name") else ())

    async def step(self, request: Request) -> Progress:
        self.asked.append(request)
        return waiting("it", 1.0, seen=1)


def ask(types: Types, method: str = "POST", **said: Any) -> tuple[int, Any]:
    body = said.pop("body", None) or json.dumps(said).encode()

    async def scene() -> tuple[int, Any]:
        admitted = []
        door = ResourcesDoor(types, lambda request, body: admitted.append(body) or "me")
        request = make_mocked_request(method, "/awsorch/resources")
        request._read_bytes = body
        response = await door.handle(request)
        assert admitted == [body]
        return response.status, json.loads(response.body)  # type: ignore[attr-defined]

    return asyncio.run(scene())


def test_a_step_is_asked_and_answered() -> None:
    types = Types()
    assert ask(types, "GET") == (200, {"types": [TYPE]})
    status, told = ask(
        types, action="CREATE", type=TYPE, logicalId="C", token="t", model={"Name": "a"}, stackName="s", since=7
    )
    assert (status, told["outcome"], told["physicalId"]) == (200, "IN_PROGRESS", "it")
    assert (told["delaySeconds"], told["callback"]) == (1.0, {"seen": 1})
    (asked,) = types.asked
    assert (asked.action, asked.logical_id, asked.model, asked.stack_name) == (Action.CREATE, "C", {"Name": "a"}, "s")
    assert asked.since == 7.0


def test_an_update_that_needs_another_resource_is_not_begun() -> None:
    types, common = Types(), {"action": "UPDATE", "type": TYPE, "logicalId": "C", "token": "t", "physicalId": "it"}
    told = ask(types, **common, model={"Name": "b"}, previous={"Name": "a"})
    assert told == (200, {"outcome": "REPLACE", "replacedBy": ["Name"]})
    assert types.asked == []
    assert ask(types, **common, model={"Name": "a"}, previous={"Name": "a"})[1]["outcome"] == "IN_PROGRESS"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"body": b"["}, "The body should be a JSON object."),
        ({"body": b"[]"}, "The body should be a JSON object."),
        ({"model": []}, "model should be an object."),
        ({"type": 7}, "type should be a text."),
        ({"since": "now"}, "since should be a number of seconds."),
        ({"action": "MAKE"}, "action should be CREATE, UPDATE or DELETE, not 'MAKE'."),
        ({"action": "CREATE", "type": "AWS::ECS::Thing"}, f"type should be one of {TYPE}, not 'AWS::ECS::Thing'."),
        ({"action": "CREATE", "type": TYPE}, "token and logicalId should be given: names follow from them."),
    ],
)
def test_what_is_no_step_is_refused(said: dict[str, Any], words: str) -> None:
    types = Types()
    assert ask(types, **said) == (400, {"__type": "ClientException", "message": words})
    assert types.asked == []
