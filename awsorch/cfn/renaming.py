"""Other logical ids for some resources, and every reference to them with it.

CloudFormation refuses another type under a logical id that a stack has ("Update of resource type is not permitted"), so
a stack that came from Amazon ECS moves by making the new resources beside the old ones.
"""

from __future__ import annotations

import re
from collections.abc import Container, Set
from typing import Any

from awsorch.cfn.fragments import TransformError, resources_of

_SUB_NAME = re.compile(r"\$\{([^!}][^}]*)\}")


def renamed(template: dict[str, Any], which: Set[str], suffix: str) -> dict[str, Any]:
    """The template with the suffix behind those logical ids. Raises TransformError where the new one is taken."""
    there = {logical for logical, _ in resources_of(template)}
    names = {each: f"{each}{suffix}" for each in sorted(which)}
    for old, new in names.items():
        if new in there or new in template.get("Parameters", {}):
            raise TransformError(f"Resource {old}: its new logical id {new} is taken. Choose another suffix.")
        if len(new) > 255:
            raise TransformError(f"Resource {old}: its new logical id {new} is longer than 255 characters.")
    found = {key: _in(value, names) for key, value in template.items() if key != "Metadata"}
    found["Resources"] = _section(found["Resources"], names)
    return {key: found.get(key, template[key]) for key in template}


def _section(section: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Resources under their new ids, and what depends on them."""
    moved: dict[str, Any] = {}
    for logical, resource in section.items():
        if logical.startswith("Fn::ForEach::") and isinstance(resource, list) and len(resource) == 3:
            moved[logical] = [*resource[:2], _section(resource[2], names)]
            continue
        if isinstance(resource, dict) and "DependsOn" in resource:
            on = resource["DependsOn"]
            renewed = [names.get(each, each) for each in on] if isinstance(on, list) else names.get(on, on)
            moved[names.get(logical, logical)] = {**resource, "DependsOn": renewed}
        else:
            moved[names.get(logical, logical)] = resource
    return moved


def _in(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_in(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Ref" and isinstance(argument, str):
            return {"Ref": names.get(argument, argument)}
        if function == "Fn::GetAtt":
            return {function: _attribute(argument, names)}
        if function == "Fn::Sub":
            return {function: _sub(argument, names)}
    return {key: _in(each, names) for key, each in value.items()}


def _attribute(argument: Any, names: dict[str, str]) -> Any:
    if isinstance(argument, str):
        logical, dot, attribute = argument.partition(".")
        return f"{names.get(logical, logical)}{dot}{attribute}"
    if isinstance(argument, list) and argument and isinstance(argument[0], str):
        return [names.get(argument[0], argument[0]), *_in(argument[1:], names)]
    return argument


def _sub(argument: Any, names: dict[str, str]) -> Any:
    if isinstance(argument, str):
        return _text(argument, (), names)
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[0], str):
        own = argument[1]
        return [_text(argument[0], own if isinstance(own, dict) else (), names), _in(own, names)]
    return _in(argument, names)


def _text(text: str, own: Container[str], names: dict[str, str]) -> str:
    """The text of Fn::Sub; names of its own are no logical ids."""

    def new(found: re.Match[str]) -> str:
        logical, dot, attribute = found[1].strip().partition(".")
        if found[1].strip() in own or logical not in names:
            return found[0]
        return f"${{{names[logical]}{dot}{attribute}}}"

    return _SUB_NAME.sub(new, text)
