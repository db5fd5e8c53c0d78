"""Signatures of requests for any AWS service: the general form, and the one that only S3 uses.

It exists because with access keys configured everything behind the door is closed too, and `wire.sigv4`
checks one service in the form that all but S3 have. S3's paths are not normalized, and its payload hash is
what the client says it is: a hash, which is then checked, or one of the words for "not signed".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import LONGEST_PRESIGNED, SKEW, Scope, Secrets, Verifier, credential_scope

_S3_SERVICES = frozenset({"s3", "s3-outposts", "s3express"})
_SIGNED_HEADERS = re.compile(r"SignedHeaders=([^,\s]+)")
_SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")
_HEX_HASH = re.compile(r"[0-9a-f]{64}")
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)


class ServiceVerifier:
    """Checks requests against known access keys, whichever service they are for."""

    def __init__(self, secrets: Secrets, *, clock: Callable[[], datetime]) -> None:
        self._secrets = secrets
        self._clock = clock

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], body: bytes) -> str:
        """The access key id that signed the request; path and query are raw, as they were sent. Raises
        WireError.
        """
        scope = credential_scope(headers, query_string)
        if scope is None or scope.service not in _S3_SERVICES:
            service = scope.service if scope is not None else "ecs"
            general = Verifier(self._secrets, service, clock=self._clock)
            return general.verify(method, path, query_string, headers, body)
        secret = self._secrets.get(scope.access_key_id)
        if secret is None:
            raise WireError(
                "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403
            )
        claim = _S3Claim(scope, query_string, headers)
        claim.check_time(self._clock().astimezone(UTC))
        claim.check_payload(body)
        expected = claim.signature_of(secret, method, path)
        if not hmac.compare_digest(expected, claim.signature):
            raise WireError("SignatureDoesNotMatch", _MISMATCH, 403)
        return scope.access_key_id


class _S3Claim:
    """What a request for S3 says of its own signature, in its headers or, presigned, in its query."""

    def __init__(self, scope: Scope, query: str, headers: Mapping[str, str]) -> None:
        self._scope = scope
        self._query = query
        self._headers = {name.lower(): value for name, value in headers.items()}
        authorization = self._headers.get("authorization")
        self._presigned = authorization is None
        if authorization is not None:
            signed, signature = _SIGNED_HEADERS.search(authorization), _SIGNATURE.search(authorization)
            names, self.signature = signed[1] if signed else "", signature[1] if signature else ""
            self._time, self._lifetime = self._headers.get("x-amz-date", ""), None
        else:
            said = {name: values[0] for name, values in parse_qs(query).items()}
            names, self.signature = said.get("X-Amz-SignedHeaders", ""), said.get("X-Amz-Signature", "")
            self._time = said.get("X-Amz-Date", "")
            seconds = said.get("X-Amz-Expires", "")
            self._lifetime = timedelta(seconds=int(seconds)) if re.fullmatch(r"\d{1,6}", seconds) else timedelta(0)
        self._signed = names.split(";")

    def check_time(self, now: datetime) -> None:
        try:
            signed_at = datetime.strptime(self._time, _TIME_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            raise WireError(
                "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403
            ) from None
        if self._scope.date != self._time[:8]:
            raise WireError("SignatureDoesNotMatch", _MISMATCH, 403)
        if self._lifetime is not None:
            if now > signed_at + min(self._lifetime, LONGEST_PRESIGNED):
                raise WireError("AccessDenied", "Request has expired", 403)
        elif signed_at < now - SKEW:
            raise _skewed()
        if signed_at > now + SKEW:
            raise _skewed()

    def check_payload(self, body: bytes) -> None:
        hashed = self._headers.get("x-amz-content-sha256", "")
        if _HEX_HASH.fullmatch(hashed) and hashed != hashlib.sha256(body).hexdigest():
            raise WireError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )

    def signature_of(self, secret: str, method: str, path: str) -> str:
        """The signature that the request would have if it were signed with the secret."""
        needed = {"host"} if self._presigned else {"host", "x-amz-date", "x-amz-content-sha256"}
        if not needed <= set(self._signed):
            return ""
        query = "&".join(pair for pair in self._query.split("&") if pair and not pair.startswith("X-Amz-Signature="))
        request = AWSRequest(
            method=method,
            url=f"http://{self._headers.get('host', '')}{path}?{query}",
            headers={name: self._headers.get(name, "") for name in self._signed},
        )
        request.context["timestamp"] = self._time
        kind = S3SigV4QueryAuth if self._presigned else S3SigV4Auth
        auth = kind(Credentials(self._scope.access_key_id, secret), self._scope.service, self._scope.region)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return str(auth.signature(text, request))


def _skewed() -> WireError:
    return WireError(
        "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", 403
    )
