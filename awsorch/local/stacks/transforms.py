"""Transforms: what a template names in `Transform`, and where it says `Fn::Transform`, is done before it is read.

The deepest Fn::Transform comes first; then those of the section, in its order. `Awsorch`, which templates for an AWS
account name, changes nothing here: ECS's resources are awsorch's anyway.
Source: AWS CloudFormation user guide, "Perform custom processing on CloudFormation templates with template macros",
"AWS::Include transform".
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from awsorch.local.stacks import language_extensions, serverless
from awsorch.local.stacks.documents import read_template
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.intrinsics import UNKNOWN, Evaluation, Surroundings
from awsorch.local.stacks.template import Template, declared_transforms, outline

INCLUDE, OURS = "AWS::Include", "Awsorch"
INLINE = "Fn::Transform"
#: Carries out a macro: its name and the event that it gets; its answer.
Macros = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
#: Reads a text from S3 by its URL. Raises StackRefused.
Fetch = Callable[[str], Awaitable[str]]


def needs_transforms(text: str) -> bool:
    """Whether something is to be done before the template can be read; cheap for most. Raises TemplateError."""
    if "Transform" not in text:
        return False
    document = read_template(text)
    return bool(document.get("Transform")) or _mentions(document)


class Transforms:
    """Carries out the transforms of one template. `values`: its parameters, as Ref gives them."""

    def __init__(self, text: str, values: Mapping[str, Any], pseudo: Mapping[str, Any], fetch: Fetch, macros: Macros):
        self._template = outline(text)
        self._values = values
        self._pseudo = pseudo
        self._fetch = fetch
        self._macros = macros

    async def carried_out(self) -> str:
        """The text of the template that comes of it, as JSON. Raises StackRefused."""
        document = read_template(self._template.text)
        declared = declared_transforms(document)
        document.pop("Transform", None)
        document = await self._inline(document)
        for each in declared:
            document = await self._whole(each["Name"], each["Parameters"], document)
        return json.dumps(document)

    async def _whole(self, name: str, parameters: Mapping[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        if name == OURS:
            return document
        if name == INCLUDE:
            return _merged(document, await self._included(parameters))
        if name == language_extensions.NAME:
            return language_extensions.extend(document, self._evaluate_in)
        if name == serverless.NAME:
            return serverless.translate(document, self._values, str(self._pseudo["AWS::Region"]))
        changed = await self._macro(name, parameters, document)
        if not isinstance(changed, dict):
            raise StackRefused(f"Transform {name} failed with: the fragment should be a template.")
        changed.pop("Transform", None)
        return changed

    async def _inline(self, value: Any) -> Any:
        """The value with every Fn::Transform in it carried out, the deepest first."""
        if isinstance(value, list):
            return [await self._inline(each) for each in value]
        if not isinstance(value, Mapping):
            return value
        done = {key: await self._inline(each) for key, each in value.items() if key != INLINE}
        asked = value.get(INLINE)
        for each in asked if isinstance(asked, list) else [asked] if asked is not None else []:
            if not isinstance(each, Mapping) or not isinstance(each.get("Name"), str):
                raise TemplateError("Template format error: Fn::Transform should have a Name, and Parameters.")
            parameters = each.get("Parameters") or {}
            if each["Name"] == INCLUDE:
                done = _merged(done, await self._included(parameters))
            else:
                changed = await self._macro(each["Name"], parameters, done)
                if len(value) == 1 or not isinstance(changed, dict):
                    return changed
                done = changed
        return done

    async def _included(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        location = self._evaluate_in({})(parameters.get("Location"))
        if not isinstance(location, str):
            raise StackRefused(f"Transform {INCLUDE} failed with: The location parameter should be an S3 URL.")
        try:
            return await self._inline(read_template(await self._fetch(location)))  # type: ignore[no-any-return]
        except StackRefused as error:
            raise StackRefused(f"Transform {INCLUDE} failed with: {error.message}") from None

    async def _macro(self, name: str, parameters: Mapping[str, Any], fragment: Any) -> Any:
        """What a macro makes of a part of the template."""
        request_id = str(uuid.uuid4())
        event = {
            "region": self._pseudo["AWS::Region"],
            "accountId": self._pseudo["AWS::AccountId"],
            "fragment": fragment,
            "transformId": f"{self._pseudo['AWS::AccountId']}::{name}",
            "params": self._evaluate_in({})(parameters),
            "requestId": request_id,
            "templateParameterValues": dict(self._values),
        }
        answer = await self._macros(name, event)
        if answer.get("requestId") != request_id:
            raise StackRefused(f"Transform {name} failed with: the answer is to another request.")
        if str(answer.get("status", "")).lower() != "success":
            why = answer.get("errorMessage") or "the macro says that it failed."
            raise StackRefused(f"Transform {name} failed with: {why}")
        return answer.get("fragment")

    def _evaluate_in(self, document: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Carries out functions with what is known before anything is made."""
        template = self._template
        if document:
            template = Template(
                text="",
                description="",
                parameters=document.get("Parameters") or {},
                mappings=document.get("Mappings") or {},
                conditions=document.get("Conditions") or {},
                resources={},
                outputs={},
                rules={},
                metadata={},
                transforms=(),
            )
        around = Surroundings(parameters=self._values, pseudo=self._pseudo)
        return Evaluation(template, around, _Nothing()).evaluate


def _mentions(value: Any) -> bool:
    """Whether there is an Fn::Transform somewhere in it."""
    if isinstance(value, list):
        return any(map(_mentions, value))
    return isinstance(value, Mapping) and (INLINE in value or any(map(_mentions, value.values())))


class _Nothing:
    """There are no resources yet. Implements Deployed."""

    def ref(self, logical_id: str) -> Any:
        return UNKNOWN

    def attribute(self, logical_id: str, name: str) -> Any:
        return UNKNOWN


async def no_macros(name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where there are none."""
    raise StackRefused(f"No transform named {event['transformId']} found.")


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both, section by section. What is in both twice is refused."""
    merged = dict(one)
    for key, value in other.items():
        if key not in merged:
            merged[key] = value
        elif isinstance(merged[key], Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(merged[key], value)
        else:
            raise StackRefused(f"Transform {INCLUDE} failed with: {key} is in the template and in what it includes.")
    return merged
