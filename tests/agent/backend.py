"""ECS as an agent sees it, in memory: the HTTP API, ACS and TCS on a port of this machine, with failure knobs."""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

from awsorch.wire import acs, tcs
from awsorch.wire.sigv4 import claimed_access_key

T = TypeVar("T")

CLUSTER_ARN = "arn:aws:ecs:us-east-1:123456789012:cluster/c1"
_INSTANCE_ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/c1/{:032x}"
PATIENCE = 30.0
LAST_CALLS = 20
PROTECTED_FROM = 1_900_000_000.0
"""When a protection begins, for a back end whose clock stands still."""


class Backend:
    """What agents told it, and what it shall answer. Use as an async context manager."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.signers: list[tuple[str, str]] = []
        """Of every call the operation and the access key id that it is signed with."""
        self.controls: list[web.WebSocketResponse] = []
        self.control_queries: list[dict[str, str]] = []
        self.from_control: list[acs.ACSMessage] = []
        self.from_telemetry: list[tcs.TCSMessage] = []
        self.telemetry_frames: list[str] = []
        self.failures: dict[str, list[tuple[int, str, str]]] = {}
        """Operation -> answers (status, error name, message) to give before it works again."""
        self.answers: dict[str, list[dict[str, Any]]] = {}
        """Operation -> what to answer before its usual answer is given again."""
        self.protected_until: dict[str, float] = {}
        """Task -> when its protection ends, in seconds since the epoch."""
        self.refuse_control: list[tuple[int, str]] = []
        """HTTP answers to the next control handshakes."""
        self.next_instance_arn = ""
        """What the next instance that registers anew is called; empty for any name."""
        self._changed = asyncio.Condition()
        self._numbers = itertools.count(1)
        self._sequence = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "Backend":
        app = web.Application()
        app.router.add_post("/", self._operation)
        app.router.add_get("/acs/ws", self._control)
        app.router.add_get("/tcs/ws", self._telemetry)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.listen(0)
        return self

    async def listen(self, port: int) -> None:
        assert self._runner is not None
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, number = self._runner.addresses[-1][:2]
        self.url = f"http://{host}:{number}"

    async def __aexit__(self, *_: object) -> None:
        for socket in self.controls:
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # What tests do

    async def until(self, look: Callable[[], T | None], patience: float = PATIENCE) -> T:
        """Wait until `look` finds something, and return it; the assertion that fails says what agents told last."""
        try:
            async with asyncio.timeout(patience), self._changed:
                while True:
                    found = look()
                    if found:
                        return found
                    await self._changed.wait()
        except TimeoutError:
            last = "\n".join(f"{operation} {body}" for operation, body in self.requests[-LAST_CALLS:])
            raise AssertionError(f"not seen within {patience:g} s; the last calls were\n{last}") from None

    async def connected(self, times: int = 1) -> None:
        await self.until(lambda: len(self.control_queries) >= times)

    async def send(self, message: acs.ACSMessage) -> None:
        await self.controls[-1].send_str(acs.encode_acs(message))

    async def send_tasks(self, *tasks: acs.Task, message_id: str | None = None) -> str:
        """Send a payload; returns its message id."""
        sequence = next(self._sequence)
        message_id = message_id or f"message-{sequence}"
        await self.send(
            acs.PayloadMessage(
                cluster_arn=CLUSTER_ARN,
                container_instance_arn=self.instance_arn,
                message_id=message_id,
                seq_num=sequence,
                tasks=tasks,
            )
        )
        return message_id

    async def acknowledged(self, message_id: str) -> None:
        await self.until(lambda: message_id in self.acks())

    def acks(self) -> list[str]:
        return [each.message_id for each in self.from_control if isinstance(each, acs.AckRequest)]

    def next_sequence(self) -> int:
        return next(self._sequence)

    @property
    def instance_arn(self) -> str:
        return self.control_queries[-1]["containerInstanceArn"]

    def calls(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.requests if name == operation]

    def reports(self, task: str) -> list[dict[str, Any]]:
        return [body for body in self.calls("SubmitTaskStateChange") if body["task"] == task]

    async def reported(self, task: str, status: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The first report that the task has this status."""
        return await self.until(
            lambda: next((each for each in self.reports(task) if each["status"] == status), None), patience
        )

    def containers(self, task: str) -> dict[str, dict[str, Any]]:
        """The containers of a task as all its reports together make them."""
        known: dict[str, dict[str, Any]] = {}
        for report in self.reports(task):
            for container in report["containers"]:
                known.setdefault(container["containerName"], {}).update(container)
        return known

    async def cut_control(self) -> None:
        """Break the connection without a closing handshake."""
        transport = self.controls[-1]._req.transport if self.controls[-1]._req is not None else None
        if transport is not None:
            transport.abort()

    # What agents do

    async def _operation(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        body = json.loads(await request.read())
        self.signers.append((operation, claimed_access_key(request.headers) or ""))
        failures = self.failures.get(operation)
        if failures:
            status, name, message = failures.pop(0)
            await self._notify()
            headers = {"x-amzn-RequestId": f"request-{next(self._numbers)}"}
            return web.json_response({"__type": name, "message": message}, status=status, headers=headers)
        self.requests.append((operation, body))
        given = self.answers.get(operation)
        answer = given.pop(0) if given else await self._answer(operation, body)
        await self._notify()
        return web.json_response(answer)

    async def _answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "RegisterContainerInstance":
                fresh = self.next_instance_arn or _INSTANCE_ARN.format(next(self._numbers))
                self.next_instance_arn = ""
                arn = body.get("containerInstanceArn") or fresh
                zone = {"name": "ecs.availability-zone", "value": "us-east-1a"}
                return {"containerInstance": {"containerInstanceArn": arn, "attributes": [*body["attributes"], zone]}}
            case "DiscoverPollEndpoint":
                return {"endpoint": f"{self.url}/acs", "telemetryEndpoint": f"{self.url}/tcs/"}
            case "GetTaskProtection" | "UpdateTaskProtection":
                return self._protection(body)
            case _:
                return {"acknowledgment": "ok"}

    def _protection(self, body: dict[str, Any]) -> dict[str, Any]:
        (task,) = body["tasks"]
        if body.get("protectionEnabled"):
            self.protected_until[task] = PROTECTED_FROM + 60.0 * body.get("expiresInMinutes", 120)
        elif "protectionEnabled" in body:
            self.protected_until.pop(task, None)
        until = self.protected_until.get(task)
        view = {"taskArn": task, "protectionEnabled": until is not None}
        return {"protectedTasks": [{**view, "expirationDate": until} if until else view], "failures": []}

    async def _control(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_control:
            status, text = self.refuse_control.pop(0)
            await self._notify()
            return web.Response(status=status, text=text)
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.controls.append(socket)
        self.control_queries.append(dict(request.query))
        await self._notify()
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                message = acs.decode_acs(frame.data)
                assert message is not None
                self.from_control.append(message)
                await self._notify()
        return socket

    async def _telemetry(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            self.telemetry_frames.append(frame.data)
            message = tcs.decode_tcs(frame.data)
            assert message is not None
            self.from_telemetry.append(message)
            await socket.send_str(tcs.encode_tcs(tcs.AckPublishMetric(message="ok")))
            await self._notify()
        return socket

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
