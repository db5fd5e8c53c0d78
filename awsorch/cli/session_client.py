"""The client's end of a data channel of Session Manager: enough of it for one command and a terminal.

Frames are those of AWS's session-manager-plugin. Source: its message and datachannel packages.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import struct
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from awsorch.cli.session_cipher import SessionCipher

_HEADER = struct.Struct(">I32sIQqQ16s32sI")
_INPUT, _OUTPUT, _ACKNOWLEDGE, _CLOSED = "input_stream_data", "output_stream_data", "acknowledge", "channel_closed"
_DATA, _SIZE, _HANDSHAKE, _ANSWER, _READY, _FLAG, _EXIT = 1, 3, 5, 6, 7, 10, 12
_CHALLENGE, _MET = 8, 9
_SUCCESS, _FAILED = 1, 2
_TERMINATE = struct.pack(">I", 2)
_CHUNK = 1024
_RESEND_SECONDS = 1.0
_RECONNECTS = 5
"""So many connections may come to nothing, one after the other; the pause before the first, doubled each time."""
_FIRST_PAUSE = 0.2
_VERSION = "1.2.0.0"


class SessionLost(Exception):
    """The connection ended before the session did, and there was no other."""


class SessionClient:
    """One session; ``show`` gets what is printed, ``ready`` is called when input may be given. ``make_key`` has KMS
    make a data key under a key's id: what KMS opens it from, and the key. It may raise whatever says why not."""

    def __init__(
        self,
        show: Callable[[bytes], None],
        ready: Callable[[], None],
        make_key: Callable[[str], Awaitable[tuple[bytes, bytes]]] | None = None,
    ) -> None:
        self._show = show
        self._ready = ready
        self._make_key = make_key
        self._cipher: SessionCipher | None = None
        self._expected = 0
        self._next = 0
        self._early: dict[int, tuple[int, bytes]] = {}
        self._unacknowledged: dict[int, bytes] = {}
        self._socket: aiohttp.ClientWebSocketResponse
        self._id = str(uuid.uuid4())
        self._came = 0
        self.exit_code: int | None = None
        self.words = ""

    async def run(self, url: str, token: str) -> None:
        """Until the session has ended; a connection that breaks is replaced. Raises SessionLost, NotEncrypted, or
        aiohttp's ClientError."""
        broken = 0
        async with aiohttp.ClientSession() as http:
            while True:
                before = self._came
                try:
                    async with http.ws_connect(url, max_msg_size=1024 * 1024) as socket:
                        if await self._talk(socket, token):
                            return
                except (aiohttp.ClientError, ConnectionError):
                    if not self._came:
                        raise
                broken = 1 if self._came > before else broken + 1
                if not self._came or broken > _RECONNECTS:
                    raise SessionLost
                await asyncio.sleep(_FIRST_PAUSE * 2 ** (broken - 1))

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, token: str) -> bool:
        """One connection, on which what came of no other is sent again. Whether the session is over."""
        self._socket = socket
        hello = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": token,
            "ClientId": self._id,
            "ClientVersion": _VERSION,
        }
        await socket.send_str(json.dumps(hello))
        for frame in list(self._unacknowledged.values()):
            await socket.send_bytes(frame)
        resending = asyncio.create_task(self._resend())
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self._came += 1
                    if await self._take(message.data):
                        return True
            return False
        finally:
            resending.cancel()

    async def type(self, data: bytes) -> None:
        """Give the command input."""
        for begin in range(0, len(data), _CHUNK):
            await self._send(_DATA, self._hidden(data[begin : begin + _CHUNK]))

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal's size."""
        await self._send(_SIZE, json.dumps({"cols": columns, "rows": rows}).encode())

    async def terminate(self) -> None:
        """Have the session end."""
        await self._send(_FLAG, _TERMINATE)

    async def _take(self, message: bytes) -> bool:
        """Whether the session is over."""
        length, kind, _, _, sequence, _, mixed, _, payload_type = _HEADER.unpack_from(message)
        payload = message[length + 4 :]
        match kind.rstrip(b" \0").decode():
            case "channel_closed":
                self.words = _object(payload).get("Output") or ""
                return True
            case "acknowledge":
                self._unacknowledged.pop(_object(payload).get("AcknowledgedMessageSequenceNumber", -1), None)
            case "output_stream_data":
                await self._acknowledge(sequence, uuid.UUID(bytes=mixed[8:] + mixed[:8]))
                if sequence >= self._expected:
                    self._early[sequence] = (payload_type, payload)
                while self._expected in self._early:
                    await self._handle(*self._early.pop(self._expected))
                    self._expected += 1
        return False

    async def _handle(self, payload_type: int, payload: bytes) -> None:
        match payload_type:
            case kind if kind == _DATA:
                self._show(self._open(payload))
            case kind if kind == _HANDSHAKE:
                actions = [await self._do(each) for each in _object(payload).get("RequestedClientActions") or ()]
                errors = [each["Error"] for each in actions if each["Error"]] or None
                said = {"ClientVersion": _VERSION, "ProcessedClientActions": actions, "Errors": errors}
                await self._send(_ANSWER, json.dumps(said).encode())
            case kind if kind == _CHALLENGE:
                challenge = self._open(b64decode(_object(payload)["Challenge"]))
                met = {"Challenge": b64encode(self._hidden(challenge)).decode()}
                await self._send(_MET, json.dumps(met).encode())
            case kind if kind == _READY:
                self._ready()
            case kind if kind == _EXIT:
                self.exit_code = int(self._open(payload))

    async def _do(self, action: dict[str, Any]) -> dict[str, Any]:
        """What came of an action that the handshake asks for."""
        done = {"ActionType": action["ActionType"], "ActionStatus": _SUCCESS, "ActionResult": None, "Error": ""}
        if action["ActionType"] != "KMSEncryption":
            return done
        try:
            if self._make_key is None:
                raise ValueError("this client makes no keys")
            ciphertext, key = await self._make_key(str(action["ActionParameters"]["KMSKeyId"]))
            self._cipher = SessionCipher(key)
        except Exception as error:
            return done | {"ActionStatus": _FAILED, "Error": f"Failed to process action KMSEncryption: {error}"}
        return done | {"ActionResult": {"KMSCipherTextKey": b64encode(ciphertext).decode()}}

    def _hidden(self, data: bytes) -> bytes:
        return self._cipher.encrypt(data) if self._cipher is not None else data

    def _open(self, payload: bytes) -> bytes:
        return self._cipher.decrypt(payload) if self._cipher is not None else payload

    async def _send(self, payload_type: int, payload: bytes) -> None:
        frame = _frame(_INPUT, self._next, payload_type, payload)
        self._unacknowledged[self._next] = frame
        self._next += 1
        await self._put(frame)

    async def _put(self, frame: bytes) -> None:
        """What a broken connection does not take goes over the next."""
        with contextlib.suppress(ConnectionError):
            await self._socket.send_bytes(frame)

    async def _acknowledge(self, sequence: int, message_id: uuid.UUID) -> None:
        said = {
            "AcknowledgedMessageType": _OUTPUT,
            "AcknowledgedMessageId": str(message_id),
            "AcknowledgedMessageSequenceNumber": sequence,
            "IsSequentialMessage": True,
        }
        await self._put(_frame(_ACKNOWLEDGE, 0, 0, json.dumps(said).encode()))

    async def _resend(self) -> None:
        while True:
            late = dict(self._unacknowledged)
            await asyncio.sleep(_RESEND_SECONDS)
            for sequence, frame in late.items():
                if sequence in self._unacknowledged:
                    await self._put(frame)


def _frame(kind: str, sequence: int, payload_type: int, payload: bytes) -> bytes:
    message_id = uuid.uuid4().bytes
    head = _HEADER.pack(
        _HEADER.size,
        kind.encode().ljust(32),
        1,
        int(time.time() * 1000),
        sequence,
        3 if kind == _ACKNOWLEDGE else 0,
        message_id[8:] + message_id[:8],
        hashlib.sha256(payload).digest(),
        payload_type,
    )
    return head + struct.pack(">I", len(payload)) + payload


def _object(payload: bytes) -> dict[str, Any]:
    value = json.loads(payload)
    return value if isinstance(value, dict) else {}
