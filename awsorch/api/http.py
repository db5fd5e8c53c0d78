"""The ECS endpoint: ``POST /`` with ``X-Amz-Target``. Reads, authenticates, decodes, dispatches, answers; no decisions.

Source: ECS API reference, "Common errors"; AWS JSON 1.1.
"""

from __future__ import annotations

import asyncio
import uuid
from time import perf_counter
from typing import Any

from aiohttp import web

import awsorch.api.operations  # noqa: F401  (fills the table of operations)
from awsorch.api.auth import Authenticator
from awsorch.api.calls import EXTENSIONS, OPERATIONS, Answer, Call
from awsorch.api.faults import Fault, fault_of
from awsorch.api.permissions import require_permission
from awsorch.api.request_figures import OK, OTHER, RequestFigures
from awsorch.core.arn import Scope
from awsorch.core.errors import unsupported
from awsorch.core.model import AgentPackage
from awsorch.engine.controller import Controller
from awsorch.engine.ports import AutoScaling, CommandSessions, LoadBalancers, TaskRoles
from awsorch.wire.codec import Codec
from awsorch.wire.errors import WireError

CONTENT_TYPE = "application/x-amz-json-1.1"
#: Bodies above this are refused: aiohttp's limit for a request. ECS's own largest input has 64 KiB. Bytes.
BODY_LIMIT = 1024 * 1024
#: A body that is not there after this long is given up. Seconds.
BODY_TIMEOUT_S = 30.0
EXTENSION_PREFIX = "AwsorchV1."


class EcsEndpoint:
    """Handles ECS requests for one controller. Without ``load_balancers``, ``auto_scaling`` and ``task_roles`` what
    requests say of load balancers, Auto Scaling groups and roles is not checked; without ``commands`` none is run."""

    def __init__(
        self,
        controller: Controller,
        scope: Scope,
        authenticator: Authenticator,
        load_balancers: LoadBalancers | None = None,
        auto_scaling: AutoScaling | None = None,
        task_roles: TaskRoles | None = None,
    ) -> None:
        self._controller = controller
        self._load_balancers = load_balancers
        self._auto_scaling = auto_scaling
        self._task_roles = task_roles
        self.commands: CommandSessions | None = None
        self.agent_package: AgentPackage | None = None
        self._scope = scope
        self._authenticator = authenticator
        self._codec = Codec.load("ecs")
        self.figures = RequestFigures()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for the connection itself."""
        request_id, began, code = str(uuid.uuid4()), perf_counter(), OK
        try:
            answer = await self._answer(request, request_id)
            return self._respond(200, answer, request_id)
        except Exception as error:
            fault = fault_of(error)
            code = fault.code
            return self._fail(fault, request_id)
        finally:
            self.figures.count(_operation_of(request), code, perf_counter() - began)

    async def _answer(self, request: web.BaseRequest, request_id: str) -> Answer:
        if request.method != "POST":
            raise WireError("UnknownOperationException", f"ECS takes POST requests, not {request.method}.")
        body = await read_body(request)
        caller = self._authenticator.authenticate(request, body)
        target = request.headers.get("X-Amz-Target", "")
        self._check_content_type(request)
        if target.startswith(EXTENSION_PREFIX):
            operation = target.removeprefix(EXTENSION_PREFIX)
            handler, members = EXTENSIONS.get(operation), self._codec.decode_any(body)
        else:
            prefix, _, operation = target.rpartition(".")
            if prefix != self._codec.target_prefix or operation not in self._codec.operations:
                raise WireError("UnknownOperationException", f"X-Amz-Target names no operation of ECS: {target!r}.")
            handler, members = OPERATIONS.get(operation), self._codec.decode(operation, body)
        if handler is None:
            raise unsupported(f"{operation} is not supported by this version of awsorch.")
        call = Call(
            operation=operation,
            request=members,
            request_id=request_id,
            caller_arn=caller.arn,
            base_url=f"{request.scheme}://{request.host}",
            scope=self._scope,
            controller=self._controller,
            load_balancers=self._load_balancers,
            auto_scaling=self._auto_scaling,
            task_roles=self._task_roles,
            holder=caller.holder,
            commands=self.commands,
            agent_package=self.agent_package,
        )
        await require_permission(call)
        return await handler(call)

    @staticmethod
    def _check_content_type(request: web.BaseRequest) -> None:
        given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if given not in (CONTENT_TYPE, "application/x-amz-json-1.0", "application/json"):
            raise WireError("SerializationException", f"Content-Type should be {CONTENT_TYPE}, not {given!r}.")

    def _respond(self, status: int, value: Any, request_id: str) -> web.Response:
        return web.Response(
            status=status,
            body=self._codec.encode(value),
            headers={"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": request_id},
        )

    def _fail(self, fault: Fault, request_id: str) -> web.Response:
        return self._respond(fault.status, fault.body, request_id)


def _operation_of(request: web.BaseRequest) -> str:
    """The operation that a request names, if there is one of this name."""
    named = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    return named if named in OPERATIONS or named in EXTENSIONS else OTHER


async def read_body(request: web.BaseRequest) -> bytes:
    """The request's body. Raises WireError where it does not come, or is too large."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise WireError("RequestTimeout", "The request's body did not arrive in time.", 408) from None
    except web.HTTPRequestEntityTooLarge:
        raise WireError(
            "RequestEntityTooLarge", f"The request's body may have at most {BODY_LIMIT} bytes.", 413
        ) from None
