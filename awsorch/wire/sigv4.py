"""AWS Signature Version 4: signing requests, and checking the signatures of requests, in headers or in the query.

The canonical form that is checked is the one of every service but S3: the path is normalized and encoded once more, the
body is always hashed, so that neither an `UNSIGNED-PAYLOAD` marker nor a false `X-Amz-Content-Sha256` can take the body
out of the signature. Requests to S3 are only signed. No clock is read here.
Source: "Signature Version 4 signing process", AWS General Reference.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote, unquote, unquote_to_bytes

from awsorch.wire.errors import WireError

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=5)
LONGEST_PRESIGNED = timedelta(days=7)

_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_CLAIMED_KEY = re.compile(r"\bCredential=([^/\s,]+)/")
_NEVER_SIGNED = frozenset({"authorization", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key, and the session token that comes with temporary ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a signature is good for: a key, a day (YYYYMMDD), a region and a service."""

    access_key_id: str
    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a request says of its own signature."""

    scope: Scope
    time: str
    signed: tuple[str, ...]
    signature: str
    lifetime: timedelta | None = None
    in_query: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def sign(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """The headers that sign a request: Authorization, X-Amz-Date, Host, and X-Amz-Security-Token if there is a token.

    All of `headers` are signed, but for those that proxies change. `url` is absolute, percent-encoded as it will be
    sent. `now` must know its time zone. For the service "s3" the path is signed as it is sent, and the body's hash is a
    header as well.
    """
    authority, path, query = _split_url(url)
    time = now.astimezone(UTC).strftime(_TIME_FORMAT)
    added = {"Host": authority, "X-Amz-Date": time}
    if service == "s3":
        added["X-Amz-Content-Sha256"] = hashlib.sha256(body).hexdigest()
    if credentials.session_token:
        added["X-Amz-Security-Token"] = credentials.session_token
    replaced = {name.lower() for name in added}
    all_headers = {name: value for name, value in headers.items() if name.lower() not in replaced} | added
    by_name = _fold(all_headers)
    signed = tuple(sorted(by_name.keys() - _NEVER_SIGNED))
    scope = Scope(access_key_id=credentials.access_key_id, date=time[:8], region=region, service=service)
    request = _Request(method=method, path=path, query=query, headers=by_name, body=body)
    canonical = _canonical_request(request, signed, path_as_sent=service == "s3")
    signature = _signature(credentials.secret_access_key, scope, time, canonical)
    return added | {
        "Authorization": f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(signed)}, Signature={signature}"
    }


class Secrets(Protocol):
    """Secret access keys by access key id, asked anew for each request; a dict will do."""

    def get(self, access_key_id: str, /) -> str | None:
        """The secret; None for a key that is not known (any more)."""
        ...


class Verifier:
    """Checks requests against known access keys.

    `clock` answers the time with its time zone; a signature may be five minutes off, or as old as a presigned URL
    says. Refusals have the codes and words that ECS uses, all with status 400.
    """

    def __init__(self, secrets: Secrets, service: str = "ecs", *, clock: Callable[[], datetime]) -> None:
        self._secrets = secrets
        self._service = service
        self._clock = clock

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], body: bytes) -> str:
        """The access key id that signed the request; `path` and `query_string` are raw, as they were sent.

        Raises WireError: MissingAuthenticationTokenException, IncompleteSignatureException,
        UnrecognizedClientException, InvalidSignatureException.
        """
        request = _Request(method=method, path=path, query=query_string, headers=_fold(headers), body=body)
        claim = _read_claim(request)
        secret = self._secrets.get(claim.scope.access_key_id)
        if secret is None:
            raise WireError("UnrecognizedClientException", "The security token included in the request is invalid.")
        if claim.scope.service != self._service:
            raise _invalid(f"Credential should be scoped to correct service: '{self._service}'.")
        if claim.scope.date != claim.time[:8]:
            raise _invalid(
                f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{claim.scope.date}' != '{claim.time[:8]}', from '{claim.time}'."
            )
        _check_signed_headers(request, claim)
        _check_time(claim, self._clock().astimezone(UTC).replace(microsecond=0))
        expected = _signature(secret, claim.scope, claim.time, _canonical_request(request, claim.signed))
        if not hmac.compare_digest(expected.encode(), claim.signature.encode("utf-8", "surrogateescape")):
            raise _invalid(
                "The request signature we calculated does not match the signature you provided. Check your AWS "
                "Secret Access Key and signing method. Consult the service documentation for details."
            )
        return claim.scope.access_key_id


def credential_scope(headers: Mapping[str, str], query: str) -> Scope | None:
    """The scope a request claims, unverified, from its Authorization header or raw query; None when it has none."""
    try:
        claim = _read_claim(_Request(method="", path="", query=query, headers=_fold(headers), body=b""))
    except WireError:
        return None
    return claim.scope


def claimed_access_key(headers: Mapping[str, str]) -> str | None:
    """The access key id that the Authorization header names, unverified; None where it names none."""
    found = _CLAIMED_KEY.search(headers.get("Authorization", ""))
    return found[1] if found else None


# --- what the request claims ------------------------------------------------------------------------------------------


def _read_claim(request: _Request) -> _Claim:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return _claim_from_header(authorization, request.headers)
    parameters = {unquote(name): unquote(value) for name, value in _pairs(request.query)}
    if "X-Amz-Algorithm" in parameters:
        return _claim_from_query(parameters)
    raise WireError("MissingAuthenticationTokenException", "Missing Authentication Token")


def _claim_from_header(authorization: str, headers: Mapping[str, str]) -> _Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{algorithm}'. Use {ALGORITHM}.")
    fields = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals:
            raise _incomplete(
                f"'{part.strip()}' not a valid key=value pair (missing equal-sign) in Authorization header."
            )
        fields[name] = value
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not fields.get(name)]
    if missing:
        raise _incomplete(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    time = headers.get("x-amz-date")
    if time is None:
        raise _incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    return _Claim(
        scope=_read_scope(fields["Credential"]),
        time=_check_time_form(time),
        signed=tuple(fields["SignedHeaders"].lower().split(";")),
        signature=fields["Signature"],
    )


def _claim_from_query(parameters: Mapping[str, str]) -> _Claim:
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Signature", "X-Amz-SignedHeaders")
    missing = [name for name in names if not parameters.get(name)]
    if missing:
        raise _incomplete(" ".join(f"AWS query-string parameters must include '{name}'." for name in missing))
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{parameters['X-Amz-Algorithm']}'. Use {ALGORITHM}.")
    expires = parameters["X-Amz-Expires"]
    if not re.fullmatch(r"[0-9]{1,6}", expires) or timedelta(seconds=int(expires)) > LONGEST_PRESIGNED:
        raise _incomplete(f"'X-Amz-Expires' must be a number of seconds from 0 to 604800, but is '{expires}'.")
    return _Claim(
        scope=_read_scope(parameters["X-Amz-Credential"]),
        time=_check_time_form(parameters["X-Amz-Date"]),
        signed=tuple(parameters["X-Amz-SignedHeaders"].lower().split(";")),
        signature=parameters["X-Amz-Signature"],
        lifetime=timedelta(seconds=int(expires)),
        in_query=True,
    )


def _read_scope(credential: str) -> Scope:
    # An access key id may hold anything but must be followed by four parts.
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            f"keyid/date/region/service/aws4_request, got '{credential}'"
        )
    return Scope(access_key_id=parts[0], date=parts[1], region=parts[2], service=parts[3])


def _check_time_form(time: str) -> str:
    try:
        if _TIME.fullmatch(time) and _parse_time(time):
            return time
    except ValueError:
        pass
    raise _incomplete(f"Date must be in ISO-8601 'basic format' (YYYYMMDDTHHMMSSZ). Got '{time}'.")


# --- what the claim must satisfy --------------------------------------------------------------------------------------


def _check_signed_headers(request: _Request, claim: _Claim) -> None:
    """The headers that say what is asked, and of whom, must be under the signature."""
    needed = ["host", *(name for name in ("x-amz-target",) if name in request.headers)]
    if not claim.in_query:
        needed += [name for name in ("x-amz-date", "x-amz-security-token") if name in request.headers]
    for name in needed:
        if name not in claim.signed:
            shown = "'Host' or ':authority'" if name == "host" else f"'{name}'"
            raise _invalid(f"{shown} must be a 'SignedHeader' in the AWS Authorization.")
    for name in claim.signed:
        if name not in request.headers:
            raise _invalid(f"The signed header '{name}' is not in the request.")


def _check_time(claim: _Claim, now: datetime) -> None:
    signed_at = _parse_time(claim.time)
    if signed_at > now + SKEW:
        raise _invalid(
            f"Signature not yet current: {claim.time} is still later than {_show(now + SKEW)} ({_show(now)} + 5 min.)"
        )
    if claim.lifetime is not None:
        if now > signed_at + claim.lifetime:
            raise _invalid(f"Signature expired: {_show(signed_at + claim.lifetime)} is now earlier than {_show(now)}")
    elif signed_at < now - SKEW:
        raise _invalid(
            f"Signature expired: {claim.time} is now earlier than {_show(now - SKEW)} ({_show(now)} - 5 min.)"
        )


def _parse_time(time: str) -> datetime:
    return datetime.fromisoformat(time)


def _show(time: datetime) -> str:
    return time.strftime(_TIME_FORMAT)


def _invalid(message: str) -> WireError:
    return WireError("InvalidSignatureException", message)


def _incomplete(message: str) -> WireError:
    return WireError("IncompleteSignatureException", message)


# --- the signature itself ---------------------------------------------------------------------------------------------


def _signature(secret: str, scope: Scope, time: str, canonical_request: bytes) -> str:
    digest = hashlib.sha256(canonical_request).hexdigest()
    text = f"{ALGORITHM}\n{time}\n{scope}\n{digest}".encode("utf-8", "surrogateescape")
    key = _signing_key(secret, scope.date, scope.region, scope.service)
    return hmac.new(key, text, hashlib.sha256).hexdigest()


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
    return key


def _canonical_request(request: _Request, signed: tuple[str, ...], *, path_as_sent: bool = False) -> bytes:
    path = quote(_normalize_path(request.path).encode("utf-8", "surrogateescape"), safe="/~")
    lines = [
        request.method.upper(),
        request.path if path_as_sent else path,
        _canonical_query(request.query),
        *(f"{name}:{request.headers[name]}" for name in signed),
        "",
        ";".join(signed),
        hashlib.sha256(request.body).hexdigest(),
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _normalize_path(path: str) -> str:
    """Without `.` and `..` segments (RFC 3986, section 5.2.4) and without empty segments."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _canonical_query(query: str) -> str:
    """Every name and value encoded in the one canonical way, in order; without the signature of a presigned URL."""
    encoded = sorted(
        (quote(unquote_to_bytes(name), safe="-_.~"), quote(unquote_to_bytes(value), safe="-_.~"))
        for name, value in _pairs(query)
    )
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")


def _pairs(query: str) -> list[tuple[str, str]]:
    if not query:
        return []
    return [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]


def _fold(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by lower-case name; runs of white space are one space, repeated headers are joined by commas."""
    folded: dict[str, str] = {}
    for given, value in headers.items():
        name, trimmed = given.lower(), " ".join(value.split())
        folded[name] = f"{folded[name]},{trimmed}" if name in folded else trimmed
    return folded


def _split_url(url: str) -> tuple[str, str, str]:
    """The authority (without the scheme's own port), the raw path and the raw query of an absolute URL."""
    scheme, _, rest = url.partition("://")
    rest = rest.partition("#")[0]
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    default_port = ":443" if scheme.lower() in ("https", "wss") else ":80"
    return authority.removesuffix(default_port), slash + path or "/", query
