"""``POST /awsorch/resources``: one step of a resource of CloudFormation's, for stack engines that are not ours.

What is asked and answered is cfn.contract's, in JSON. An update that needs another resource is answered REPLACE: who
asks makes that one, then removes the former. ``GET`` answers the types that there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from awsorch.cfn.contract import Action, Provider, Request

PATH = "/awsorch/resources"
_TEXTS = ("type", "logicalId", "stackName", "stackId", "token", "physicalId")
_OBJECTS = ("model", "previous", "attributes", "callback", "tags", "previousTags")


class BadRequest(Exception):
    """What was asked is no step; the text says what it should be."""


class ResourcesDoor:
    """`admit` raises where the request's signature is not good, and answers who it is."""

    def __init__(self, provider: Provider, admit: Callable[[web.BaseRequest, bytes], str]) -> None:
        self._provider = provider
        self._admit = admit

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request. Raises what `admit` raises."""
        body = await request.read()
        self._admit(request, body)
        if request.method == "GET":
            return web.json_response({"types": sorted(self._provider.types())})
        try:
            asked = self._asked(body)
        except BadRequest as refusal:
            return web.json_response({"__type": "ClientException", "message": str(refusal)}, status=400)
        replaced = asked.action is Action.UPDATE and self._provider.replaced_by(asked.type, asked.previous, asked.model)
        if replaced and not asked.callback:
            return web.json_response({"outcome": "REPLACE", "replacedBy": sorted(replaced)})
        progress = await self._provider.step(asked)
        return web.json_response(
            {
                "outcome": progress.outcome.value,
                "physicalId": progress.physical_id,
                "attributes": progress.attributes,
                "code": progress.code,
                "message": progress.message,
                "delaySeconds": progress.delay_seconds,
                "callback": progress.callback,
            }
        )

    def _asked(self, body: bytes) -> Request:
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, Mapping):
            raise BadRequest("The body should be a JSON object.")
        for names, kind, words in ((_TEXTS, str, "a text"), (_OBJECTS, Mapping, "an object")):
            wrong = [name for name in names if not isinstance(said.get(name, kind() if kind is str else {}), kind)]
            if wrong:
                raise BadRequest(f"{wrong[0]} should be {words}.")
        if not isinstance(said.get("since", 0), int | float):
            raise BadRequest("since should be a number of seconds.")
        if said.get("action") not in {each.value for each in Action}:
            raise BadRequest(f"action should be CREATE, UPDATE or DELETE, not {said.get('action')!r}.")
        if said.get("type") not in self._provider.types():
            known = ", ".join(sorted(self._provider.types()))
            raise BadRequest(f"type should be one of {known}, not {said.get('type')!r}.")
        if not said.get("token") or not said.get("logicalId"):
            raise BadRequest("token and logicalId should be given: names follow from them.")
        return _request(said)


def _request(said: Mapping[str, Any]) -> Request:
    return Request(
        action=Action(said["action"]),
        type=said["type"],
        logical_id=said["logicalId"],
        stack_name=said.get("stackName", ""),
        stack_id=said.get("stackId", ""),
        token=said["token"],
        model=said.get("model", {}),
        previous=said.get("previous", {}),
        physical_id=said.get("physicalId", ""),
        attributes=said.get("attributes", {}),
        callback=said.get("callback", {}),
        tags=said.get("tags", {}),
        previous_tags=said.get("previousTags", {}),
        retried=bool(said.get("retried")),
        since=float(said.get("since", 0)),
    )
