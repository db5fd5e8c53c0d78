"""The `{"type": …, "message": {…}}` envelopes of ACS and TCS, read and written as the official agent does.

The agent reads JSON as Go does: member names match whatever their case, unknown members are ignored, `null`
is the same as absent, and a message with a member of the wrong JSON type is refused as a whole. Messages that
are spelled exactly as documented are decoded in one pass; all others are put into canonical form first.
"""

from collections.abc import Callable, Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

from awsorch.wire.errors import WireError


class Shape(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename="camel",
    forbid_unknown_fields=True,
):
    """A message or a part of one: lowerCamelCase on the wire; members at their default are left out."""


Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A JSON integer of 64 bits; `6.5`, `"6"` and `5.0` are not integers."""

M = TypeVar("M", bound=Shape)
Canonical = Callable[[Any], Any]


class _Envelope(msgspec.Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"{}")


class Vocabulary(Generic[M]):
    """The message types that one websocket knows: the class's name is the type's name on the wire."""

    def __init__(self, messages: Iterable[type[M]]) -> None:
        self._decoders: dict[str, msgspec.json.Decoder[M]] = {}
        self._canonical: dict[str, Canonical] = {}
        self._classes: dict[str, type[M]] = {}
        self._prefixes: dict[type[M], bytes] = {}
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._encoder = msgspec.json.Encoder()
        for message in messages:
            name = message.__name__
            self._classes[name] = message
            self._decoders[name] = msgspec.json.Decoder(message)
            self._canonical[name] = _canonical(message) or _same
            self._prefixes[message] = f'{{"type":"{name}","message":'.encode()

    def encode(self, message: M) -> str:
        """The text frame for `message`."""
        return (self._prefixes[type(message)] + self._encoder.encode(message) + b"}").decode()

    def decode(self, text: str | bytes) -> M | None:
        """The message in `text`, or None when its type is not known.

        Raises WireError (BadRequestException): the text is no envelope, or a member has the wrong type.
        """
        try:
            envelope = self._envelope.decode(text)
            decoder = self._decoders.get(envelope.type)
            if decoder is not None:
                return decoder.decode(envelope.message)
        except (ValueError, RecursionError):
            pass  # spelled in another way, or wrong: the slow reading tells which
        try:
            return self._decode_any(text)
        except msgspec.ValidationError as error:
            raise WireError("BadRequestException", f"The message has a member of the wrong type: {error}") from None
        except (ValueError, RecursionError) as error:
            raise WireError("BadRequestException", f"The message is not valid JSON: {error}") from None

    def _decode_any(self, text: str | bytes) -> M | None:
        raw = msgspec.json.decode(text)
        if not isinstance(raw, dict):
            raise msgspec.ValidationError('Expected an object with "type" and "message"')
        envelope = {name.lower(): value for name, value in raw.items() if value is not None}
        name = envelope.get("type")
        if not isinstance(name, str):
            raise msgspec.ValidationError('Expected a string as "type"')
        if name not in self._classes:
            return None
        return msgspec.convert(self._canonical[name](envelope.get("message", {})), self._classes[name])


def _same(value: Any) -> Any:
    return value


def _canonical(kind: Any) -> Canonical | None:
    """A function that respells the members of a JSON value for `kind`; None when there is nothing to respell.

    Values of the wrong type pass through unchanged, for the decoder to refuse.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _canonical(next(argument for argument in arguments if argument is not NoneType))
    if origin is tuple:
        return _canonical_list(_canonical(arguments[0]))
    if origin is dict:
        return _canonical_map(_canonical(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _canonical_struct(kind)
    return None


def _canonical_list(item: Canonical | None) -> Canonical:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [item(each) if item else each for each in value if each is not None]

    return read


def _canonical_map(item: Canonical | None) -> Canonical:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item(each) if item else each for key, each in value.items() if each is not None}

    return read


def _canonical_struct(kind: type[msgspec.Struct]) -> Canonical:
    members = {
        field.encode_name.lower(): (field.encode_name, _canonical(field.type)) for field in msgspec.structs.fields(kind)
    }

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = {}
        for key, each in value.items():
            member = members.get(key.lower())
            if member is not None and each is not None:
                name, inner = member
                known[name] = inner(each) if inner else each
        return known

    return read
