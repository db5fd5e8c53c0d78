"""One command in a container, as the controller holds it: its channel to the client, its line to the agent."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

from aiohttp import web

from awsorch.engine.ports import ChannelKeys, CommandTarget, Unanswered
from awsorch.wire.errors import WireError
from awsorch.wire.exec_frames import Data, End, Said, Size, Terminate, decode_said, encode_said
from awsorch.wire.session_channel import Ended, Failed, KeyMade, Resized, SessionChannel, Typed

#: So much of what was printed is kept for the audit. Bytes.
TRANSCRIPT_LIMIT = 256 * 1024
#: A peer that takes nothing for this long has gone. Seconds.
SEND_S = 30.0
CLOSE_S = 3.0


class Side:
    """One end's websocket, and the connection that it is on."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._lock = asyncio.Lock()

    async def send(self, *messages: bytes) -> None:
        """In order, however many send; nothing happens once the peer has gone. One that takes nothing is cut off."""
        async with self._lock:
            try:
                async with asyncio.timeout(SEND_S):
                    for message in messages:
                        await self._socket.send_bytes(message)
            except TimeoutError:
                self.cut()
            except (ConnectionError, RuntimeError):
                return  # the reader sees the end, too

    async def close(self) -> None:
        """Say goodbye, and wait no longer than a moment for the answer."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()
        except TimeoutError:
            self.cut()

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()


class ExecSession:
    """``url`` is where clients come to. ``started_at`` and transcripts are for the audit; other times are a monotonic
    clock's seconds."""

    def __init__(
        self, session_id: str, target: CommandTarget, url: str, now: float, keys: ChannelKeys | None = None
    ) -> None:
        self.id = session_id
        self.target = target
        self.url = url
        self.token = secrets.token_urlsafe(48)
        self.agent_token = secrets.token_urlsafe(32)
        self._keys = keys
        self._kms_key: str = target.configuration.get("kmsKeyId", "")
        self.channel = SessionChannel(session_id, kms_key=self._kms_key)
        self.started_at = 0.0
        self.active_at = now
        self.exit_code: int | None = None
        self.words = ""
        self.is_over = False
        self.over_at = 0.0
        self._opened_at = now
        self._client: Side | None = None
        self._client_left_at: float | None = None
        self._called_at: float | None = None
        self._agent: Side | None = None
        self._for_agent: deque[Said] = deque()
        self._room = asyncio.Condition()
        self._transcript: deque[bytes] = deque()
        self._kept = 0
        self._is_sending = False

    def renew_token(self) -> str:
        """Another token; the former opens nothing any more."""
        self.token = secrets.token_urlsafe(48)
        return self.token

    # --- the client -----------------------------------------------------------------------------------------------

    def client_comes(self, side: Side, now: float) -> bool:
        """Whether it is there for the first time; a newer connection takes the older one's place, which may be broken
        without our knowing."""
        is_first = self._called_at is None
        if is_first:
            self._called_at = now
            self.channel.open(now)
        else:
            self.channel.reopen(now)
        if self._client is not None:
            self._client.cut()
        self._client, self._client_left_at = side, None
        return is_first

    def client_leaves(self, side: Side, now: float) -> None:
        if self._client is side:
            self._client, self._client_left_at = None, now

    async def take_from_client(self, message: bytes, now: float) -> None:
        try:
            events = self.channel.receive(message, now)
        except WireError:
            return  # a frame that is broken was not acknowledged, and is sent again
        for event in events:
            self.active_at = now
            match event:
                case Typed(data):
                    self._for_agent.append(Data(data))
                case Resized(columns, rows):
                    self._for_agent.append(Size(columns, rows))
                case Ended():
                    self._for_agent.append(Terminate())
                case KeyMade(ciphertext):
                    await self._take_key(ciphertext, now)
                case Failed(words):
                    self.fail(words)
        await self.flush()
        await self.tell_agent()
        async with self._room:
            self._room.notify_all()

    async def _take_key(self, ciphertext: bytes, now: float) -> None:
        """KMS has made the client a data key; it opens it for us, if it is for this session."""
        await self.flush()
        target = self.target
        task_id = target.task_arn.rpartition("/")[2]
        context = {
            "aws:ssm:SessionId": self.id,
            "aws:ssm:TargetId": f"ecs:{target.cluster}_{task_id}_{target.runtime_id}",
        }
        try:
            if self._keys is None:
                raise Unanswered("this controller opens no keys")
            self.channel.encrypt(await self._keys.open(self._kms_key, ciphertext, context), now)
        except Unanswered as error:
            self.fail(f"The session cannot be encrypted with the cluster's KMS key: {error}")

    async def flush(self) -> None:
        """Send the client what there is for it; who comes while another sends leaves it to that one."""
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while self._client is not None and (frames := self.channel.outgoing()):
                await self._client.send(*frames)
        finally:
            self._is_sending = False

    async def turn(self, now: float) -> None:
        """Send again what is late, unless the client has not taken yet what was sent."""
        if not self._is_sending:
            self.channel.tick(now)
            await self.flush()

    # --- the agent ------------------------------------------------------------------------------------------------

    def agent_comes(self, side: Side) -> bool:
        """False where it is there already, or too late."""
        if self._agent is not None or self.is_over:
            return False
        self._agent = side
        return True

    async def tell_agent(self) -> None:
        """Send the agent what there is for it."""
        while self._agent is not None and self._for_agent:
            await self._agent.send(encode_said(self._for_agent.popleft()))

    async def take_from_agent(self, message: bytes, now: float) -> None:
        """What the command printed waits here until the client has taken what came before."""
        try:
            said = decode_said(message)
        except WireError:
            return
        if isinstance(said, Data):
            async with self._room:
                await self._room.wait_for(lambda: self.channel.may_send or self.is_over)
            self.active_at = now
            self._keep(said.data)
            self.channel.output(said.data, now)
            await self.flush()
        elif isinstance(said, End):
            self.exit_code = said.exit_code
            if said.exit_code is not None:
                self.channel.exit_code(said.exit_code, now)
            self._finish(said.words, now)
            await self.flush()

    # --- its end --------------------------------------------------------------------------------------------------

    def fail(self, words: str) -> None:
        """It can't go on."""
        self._finish(f"\n{words}\n", asyncio.get_running_loop().time())

    def _finish(self, words: str, now: float) -> None:
        if not self.is_over:
            self.is_over, self.over_at, self.words = True, now, words

    def is_abandoned(self, now: float, *, come: float, comes_again: float, agent: float) -> bool:
        """Whether the client never came, or did not come again, or the agent did not come."""
        if self._called_at is None:
            return now - self._opened_at > come
        if self._client_left_at is not None:
            return now - self._client_left_at > comes_again
        return self._agent is None and now - self._called_at > agent

    async def end(self, words: str, now: float) -> None:
        """Say so to both."""
        self._finish(words, now)
        self.channel.close(words, now)
        await self.flush()
        async with self._room:
            self._room.notify_all()
        if self._agent is not None:
            await self._agent.send(encode_said(Terminate()))
            await self._agent.close()
        if self._client is not None:
            await self._client.close()

    def transcript(self) -> str:
        """The last of what was printed."""
        return b"".join(self._transcript).decode(errors="replace")

    def _keep(self, data: bytes) -> None:
        self._transcript.append(data)
        self._kept += len(data)
        while self._kept > TRANSCRIPT_LIMIT and len(self._transcript) > 1:
            self._kept -= len(self._transcript.popleft())
