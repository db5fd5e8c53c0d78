"""Commands in containers (ECS Exec): a client's data channel on one side, the container's agent on the other.

Agents are never called: the agent of the instance is told of a session over its control connection, and comes for it.
Sessions are in memory, with this controller; a restart ends them.
Source: ExecuteCommand; agent protocol, ECS Exec.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import string
import time
from collections.abc import Callable

import msgspec
from aiohttp import WSMsgType, web

from awsorch.core.errors import Refusal
from awsorch.engine.ports import ChannelKeys, CommandTarget, SessionAudit, SessionGrant, SessionRecord
from awsorch.gateway.exec_session import ExecSession, Side
from awsorch.wire import acs

logger = logging.getLogger(__name__)

PREFIX = "/awsorch/exec/"
#: A client that has not come for its session by then has lost it. Seconds.
COME_S = 60.0
#: A session in which nothing was typed or printed for this long ends, as in ECS. Seconds.
IDLE_S = 20 * 60.0
#: A client whose connection broke may come again for this long. Seconds.
RETURN_S = 30.0
#: The agent has this long to come for a session. Seconds.
AGENT_S = 15.0
TURN_S = 0.5
MOST, MOST_IN_CONTAINER = 1000, 20
MESSAGE_LIMIT = 1024 * 1024
_LETTERS = string.ascii_lowercase + string.digits


class ExecSessions:
    """Every session of one controller. Implements engine.ports.CommandSessions. ``tell`` sends a frame to an instance's
    agent, and says whether it is one that takes part in sessions, as ``can`` does; ``clock`` gives seconds since the
    epoch; ``audit`` writes sessions down, ``keys`` opens those of encrypted channels."""

    def __init__(
        self,
        tell: Callable[[str, str, str], bool],
        can: Callable[[str, str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._tell = tell
        self._can = can
        self._clock = clock
        self.audit: SessionAudit | None = None
        self.keys: ChannelKeys | None = None
        self._sessions: dict[str, ExecSession] = {}
        self._minding: asyncio.Task[None] | None = None
        self._turning: dict[str, asyncio.Task[None]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def open(self, target: CommandTarget, base: str) -> SessionGrant:
        """A session that a client may come for, below the URL ``base``. Raises Refusal."""
        if not self._can(target.cluster, target.instance_id):
            raise _not_connected("Its instance's agent is not connected, or can't run commands in containers.")
        there = [each for each in self._sessions.values() if each.target.runtime_id == target.runtime_id]
        if len(self._sessions) >= MOST or len(there) >= MOST_IN_CONTAINER:
            raise _not_connected("There are as many sessions as there may be: end one of them.")
        session_id = "ecs-execute-command-" + "".join(secrets.choice(_LETTERS) for _ in range(24))
        session = ExecSession(session_id, target, f"{base}{PREFIX}{session_id}", time.monotonic(), self.keys)
        self._sessions[session_id] = session
        if self._minding is None:
            self._minding = asyncio.get_running_loop().create_task(self._mind(), name="exec sessions")
        return SessionGrant(id=session_id, url=session.url, token=session.token)

    def resume(self, session_id: str) -> SessionGrant | None:
        """Another token for a client that has lost its connection; its command goes on, and waits for it."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        return SessionGrant(id=session.id, url=session.url, token=session.renew_token())

    async def terminate(self, session_id: str) -> None:
        """End a session and its command."""
        session = self._sessions.get(session_id)
        if session is not None:
            await self._end(session, "")

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """`GET /awsorch/exec/<id>` for clients, `GET /awsorch/exec/<id>/agent` for the agent."""
        session_id, _, who = request.path.removeprefix(PREFIX).partition("/")
        session = self._sessions.get(session_id)
        if session is None or who not in ("", "agent"):
            return web.Response(status=404, text="There is no such session (any more).\n")
        if who == "agent" and not hmac.compare_digest(request.query.get("token", ""), session.agent_token):
            return web.Response(status=403, text="This session is another agent's.\n")
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_LIMIT, compress=False)
        await socket.prepare(request)
        try:
            if who == "agent":
                await self._serve_agent(request, session, socket)
            else:
                await self._serve_client(request, session, socket)
        finally:
            await socket.close()
        return socket

    async def close(self) -> None:
        """End every session: the controller stops."""
        if self._minding is not None:
            self._minding.cancel()
            await asyncio.gather(self._minding, return_exceptions=True)
        ending = [self._end(session, "The controller stops.") for session in list(self._sessions.values())]
        await asyncio.gather(*ending, return_exceptions=True)
        for turning in self._turning.values():
            turning.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    # --- clients --------------------------------------------------------------------------------------------------

    async def _serve_client(
        self, request: web.BaseRequest, session: ExecSession, socket: web.WebSocketResponse
    ) -> None:
        if not await self._is_admitted(session, socket):
            return
        side = Side(socket, request.transport)
        is_first = session.client_comes(side, time.monotonic())
        if is_first:
            session.started_at = self._clock()
            self._call_agent(session)
        await session.flush()
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await session.take_from_client(message.data, time.monotonic())
                await self._end_if_done(session)
        session.client_leaves(side, time.monotonic())

    @staticmethod
    async def _is_admitted(session: ExecSession, socket: web.WebSocketResponse) -> bool:
        """Whether the first message shows the session's token."""
        try:
            message = await socket.receive(timeout=AGENT_S)
            said = msgspec.json.decode(message.data, type=dict) if message.type is WSMsgType.TEXT else {}
        except (msgspec.DecodeError, TimeoutError):
            said = {}
        return hmac.compare_digest(str(said.get("TokenValue", "")).encode(), session.token.encode())

    def _call_agent(self, session: ExecSession) -> None:
        target = session.target
        message = acs.AwsorchExecuteCommandMessage(
            session_id=session.id,
            task_arn=target.task_arn,
            container_name=target.container,
            command=target.command,
            path=f"{PREFIX}{session.id}/agent?token={session.agent_token}",
        )
        if not self._tell(target.cluster, target.instance_id, acs.encode_acs(message)):
            session.fail("Its instance's agent is not connected any more.")

    # --- agents ---------------------------------------------------------------------------------------------------

    async def _serve_agent(self, request: web.BaseRequest, session: ExecSession, socket: web.WebSocketResponse) -> None:
        if not session.agent_comes(Side(socket, request.transport)):
            return
        await session.tell_agent()
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await session.take_from_agent(message.data, time.monotonic())
                await self._end_if_done(session)
        if session.exit_code is None and not session.is_over:
            session.fail("The connection to the container's instance broke.")
        await session.flush()

    # --- minding --------------------------------------------------------------------------------------------------

    async def _mind(self) -> None:
        while True:
            await asyncio.sleep(TURN_S)
            for session in list(self._sessions.values()):
                if session.id not in self._turning:  # one that waits for its client holds nobody else up
                    self._turning[session.id] = asyncio.get_running_loop().create_task(self._mind_one(session))

    async def _mind_one(self, session: ExecSession) -> None:
        try:
            await self._turn(session, time.monotonic())
        except Exception:
            logger.exception("a bug in session %s, which ends", session.id)
            await self._end(session, "")
        finally:
            self._turning.pop(session.id, None)

    async def _turn(self, session: ExecSession, now: float) -> None:
        await session.turn(now)
        if session.is_over and (session.channel.is_idle or now - session.over_at > RETURN_S):
            await self._end(session, session.words)
        elif session.is_abandoned(now, come=COME_S, comes_again=RETURN_S, agent=AGENT_S):
            await self._end(session, "The container's instance did not answer.")
        elif now - session.active_at > IDLE_S:
            await self._end(session, f"\n\nSession {session.id} was idle for {IDLE_S / 60:.0f} minutes and ends.\n")

    async def _end_if_done(self, session: ExecSession) -> None:
        """The command has ended, and the client has all that it printed."""
        if session.is_over and session.channel.is_idle:
            await self._end(session, session.words)

    async def _end(self, session: ExecSession, words: str) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        await session.end(words, time.monotonic())
        if self.audit is not None and session.started_at:
            task = asyncio.get_running_loop().create_task(self._write(self.audit, session))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write(self, audit: SessionAudit, session: ExecSession) -> None:
        record = SessionRecord(
            session_id=session.id,
            target=session.target,
            started_at=session.started_at,
            ended_at=self._clock(),
            exit_code=session.exit_code,
            transcript=session.transcript(),
        )
        try:
            await audit.write(record)
        except Exception:
            logger.exception("session %s could not be audited", session.id)


def _not_connected(why: str) -> Refusal:
    return Refusal(
        "TargetNotConnectedException", f"The execute command failed due to an internal error. Try again later. {why}"
    )
