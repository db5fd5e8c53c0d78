"""What controller and agent say of one command in a container, over a websocket of its own: a byte, then its data.

It is awsorch's own: ECS's agent takes no part in such sessions.
"""

import json
from dataclasses import dataclass

from awsorch.wire.errors import WireError

_DATA, _SIZE, _END, _TERMINATE = b"d", b"s", b"e", b"t"


@dataclass(frozen=True, slots=True)
class Data:
    """To the agent: what was typed. From it: what was printed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Size:
    """To the agent: the terminal's size."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """To the agent: end the command."""


@dataclass(frozen=True, slots=True)
class End:
    """From the agent: the command has ended, with an exit code if it ever ran; else the words say why not."""

    exit_code: int | None
    words: str = ""


Said = Data | Size | Terminate | End


def encode_said(said: Said) -> bytes:
    """The message's bytes."""
    match said:
        case Data(data):
            return _DATA + data
        case Size(columns, rows):
            return _SIZE + json.dumps([columns, rows]).encode()
        case Terminate():
            return _TERMINATE
        case End(code, words):
            return _END + json.dumps([code, words]).encode()


def decode_said(message: bytes) -> Said:
    """What the bytes say. Raises WireError."""
    kind, rest = message[:1], message[1:]
    try:
        if kind == _DATA:
            return Data(rest)
        if kind == _SIZE:
            columns, rows = json.loads(rest)
            return Size(int(columns), int(rows))
        if kind == _END:
            code, words = json.loads(rest)
            return End(None if code is None else int(code), str(words))
    except (ValueError, TypeError):
        raise WireError("BadRequestException", "A message about a command in a container can't be read.") from None
    if kind == _TERMINATE:
        return Terminate()
    raise WireError("BadRequestException", f"Messages about a command in a container don't begin with {kind!r}.")
