"""`PUT /awsorch/stacks/letters/<box>?Signature=…` at the door: answers and signals that stacks wait for.

The URL is the permission, as with those that CloudFormation pre-signs for S3: whoever was given it may write there.
"""

from __future__ import annotations

import sqlite3

from aiohttp import web

from awsorch.local.stacks.mailbox import MOST_BYTES, PREFIX, Mailbox, NotTaken

_MOST_READ = 4 * MOST_BYTES


class LettersDoor:
    """Answers requests of the path."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for the connection itself."""
        if request.method != "PUT":
            return _refuse(405, f"Letters are PUT here, and nothing else: not {request.method}.")
        body = await _read(request)
        try:
            self._mailbox.take(request.path.removeprefix(PREFIX), request.query.get("Signature", ""), body)
        except NotTaken as refusal:
            return _refuse(refusal.status, refusal.message)
        except sqlite3.Error as error:
            return _refuse(503, f"What was sent cannot be kept: {error}")
        return web.Response(status=200)


async def _read(request: web.BaseRequest) -> bytes:
    """The body, or so much of it that it is known to be too long."""
    body = b""
    async for chunk in request.content.iter_chunked(MOST_BYTES):
        body += chunk
        if len(body) > _MOST_READ:
            break
    return body


def _refuse(status: int, message: str) -> web.Response:
    response = web.json_response({"message": message}, status=status)
    response.force_close()
    return response
