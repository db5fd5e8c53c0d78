"""The one endpoint of the local cloud: ECS goes to awsorch, every other service to moto (or LocalStack)
behind it.

It runs inside the controller's process. A request's credential scope says which service it is for; what is
not ECS is passed on byte for byte, path and Host included, so that signatures, S3's encoded keys and
virtual hosts hold; a few calls about load balancers, which moto stores but does not carry, go to `elb_calls`, and
CloudFormation's to the stack engine. moto is not safe for concurrent calls (conditional writes lose updates), so calls
of one service group take turns. The door
changes nothing in an answer, except where it is no AWS answer at all: a fault of moto's becomes an error in the
protocol that the client speaks, and where a load balancer's address is not the one that it has here. It knows nothing
of clusters, tasks or instances.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import IO, Protocol

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from awsorch.local.ebs_files import deleted_volume
from awsorch.local.elb_calls import ElbCalls
from awsorch.local.elsewhere import Elsewhere
from awsorch.local.fleet_calls import may_change_instances
from awsorch.local.moto_child import FAULT_HEADER, INSTANCE_IDS_HEADER
from awsorch.local.outages_door import is_reboot, rebooted_instances
from awsorch.local.service_call import ServiceCall, is_own_path, is_scrape, read_call, signing_service
from awsorch.local.service_errors import ErrorAnswer, ServiceError, write_error
from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import credential_scope

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_SPOOL_BYTES = 1024 * 1024
"""A body up to this size stays in memory while it is received; a larger one goes to a temporary file."""
_MAX_BODY_BYTES = 1024**3
_RECEIVE_SECONDS = 300.0
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 120.0
_MAX_CALLS = 256
"""Proxied calls at once; moto works on one at a time, so more than this only wait."""

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_KEPT_FROM_UPSTREAM = _HOP_BY_HOP | {"expect", INSTANCE_IDS_HEADER.lower()}
_KEPT_FROM_CLIENT = _HOP_BY_HOP | {FAULT_HEADER.lower()}
_REPLACED = _KEPT_FROM_CLIENT | {"content-length"}

_GROUP_OF_SERVICE = {"autoscaling": "ec2", "elasticloadbalancing": "ec2"}
_WAITING_SERVICES = frozenset({"sqs", "lambda", "states"})
"""Their calls may wait inside moto (long polls, functions that call back): a lock would stop what they
wait for.
"""
_MAY_HAVE_CHANGED = frozenset({200, 500})


class SignatureVerifier(Protocol):
    """Checks the signature of a request for whichever service its credential scope names."""

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], body: bytes) -> str:
        """The access key id that signed the request; path and query raw. Raises WireError."""


class OwnCalls(Protocol):
    """Answers calls of a service in the upstream's place."""

    def answers(self, call: ServiceCall, region: str | None) -> bool:
        """Whether it does this one; `region` is None where an identity document stands in for a signature."""

    async def answer(self, call: ServiceCall, query: str, body: bytes) -> tuple[int, ErrorAnswer]:
        """The HTTP status, headers and body that a call is answered with."""


class BodyTooLarge(Exception):
    """A request's body is over the limit."""


class Door:
    """Routes requests by service. `changed` is called after a call that may have changed the EC2
    instances.
    """

    def __init__(
        self,
        *,
        upstream: str | None,
        ecs: Handler,
        verifier: SignatureVerifier | None,
        changed: Callable[[], None] | None = None,
        elb: ElbCalls | None = None,
        rebooted: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """`upstream` is the URL of everything that is not ECS (None: there is nothing), `ecs` answers ECS and
        awsorch's own paths and checks their signatures itself, `verifier` checks all others (None: nobody
        does), `elb` makes load balancers real (None: they are the upstream's alone), `rebooted` is told which
        instances the upstream has rebooted: they do not show it."""
        self._upstream = upstream.rstrip("/") if upstream else None
        self._ecs = ecs
        self._verifier = verifier
        self._changed = changed
        self._elb = elb
        self._rebooted = rebooted
        self.elsewhere: Elsewhere | None = None
        """What has some services in the upstream's place."""
        self.own: list[OwnCalls] = []
        """What answers calls that the upstream is not to see."""
        self.volume_deleted: Callable[[str], None] | None = None
        """Is told of EBS volumes that the upstream has deleted."""
        self._session: aiohttp.ClientSession | None = None
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._calls = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. The server must not decompress bodies (`auto_decompress=False`)."""
        if is_own_path(request.path) or is_scrape(request.path, request.headers):
            await _invite_body(request)
            return await self._ecs(request)
        if signing_service(request.path, request.headers, request.rel_url.raw_query_string) == "ecs":
            await _invite_body(request)
            return await self._ecs(request)
        self._calls += 1
        try:
            with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as body:
                return await self._answer(request, body)
        finally:
            self._calls -= 1

    async def close(self) -> None:
        """Let go of the connections to the upstream."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _answer(self, request: web.BaseRequest, body: IO[bytes]) -> web.StreamResponse:
        call = _read_head(request, b"")
        if self._calls > _MAX_CALLS:
            busy = ServiceError(
                status=503, code="ServiceUnavailable", message="Too many requests are waiting; try again."
            )
            return _refuse(request, call, busy)
        try:
            async with asyncio.timeout(_RECEIVE_SECONDS):
                await _receive(request, body)
        except BodyTooLarge as refusal:
            return _refuse(request, call, ServiceError(status=413, code="RequestTooLarge", message=str(refusal)))
        except TimeoutError:
            late = f"The body did not arrive within {_RECEIVE_SECONDS:.0f} seconds."
            return _refuse(request, call, ServiceError(status=408, code="RequestTimeout", message=late))
        body.seek(0)
        call = _read_head(request, body.read(_CHUNK_BYTES))
        unsigned = self._verify(request, body)
        if unsigned is not None:
            return _refuse(request, call, unsigned)
        own = self._own_for(request, call)
        if self._upstream is None and own is None:
            return _refuse(request, call, _no_upstream(call))
        elb = self._elb_for(request, call)
        if elb is None and own is None:
            return await self._pass_on(request, call, body, None)
        if body.seek(0, 2) > _SPOOL_BYTES:
            large = f"A request of {call.service} may have at most {_SPOOL_BYTES} bytes."
            return _refuse(request, call, ServiceError(status=413, code="RequestTooLarge", message=large))
        answers = own or (elb if elb is not None and elb.answers(call) else None)
        if answers is None:
            return await self._pass_on(request, call, body, elb)
        status, answer = await answers.answer(call, request.rel_url.raw_query_string, _whole(body))
        return web.Response(status=status, headers=answer.headers, body=answer.body)

    def _elb_for(self, request: web.BaseRequest, call: ServiceCall) -> ElbCalls | None:
        scope = credential_scope(request.headers, request.rel_url.raw_query_string)
        if self._elb is None or scope is None or not self._elb.concerns(call, scope.region):
            return None
        return self._elb

    def _own_for(self, request: web.BaseRequest, call: ServiceCall) -> OwnCalls | None:
        scope = credential_scope(request.headers, request.rel_url.raw_query_string)
        # cfn-signal shows the instance's identity document, where it has no keys.
        if scope is None and not request.headers.get("Authorization", "").startswith("CFN_V1 "):
            return None
        region = scope.region if scope is not None else None
        return next((each for each in self.own if each.answers(call, region)), None)

    def _verify(self, request: web.BaseRequest, body: IO[bytes]) -> ServiceError | None:
        if self._verifier is None:
            return None
        body.seek(0)
        try:
            self._verifier.verify(
                request.method,
                request.raw_path.partition("?")[0],
                request.rel_url.raw_query_string,
                request.headers,
                body.read(),
            )
        except WireError as error:
            return ServiceError(status=error.status, code=error.code, message=error.message)
        return None

    async def _pass_on(
        self, request: web.BaseRequest, call: ServiceCall, body: IO[bytes], elb: ElbCalls | None
    ) -> web.StreamResponse:
        """Call the upstream when the service group's turn comes; the turn ends when it has begun to
        answer.
        """
        turn = self._turn(call)
        async with turn:
            try:
                upstream = await self._call_upstream(request, call, body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                _log.warning("%s %s: %s", call.service, call.operation, str(error) or type(error).__name__)
                return _refuse(request, call, _down(call))
        async with upstream:
            query = request.rel_url.raw_query_string
            self._tell(call)
            if self._rebooted is not None and upstream.status == 200 and is_reboot(call):
                self._rebooted(rebooted_instances(query, _whole(body)))
            deleted = deleted_volume(call, query, _whole(body)) if upstream.status == 200 else None
            if deleted is not None and self.volume_deleted is not None:
                self.volume_deleted(deleted)
            if elb is not None and upstream.status in _MAY_HAVE_CHANGED:
                elb.learn(call, query, _whole(body))
            fault = _fault_of(call, upstream)
            if fault is not None:
                return _refuse(request, call, fault)
            if elb is not None and elb.renames(call) and upstream.status == 200:
                named = elb.rename(query, _whole(body), await upstream.read())
                return web.Response(headers=_without(upstream.headers, _REPLACED), body=named)
            return await _relay(request, upstream)

    def _tell(self, call: ServiceCall) -> None:
        """Tell those whom it concerns that the EC2 instances may have changed."""
        if may_change_instances(call):
            if self._changed is not None:
                self._changed()
            if self._elb is not None:
                self._elb.instances_changed()

    def _turn(self, call: ServiceCall) -> AbstractAsyncContextManager[None]:
        service = call.service or "s3"
        if service in _WAITING_SERVICES or (self.elsewhere is not None and self.elsewhere.has(service)):
            return nullcontext()
        return self._locks[_GROUP_OF_SERVICE.get(service, service)]

    async def _call_upstream(
        self, request: web.BaseRequest, call: ServiceCall, body: IO[bytes]
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        headers, url = _without(request.headers, _KEPT_FROM_UPSTREAM), self._upstream
        if self.elsewhere is not None and self.elsewhere.has(call.service):
            headers, url = self.elsewhere.headers(headers), self.elsewhere.url
        length = body.seek(0, 2)
        if length or "Content-Length" in request.headers or "Transfer-Encoding" in request.headers:
            headers["Content-Length"] = str(length)
        return await self._session.request(
            request.method,
            URL(f"{url}{request.raw_path}", encoded=True),
            headers=headers,
            data=_chunks(body) if length else None,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )


def _read_head(request: web.BaseRequest, body_start: bytes) -> ServiceCall:
    query = request.rel_url.raw_query_string
    return read_call(request.method, request.path, request.headers, query, body_start)


async def _receive(request: web.BaseRequest, body: IO[bytes]) -> None:
    limit = f"The body is larger than the {_MAX_BODY_BYTES} bytes that the local cloud takes."
    if (request.content_length or 0) > _MAX_BODY_BYTES:
        raise BodyTooLarge(limit)
    await _invite_body(request)
    received = 0
    async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
        received += len(chunk)
        if received > _MAX_BODY_BYTES:
            raise BodyTooLarge(limit)
        body.write(chunk)


async def _invite_body(request: web.BaseRequest) -> None:
    """Tell a client that waits for leave to send its body (S3 clients do) to go on; bare aiohttp servers do not."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        writer = request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0  # or aiohttp takes the answer's head for sent


def _whole(body: IO[bytes]) -> bytes:
    body.seek(0)
    return body.read()


async def _chunks(body: IO[bytes]) -> AsyncIterator[bytes]:
    body.seek(0)
    while chunk := body.read(_CHUNK_BYTES):
        yield chunk


def _without(headers: Mapping[str, str], names: frozenset[str]) -> CIMultiDict[str]:
    listed = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in names | listed)


async def _relay(request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = _without(upstream.headers, _KEPT_FROM_CLIENT)
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
    await response.prepare(request)
    async for chunk in upstream.content.iter_chunked(_CHUNK_BYTES):
        await response.write(chunk)
    await response.write_eof()
    return response


def _refuse(request: web.BaseRequest, call: ServiceCall, error: ServiceError) -> web.Response:
    answer = write_error(error, call.protocol, str(uuid.uuid4()))
    body = b"" if request.method == "HEAD" else answer.body
    response = web.Response(status=error.status, headers=answer.headers, body=body)
    if not request.content.is_eof():
        response.force_close()
    return response


def _no_upstream(call: ServiceCall) -> ServiceError:
    message = f"{_words(call)}: nothing but ECS is served here; set AWSORCH_UPSTREAM to the URL of other services."
    return ServiceError(status=501, code="NotImplemented", message=message)


def _down(call: ServiceCall) -> ServiceError:
    message = f"{_words(call)}: the service behind awsorch does not answer; it may be starting. Try again."
    return ServiceError(status=503, code="ServiceUnavailable", message=message)


def _fault_of(call: ServiceCall, upstream: aiohttp.ClientResponse) -> ServiceError | None:
    """What to say instead of an answer that no AWS client can read; None for an answer of AWS's kind.

    moto as our child names its fault in a header; moto's own server sends pages of HTML, 404 where a REST
    service has no such path and 500 for whatever it has not built or cannot do.
    """
    named = upstream.headers.get(FAULT_HEADER, "")
    # The answer to HEAD is its status: S3's 404 says that there is no such bucket or object.
    page = upstream.status in {404, 500, 501} and upstream.content_type == "text/html" and upstream.method != "HEAD"
    if not named and not page:
        return None
    if upstream.status == 500 and not named.startswith("NotImplementedError"):
        said = named or "the service behind awsorch gave no reason"
        message = f"{_words(call)} failed or is not implemented by the service behind awsorch: {said}"
        return ServiceError(status=500, code="InternalFailure", message=message)
    message = f"{_words(call)} is not implemented by the service behind awsorch."
    return ServiceError(status=501, code="NotImplemented", message=message)


def _words(call: ServiceCall) -> str:
    return f"{call.operation} of {call.service}" if call.service else call.operation
