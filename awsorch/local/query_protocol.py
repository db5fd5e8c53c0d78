"""AWS's query protocol from the server's side: what a form asks for, and an answer as XML.

It exists for the operations of Elastic Load Balancing and CloudFormation that the local cloud answers itself; botocore
has only the client's side. Shapes are botocore's. Nothing here knows what an operation does.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from botocore.session import get_session

from awsorch.local.service_errors import ServiceError


class QueryRefused(Exception):
    """A request is refused; `error` is what the client is told."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.error = ServiceError(status=status, code=code, message=message)


@functools.cache
def service_model(api_version: str) -> Any:
    """botocore's model of one version of Elastic Load Balancing; None for a version that there is not."""
    session = get_session()
    models = (session.get_service_model(name) for name in ("elbv2", "elb"))
    return next((model for model in models if model.api_version == api_version), None)


def read_form(query: str, body: bytes) -> dict[str, str]:
    """The parameters of a request, wherever they are. Never fails: what is not text is replaced."""
    form = body.decode("utf-8", "replace")
    return dict(parse_qsl(form, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))


def read_request(operation: Any, form: Mapping[str, str]) -> dict[str, Any]:
    """What a form asks for, in the operation's shape. Raises QueryRefused for a missing or malformed member."""
    if operation.input_shape is None:
        return {}
    members: dict[str, Any] = _read(operation.input_shape, form, "") or {}
    for name in operation.input_shape.required_members:
        if members.get(name) in (None, "", []):
            member = f"{name[0].lower()}{name[1:]}"
            said = f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: "
            raise QueryRefused("ValidationError", f"{said}Member must not be null")
    return members


def write_answer(operation: Any, value: Mapping[str, Any], request_id: str) -> bytes:
    """An answer in the operation's shape, as XML."""
    shape = operation.output_shape
    root = ElementTree.Element(f"{operation.name}Response", xmlns=operation.service_model.metadata["xmlNamespace"])
    if shape is not None:
        _write(ElementTree.SubElement(root, shape.serialization["resultWrapper"]), shape, value)
    ElementTree.SubElement(ElementTree.SubElement(root, "ResponseMetadata"), "RequestId").text = request_id
    answer: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return answer


def _read(shape: Any, form: Mapping[str, str], prefix: str) -> Any:
    """The value at a prefix; None where the form has none."""
    if shape.type_name == "structure":
        found = {name: _read(member, form, f"{prefix}{name}") for name, member in _members(shape, prefix).items()}
        return {name.rpartition(".")[2]: value for name, value in found.items() if value is not None} or None
    if shape.type_name == "list":
        return _read_list(shape, form, prefix)
    text = form.get(prefix)
    if text is None or shape.type_name == "string":
        return text
    if shape.type_name == "boolean":
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        raise QueryRefused("MalformedInput", f"{prefix} should be a whole number, not {text!r}.") from None


def _members(shape: Any, prefix: str) -> dict[str, Any]:
    dot = "." if prefix else ""
    return {f"{dot}{name}": member for name, member in shape.members.items()}


def _read_list(shape: Any, form: Mapping[str, str], prefix: str) -> list[Any] | None:
    start = f"{prefix}.member."
    numbers = {name.removeprefix(start).partition(".")[0] for name in form if name.startswith(start)}
    ordered = sorted(int(number) for number in numbers if number.isdecimal())
    return [_read(shape.member, form, f"{start}{number}") for number in ordered] or None


def _write(parent: ElementTree.Element, shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None:
                _write(ElementTree.SubElement(parent, name), member, value[name])
    elif shape.type_name == "list":
        for item in value:
            _write(ElementTree.SubElement(parent, "member"), shape.member, item)
    elif shape.type_name == "timestamp":
        parent.text = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    elif shape.type_name == "boolean":
        parent.text = "true" if value else "false"
    else:
        parent.text = str(value)
