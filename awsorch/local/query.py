"""AWS's query protocol, and EC2's dialect of it, from the server's side: what a form asks for, and an answer as XML.

It exists for the operations that the local cloud answers itself; botocore has only the client's side. Shapes are
botocore's. Nothing here knows what an operation does.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from botocore.session import get_session

from awsorch.local.service_errors import ServiceError

_MODELS = {"elasticloadbalancing": ("elbv2", "elb"), "autoscaling": ("autoscaling",), "ec2": ("ec2",)}
"""The names of botocore's models, by what requests are signed for."""
_WHOLE = frozenset({"integer", "long"})
_BROKEN = frozenset({"float", "double"})
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


class QueryRefused(Exception):
    """A request is refused; `error` is what the client is told."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.error = ServiceError(status=status, code=code, message=message)


@functools.cache
def service_model(service: str, api_version: str) -> Any:
    """botocore's model of one version of a service's API; None for a version that there is not."""
    session = get_session()
    models = (session.get_service_model(name) for name in _MODELS[service])
    return next((model for model in models if model.api_version == api_version), None)


def find_operation(service: str, operation: str, api_version: str) -> Any:
    """botocore's model of an operation. Raises QueryRefused for one that there is not."""
    model = service_model(service, api_version)
    if model is None or operation not in model.operation_names:
        raise QueryRefused("InvalidAction", f"{operation} is no operation of version {api_version!r} of the API.")
    return model.operation_model(operation)


def read_form(query: str, body: bytes) -> dict[str, str]:
    """The parameters of a request, wherever they are. Never fails: what is not text is replaced."""
    form = body.decode("utf-8", "replace")
    return dict(parse_qsl(form, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))


def read_request(operation: Any, form: Mapping[str, str]) -> dict[str, Any]:
    """What a form asks for, in the operation's shape. Raises QueryRefused for a missing or malformed member."""
    if operation.input_shape is None:
        return {}
    dialect = _Dialect(operation)
    members: dict[str, Any] = _read(operation.input_shape, _Tree(form), "", dialect) or {}
    for name in operation.input_shape.required_members:
        if members.get(name) in (None, ""):
            raise dialect.missing(name)
    return members


def write_answer(operation: Any, value: Mapping[str, Any], request_id: str) -> bytes:
    """An answer in the operation's shape, as XML."""
    dialect, shape = _Dialect(operation), operation.output_shape
    root = ElementTree.Element(f"{operation.name}Response", xmlns=operation.service_model.metadata["xmlNamespace"])
    if dialect.is_ec2:
        ElementTree.SubElement(root, "requestId").text = request_id
        if shape is not None:
            _write(root, shape, value, dialect)
    else:
        if shape is not None:
            _write(ElementTree.SubElement(root, shape.serialization["resultWrapper"]), shape, value, dialect)
        ElementTree.SubElement(ElementTree.SubElement(root, "ResponseMetadata"), "RequestId").text = request_id
    answer: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return answer


class _Dialect:
    """What differs between EC2 and the other services: how members are named, and how lists are."""

    def __init__(self, operation: Any) -> None:
        self.is_ec2 = operation.service_model.metadata["protocol"] == "ec2"
        self.item = "item" if self.is_ec2 else "member"

    def asked_name(self, name: str, shape: Any) -> str:
        """A member's name in a form."""
        if not self.is_ec2:
            return name
        if "queryName" in shape.serialization:
            return str(shape.serialization["queryName"])
        plain = str(shape.serialization.get("name", name))
        return f"{plain[0].upper()}{plain[1:]}"

    def answered_name(self, name: str, shape: Any) -> str:
        """A member's name in an answer."""
        return str(shape.serialization.get("name", name)) if self.is_ec2 else name

    def missing(self, name: str) -> QueryRefused:
        if self.is_ec2:
            return QueryRefused("MissingParameter", f"The request must contain the parameter {name}")
        said = (
            f"1 validation error detected: Value null at '{name[0].lower()}{name[1:]}' failed to satisfy constraint: "
        )
        return QueryRefused("ValidationError", f"{said}Member must not be null")


class _Tree:
    """A form, and which numbers follow which start: so that a list of many is not searched for again and again."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self.form = form
        self._numbers: dict[str, set[int]] = {}
        for name in form:
            parts = name.split(".")
            for at, part in enumerate(parts):
                if part.isdecimal():
                    self._numbers.setdefault(".".join(parts[:at]), set()).add(int(part))

    def numbers(self, start: str) -> Iterable[int]:
        """Which there are behind `start`, in order."""
        return sorted(self._numbers.get(start, ()))


def _read(shape: Any, tree: _Tree, prefix: str, dialect: _Dialect) -> Any:
    """The value at a prefix; None where the form has none."""
    if shape.type_name == "structure":
        dot = "." if prefix else ""
        found = {
            name: _read(member, tree, f"{prefix}{dot}{dialect.asked_name(name, member)}", dialect)
            for name, member in shape.members.items()
        }
        return {name: value for name, value in found.items() if value is not None} or None
    if shape.type_name == "list":
        start = prefix if dialect.is_ec2 else f"{prefix}.member"
        numbers = tree.numbers(start)
        return [_read(shape.member, tree, f"{start}.{number}", dialect) for number in numbers] or None
    text = tree.form.get(prefix)
    return None if text is None else _read_plain(shape.type_name, text, prefix)


def _read_plain(type_name: str, text: str, prefix: str) -> Any:
    try:
        if type_name in _WHOLE:
            return int(text)
        if type_name in _BROKEN:
            return float(text)
        if type_name == "boolean":
            return _TRUTHS[text.lower()]
        if type_name == "timestamp":
            return datetime.fromisoformat(text).timestamp()
    except (ValueError, KeyError):
        words = {"boolean": "true or false", "timestamp": "a time like 2026-01-31T12:00:00Z"}.get(type_name)
        words = words or ("a whole number" if type_name in _WHOLE else "a number")
        raise QueryRefused("MalformedInput", f"{prefix} should be {words}, not {text!r}.") from None
    return text


def _write(parent: ElementTree.Element, shape: Any, value: Any, dialect: _Dialect) -> None:
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None:
                element = ElementTree.SubElement(parent, dialect.answered_name(name, member))
                _write(element, member, value[name], dialect)
    elif shape.type_name == "list":
        for item in value:
            _write(ElementTree.SubElement(parent, dialect.item), shape.member, item, dialect)
    elif shape.type_name == "boolean":
        parent.text = "true" if value else "false"
    elif shape.type_name == "timestamp":
        parent.text = datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    else:
        parent.text = str(value)
