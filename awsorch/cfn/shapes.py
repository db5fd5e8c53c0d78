"""Values of a template made to fit an operation of an AWS API, as botocore's model has it.

Names differ in their capital letters only (`TaskRoleArn`, `taskRoleArn`; `EFSVolumeConfiguration`,
`efsVolumeConfiguration`), types in that a template may write "80" for 80. Keys of free maps (labels, options) stay as
they are. Whatever the shape has no place for is refused, with its path.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.session import Session

from awsorch.cfn.contract import scalar_text


class Unfit(Exception):
    """A value does not fit; the message has its path."""


@functools.cache
def service_model(service: str) -> Any:
    """botocore's model of a service's API, by the name that clients are made with ("ecs")."""
    return _session().get_service_model(service)


def input_shape(service: str, operation: str) -> Any:
    """The shape of what an operation takes."""
    return service_model(service).operation_model(operation).input_shape


def fit(shape: Any, value: Any, path: str = "#") -> Any:
    """The value as this shape takes it. Raises Unfit."""
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, value, path)
    if kind == "list":
        if not isinstance(value, list):
            raise Unfit(f"{path}: expected type: JSONArray, found: {_found(value)}")
        return [fit(shape.member, each, f"{path}/{number}") for number, each in enumerate(value)]
    if kind == "map":
        if not isinstance(value, Mapping):
            raise Unfit(f"{path}: expected type: JSONObject, found: {_found(value)}")
        return {str(key): fit(shape.value, each, f"{path}/{key}") for key, each in value.items()}
    return _scalar(kind, value, path)


def fit_some(service: str, operation: str, properties: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the properties that are there, as an operation takes them. Raises Unfit."""
    return dict(fit(input_shape(service, operation), {name: properties[name] for name in names if name in properties}))


def member_of(shape: Any, name: str) -> str | None:
    """What a structure calls a template's property; None where it has no such member."""
    found: str | None = _members(shape).get(name.lower())
    return found


def _structure(shape: Any, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Unfit(f"{path}: expected type: JSONObject, found: {_found(value)}")
    fitted = {}
    for name, each in value.items():
        member = member_of(shape, str(name))
        if member is None:
            raise Unfit(f"{path}: extraneous key [{name}] is not permitted")
        if each is not None:
            fitted[member] = fit(shape.members[member], each, f"{path}/{name}")
    return fitted


def _scalar(kind: str, value: Any, path: str) -> Any:
    if isinstance(value, list | Mapping):
        if kind == "string":
            return json.dumps(value)
        raise Unfit(f"{path}: expected type: {kind.capitalize()}, found: {_found(value)}")
    if isinstance(value, bytes):
        return value
    text = scalar_text(value) or ""
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise Unfit(f"{path}: expected type: Boolean, found: {_found(value)}")
        return text.lower() == "true"
    if kind in ("integer", "long", "float", "double"):
        try:
            return int(text) if kind in ("integer", "long") else float(text)
        except ValueError:
            raise Unfit(f"{path}: expected type: Number, found: {_found(value)}") from None
    return text.encode() if kind == "blob" else text


def _found(value: Any) -> str:
    if isinstance(value, Mapping):
        return "JSONObject"
    if isinstance(value, list):
        return "JSONArray"
    return {bool: "Boolean", int: "Integer", float: "Number"}.get(type(value), "String")


def _members(shape: Any) -> dict[str, str]:
    """Lower case to name. Kept with the shape, which botocore makes anew for every look."""
    key = (shape.name, tuple(shape.members))
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = {name.lower(): name for name in shape.members}
    return found


_KNOWN: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}


@functools.cache
def _session() -> Any:
    return Session()
