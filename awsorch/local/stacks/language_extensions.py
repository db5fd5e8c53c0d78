"""`AWS::LanguageExtensions`: loops written out, and policies that functions choose.

Fn::Length, Fn::ToJsonString, and what Fn::FindInMap may say besides, are carried out with the other functions
(`intrinsics`). Source: AWS CloudFormation user guide, "AWS::LanguageExtensions transform", "Fn::ForEach".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from awsorch.cfn.contract import scalar_text
from awsorch.local.stacks.errors import StackRefused, TemplateError

NAME = "AWS::LanguageExtensions"
_LOOP = "Fn::ForEach::"
_DEEPEST = 5
_POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")
_SECTIONS = ("Conditions", "Resources", "Outputs")
#: Carries out the functions of a value with what is known before anything is made. Raises TemplateError.
Evaluate = Callable[[Any], Any]


def extend(document: Mapping[str, Any], evaluate_in: Callable[[Mapping[str, Any]], Evaluate]) -> dict[str, Any]:
    """The template without loops. Raises StackRefused."""
    try:
        extended = dict(document)
        for name in _SECTIONS:  # conditions first: the others name them
            evaluate = evaluate_in(extended)
            if name in document:
                extended[name] = _written_out(document[name], evaluate, 0)
        evaluate = evaluate_in(extended)
        for logical, resource in (extended.get("Resources") or {}).items():
            if isinstance(resource, dict):
                _choose_policies(logical, resource, evaluate)
    except TemplateError as error:
        raise refused(error.message) from None
    return extended


def refused(why: str) -> StackRefused:
    """A template that the transform can't take."""
    return StackRefused(f"Transform {NAME} failed with: {why}")


def _written_out(value: Any, evaluate: Evaluate, depth: int) -> Any:
    if isinstance(value, list):
        return [_written_out(each, evaluate, depth) for each in value]
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for key, each in value.items():
        several = (
            _loop(key, each, evaluate, depth) if key.startswith(_LOOP) else {key: _written_out(each, evaluate, depth)}
        )
        for name, item in several.items():
            if name in made:
                raise refused(f"Fn::ForEach makes {name} more than once")
            made[name] = item
    return made


def _loop(name: str, argument: Any, evaluate: Evaluate, depth: int) -> dict[str, Any]:
    """What one loop comes to."""
    if not isinstance(argument, list) or len(argument) != 3:
        raise refused("Fn::ForEach layout is incorrect")
    identifier, collection, body = argument
    if not isinstance(identifier, str) or not identifier.isalnum() or not isinstance(body, Mapping) or len(body) < 1:
        raise refused("Fn::ForEach layout is incorrect")
    if depth >= _DEEPEST:
        raise refused(f"Fn::ForEach can be nested {_DEEPEST} deep at most: {name}")
    made: dict[str, Any] = {}
    for item in _items(name, collection, evaluate):
        written = _written_out(_replaced(body, identifier, item), evaluate, depth + 1)
        for key, each in written.items():
            if key in made:
                raise refused(f"Fn::ForEach makes {key} more than once; its name should have ${{{identifier}}} in it")
            made[key] = each
    return made


def _items(name: str, collection: Any, evaluate: Evaluate) -> list[str]:
    """The texts that a loop goes over: lists within the list, as those of parameters, are taken apart."""
    found = evaluate(collection)
    if not isinstance(found, list):
        raise refused(f"{name} should go over a list, or a parameter that is one")
    items: list[str] = []
    for each in found:
        for one in each if isinstance(each, list) else [each]:
            text = None if isinstance(one, list | Mapping) else scalar_text(one)
            if text is None:
                raise refused(f"{name} can only go over texts")
            items.append(text)
    if len(set(items)) != len(items):
        raise refused(f"the items of {name} should be different from each other")
    return items


def _replaced(value: Any, identifier: str, item: str) -> Any:
    if isinstance(value, str):
        plain = re.sub(r"[^A-Za-z0-9]", "", item)
        return value.replace(f"${{{identifier}}}", item).replace(f"&{{{identifier}}}", plain)
    if isinstance(value, list):
        return [_replaced(each, identifier, item) for each in value]
    if isinstance(value, Mapping):
        if value == {"Ref": identifier}:
            return item
        return {_replaced(key, identifier, item): _replaced(each, identifier, item) for key, each in value.items()}
    return value


def _choose_policies(logical: str, resource: dict[str, Any], evaluate: Evaluate) -> None:
    for policy in _POLICIES:
        said = resource.get(policy)
        if isinstance(said, Mapping):
            chosen = evaluate(said)
            if not isinstance(chosen, str):
                raise refused(f"{policy} of {logical} should come to a text")
            resource[policy] = chosen
