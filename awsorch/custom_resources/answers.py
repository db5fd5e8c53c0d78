"""Answers to requests: what is PUT to their URLs, and how.

Source: AWS CloudFormation user guide, "Custom resource response objects" (members, 4,096 bytes, ids of 1,024 bytes).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from yarl import URL

from awsorch.core.model_custom_resources import CustomRequest

MOST_BYTES = 4096
MOST_ID_BYTES = 1024
#: Seconds until an answer that nobody takes is sent again.
TIMEOUT_S = 20.0
NOTHING = "awsorch-made-nothing-"
"""How the ids begin of resources that were never made: CloudFormation wants one even then, and deletes it."""


class NotTaken(Exception):
    """An answer did not arrive. `final`: it never will, for what listens at the URL does not want it."""

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


class Responses(Protocol):
    """Where answers go."""

    async def put(self, url: str, body: bytes) -> None:
        """PUT an answer. Raises NotTaken."""


def physical_id(record: CustomRequest) -> str:
    """The id that an answer names: of an update that failed the former one, since that one stays."""
    if record.action == "UPDATE" and record.status != "SUCCESS":
        return record.physical_id
    return record.made or record.physical_id or f"{NOTHING}{record.key[:12]}"


def answer_of(record: CustomRequest) -> bytes:
    """The answer's body; a reason that is too long is cut."""
    status, reason, id = record.status, record.reason, physical_id(record)
    data = dict(record.attributes) if status == "SUCCESS" and record.action != "DELETE" else {}
    if len(id.encode()) > MOST_ID_BYTES:
        status, data, id = "FAILED", {}, f"{NOTHING}{record.key[:12]}"
        reason = f"The resource's id is longer than CloudFormation takes, {MOST_ID_BYTES} bytes."
    members = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": id,
        "StackId": record.stack_id,
        "RequestId": record.request_id,
        "LogicalResourceId": record.logical_id,
        "Data": data,
    }
    excess = len(_written(members)) - MOST_BYTES
    if excess > 0:
        members["Reason"] = f"{reason[: max(0, len(reason) - excess - 3)]}…"
    return _written(members)


def _written(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False).encode()


class HttpResponses:
    """Implements Responses over HTTP. `close` lets go of connections."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def put(self, url: str, body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        try:
            # The URL is signed for no content type, and for its query as it is written.
            async with self._session.put(
                URL(url, encoded=True), data=body, skip_auto_headers=("Content-Type",), allow_redirects=False
            ) as response:
                status, said = response.status, (await response.content.read(500)).decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise NotTaken(f"{type(error).__name__}: {error}", final=False) from error
        if status >= 300:
            raise NotTaken(f"HTTP status {status}: {said}", final=status < 500 and status not in (408, 429))

    async def close(self) -> None:
        """Let go."""
        if self._session is not None:
            await self._session.close()
