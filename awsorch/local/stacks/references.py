"""What a part of a template refers to: Ref, Fn::GetAtt, the names in Fn::Sub, and conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SUB_NAME = re.compile(r"\$\{(!?)([^}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A `ref` to a parameter or resource, an `attribute` of a resource, or a `condition`."""

    kind: str
    name: str
    attribute: str = ""


def references_in(value: Any, holds: Callable[[str], bool] | None = None) -> Iterator[Reference]:
    """Every reference in a value, in order; with `holds`, only in those branches of Fn::If that are taken."""
    if isinstance(value, list):
        for each in value:
            yield from references_in(each, holds)
    elif isinstance(value, Mapping):
        if len(value) == 1:
            ((name, argument),) = value.items()
            found = _of_function(name, argument, holds)
            if found is not None:
                yield from found
                return
        for each in value.values():
            yield from references_in(each, holds)


def attribute_parts(argument: Any) -> tuple[str, Any]:
    """The resource and the attribute that Fn::GetAtt names; ("", None) where it is malformed."""
    if isinstance(argument, str) and "." in argument:
        logical, _, attribute = argument.partition(".")
        return logical, attribute
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[0], str):
        return argument[0], argument[1]
    return "", None


def sub_parts(argument: Any) -> tuple[str, Mapping[str, Any]]:
    """The text and the names of its own of Fn::Sub; ("", {}) where it is malformed."""
    if isinstance(argument, str):
        return argument, {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[0], str):
        return argument[0], argument[1] if isinstance(argument[1], Mapping) else {}
    return "", {}


def _of_function(name: str, argument: Any, holds: Callable[[str], bool] | None) -> Iterator[Reference] | None:
    """What a function refers to; None for what is no function that refers by itself."""
    if name == "Ref" and isinstance(argument, str):
        return iter([Reference(kind="ref", name=argument)])
    if name == "Condition" and isinstance(argument, str):
        return iter([Reference(kind="condition", name=argument)])
    if name == "Fn::GetAtt":
        return _of_attribute(argument, holds)
    if name == "Fn::Sub":
        return _of_sub(argument, holds)
    if name == "Fn::If" and isinstance(argument, list) and len(argument) == 3 and isinstance(argument[0], str):
        return _of_if(argument, holds)
    return None


def _of_attribute(argument: Any, holds: Callable[[str], bool] | None) -> Iterator[Reference]:
    logical, attribute = attribute_parts(argument)
    yield Reference(kind="attribute", name=logical, attribute=attribute if isinstance(attribute, str) else "")
    yield from references_in(attribute, holds)


def _of_sub(argument: Any, holds: Callable[[str], bool] | None) -> Iterator[Reference]:
    text, own = sub_parts(argument)
    yield from references_in(own, holds)
    for literal, written in SUB_NAME.findall(text):
        name = written.strip()
        if literal or name in own:
            continue
        logical, dot, attribute = name.partition(".")
        yield Reference(kind="attribute" if dot else "ref", name=logical, attribute=attribute)


def _of_if(argument: list[Any], holds: Callable[[str], bool] | None) -> Iterator[Reference]:
    yield Reference(kind="condition", name=argument[0])
    branches = argument[1:] if holds is None else [argument[1] if holds(argument[0]) else argument[2]]
    for branch in branches:
        yield from references_in(branch, holds)
