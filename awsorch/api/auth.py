"""Who is calling. With access keys configured every signature is verified; without, the caller is taken at its word
(which is why the door then listens on loopback only).

Whoever signs with a configured key may do anything; an external instance's agent only what ``permissions`` lets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from awsorch.core.arn import Scope
from awsorch.core.model_access import ExternalInstance
from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import claimed_access_key

#: The role whose sessions external instances are in ARNs; the name that AWS's documentation gives it.
EXTERNAL_ROLE = "ecsAnywhereRole"


class SignatureVerifier(Protocol):
    """``awsorch.wire.sigv4.Verifier``, as this folder uses it."""

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], body: bytes) -> str:
        """The access key id that signed the request; path and query as they were sent. Raises WireError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who signed a request; ``external`` is the external instance whose key it is, None for everybody else."""

    arn: str
    external: ExternalInstance | None = None


class Authenticator:
    """Tells who made a request. ``holder_of`` names the external instance that has an access key, None where the key is
    a configured one."""

    def __init__(
        self,
        scope: Scope,
        verifier: SignatureVerifier | None,
        holder_of: Callable[[str], ExternalInstance | None] = lambda access_key_id: None,
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
        external = self._holder_of(key)
        if external is None:
            user = f"arn:{self._scope.partition}:iam::{self._scope.account}:user/{key}"
            return Caller(arn=user if self._verifier is not None else self._scope.root)
        session = f"assumed-role/{EXTERNAL_ROLE}/{external.id}"
        return Caller(arn=f"arn:{self._scope.partition}:sts::{self._scope.account}:{session}", external=external)

    def caller_arn(self, request: web.BaseRequest, body: bytes) -> str:
        """The ARN of a caller who may do anything, for what only operators do. Raises WireError, for external instances
        AccessDeniedException."""
        caller = self.authenticate(request, body)
        if caller.external is not None:
            asked = f"{request.method} {request.path}"
            raise WireError("AccessDeniedException", f"User: {caller.arn} is not authorized to perform: {asked}")
        return caller.arn
