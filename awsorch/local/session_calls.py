"""ResumeSession and TerminateSession of Session Manager, for sessions of commands in containers: the plugin makes these
calls at the endpoint that told it of the session, when it has lost its data channel, or is to end.

Source: Systems Manager API, ResumeSession, TerminateSession; session-manager-plugin, session handler.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from awsorch.engine.ports import CommandSessions
from awsorch.local.service_call import ServiceCall
from awsorch.local.service_errors import ErrorAnswer, ServiceError, write_error

_PREFIX = "ecs-execute-command-"
_CONTENT_TYPE = "application/x-amz-json-1.1"


class SessionCalls:
    """Answers them for the sessions of one controller."""

    def __init__(self, sessions: CommandSessions) -> None:
        self._sessions = sessions

    def answers(self, call: ServiceCall, region: str | None) -> bool:
        """Whether a call is one of the two. Other sessions than ours nothing here knows of."""
        return call.service == "ssm" and call.operation in ("ResumeSession", "TerminateSession")

    async def answer(self, call: ServiceCall, query: str, body: bytes) -> tuple[int, ErrorAnswer]:
        """The HTTP status, headers and body that a call is answered with."""
        request_id = str(uuid.uuid4())
        try:
            session_id = _session_id(body)
            said = (
                await self._terminate(session_id) if call.operation == "TerminateSession" else self._resume(session_id)
            )
        except _Refused as refusal:
            return refusal.error.status, write_error(refusal.error, call.protocol, request_id)
        headers = {"Content-Type": _CONTENT_TYPE, "x-amzn-RequestId": request_id}
        return 200, ErrorAnswer(headers=headers, body=json.dumps(said).encode())

    def _resume(self, session_id: str) -> Mapping[str, Any]:
        """A session that has ended has no token: then the plugin says so and goes."""
        grant = self._sessions.resume(session_id)
        if grant is not None:
            return {"SessionId": grant.id, "StreamUrl": grant.url, "TokenValue": grant.token}
        if not session_id.startswith(_PREFIX):
            raise _Refused("DoesNotExistException", f"Session {session_id} does not exist.")
        return {"SessionId": session_id}

    async def _terminate(self, session_id: str) -> Mapping[str, Any]:
        """No error for one that has ended: that is what was wanted."""
        await self._sessions.terminate(session_id)
        return {"SessionId": session_id}


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = ServiceError(status=400, code=code, message=message)


def _session_id(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        raise _Refused("SerializationException", "The body is no JSON.") from None
    found = said.get("SessionId") if isinstance(said, dict) else None
    if not isinstance(found, str) or not 1 <= len(found) <= 96:
        raise _Refused("ValidationException", "SessionId should be a string of 1 to 96 characters.")
    return found
