"""Members of calls made from a table's templates and what is known."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath import functions

from awsorch.cfn.shapes import fit, input_shape, member_of
from awsorch.local.stacks.kinds.kind import Kind, Op

_ABSENT = object()


class _Functions(functions.Functions):  # type: ignore[misc]
    """What tables need beside JMESPath's own functions."""

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_from_json(self, text: str) -> Any:
        """What a JSON text says; nothing for text that is none."""
        try:
            return json.loads(text)
        except ValueError:
            return None

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_from_base64(self, text: str) -> str:
        """The text that botocore will encode again; what is none stays as it is."""
        try:
            return base64.b64decode(text, validate=True).decode()
        except ValueError:
            return text

    @functions.signature({"types": ["string"]}, {"types": ["string"]}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_part(self, text: str, separator: str, number: float) -> str | None:
        """One of the parts of a text, counted from 0."""
        parts = text.split(separator)
        return parts[int(number)] if int(number) < len(parts) else None

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_digest(self, text: str) -> str:
        """32 hexadecimal digits that stand for a text."""
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @functions.signature(  # type: ignore[untyped-decorator]
        {"types": ["array", "null"]}, {"types": ["string"]}, {"types": ["string", "number"]}
    )
    def _func_having(self, items: list[Any] | None, member: str, value: str | float) -> list[Any]:
        """The objects among these whose member is this: a filter can't look at anything outside its list."""
        return [each for each in items or () if each.get(member) == value]

    @functions.signature({"types": ["string"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_pair(self, key: str, value: str) -> dict[str, str]:
        """An object of one member."""
        return {key: value}


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def look(expression: str, known: Mapping[str, Any]) -> Any:
    """What a JMESPath expression finds; None for nothing."""
    return _compiled(expression).search(known, options=_OPTIONS)


def members_of(kind: Kind, op: Op, model: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What a call is made with. Raises shapes.Unfit."""
    shape = input_shape(kind.service, op.name)
    sent = {}
    for name, value in _renamed(model, kind.renamed).items():
        if op.takes is None:
            wanted = not _is_tags(kind, name) and member_of(shape, name) is not None
        else:
            wanted = name in {kind.renamed.get(each, each) for each in op.takes}
        if wanted:
            sent[name] = value
    filled = _fill(op.members, known)
    return dict(fit(shape, {**sent, **({} if filled is _ABSENT else filled)}))


def taken_at_create(kind: Kind, name: str) -> bool:
    """Whether the create call takes a property, under its own name or in its members."""
    op = kind.create
    if op is None or _is_tags(kind, name):
        return False
    if re.search(rf"\b{name}\b", str(op.members)):
        return True
    if op.takes is not None:
        return name in op.takes
    return member_of(input_shape(kind.service, op.name), kind.renamed.get(name, name)) is not None


def _is_tags(kind: Kind, name: str) -> bool:
    return kind.tagging is not None and name == kind.tagging.property


def _fill(template: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(template, str) and template.startswith("$"):
        found = look(template[1:], known)
        return _ABSENT if found is None else found
    if isinstance(template, Mapping):
        filled = {name: _fill(each, known) for name, each in template.items()}
        left = {name: each for name, each in filled.items() if each is not _ABSENT}
        return left if left or not template else _ABSENT
    if isinstance(template, list | tuple):
        items = [each for each in (_fill(one, known) for one in template) if each is not _ABSENT]
        return items if items or not template else _ABSENT
    return template


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if not names:
        return value
    if isinstance(value, Mapping):
        return {names.get(name, name): _renamed(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    return value


@functools.cache
def _compiled(expression: str) -> Any:
    return jmespath.compile(expression)
