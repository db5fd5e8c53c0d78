"""The front that leads containers to their agents: whose call goes where, and what comes of calls that are nobody's."""

from __future__ import annotations

import asyncio
import itertools
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from awsorch.agent.rates import RateLimit
from awsorch.agent.task_endpoint import Answer, TaskEndpoint
from awsorch.local.task_front import TaskFront
from tests.agent.test_task_endpoint import opens_too_many

_addresses = itertools.count(1)


class Play:
    """Fronts and agents; ``urls`` is where containers call, by front."""

    def __init__(self, peers: Path, opened: AsyncExitStack) -> None:
        self._peers = peers
        self._opened = opened

    async def front(self, *agents: str) -> tuple[TaskFront, str]:
        front = TaskFront(self._peers)
        front.agents = lambda: agents
        listener = socket.create_server(("127.0.0.1", 0))
        await front.start(listener)
        self._opened.push_async_callback(front.close)
        return front, f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def agent(self, *ids: str, rate: int = 1000) -> str:
        """An agent that knows these ids; its address. It answers with its address, and the body's length."""
        address = f"127.91.7.{next(_addresses)}"

        async def answer(asked: str, body: bytes) -> Answer:
            return Answer(status=200 if asked in ids else 500, body=[address, asked, len(body)])

        endpoint = TaskEndpoint(RateLimit(rate, rate, lambda: 0.0))
        endpoint.open_to_front(address, lambda asked: asked in ids)
        endpoint.add("GET", "", answer)
        endpoint.add("PUT", "/task-protection/v1/state", answer)
        self._opened.push_async_callback(endpoint.close)
        await endpoint.start("127.0.0.1", 0)
        return address


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of a socket may have 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="front-") as name:
        yield Path(name)


def play(folder: Path, scenario: Callable[[Play, aiohttp.ClientSession], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AsyncExitStack() as opened, aiohttp.ClientSession() as http:
            await scenario(Play(folder, opened), http)

    asyncio.run(whole())


async def ask(http: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with http.get(url) as answer:
        return answer.status, await answer.json()


UNKNOWN = {"code": "InvalidIdInRequest", "message": "CredentialsV2Request: Credentials not found", "HTTPErrorCode": 400}


def test_each_call_reaches_the_agent_that_knows_the_caller(folder: Path) -> None:
    async def scenario(play: Play, http: aiohttp.ClientSession) -> None:
        first, second = await play.agent("a"), await play.agent("b")
        _, url = await play.front(first, second, "127.91.7.250")
        assert await ask(http, f"{url}/api/a") == (200, [first, "a", 0])
        assert await ask(http, f"{url}/api/b") == (200, [second, "b", 0])
        async with http.put(f"{url}/api/b/task-protection/v1/state", json={"ProtectionEnabled": True}) as answer:
            assert await answer.json() == [second, "b", 27]
        assert await ask(http, f"{url}/api/c") == (400, UNKNOWN)
        assert await ask(http, f"{url}/v2/credentials/c") == (400, UNKNOWN)
        nameless = (400, {**UNKNOWN, "code": "NoIdInRequest", "message": "CredentialsV2Request: No ID in the request"})
        assert await ask(http, f"{url}/") == nameless
        async with http.put(f"{url}/api/b/task-protection/v1/state", data=b"x" * 5000) as answer:
            assert answer.status == 413

    play(folder, scenario)


def test_a_container_has_so_many_connections_and_no_more(folder: Path) -> None:
    async def scenario(play: Play, http: aiohttp.ClientSession) -> None:
        _, url = await play.front(await play.agent("a"))
        await opens_too_many(int(url.rpartition(":")[2]))

    play(folder, scenario)


def test_fronts_of_two_clouds_ask_each_other(folder: Path) -> None:
    async def scenario(play: Play, http: aiohttp.ClientSession) -> None:
        first, second = await play.agent("a"), await play.agent("b")
        (folder / "killed.sock").touch()
        front, one = await play.front(first)
        _, other = await play.front(second)
        for url in (one, other):
            assert await ask(http, f"{url}/api/a") == (200, [first, "a", 0])
            assert await ask(http, f"{url}/api/b") == (200, [second, "b", 0])
        await front.close()
        assert await ask(http, f"{other}/api/a") == (400, UNKNOWN)
        assert await ask(http, f"{other}/api/b") == (200, [second, "b", 0])

    play(folder, scenario)


def test_a_container_that_floods_is_held_up_and_does_not_use_up_its_agent(folder: Path) -> None:
    async def scenario(play: Play, http: aiohttp.ClientSession) -> None:
        address = await play.agent("a", rate=1)
        _, url = await play.front(address)
        statuses = [(await ask(http, f"{url}/api/a"))[0] for _ in range(200)]
        assert statuses[:60] == [200] * 60, "the agent does not limit its front"
        assert 429 in statuses
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.9", 0))) as another:
            assert (await ask(another, f"{url}/api/a"))[0] == 200
            strangers = [(await ask(another, f"{url}/api/x{number}"))[0] for number in range(30)]
        assert strangers.count(400) < 20
        assert strangers[-1] == 429, "who guesses may guess twice a second"

    play(folder, scenario)


def test_an_agent_that_is_gone_is_looked_for_again(folder: Path) -> None:
    async def scenario(play: Play, http: aiohttp.ClientSession) -> None:
        agents = [await play.agent()]
        front, url = await play.front()
        front.agents = lambda: agents
        front._known["a"] = "127.91.7.251"  # where it was, before its task came to another instance
        assert await ask(http, f"{url}/api/a") == (400, UNKNOWN)
        agents.append(await play.agent("a"))
        assert await ask(http, f"{url}/api/a") == (200, [agents[1], "a", 0])

    play(folder, scenario)
