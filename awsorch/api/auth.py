"""Who is calling. With access keys configured every signature is verified; without, the caller is taken at its word
(which is why the door then listens on loopback only).

Whoever signs with a configured key may do anything; a machine's agent only what ``permissions`` lets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from awsorch.core.arn import Scope
from awsorch.core.model_access import KeyHolder
from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import claimed_access_key

#: The roles whose sessions machines are in ARNs; the names that AWS's documentation gives them.
EXTERNAL_ROLE, INSTANCE_ROLE = "ecsAnywhereRole", "ecsInstanceRole"


class SignatureVerifier(Protocol):
    """``awsorch.wire.sigv4.Verifier``, as this folder uses it."""

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], body: bytes) -> str:
        """The access key id that signed the request; path and query as they were sent. Raises WireError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who signed a request; ``holder`` is the machine whose agent's key it is, None for everybody else."""

    arn: str
    holder: KeyHolder | None = None


class Authenticator:
    """Tells who made a request. ``holder_of`` names the machine that has an access key, None where the key is a
    configured one."""

    def __init__(
        self,
        scope: Scope,
        verifier: SignatureVerifier | None,
        holder_of: Callable[[str], KeyHolder | None] = lambda access_key_id: None,
    ) -> None:
        self._scope = scope
        self._verifier = verifier
        self._holder_of = holder_of

    def authenticate(self, request: web.BaseRequest, body: bytes) -> Caller:
        """The caller. Raises WireError with ECS's codes for a bad, missing or expired signature."""
        if self._verifier is None:
            key = claimed_access_key(request.headers) or ""
        else:
            path, _, query = request.raw_path.partition("?")
            key = self._verifier.verify(request.method, path, query, request.headers, body)
        holder = self._holder_of(key)
        if holder is None:
            user = f"arn:{self._scope.partition}:iam::{self._scope.account}:user/{key}"
            return Caller(arn=user if self._verifier is not None else self._scope.root)
        session = f"assumed-role/{EXTERNAL_ROLE if holder.is_external else INSTANCE_ROLE}/{holder.id}"
        return Caller(arn=f"arn:{self._scope.partition}:sts::{self._scope.account}:{session}", holder=holder)

    def caller_arn(self, request: web.BaseRequest, body: bytes) -> str:
        """The ARN of a caller who may do anything, for what only operators do. Raises WireError, for machines' agents
        AccessDeniedException."""
        caller = self.authenticate(request, body)
        if caller.holder is not None:
            asked = f"{request.method} {request.path}"
            raise WireError("AccessDeniedException", f"User: {caller.arn} is not authorized to perform: {asked}")
        return caller.arn
