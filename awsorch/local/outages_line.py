"""How the controller's process asks the supervisor's to play an outage, and is answered.

A pair of sockets that carry whole messages: the supervisor makes it once and every controller that it starts inherits
one end, as with the pipe of `notice`. An answer to a controller that has gone meanwhile is dropped by the next one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Sequence

import msgspec

from awsorch.local.ec2 import Ec2Error
from awsorch.local.outages import Outages
from awsorch.local.refusal import Refused

_log = logging.getLogger(__name__)

VARIABLE = "AWSORCH_OUTAGES"
"""The environment variable that names the descriptor of the controller's end."""
_LARGEST_BYTES = 65536
_ANSWER_SECONDS = 60.0
_SEND_SECONDS = 5.0


class Ask(msgspec.Struct, kw_only=True):
    """What is to be played on which instances; `seconds` where it takes a time."""

    id: str
    action: str
    instances: list[str]
    seconds: float | None = None


class Told(msgspec.Struct, kw_only=True):
    """What came of an Ask: when it will be over, in seconds since 1970, or the code and message of a refusal."""

    id: str
    at: float | None = None
    code: str = ""
    message: str = ""


class Line:
    """The supervisor's side."""

    def __init__(self) -> None:
        self._mine, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._mine.setblocking(False)
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def theirs(self) -> int:
        """The descriptor that controllers inherit."""
        return self._theirs.fileno()

    def close(self) -> None:
        """Close both ends."""
        self._mine.close()
        self._theirs.close()

    async def serve(self, outages: Outages) -> None:
        """Play what is asked for, and answer. Ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            message = await loop.sock_recv(self._mine, _LARGEST_BYTES)
            task = asyncio.create_task(self._answer(outages, message))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, outages: Outages, message: bytes) -> None:
        try:
            ask = msgspec.json.decode(message, type=Ask)
        except msgspec.DecodeError as error:
            _log.error("a message of the controller cannot be read: %s", error)
            return
        told = msgspec.json.encode(await play(outages, ask))
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self._mine, told)
        except (OSError, TimeoutError) as error:
            _log.warning("the controller does not take the answer to %s: %s", ask.action, error)


async def play(outages: Outages, ask: Ask) -> Told:
    """Do what is asked for."""
    instance, at = ask.instances[0] if ask.instances else "", None
    try:
        match ask.action:
            case "interrupt":
                at = await outages.interrupt(instance, 120.0 if ask.seconds is None else ask.seconds)
            case "cut":
                at = await outages.cut(instance, ask.seconds)
            case "uncut":
                await outages.uncut(instance)
            case "kill":
                await outages.kill(instance)
            case "reboot":
                await outages.reboot(ask.instances)
            case _:
                raise Refused("UnknownOperationException", f"No outage is called {ask.action!r}.")
    except Refused as refusal:
        return Told(id=ask.id, code=refusal.code, message=refusal.message)
    except Ec2Error as error:
        _log.warning("%s of %s: %s", ask.action, ask.instances, error)
        return Told(id=ask.id, code="ServiceUnavailable", message=str(error) or type(error).__name__)
    return Told(id=ask.id, at=at)


class Desk:
    """The controller's side."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._waiting: dict[str, asyncio.Future[Told]] = {}
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, text: str) -> Desk | None:
        """The desk on the descriptor that the setting names; None where there is no fleet to ask.

        Raises ValueError where it is not the number of a descriptor.
        """
        if not text:
            return None
        if not text.isdecimal():
            raise ValueError(f"{VARIABLE}={text!r} must be the number of an inherited descriptor")
        return cls(int(text))

    def close(self) -> None:
        """Ask no more."""
        if self._reading is not None:
            self._reading.cancel()
        self._socket.close()

    async def ask(self, action: str, instance_id: str, seconds: float | None) -> float | None:
        """Have an outage played; when it will be over, where that is known. Raises Refused."""
        ask = Ask(id=uuid.uuid4().hex, action=action, instances=[instance_id], seconds=seconds)
        waiting = self._waiting[ask.id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        try:
            self._socket.send(msgspec.json.encode(ask))
            async with asyncio.timeout(_ANSWER_SECONDS):
                told: Told = await waiting
        except (OSError, TimeoutError) as error:
            raise Refused("ServiceUnavailable", "The local fleet does not answer; try again.") from error
        finally:
            del self._waiting[ask.id]
        if told.code:
            raise Refused(told.code, told.message)
        return told.at

    def reboot(self, instance_ids: Sequence[str]) -> None:
        """Have instances rebooted; as with EC2 nobody waits for it."""
        ask = Ask(id="", action="reboot", instances=list(instance_ids))
        try:
            self._socket.send(msgspec.json.encode(ask))
        except OSError as error:
            _log.warning("instances %s are not rebooted: %s", ", ".join(instance_ids), error)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while message := await loop.sock_recv(self._socket, _LARGEST_BYTES):
            told = msgspec.json.decode(message, type=Told)
            waiting = self._waiting.get(told.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(told)
