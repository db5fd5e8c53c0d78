"""The data channel of Session Manager, as its server sees it: frames in, events and frames out. No socket, no clock.

The client is AWS's session-manager-plugin, or anything that speaks as it does. Every stream frame is numbered and
acknowledged, in both directions; what was not acknowledged is sent again, what came twice is acknowledged again. With a
key of KMS the client has a data key made under it, both show that they have that, and what is typed and printed is
encrypted from then on.
Source: agent protocol, data channel; session-manager-plugin, message and datachannel.
"""

import hashlib
import hmac
import json
import struct
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from awsorch.wire.errors import WireError

HEADER = struct.Struct(">I32sIQqQ16s32sI")
HEADER_LENGTH = HEADER.size
SCHEMA = 1
INPUT, OUTPUT, ACKNOWLEDGE, CLOSED = "input_stream_data", "output_stream_data", "acknowledge", "channel_closed"
SYN, FIN = 1, 2
DATA, ERROR, SIZE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE, FLAG = 1, 2, 3, 5, 6, 7, 10
CHALLENGE_REQUEST, CHALLENGE_RESPONSE, EXIT_CODE = 8, 9, 12
TERMINATE_FLAG = 2
RESEND_S = 1.0
WINDOW = 256
"""So many frames at most are on their way; then output waits."""
EARLY_LIMIT = 1024
"""So many frames that came before their turn are kept."""
LARGEST_PAYLOAD = 64 * 1024
CHUNK = 16 * 1024
"""Bytes of output in a frame."""
AGENT_VERSION = "3.1.0.0"
_ENCRYPTION, _SUCCESS = "KMSEncryption", 1
_NOT_ENCRYPTED = "The session is to be encrypted with the cluster's KMS key, and the client does not do so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One binary message. `kind` is its MessageType; times are milliseconds since the epoch."""

    kind: str
    sequence: int
    flags: int
    id: uuid.UUID
    payload_type: int
    payload: bytes
    created: int = 0


def encode(frame: Frame) -> bytes:
    """The bytes of a frame."""
    head = HEADER.pack(
        HEADER_LENGTH,
        frame.kind.encode().ljust(32),
        SCHEMA,
        frame.created,
        frame.sequence,
        frame.flags,
        frame.id.bytes[8:] + frame.id.bytes[:8],
        hashlib.sha256(frame.payload).digest(),
        frame.payload_type,
    )
    return head + struct.pack(">I", len(frame.payload)) + frame.payload


def decode(message: bytes) -> Frame:
    """The frame of these bytes. Raises WireError."""
    if len(message) < HEADER_LENGTH + 4:
        raise WireError("BadRequestException", "A frame of a data channel has at least 120 bytes.")
    length, kind, _, created, sequence, flags, mixed, digest, payload_type = HEADER.unpack_from(message)
    if not HEADER_LENGTH <= length <= len(message) - 4:
        raise WireError("BadRequestException", f"A frame's header has {HEADER_LENGTH} bytes, not {length}.")
    (size,) = struct.unpack_from(">I", message, length)
    payload = message[length + 4 : length + 4 + size]
    if size > LARGEST_PAYLOAD or len(payload) != size:
        raise WireError("BadRequestException", f"A frame's payload has {size} bytes, but {len(payload)} came.")
    if size and digest != hashlib.sha256(payload).digest():
        raise WireError("BadRequestException", "A frame's payload is not what its digest says.")
    return Frame(
        kind=kind.rstrip(b" \0").decode("ascii", "replace"),
        sequence=sequence,
        flags=flags,
        id=uuid.UUID(bytes=mixed[8:] + mixed[:8]),
        payload_type=payload_type,
        payload=payload,
        created=created,
    )


@dataclass(frozen=True, slots=True)
class Typed:
    """The client's keyboard said this."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    """The client's terminal has this size now."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The client wants the session to end."""


@dataclass(frozen=True, slots=True)
class KeyMade:
    """The client had KMS make a data key, and this is what KMS opens it from."""

    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The session can't go on, and why."""

    words: str


Event = Typed | Resized | Ended | KeyMade | Failed


class Cipher(Protocol):
    """What encrypts a channel."""

    def encrypt(self, data: bytes) -> bytes: ...

    def decrypt(self, data: bytes) -> bytes:
        """Raises ValueError for what the client did not encrypt."""


class SessionChannel:
    """One session's channel. Times are seconds of any clock; `outgoing` takes what there is to send, in order. With
    `kms_key` it is encrypted."""

    def __init__(self, session_id: str, new_id: Callable[[], uuid.UUID] = uuid.uuid4, kms_key: str = "") -> None:
        self._session_id = session_id
        self._new_id = new_id
        self._kms_key = kms_key
        self._cipher: Cipher | None = None
        self._challenge = b""
        self._expected = 0
        self._next = 0
        self._early: dict[int, Frame] = {}
        self._unacknowledged: dict[int, tuple[float, bytes]] = {}
        self._outgoing: list[bytes] = []
        self._opened_at = 0.0
        self._is_shaken = False

    @property
    def may_send(self) -> bool:
        """Whether more output may be given now."""
        return self._is_shaken and len(self._unacknowledged) < WINDOW

    @property
    def is_idle(self) -> bool:
        """Whether the client has all that was sent."""
        return not self._unacknowledged

    def outgoing(self) -> list[bytes]:
        """What is to be sent; it is forgotten here."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def open(self, now: float) -> None:
        """A client has come: say what kind of session it is."""
        self._opened_at = now
        actions: list[dict[str, Any]] = [
            {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Standard_Stream", "Properties": {}}}
        ]
        if self._kms_key:
            actions.insert(0, {"ActionType": _ENCRYPTION, "ActionParameters": {"KMSKeyId": self._kms_key}})
        request = {"AgentVersion": AGENT_VERSION, "RequestedClientActions": actions}
        self._send(HANDSHAKE_REQUEST, _json(request), now)

    def encrypt(self, cipher: Cipher, now: float) -> None:
        """The client's data key is known here, too: have the client show that it has it."""
        self._cipher = cipher
        self._challenge = self._new_id().bytes + self._new_id().bytes
        challenge = b64encode(cipher.encrypt(self._challenge)).decode()
        self._send(CHALLENGE_REQUEST, _json({"Challenge": challenge}), now)

    def reopen(self, now: float) -> None:
        """The client has come again over another connection: what it has not acknowledged is sent again."""
        self._outgoing = [frame for _, frame in self._unacknowledged.values()]
        self._unacknowledged = {number: (now, frame) for number, (_, frame) in self._unacknowledged.items()}

    def receive(self, message: bytes, now: float) -> list[Event]:
        """What a frame says, and the frames that waited for it. Raises WireError."""
        frame = decode(message)
        if frame.kind == ACKNOWLEDGE:
            self._take_acknowledgement(frame.payload)
            return []
        if frame.kind != INPUT:
            return []
        if frame.sequence > self._expected and len(self._early) >= EARLY_LIMIT:
            return []  # it is sent again
        self._acknowledge(frame)
        if frame.sequence >= self._expected:
            self._early[frame.sequence] = frame
        events: list[Event] = []
        while self._expected in self._early:
            events += self._take(self._early.pop(self._expected), now)
            self._expected += 1
        return events

    def output(self, data: bytes, now: float) -> None:
        """Send what the command printed."""
        for begin in range(0, len(data), CHUNK):
            self._send(DATA, self._hidden(data[begin : begin + CHUNK]), now)

    def exit_code(self, code: int, now: float) -> None:
        """Tell what the command ended with; the plugin passes over it."""
        self._send(EXIT_CODE, self._hidden(str(code).encode()), now)

    def close(self, words: str, now: float) -> None:
        """Say that the session is over; the client prints `words`."""
        said = {
            "MessageType": CLOSED,
            "MessageId": str(self._new_id()),
            "DestinationId": "",
            "SessionId": self._session_id,
            "SchemaVersion": SCHEMA,
            "CreatedDate": "",
            "Output": words,
        }
        frame = Frame(
            kind=CLOSED,
            sequence=self._next,
            flags=SYN | FIN,
            id=self._new_id(),
            payload_type=0,
            payload=_json(said),
            created=int(now * 1000),
        )
        self._outgoing.append(encode(frame))

    def tick(self, now: float) -> None:
        """Send again what has waited for its acknowledgement for too long."""
        for number, (sent_at, frame) in list(self._unacknowledged.items()):
            if now - sent_at >= RESEND_S:
                self._unacknowledged[number] = (now, frame)
                self._outgoing.append(frame)

    # What comes

    def _take(self, frame: Frame, now: float) -> Iterator[Event]:
        match frame.payload_type:
            case kind if kind == DATA:
                yield self._typed(frame.payload)
            case kind if kind == SIZE:
                size = _object(frame.payload)
                columns, rows = size.get("cols"), size.get("rows")
                if isinstance(columns, int) and isinstance(rows, int) and 0 < columns < 10000 and 0 < rows < 10000:
                    yield Resized(columns, rows)
            case kind if kind == HANDSHAKE_RESPONSE:
                if self._kms_key and self._cipher is None:
                    yield _key_of(frame.payload)
                elif not self._kms_key:
                    self._complete(now)
            case kind if kind == CHALLENGE_RESPONSE:
                if self._challenge and self._is_met(frame.payload):
                    self._complete(now)
                elif self._challenge:
                    yield Failed(f"{_NOT_ENCRYPTED}: it has not shown that it has the key.")
            case kind if kind == FLAG:
                if len(frame.payload) == 4 and struct.unpack(">I", frame.payload) == (TERMINATE_FLAG,):
                    yield Ended()

    def _complete(self, now: float) -> None:
        if not self._is_shaken:
            self._is_shaken = True
            took = {"HandshakeTimeToComplete": int((now - self._opened_at) * 1e9), "CustomerMessage": ""}
            self._send(HANDSHAKE_COMPLETE, _json(took), now)

    # Encryption

    def _hidden(self, data: bytes) -> bytes:
        return self._cipher.encrypt(data) if self._cipher is not None else data

    def _typed(self, payload: bytes) -> Event:
        """What is not encrypted though it should be was said by another than the client."""
        if not self._kms_key:
            return Typed(payload)
        try:
            if self._cipher is not None and self._is_shaken:
                return Typed(self._cipher.decrypt(payload))
        except ValueError:
            pass
        return Failed(f"{_NOT_ENCRYPTED}: what was typed came without.")

    def _is_met(self, payload: bytes) -> bool:
        """Whether the answer to the challenge is what was asked for."""
        assert self._cipher is not None
        try:
            said = self._cipher.decrypt(b64decode(str(_object(payload).get("Challenge")), validate=True))
        except ValueError:
            return False
        return hmac.compare_digest(said, self._challenge)

    # What goes

    def _take_acknowledgement(self, payload: bytes) -> None:
        number = _object(payload).get("AcknowledgedMessageSequenceNumber")
        if isinstance(number, int):
            self._unacknowledged.pop(number, None)

    def _acknowledge(self, frame: Frame) -> None:
        said = {
            "AcknowledgedMessageType": frame.kind,
            "AcknowledgedMessageId": str(frame.id),
            "AcknowledgedMessageSequenceNumber": frame.sequence,
            "IsSequentialMessage": True,
        }
        answer = Frame(
            kind=ACKNOWLEDGE, sequence=0, flags=SYN | FIN, id=self._new_id(), payload_type=0, payload=_json(said)
        )
        self._outgoing.append(encode(answer))

    def _send(self, payload_type: int, payload: bytes, now: float) -> None:
        frame = Frame(
            kind=OUTPUT,
            sequence=self._next,
            flags=SYN if self._next == 0 else 0,
            id=self._new_id(),
            payload_type=payload_type,
            payload=payload,
            created=int(now * 1000),
        )
        self._unacknowledged[self._next] = (now, encode(frame))
        self._outgoing.append(self._unacknowledged[self._next][1])
        self._next += 1


def _key_of(payload: bytes) -> Event:
    """What the client's answer to the handshake says of the data key."""
    actions = _object(payload).get("ProcessedClientActions")
    found = [each for each in actions if isinstance(each, dict)] if isinstance(actions, list) else []
    said = next((each for each in found if each.get("ActionType") == _ENCRYPTION), {})
    result = said.get("ActionResult")
    try:
        if said.get("ActionStatus") == _SUCCESS and isinstance(result, dict):
            return KeyMade(b64decode(result["KMSCipherTextKey"], validate=True))
    except (KeyError, ValueError, TypeError):
        pass
    return Failed(f"{_NOT_ENCRYPTED}: {said.get('Error') or 'it has no data key of KMS.'}")


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _object(payload: bytes) -> Mapping[str, Any]:
    """The JSON object of a payload; empty for anything else."""
    try:
        value = json.loads(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
