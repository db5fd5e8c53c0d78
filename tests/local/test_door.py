from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from awsorch.local import door as door_module
from awsorch.local.door import Door
from awsorch.wire.errors import WireError
from tests.local.serving import fronting, serving, until
from tests.local.test_service_call import FORM, signed

NOT_FOUND_PAGE = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>"


@dataclass
class Upstream:
    """A service behind the door: remembers what came, answers what it is told to, when it is told to."""

    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[], web.Response] = lambda: web.Response(text="from upstream")
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event | None = None
    now: int = 0
    most: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        self.now += 1
        self.most = max(self.most, self.now)
        self.arrived.set()
        if self.may_answer is not None:
            await self.may_answer.wait()
        self.now -= 1
        return self.answer()


async def ecs(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"ecs got {len(await request.read())} bytes")


class Refusing:
    def verify(self, method: str, path: str, query_string: str, headers: Any, body: bytes) -> str:
        raise WireError("InvalidSignatureException", f"{method} {path} {query_string} {len(body)}", 403)


@dataclass
class Street:
    """A client before the door and an upstream behind it."""

    client: aiohttp.ClientSession
    upstream: Upstream
    url: str
    changes: list[str]
    reboots: list[list[str]]

    async def call(self, service: str | None, **arguments: Any) -> aiohttp.ClientResponse:
        headers = (signed(service) if service else {}) | arguments.pop("headers", {})
        path = arguments.pop("path", "/")
        method = arguments.pop("method", "POST")
        response = await self.client.request(
            method, URL(self.url + path, encoded=True), headers=headers, allow_redirects=False, **arguments
        )
        await response.read()
        return response


@asynccontextmanager
async def a_street(*, down: bool = False, verifier: Any = None, none: bool = False) -> AsyncIterator[Street]:
    upstream, changes, reboots = Upstream(), list[str](), list[list[str]]()
    async with serving(upstream.handle) as url:
        there = "http://127.0.0.1:9" if down else url
        door = Door(
            upstream=None if none else there,
            ecs=ecs,
            verifier=verifier,
            changed=lambda: changes.append("changed"),
            rebooted=lambda ids: reboots.append(list(ids)),
        )
        async with fronting(door.handle) as front, aiohttp.ClientSession(auto_decompress=False) as client:
            yield Street(client=client, upstream=upstream, url=front, changes=changes, reboots=reboots)
        await door.close()


def on(street: Callable[[Street], Coroutine[Any, Any, None]], **arguments: Any) -> None:
    async def walk() -> None:
        async with a_street(**arguments) as built:
            await street(built)

    asyncio.run(asyncio.wait_for(walk(), 20))


def test_ecs_and_our_own_paths_stay_here() -> None:
    async def scene(street: Street) -> None:
        for call in (
            street.call("ecs", data=b"{}"),
            street.call(None, headers={"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.X"}, data=b"{}"),
            street.call(None, path="/service/AmazonEC2ContainerServiceV20141113/operation/X", data=b"{}"),
            street.call("s3", path="/awsorch/health", data=b"{}"),
            street.call(None, path="/acs/ws?x=1", data=b"{}"),
        ):
            assert await (await call).text() == "ecs got 2 bytes"
        assert street.upstream.requests == []

    on(scene)


def test_the_rest_is_passed_on_byte_for_byte() -> None:
    async def scene(street: Street) -> None:
        body = gzip.compress(b"x" * 100_000)
        response = await street.call(
            "s3",
            method="PUT",
            path="/bucket/a%2Fb//c%20d/../e+f?x-id=PutObject&k=%7E",
            data=body,
            headers={
                "Host": "bucket.s3.localhost:4566",
                "Content-Encoding": "gzip",
                "X-Hop": "no",
                "Connection": "x-hop",
            },
        )
        assert await response.text() == "from upstream"
        method, path, headers, received = street.upstream.requests[0]
        assert (method, path) == ("PUT", "/bucket/a%2Fb//c%20d/../e+f?x-id=PutObject&k=%7E")
        assert received == body
        assert headers["Host"] == "bucket.s3.localhost:4566"
        assert headers["Content-Length"] == str(len(body))
        assert headers["Content-Encoding"] == "gzip"
        assert "X-Hop" not in headers

    on(scene)


def test_a_chunked_body_arrives_with_its_length() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"p" * 65536

    async def scene(street: Street) -> None:
        await street.call("s3", method="PUT", path="/bucket/key", data=pieces())
        _, _, headers, received = street.upstream.requests[0]
        assert headers["Content-Length"] == str(40 * 65536) == str(len(received))
        assert "Transfer-Encoding" not in headers

    on(scene)


def test_nobody_names_instance_ids_through_the_door() -> None:
    async def scene(street: Street) -> None:
        await street.call("ec2", headers={"X-Awsorch-Instance-Ids": "i-0123456789abcdef0"})
        assert "X-Awsorch-Instance-Ids" not in street.upstream.requests[0][2]

    on(scene)


def test_answers_come_back_as_they_are() -> None:
    async def scene(street: Street) -> None:
        body = gzip.compress(b"stored")
        street.upstream.answer = lambda: web.Response(
            status=301, body=body, headers={"Content-Encoding": "gzip", "Location": "/elsewhere", "ETag": '"1"'}
        )
        response = await street.call("s3", method="GET", path="/bucket/key")
        assert response.status == 301
        assert await response.read() == body
        assert response.headers["ETag"] == '"1"'
        street.upstream.answer = lambda: web.Response(headers={"Content-Length": "12345"})
        response = await street.call("s3", method="HEAD", path="/bucket/key")
        assert response.headers["Content-Length"] == "12345"

    on(scene)


def test_calls_of_a_service_group_take_turns() -> None:
    async def scene(street: Street) -> None:
        street.upstream.may_answer = asyncio.Event()
        calls = [
            asyncio.create_task(street.call(service))
            for service in ("ec2", "autoscaling", "elasticloadbalancing", "ec2")
        ]
        await street.upstream.arrived.wait()
        other = asyncio.create_task(street.call("sns"))
        waiting = [asyncio.create_task(street.call("sqs")) for _ in range(2)]
        await until(lambda: len(street.upstream.requests) == 4)
        assert not any(each.done() for each in [*calls, other, *waiting])
        assert street.upstream.now == 4, "one of the group, sns beside it, sqs without turns"
        street.upstream.may_answer.set()
        await asyncio.gather(*calls, other, *waiting)
        assert len(street.upstream.requests) == 7

    on(scene)


@pytest.mark.parametrize(
    ("service", "headers", "body", "expected"),
    [
        ("ec2", FORM, b"Action=RunInstances", b"<Code>ServiceUnavailable</Code>"),
        ("iam", FORM, b"Action=ListRoles", b"<Type>Receiver</Type><Code>ServiceUnavailable</Code>"),
        ("ssm", {"X-Amz-Target": "AmazonSSM.GetParameter"}, b"{}", b'"__type": "ServiceUnavailable"'),
    ],
)
def test_an_upstream_that_is_down_is_an_error_in_the_clients_protocol(
    service: str, headers: dict[str, str], body: bytes, expected: bytes
) -> None:
    async def scene(street: Street) -> None:
        response = await street.call(service, headers=headers, data=body)
        assert response.status == 503
        assert expected in await response.read()
        assert street.changes == []

    on(scene, down=True)


def test_without_an_upstream_the_error_says_what_to_set() -> None:
    async def scene(street: Street) -> None:
        response = await street.call("ssm", headers={"X-Amz-Target": "AmazonSSM.GetParameter"}, data=b"{}")
        assert response.status == 501
        assert "GetParameter of ssm" in await response.text()
        assert "AWSORCH_UPSTREAM" in await response.text()

    on(scene, none=True)


@pytest.mark.parametrize(
    ("status", "headers", "text", "expected_status", "code", "words"),
    [
        (501, {"X-Awsorch-Fault": "NotImplementedError: no"}, "", 501, "NotImplemented", "StartSession of ssm is not"),
        (500, {"X-Awsorch-Fault": "KeyError: 'x'"}, "", 500, "InternalFailure", "KeyError: 'x'"),
        (500, {"Content-Type": "text/html"}, "<html>", 500, "InternalFailure", "StartSession of ssm failed or is not"),
        (404, {"Content-Type": "text/html"}, NOT_FOUND_PAGE, 501, "NotImplemented", "StartSession of ssm is not"),
    ],
)
def test_a_fault_of_the_upstream_becomes_an_error_that_names_the_operation(
    status: int, headers: dict[str, str], text: str, expected_status: int, code: str, words: str
) -> None:
    async def scene(street: Street) -> None:
        street.upstream.answer = lambda: web.Response(status=status, headers=headers, body=text.encode())
        response = await street.call("ssm", headers={"X-Amz-Target": "AmazonSSM.StartSession"}, data=b"{}")
        error = json.loads(await response.read())
        assert (response.status, error["__type"]) == (expected_status, code)
        assert words in error["message"]
        assert "X-Awsorch-Fault" not in response.headers

    on(scene)


def test_an_error_of_the_upstream_that_clients_can_read_is_left_alone() -> None:
    async def scene(street: Street) -> None:
        street.upstream.answer = lambda: web.Response(status=404, text="<Error/>", content_type="application/xml")
        response = await street.call("s3", method="GET", path="/bucket/key")
        assert (response.status, await response.text()) == (404, "<Error/>")
        # Of S3's answer to HEAD moto's page is only the heading: there is no such object.
        street.upstream.answer = lambda: web.Response(status=404, content_type="text/html")
        response = await street.call("s3", method="HEAD", path="/bucket/key")
        assert response.status == 404

    on(scene)


def test_an_upstream_that_hangs_up_is_down() -> None:
    async def scene(street: Street) -> None:
        def hang_up() -> web.Response:
            raise ConnectionAbortedError

        street.upstream.answer = hang_up
        response = await street.call("ssm", headers={"X-Amz-Target": "AmazonSSM.StartSession"}, data=b"{}")
        assert response.status in {500, 503}

    on(scene)


@pytest.mark.parametrize("service", ["s3", "ecs"])
def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(service: str) -> None:
    async def scene(street: Street) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(street.url).port)
        head = {"Host": "x", "Content-Length": "4", "Expect": "100-continue", **signed(service)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"PUT /bucket/key HTTP/1.1\r\n{lines}\r\n".encode())
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert await reader.readline() == b"\r\n"
        writer.write(b"body")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        await writer.wait_closed()
        if service == "s3":
            assert "Expect" not in street.upstream.requests[0][2]

    on(scene)


def test_a_body_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_MAX_BODY_BYTES", 1000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"p" * 100

    async def scene(street: Street) -> None:
        for body in (b"x" * 1001, pieces()):
            response = await street.call("s3", method="PUT", path="/bucket/key", data=body)
            assert response.status == 413
            assert b"RequestTooLarge" in await response.read()
        assert street.upstream.requests == []

    on(scene)


def test_a_body_that_does_not_arrive_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_RECEIVE_SECONDS", 0.05)

    async def scene(street: Street) -> None:
        port = URL(street.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        assert b"408" in await reader.readline()
        writer.close()
        await writer.wait_closed()

    on(scene)


def test_too_many_calls_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_MAX_CALLS", 1)

    async def scene(street: Street) -> None:
        street.upstream.may_answer = asyncio.Event()
        first = asyncio.create_task(street.call("sns"))
        await street.upstream.arrived.wait()
        response = await street.call("ec2", headers=FORM, data=b"Action=RunInstances")
        assert response.status == 503
        street.upstream.may_answer.set()
        assert (await first).status == 200

    on(scene)


def test_with_access_keys_the_signature_is_checked_before_anything_is_passed_on() -> None:
    async def scene(street: Street) -> None:
        response = await street.call("sns", path="/a%20b?c=%2F", headers=FORM, data=b"Action=ListTopics")
        assert response.status == 403
        assert b"<Code>InvalidSignatureException</Code><Message>POST /a%20b c=%2F 17<" in await response.read()
        assert street.upstream.requests == []

    on(scene, verifier=Refusing())


@pytest.mark.parametrize(
    ("service", "action", "tells"),
    [
        ("ec2", "RunInstances", True),
        ("ec2", "TerminateInstances", True),
        ("ec2", "DescribeInstances", False),
        ("ec2", "CreateTags", False),
        ("autoscaling", "SetDesiredCapacity", True),
        ("autoscaling", "DescribeAutoScalingGroups", False),
        ("iam", "CreateRole", False),
    ],
)
def test_the_fleet_is_told_of_calls_that_may_change_instances(service: str, action: str, tells: bool) -> None:
    async def scene(street: Street) -> None:
        await street.call(service, headers=FORM, data=f"Action={action}".encode())
        assert street.changes == (["changed"] if tells else [])

    on(scene)


def test_the_fleet_is_told_of_instances_that_were_rebooted() -> None:
    async def scene(street: Street) -> None:
        two = b"InstanceId.1=i-1&InstanceId.2=i-2&DryRun=false"
        await street.call("ec2", headers=FORM, data=b"Action=RebootInstances&" + two)
        await street.call("ec2", headers=FORM, data=b"Action=DescribeInstances&" + two)
        street.upstream.answer = lambda: web.Response(status=400)
        await street.call("ec2", headers=FORM, data=b"Action=RebootInstances&" + two)
        assert street.reboots == [["i-1", "i-2"]]

    on(scene)
