"""AWS errors as each AWS protocol writes them, for what the door itself has to say about somebody else's
service.

It exists because a client that gets a page of HTML, or JSON where it reads XML, reports "unable to parse
response" and hides what is wrong. Nothing here decides what is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from awsorch.local.service_call import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceError:
    """An error of an AWS service: HTTP status, code ("ServiceUnavailable") and message."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """An error as it goes out: the headers that its protocol wants, and the body."""

    headers: dict[str, str]
    body: bytes


def write_error(error: ServiceError, protocol: Protocol, request_id: str) -> ErrorAnswer:
    """The error in the protocol's form, as the SDKs parse it."""
    return _WRITERS[protocol](error, request_id)


def _json(error: ServiceError, request_id: str) -> ErrorAnswer:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request_id}
    return ErrorAnswer(headers=headers, body=_json_body(error))


def _rest_json(error: ServiceError, request_id: str) -> ErrorAnswer:
    headers = {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": error.code,
        "x-amzn-RequestId": request_id,
    }
    return ErrorAnswer(headers=headers, body=_json_body(error))


def _json_body(error: ServiceError) -> bytes:
    return json.dumps({"__type": error.code, "message": error.message}).encode()


def _query(error: ServiceError, request_id: str) -> ErrorAnswer:
    fault = "Sender" if error.status < 500 else "Receiver"
    xml = (
        f"<ErrorResponse><Error><Type>{fault}</Type>{_code_and_message(error)}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return _xml(xml, request_id)


def _ec2(error: ServiceError, request_id: str) -> ErrorAnswer:
    xml = (
        f"<Response><Errors><Error>{_code_and_message(error)}</Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )
    return _xml(xml, request_id)


def _rest_xml(error: ServiceError, request_id: str) -> ErrorAnswer:
    return _xml(
        f"<Error>{_code_and_message(error)}<RequestId>{request_id}</RequestId></Error>",
        request_id,
    )


def _code_and_message(error: ServiceError) -> str:
    return f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"


def _xml(xml: str, request_id: str) -> ErrorAnswer:
    headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request_id, "x-amz-request-id": request_id}
    return ErrorAnswer(headers=headers, body=f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode())


def _cbor(error: ServiceError, request_id: str) -> ErrorAnswer:
    headers = {
        "Content-Type": "application/cbor",
        "Smithy-Protocol": "rpc-v2-cbor",
        "x-amzn-RequestId": request_id,
    }
    body = b"\xa2" + b"".join(
        _cbor_text(text) for text in ("__type", error.code, "message", error.message)
    )  # a map of two entries
    return ErrorAnswer(headers=headers, body=body)


def _cbor_text(text: str) -> bytes:
    """A CBOR text string (RFC 8949, major type 3); error texts are far below 64 KiB."""
    data = text.encode()[:0xFFFF]
    return b"\x79" + len(data).to_bytes(2, "big") + data


_WRITERS: dict[Protocol, Callable[[ServiceError, str], ErrorAnswer]] = {
    Protocol.JSON: _json,
    Protocol.REST_JSON: _rest_json,
    Protocol.REST_XML: _rest_xml,
    Protocol.QUERY: _query,
    Protocol.EC2: _ec2,
    Protocol.CBOR: _cbor,
}
