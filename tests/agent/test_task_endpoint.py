"""The server that containers call: its limits on a socket, and its address over the lives of an agent."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from awsorch.agent import task_endpoint
from awsorch.agent.callers import CONNECTIONS
from awsorch.agent.rates import KNOWN_CALLERS, RateLimit
from awsorch.agent.task_endpoint import LARGEST_BODY, Answer, TaskEndpoint
from awsorch.agent.task_protection import PATH
from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.bench import Bench, play
from tests.agent.tasks import a_container, a_task

ROLE = acs.IAMRoleCredentials(
    credentials_id="c1", role_arn="arn:r", access_key_id="ASIAROLE", secret_access_key="hush", expiration="2999-01-01"
)
PROTECT = {"ProtectionEnabled": True, "ExpiresInMinutes": 60}


class TestRateLimit:
    def test_so_many_at_once_and_then_so_many_a_second(self) -> None:
        now = [0.0]
        limit = RateLimit(2, 3, lambda: now[0])
        assert [limit.admit("a") for _ in range(5)] == [True, True, True, False, False]
        now[0] = 1.0
        assert [limit.admit("a") for _ in range(3)] == [True, True, False]
        now[0] = 100.0
        assert [limit.admit("a") for _ in range(4)] == [True, True, True, False]

    def test_one_caller_takes_nothing_from_another(self) -> None:
        limit = RateLimit(1, 1, lambda: 0.0)
        assert [limit.admit(caller) for caller in "aab"] == [True, False, True]

    def test_callers_of_long_ago_are_forgotten_and_those_over_the_limit_are_not(self) -> None:
        now = [0.0]
        limit = RateLimit(1, 1, lambda: now[0])
        for number in range(KNOWN_CALLERS - 1):
            limit.admit(str(number))
        now[0] = 5.0
        assert limit.admit("late")
        assert limit.admit("later"), "there is room again"
        assert not limit.admit("late")
        assert len(limit._buckets) == 2


Scenario = Callable[[str, aiohttp.ClientSession], Awaitable[None]]


def serve(scenario: Scenario, limit: RateLimit | None = None) -> None:
    """A server that answers PUT …/echo with the caller and the length of the body."""

    async def echo(endpoint_id: str, body: bytes) -> Answer:
        return Answer(body=[endpoint_id, len(body)])

    async def whole() -> None:
        endpoint = TaskEndpoint(limit or RateLimit(1000, 1000, lambda: 0.0))
        endpoint.add("PUT", "/echo", echo)
        try:
            port = await endpoint.start("127.0.0.1", 0)
            async with aiohttp.ClientSession() as http:
                await scenario(f"http://127.0.0.1:{port}", http)
        finally:
            await endpoint.close()

    asyncio.run(whole())


def test_a_body_is_bounded() -> None:
    async def scenario(url: str, http: aiohttp.ClientSession) -> None:
        async with http.put(f"{url}/api/me/echo", data=b"x" * LARGEST_BODY) as response:
            assert (response.status, await response.json()) == (200, ["me", LARGEST_BODY])
        async with http.put(f"{url}/api/me/echo", data=b"x" * (LARGEST_BODY + 1)) as response:
            assert response.status == 413
            message = (await response.json())["error"]["Message"]
            assert message == "The request's body may have at most 4096 bytes."

    serve(scenario)


def test_a_body_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_endpoint, "READ_TIMEOUT", 0.05)

    async def scenario(url: str, http: aiohttp.ClientSession) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"PUT /api/me/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()

    serve(scenario)


def test_other_paths_and_methods_are_http_s_errors() -> None:
    async def scenario(url: str, http: aiohttp.ClientSession) -> None:
        for method, path, status in (("PUT", "/echo", 404), ("PUT", "/api//echo", 404), ("POST", "/api/me/echo", 405)):
            async with http.request(method, url + path) as response:
                assert response.status == status

    serve(scenario)


def test_too_many_calls_are_refused_whatever_they_ask_for() -> None:
    async def scenario(url: str, http: aiohttp.ClientSession) -> None:
        statuses = []
        for path in ("/api/me/echo", "/guess", "/api/me/echo"):
            async with http.put(url + path) as response:
                statuses.append(response.status)
        assert statuses == [200, 404, 429]

    serve(scenario, RateLimit(1, 2, lambda: 0.0))


async def knock(port: int, source: str) -> asyncio.StreamWriter | None:
    """A connection from an address, if it is kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    writer.write(b"GET /guess HTTP/1.1\r\nHost: a\r\n\r\n")
    try:
        kept = (await reader.readline()).startswith(b"HTTP/1.1 ")
    except ConnectionError:
        kept = False
    if kept:
        return writer
    writer.close()
    return None


async def opens_too_many(port: int) -> None:
    """From one address, until it may not; another address may, and so may the first when it has closed one."""
    held = [await knock(port, "127.0.0.3") for _ in range(CONNECTIONS)]
    assert all(held)
    assert await knock(port, "127.0.0.3") is None
    held.append(await knock(port, "127.0.0.4"))
    assert held[-1] is not None
    assert held[0] is not None
    held[0].close()
    await held[0].wait_closed()
    for _ in range(100):  # until the server has seen it
        again = await knock(port, "127.0.0.3")
        if again is not None:
            break
    assert again is not None
    for each in (*held[1:], again):
        assert each is not None
        each.close()


def test_a_caller_has_so_many_connections_and_no_more() -> None:
    async def scenario(url: str, http: aiohttp.ClientSession) -> None:
        await opens_too_many(int(url.rpartition(":")[2]))

    serve(scenario)


def test_an_address_that_is_not_ours_is_an_error() -> None:
    async def whole() -> None:
        endpoint = TaskEndpoint(RateLimit(1, 1, lambda: 0.0))
        with pytest.raises(OSError, match=r"192\.0\.2\.1"):
            await endpoint.start("192.0.2.1", 0)
        await endpoint.close()

    asyncio.run(whole())


def test_a_port_that_containers_know_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_endpoint, "RETRY_DELAY", 0.01)

    async def whole() -> None:
        endpoint = TaskEndpoint(RateLimit(1000, 1000, lambda: 0.0))
        with socket.create_server(("127.0.0.1", 0)) as squatter:
            port = squatter.getsockname()[1]
            assert await endpoint.start("127.0.0.1", port) == port
        async with aiohttp.ClientSession() as http, asyncio.timeout(10):
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/") as response:
                        assert response.status == 404
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.01)
        await endpoint.close()

    asyncio.run(whole())


# An agent with simulated containers


def environment_of(bench: Bench, index: int = 0) -> dict[str, str]:
    """What a container sees, by the order in which the containers were created."""
    return dict(list(bench.engine._containers.values())[index].environment)


async def call(uri: str, method: str, body: Any = None) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http:
        data = None if body is None else json.dumps(body)
        async with http.request(method, uri + PATH, data=data) as response:
            return response.status, await response.json()


async def run_a_task(bench: Bench, *containers: Any) -> str:
    task = a_task(*containers, role_credentials=ROLE)
    await bench.backend.send_tasks(task)
    await bench.backend.reported(task.arn, "RUNNING")
    return task.arn


def test_a_container_protects_its_task_and_no_longer(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        arn = await run_a_task(bench, a_container("app"), a_container("helper", environment={"ECS_AGENT_URI": "mine"}))
        first, second = (environment_of(bench, index)["ECS_AGENT_URI"] for index in (0, 1))
        assert first.startswith("http://127.0.0.1:")
        assert first != second, "every container has an id of its own"
        protection = {"ExpirationDate": "2030-03-17T18:46:40Z", "ProtectionEnabled": True, "TaskArn": arn}
        assert await call(first, "PUT", PROTECT) == (200, {"protection": protection})
        assert await call(second, "GET") == (200, {"protection": protection})
        none = {"ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": arn}
        assert await call(second, "PUT", {"ProtectionEnabled": False}) == (200, {"protection": none})
        assert (await call(first + "0", "GET"))[0] == 404
        asked = bench.backend.calls("UpdateTaskProtection")
        assert asked[0] == {"cluster": "c1", "tasks": [arn], "protectionEnabled": True, "expiresInMinutes": 60}
        signers = {key for operation, key in bench.backend.signers if "TaskProtection" in operation}
        assert signers == {"ASIAROLE"}, "in the name of the task"

    play(tmp_path, scenario)


def test_what_ecs_refuses_is_passed_on_and_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        arn = await run_a_task(bench)
        uri = environment_of(bench)["ECS_AGENT_URI"]
        bench.backend.failures["UpdateTaskProtection"] = [
            (400, "ThrottlingException", "Rate exceeded"),
            (400, "UnrecognizedClientException", "who?"),
            (400, "AccessDeniedException", "no"),
        ]
        status, answer = await call(uri, "PUT", PROTECT)
        assert status == 400
        assert answer.pop("requestID").startswith("request-")
        assert answer == {"error": {"Arn": arn, "Code": "AccessDeniedException", "Message": "no"}}
        signers = [key for operation, key in bench.backend.signers if operation == "UpdateTaskProtection"]
        assert signers == ["ASIAROLE", "ASIAROLE", "AKID"], "at last in the instance's own name"
        failure = {"arn": arn, "reason": "DEPLOYMENT_BLOCKED"}
        bench.backend.answers["UpdateTaskProtection"] = [{"protectedTasks": [], "failures": [failure]}]
        refused = {"failure": {"Arn": arn, "Detail": None, "Reason": "DEPLOYMENT_BLOCKED"}}
        assert await call(uri, "PUT", PROTECT) == (200, refused)

    play(tmp_path, scenario)


def test_the_address_outlives_the_agent_for_as_long_as_containers_know_it(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        await run_a_task(bench)
        uri = environment_of(bench)["ECS_AGENT_URI"]
        await bench.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await call(uri, "GET")
        await bench.start()
        assert (await call(uri, "GET"))[0] == 403, "the role's credentials are on no disk"
        await run_a_task(bench)
        later = environment_of(bench, 1)["ECS_AGENT_URI"]
        assert later.rpartition("/")[0] == uri.rpartition("/")[0]

    play(tmp_path, scenario)


def test_where_the_bridge_is_not_on_this_host_there_is_no_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.engine.bridge_address = "192.0.2.1"
        await bench.start()
        await run_a_task(bench)
        assert "ECS_AGENT_URI" not in environment_of(bench)
        assert "containers cannot reach this agent" in caplog.text

    play(tmp_path, scenario)


@pytest.mark.docker
@pytest.mark.parametrize("mode", ["bridge", "host"])
def test_real_containers_reach_it_and_again_after_a_kill(
    tmp_path: Path, image: str, instance_arn: str, mode: str
) -> None:
    from tests.agent import processes
    from tests.agent.test_docker_agent import shell

    script = """
        rest=${ECS_AGENT_URI#http://}; address=${rest%%/*}
        body='{"ProtectionEnabled":true}'
        while true; do
            rm -f /tmp/in; mkfifo /tmp/in  # another one for each request: what nobody read would come before the next
            timeout 5 nc ${address%:*} ${address#*:} < /tmp/in > /tmp/out & exec 3> /tmp/in
            printf 'PUT /%s/task-protection/v1/state HTTP/1.0\\r\\nHost: agent\\r\\nContent-Length: %d\\r\\n\\r\\n%s' \\
                ${rest#*/} ${#body} "$body" >&3
            wait; exec 3>&-; sleep 0.2
        done
    """

    async def scenario(backend: Backend, agent: processes.AgentProcess) -> None:
        await agent.start()
        container = shell(image, script, host_config={"NetworkMode": mode}, stop_timeout=1)
        task = a_task(container, network_mode=mode, role_credentials=ROLE)
        await backend.send_tasks(task)
        await backend.until(lambda: task.arn in backend.protected_until)
        await agent.kill()
        backend.protected_until.clear()
        await agent.start()
        await backend.send(
            acs.IAMRoleCredentialsMessage(
                message_id="r", task_arn=task.arn, role_type="TaskApplication", role_credentials=ROLE
            )
        )
        await backend.until(lambda: task.arn in backend.protected_until)
        assert {each["status"] for each in backend.reports(task.arn)} == {"RUNNING"}, "the container lived on"

    processes.play(tmp_path, instance_arn, scenario)
