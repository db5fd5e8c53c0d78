"""The types' provider schemas, as cfn-lint bundles them: which properties there are, and which need a replacement.

The one place that knows where cfn-lint (MIT-0) keeps them: JSON files of its package, one a type, named in an index of
the region. They are no public interface of it; without the package nothing is validated, and says so once.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from awsorch.cfn.contract import Properties, same

_log = logging.getLogger(__name__)

_INDEX = "providers/us-east-1.json"
_FUNCTIONS = ("Ref", "Fn::", "Condition")


class Schemas:
    """Schemas by type."""

    def create_only(self, type: str) -> frozenset[str]:
        """Pointers ("Cidr", "Data/Size") of the properties whose change needs another physical resource."""
        pointers = (_schema(type) or {}).get("createOnlyProperties") or []
        return frozenset(each.removeprefix("/properties/") for each in pointers)

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        """The properties that differ and need another physical resource."""
        return frozenset(
            pointer.partition("/")[0]
            for pointer in self.create_only(type)
            if not same(_at(pointer, previous), _at(pointer, model))
        )

    def attributes(self, type: str) -> frozenset[str]:
        """What GetAtt may name, as far as the schema has it; parts of structures with dots."""
        pointers = (_schema(type) or {}).get("readOnlyProperties") or []
        names = {each.removeprefix("/properties/").replace("/", ".") for each in pointers}
        return frozenset(names | set((_schema(type) or {}).get("properties") or {}))

    def problems(self, type: str, properties: Properties) -> list[str]:
        """What is wrong with a resource's properties, each with its path. Values that functions make are not looked
        at."""
        schema = _schema(type)
        return [] if schema is None else list(_problems(schema, schema, properties, "#"))


def _problems(root: Mapping[str, Any], schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    schema = _followed(root, schema)
    if _is_function(value):
        return
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_of(kind, value) for kind in kinds):
        yield f"{path}: expected type: {_NAMES.get(kinds[0], kinds[0])}, found: {_found(value)}"
    elif isinstance(value, Mapping) and "properties" in schema:
        yield from _of_object(root, schema, value, path)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for number, each in enumerate(value):
            yield from _problems(root, schema["items"], each, f"{path}/{number}")


def _of_object(
    root: Mapping[str, Any], schema: Mapping[str, Any], value: Mapping[str, Any], path: str
) -> Iterator[str]:
    known = schema["properties"]
    if schema.get("additionalProperties") is False and "patternProperties" not in schema:
        for name in value:
            if name not in known:
                yield f"{path}: extraneous key [{name}] is not permitted"
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}: required key [{name}] not found"
    for name, each in value.items():
        if name in known:
            yield from _problems(root, known[name], each, f"{path}/{name}")


def _followed(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found.get(part, {})
        schema = found
    return schema


_NAMES = {
    "array": "JSONArray",
    "boolean": "Boolean",
    "integer": "Integer",
    "number": "Number",
    "object": "JSONObject",
    "string": "String",
}


def _is_of(kind: str, value: Any) -> bool:
    """Whether a value may stand for this JSON type: a template may write "80" for 80."""
    if kind == "object":
        return isinstance(value, Mapping | str)  # policy documents may be text
    if kind == "array":
        return isinstance(value, list)
    if isinstance(value, list | Mapping):
        return False
    if kind in ("integer", "number"):
        try:
            float(value)
        except (TypeError, ValueError):
            return isinstance(value, str) and "{{resolve:" in value
        return not isinstance(value, bool)
    if kind == "boolean":
        return str(value).lower() in ("true", "false") or (isinstance(value, str) and "{{resolve:" in value)
    return True


def _is_function(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)).startswith(_FUNCTIONS)


def _found(value: Any) -> str:
    if isinstance(value, Mapping):
        return "JSONObject"
    return "JSONArray" if isinstance(value, list) else type(value).__name__.capitalize().replace("Str", "String")


def _at(pointer: str, value: Any) -> Any:
    for part in pointer.split("/"):
        if part == "*" or not isinstance(value, Mapping):
            return value
        value = value.get(part)
    return value


@functools.cache
def _schema(type: str) -> Mapping[str, Any] | None:
    name = _index().get(type)
    if name is None:
        return None
    return _read(f"resources/{name}.json")


@functools.cache
def _index() -> Mapping[str, str]:
    if find_spec("cfnlint") is None:
        _log.warning("cfn-lint is not installed: properties of stacks are not checked, and nothing is replaced")
        return {}
    return _read(_INDEX)


def _read(name: str) -> dict[str, Any]:
    """A file of the package, without importing it: that takes half a second and much memory."""
    spec = find_spec("cfnlint")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "data" / "schemas" / name
    return dict(json.loads(path.read_text(encoding="utf-8")))
