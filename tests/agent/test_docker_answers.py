"""Answers of an engine that nobody would expect: each is an error of the port, none the end of the agent's work."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from awsorch.agent.docker_engine import DockerEngine
from awsorch.agent.engine import (
    CannotCreateContainerError,
    CannotPullContainerError,
    Connected,
    CreateArguments,
    DockerTimeoutError,
    EngineError,
    EngineUnavailableError,
    Occurrence,
    VolumeArguments,
)
from awsorch.agent.images import ImageStock, PullError
from awsorch.agent.settings import EngineSettings

PATIENCE = 20.0
DONE = b'{"status": "Status: Downloaded newer image for app:1"}\r\n'
CONTAINER = "f00d"


def answer(body: object, status: str = "200 OK") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + content


def chunks(*parts: bytes, ends: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if ends else b"")


class OddEngine:
    """A socket that answers what the test gives it, byte for byte: one list of answers for a path's beginning, its last
    one again and again. `hangs`: paths after whose last answer the connection stays open."""

    def __init__(self, socket: Path) -> None:
        self.answers: dict[str, list[bytes]] = {"/version": [answer({"ApiVersion": "1.41"})]}
        self.hangs: set[str] = set()
        self.asked: list[str] = []
        self.host = f"unix://{socket}"
        self._socket = socket
        self._over = asyncio.Event()

    async def serve(self, scenario: Callable[[], Awaitable[None]]) -> None:
        server = await asyncio.start_unix_server(self._connected, str(self._socket))
        try:
            async with asyncio.timeout(PATIENCE):
                await scenario()
        finally:
            self._over.set()
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1].removeprefix("/v1.41").partition("?")[0]
        self.asked.append(path)
        waiting = self.answers.get(path, [answer({"message": "no such thing"}, "404 Not Found")])
        is_last = len(waiting) == 1
        writer.write(waiting[0] if is_last else waiting.pop(0))
        await writer.drain()
        if path in self.hangs and is_last:
            await self._over.wait()
        writer.close()


def play(
    folder: Path,
    answers: dict[str, list[bytes]],
    scenario: Callable[[DockerEngine, OddEngine], Awaitable[None]],
    patience: float = PATIENCE,
) -> None:
    async def whole() -> None:
        odd = OddEngine(folder / "engine")
        odd.answers.update(answers)
        settings = EngineSettings(docker_host=odd.host, pull_inactivity_timeout=patience)
        engine = DockerEngine(settings)
        try:
            await odd.serve(lambda: scenario(engine, odd))
        finally:
            await engine.close()

    asyncio.run(whole())


def test_a_container_that_is_still_being_made_for_a_former_life_is_waited_for(tmp_path: Path) -> None:
    """The engine gives the name away before it knows the container."""
    labels = {"task": "one"}
    answers = {
        "/containers/create": [answer({"message": "Conflict. The container name is in use"}, "409 Conflict")],
        "/containers/web/json": [
            answer({"message": "No such container"}, "404 Not Found"),
            answer({"message": "No such container"}, "404 Not Found"),
            answer({"Id": CONTAINER, "Config": {"Labels": labels}}),
        ],
    }

    async def scenario(engine: DockerEngine, odd: OddEngine) -> None:
        assert await engine.create(CreateArguments(name="web", body={"Image": "app:1", "Labels": labels})) == CONTAINER
        with pytest.raises(CannotCreateContainerError, match="name is in use"):
            await engine.create(CreateArguments(name="web", body={"Image": "app:1", "Labels": {"task": "another"}}))

    play(tmp_path, answers, scenario)


ODD_PULLS = {
    "no JSON": chunks(b"<html>busy</html>\r\n"),
    "half a line": chunks(b'{"status": "Pulling fs la'),
    "half a line, and the connection ends": chunks(b'{"status": "Pulling fs la', ends=False),
    "a list": chunks(b"[1, 2]\r\n"),
    "a number": chunks(b"7\r\n"),
    "no chunk's length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "nothing": chunks(),
    "not in chunks, and no JSON": answer(b"<html>busy</html>"),
    "it stops in the middle": chunks(b'{"status": "Pulling fs layer"}\r\n', ends=False),
}


@pytest.mark.parametrize("odd", ODD_PULLS.values(), ids=ODD_PULLS)
def test_an_odd_answer_to_a_pull_is_a_pull_error_worth_another_try(tmp_path: Path, odd: bytes) -> None:
    async def scenario(engine: DockerEngine, _: OddEngine) -> None:
        with pytest.raises(CannotPullContainerError) as caught:
            await engine.pull("app:1", None)
        assert caught.value.retriable

    play(tmp_path, {"/images/create": [odd]}, scenario)


def test_the_next_try_may_have_a_better_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awsorch.agent.images.FIRST_DELAY", 0.001)
    answers = {
        "/images/app:1/json": [answer({}, "404 Not Found"), answer({"Id": "sha256:1"})],
        "/images/create": [ODD_PULLS["half a line"], ODD_PULLS["no JSON"], chunks(DONE)],
    }

    async def scenario(engine: DockerEngine, odd: OddEngine) -> None:
        stock = ImageStock(engine, EngineSettings(), lambda: 0.0, set(), lambda _: None)
        assert await stock.make_ready("app:1") == ""
        assert odd.asked.count("/images/create") == 3

    play(tmp_path, answers, scenario)


def test_after_so_many_tries_the_task_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awsorch.agent.images.FIRST_DELAY", 0.001)
    monkeypatch.setattr("awsorch.agent.images.LAST_DELAY", 0.001)

    async def scenario(engine: DockerEngine, odd: OddEngine) -> None:
        stock = ImageStock(engine, EngineSettings(), lambda: 0.0, set(), lambda _: None)
        with pytest.raises(PullError, match=r"^CannotPullContainerError: .*answer was not understood"):
            await stock.make_ready("app:1")
        assert odd.asked.count("/images/create") == 5

    play(tmp_path, {"/images/create": [ODD_PULLS["no JSON"]]}, scenario)


def test_an_engine_that_ends_a_pull_in_other_words_is_believed_when_the_image_is_there(tmp_path: Path) -> None:
    async def scenario(engine: DockerEngine, _: OddEngine) -> None:
        await engine.pull("app:1", None)

    answers = {
        "/images/create": [chunks(b'{"status": "Download complete"}\r\n')],
        "/images/app:1/json": [answer({"Id": "sha256:1"})],
    }
    play(tmp_path, answers, scenario)


def test_a_pull_on_which_nothing_comes_any_more_is_too_late(tmp_path: Path) -> None:
    async def scenario(engine: DockerEngine, odd: OddEngine) -> None:
        odd.hangs.add("/images/create")
        await engine.ping()  # so that the version is known, and nothing but the pull can be late
        with pytest.raises(DockerTimeoutError, match=r"Could not transition to pulled; timed out after waiting 0.3s"):
            await engine.pull("app:1", None)

    answers = {"/_ping": [answer(b"OK")], "/images/create": [ODD_PULLS["it stops in the middle"]]}
    play(tmp_path, answers, scenario, patience=0.3)


ODD_ANSWERS = {
    "no JSON": (answer(b"<html>busy</html>"), EngineError),
    "null": (answer(b"null"), EngineError),
    "a list": (answer([1]), EngineError),
    "a number": (answer(b"7"), EngineError),
    "an object without what is promised": (answer({}), EngineError),
    "half an answer": (answer({"Id": "1"})[:-3], EngineUnavailableError),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", EngineUnavailableError),
    "nothing": (b"", EngineUnavailableError),
}
CALLS: dict[str, tuple[str, Callable[[DockerEngine], Awaitable[Any]]]] = {
    "create": ("/containers/create", lambda engine: engine.create(CreateArguments(name="app", body={"Image": "app"}))),
    "inspect": (f"/containers/{CONTAINER}/json", lambda engine: engine.inspect(CONTAINER)),
    "terminate": (f"/containers/{CONTAINER}/json", lambda engine: engine.terminate(CONTAINER)),
    "inspect an image": ("/images/app:1/json", lambda engine: engine.inspect_image("app:1")),
    "facts": ("/info", lambda engine: engine.facts()),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("odd", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_an_odd_answer_is_an_error_of_the_port(
    tmp_path: Path,
    call: tuple[str, Callable[[DockerEngine], Awaitable[Any]]],
    odd: tuple[bytes, type[EngineError]],
) -> None:
    path, make = call
    what, kind = odd

    async def scenario(engine: DockerEngine, _: OddEngine) -> None:
        with pytest.raises(EngineError) as caught:
            await make(engine)
        assert type(caught.value) is kind

    play(tmp_path, {path: [what]}, scenario)


@pytest.mark.parametrize("listed", [b"null", b"7", b"[7]", b"<html>", b'[{"Names": []}]'])
def test_an_odd_list_of_containers(tmp_path: Path, listed: bytes) -> None:
    async def scenario(engine: DockerEngine, _: OddEngine) -> None:
        with pytest.raises(EngineError):
            await engine.find({})

    play(tmp_path, {"/containers/json": [answer(listed)]}, scenario)


def test_a_volume_of_no_answer_is_not_made(tmp_path: Path) -> None:
    async def scenario(engine: DockerEngine, _: OddEngine) -> None:
        with pytest.raises(EngineError):
            await engine.create_volume(VolumeArguments(name="v"))

    play(tmp_path, {"/volumes/create": [answer(b"<html>")]}, scenario)


ODD_EVENTS = {
    "no time": b'{"Action": "die", "Actor": {"ID": "1"}}\n',
    "a time of words": b'{"Action": "die", "timeNano": "now", "Actor": {"ID": "1"}}\n',
    "an exit code of words": b'{"Action":"die","timeNano":1,"Actor":{"Attributes":{"exitCode":"bad"}}}\n',
    "an actor of another kind": b'{"Action": "die", "timeNano": 1, "Actor": "me"}\n',
    "a list": b"[1]\n",
    "null": b"null\n",
}
DEATH = b'{"Action": "die", "timeNano": 2000000000, "Actor": {"ID": "1", "Attributes": {"exitCode": "3"}}}\n'


@pytest.mark.parametrize("odd", ODD_EVENTS.values(), ids=ODD_EVENTS)
def test_an_odd_event_has_everything_looked_at_and_the_next_ones_are_heard(tmp_path: Path, odd: bytes) -> None:
    async def scenario(engine: DockerEngine, served: OddEngine) -> None:
        served.hangs.add("/events")
        assert await heard(engine, 3) == ["Connected", "Connected", "die"]
        assert served.asked.count("/events") == 1

    play(tmp_path, {"/events": [chunks(odd, DEATH, ends=False)]}, scenario)


BROKEN_STREAMS = {
    "no JSON": chunks(b"<html>busy</html>\n"),
    "half an event": chunks(b'{"Action": "di', ends=False),
    "not in chunks": answer(b"<html>busy</html>"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no chunk's length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
}


@pytest.mark.parametrize("broken", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
def test_a_stream_of_nonsense_is_opened_again(tmp_path: Path, broken: bytes) -> None:
    async def scenario(engine: DockerEngine, served: OddEngine) -> None:
        served.hangs.add("/events")
        heard_at_last = await heard(engine, lambda seen: "die" in seen)
        assert heard_at_last[-2:] == ["Connected", "die"]

    play(tmp_path, {"/events": [broken, chunks(DEATH, ends=False)]}, scenario)


async def heard(engine: DockerEngine, enough: int | Callable[[list[str]], bool]) -> list[str]:
    """What the engine's stream says until it is enough, in short."""
    seen: list[str] = []
    done = asyncio.Event()

    def see(what: Occurrence | Connected) -> None:
        seen.append(what.what if isinstance(what, Occurrence) else "Connected")
        if len(seen) == enough if isinstance(enough, int) else enough(seen):
            done.set()

    engine.watch({}, see)
    await done.wait()
    return seen
