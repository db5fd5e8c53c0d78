"""Who is calling. With access keys configured every signature is verified; without, the caller is taken at its word
(which is why the door then listens on loopback only)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from awsorch.core.arn import Scope


class SignatureVerifier(Protocol):
    """``awsorch.wire.sigv4.Verifier``, as this folder uses it."""

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], body: bytes) -> str:
        """The access key id that signed the request; path and query as they were sent. Raises WireError."""
        ...


class Authenticator:
    """Answers the ARN of the caller of a request."""

    def __init__(self, scope: Scope, verifier: SignatureVerifier | None) -> None:
        self._scope = scope
        self._verifier = verifier

    def caller_arn(self, request: web.BaseRequest, body: bytes) -> str:
        """The caller's ARN. Raises WireError with ECS's codes for a bad, missing or expired signature."""
        if self._verifier is None:
            return self._scope.root
        path, _, query = request.raw_path.partition("?")
        key = self._verifier.verify(request.method, path, query, request.headers, body)
        return f"arn:{self._scope.partition}:iam::{self._scope.account}:user/{key}"
