"""What an instance of its own asks its engine for, and what it is given instead of a pull."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from awsorch.local.netns_front import EngineFront, alone, header, pulled_image
from awsorch.local.netns_images import CannotCopy, ImageSource

IMAGE = "shop/web:1"
PULLS = 40
"""More than there are threads for work that blocks."""
CREDENTIALS = {"username": "me", "password": "secret"}
AUTH = base64.urlsafe_b64encode(json.dumps(CREDENTIALS).encode()).decode().rstrip("=")


class FakeEngine:
    """The low-level client of an engine that has images, and perhaps a registry behind it."""

    def __init__(self, *images: str, registry: tuple[str, ...] = (), chunks: int = 2) -> None:
        self.images = {image: b"layers of " + image.encode() for image in images}
        self.registry = registry
        self.chunks = chunks
        self.full = False
        self.credentials: Any = "none asked for"
        self.closed = False

    def inspect_image(self, image: str) -> dict[str, Any]:
        if image not in self.images:
            raise ImageNotFound(f"No such image: {image}")
        return {"Id": f"sha256:{image}"}

    def pull(self, image: str, *, stream: bool, decode: bool, auth_config: Any) -> Iterator[dict[str, Any]]:
        assert stream
        assert decode
        self.credentials = auth_config
        yield {"status": f"Pulling {image}"}
        if image not in self.registry:
            yield {"error": f"manifest for {image} not found"}
            return
        self.images[image] = b"layers of " + image.encode()

    def get_image(self, image: str) -> Iterator[bytes]:
        size = -(-len(self.images[image]) // self.chunks)
        return (self.images[image][start : start + size] for start in range(0, len(self.images[image]), size))

    def load_image(self, data: Iterator[bytes]) -> None:
        if self.full:
            raise APIError("500 Server Error", explanation="no space left on device")
        layers = b"".join(data)
        self.images[layers.removeprefix(b"layers of ").decode()] = layers

    def close(self) -> None:
        self.closed = True


def copy(machine: FakeEngine, instance: FakeEngine, image: str = IMAGE, auth: str = "") -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    ImageSource(lambda: machine).copy(image, auth, instance, told.append)
    return told


def test_an_image_of_this_machine_is_copied_and_not_pulled() -> None:
    machine, instance = FakeEngine(IMAGE), FakeEngine()
    told = copy(machine, instance)
    assert instance.images == machine.images
    assert machine.credentials == "none asked for"
    assert told[-1] == {"status": f"Status: Copied {IMAGE} from this machine"}
    assert machine.closed


def test_one_that_it_has_not_is_pulled_here_first_with_the_instances_credentials() -> None:
    machine, instance = FakeEngine(registry=(IMAGE,)), FakeEngine()
    told = copy(machine, instance, auth=AUTH)
    assert instance.images == machine.images != {}
    assert machine.credentials == CREDENTIALS
    assert told[0] == {"status": f"Pulling {IMAGE}"}


@pytest.mark.parametrize("auth", ["", "!", base64.urlsafe_b64encode(b"[]").decode(), "e30="])
def test_no_credentials_are_none(auth: str) -> None:
    machine = FakeEngine(registry=(IMAGE,))
    copy(machine, FakeEngine(), auth=auth)
    assert machine.credentials is None


def test_a_large_image_is_told_of_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awsorch.local.netns_images._TOLD_EVERY_BYTES", 5)
    told = copy(FakeEngine(IMAGE, chunks=20), FakeEngine())
    progress = [each["progressDetail"]["current"] for each in told if "progressDetail" in each]
    assert progress == sorted(progress)
    assert len(progress) == 4, "the first chunk, then every five bytes"


def down() -> Any:
    raise ConnectionRefusedError("no engine here")


def test_what_cannot_be_copied_is_said_in_the_engines_words() -> None:
    full = FakeEngine()
    full.full = True
    for machine, instance, image, words in (
        (FakeEngine(), FakeEngine(), IMAGE, "manifest for shop/web:1 not found"),
        (FakeEngine(IMAGE), full, IMAGE, "no space left on device"),
        (FakeEngine(), FakeEngine(), "shop/web@sha256:12", "named by its digest.*name images by tags"),
    ):
        with pytest.raises(CannotCopy, match=words):
            copy(machine, instance, image)
    with pytest.raises(CannotCopy, match="no engine here"):
        ImageSource(down).copy(IMAGE, "", FakeEngine(), print)


@pytest.mark.parametrize(
    ("request_line", "image"),
    [
        ("POST /v1.41/images/create?tag=1&fromImage=shop%2Fweb HTTP/1.1", "shop/web:1"),
        ("POST /images/create?fromImage=web%3A1 HTTP/1.1", "web:1"),
        ("POST /v1.41/images/create?fromImage=web&tag=sha256%3A12 HTTP/1.1", "web@sha256:12"),
        ("POST /v1.41/images/create?fromSrc=-&repo=web HTTP/1.1", ""),
        ("GET /v1.41/images/json HTTP/1.1", ""),
        ("POST /v1.41/containers/create?name=create HTTP/1.1", ""),
    ],
)
def test_only_pulls_are_taken_for_pulls(request_line: str, image: str) -> None:
    assert pulled_image(f"{request_line}\r\nHost: docker\r\n\r\n") == image


def test_a_connection_carries_one_request_unless_it_becomes_something_else() -> None:
    head = "GET /info HTTP/1.1\r\nHost: docker\r\nconnection: keep-alive\r\n\r\n"
    assert alone(head) == "GET /info HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
    hijacked = "POST /exec/1/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    assert alone(hijacked) == hijacked
    assert header(head, "Connection") == "keep-alive"
    assert header(head, "X-Registry-Auth") == ""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An engine that says what it was asked, and ends the connection if it was asked to."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert "Connection: close" in head or "/version" in head, "only the front itself may ask otherwise"
    words = b'{"ApiVersion": "1.41"}' if "/version" in head else json.dumps(head.split()[1]).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(words), words))
    await writer.drain()
    writer.close()


def in_front_of(machine: FakeEngine, work: Callable[[str], Any], folder: Path) -> Any:
    """Do some work with an engine's front, in a thread."""

    async def scene() -> Any:
        async with await asyncio.start_unix_server(answer, folder / "engine"):
            front = EngineFront(folder / "engine", ImageSource(lambda: machine))
            await front.start(folder / "front")
            try:
                return await asyncio.to_thread(work, f"unix://{folder}/front")
            finally:
                await front.close()

    return asyncio.run(asyncio.wait_for(scene(), 20))


def pull(image: str) -> Callable[[str], list[dict[str, Any]]]:
    def work(where: str) -> list[dict[str, Any]]:
        client = docker.APIClient(where, version="1.41", timeout=10)
        try:
            return list(client.pull(image, stream=True, decode=True))
        finally:
            client.close()

    return work


def ask_twice(where: str) -> list[Any]:
    client = docker.APIClient(where, version="auto", timeout=10)
    try:
        return [client.info(), client.images()]
    finally:
        client.close()


def test_what_is_no_pull_is_the_engines(tmp_path: Path) -> None:
    assert [each.partition("?")[0] for each in in_front_of(FakeEngine(), ask_twice, tmp_path)] == [
        "/v1.41/info",
        "/v1.41/images/json",
    ]


def test_a_pull_that_cannot_be_is_answered_as_an_engine_answers_it(tmp_path: Path) -> None:
    (pulling, failed) = in_front_of(FakeEngine(), pull(IMAGE), tmp_path)
    assert pulling == {"status": f"Pulling {IMAGE}"}
    assert failed["error"] == f"manifest for {IMAGE} not found" == failed["errorDetail"]["message"]


def test_an_engine_that_is_down_ends_the_connection(tmp_path: Path) -> None:
    async def scene() -> bytes:
        front = EngineFront(tmp_path / "engine", ImageSource())
        await front.start(tmp_path / "front")
        reader, writer = await asyncio.open_unix_connection(tmp_path / "front")
        writer.write(b"GET /info HTTP/1.1\r\nHost: docker\r\n\r\n")
        heard = await reader.read()
        writer.close()
        await front.close()
        return heard

    assert asyncio.run(asyncio.wait_for(scene(), 10)) == b""


def test_what_is_under_way_ends_with_the_front(tmp_path: Path) -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await never.wait()
        writer.close()

    async def scene() -> bytes:
        async with await asyncio.start_unix_server(silent, tmp_path / "engine"):
            front = EngineFront(tmp_path / "engine", ImageSource())
            await front.start(tmp_path / "front")
            reader, writer = await asyncio.open_unix_connection(tmp_path / "front")
            writer.write(b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n")
            await asked.wait()
            await front.close()
            heard = await reader.read()
            writer.close()
            never.set()
            return heard

    asked, never = asyncio.Event(), asyncio.Event()
    assert asyncio.run(asyncio.wait_for(scene(), 10)) == b""


def test_registries_that_take_long_hold_up_nothing_else(tmp_path: Path) -> None:
    class Slow(ImageSource):
        def copy(self, image: str, registry_auth: str, to: Any, say: Callable[[dict[str, Any]], None]) -> None:
            begun.release()
            over.wait(20)

    async def scene() -> None:
        async with await asyncio.start_unix_server(answer, tmp_path / "engine"):
            front = EngineFront(tmp_path / "engine", Slow())
            await front.start(tmp_path / "front")
            for _ in range(PULLS):
                _, writer = await asyncio.open_unix_connection(tmp_path / "front")
                writer.write(b"POST /images/create?fromImage=web&tag=1 HTTP/1.1\r\nHost: docker\r\n\r\n")
                connections.append(writer)
            await asyncio.to_thread(lambda: [begun.acquire() for _ in range(PULLS)])
            await front.close()
            for writer in connections:
                writer.close()

    begun, over = threading.Semaphore(0), threading.Event()
    connections: list[asyncio.StreamWriter] = []
    try:
        asyncio.run(asyncio.wait_for(scene(), 20))  # all are under way at a time, and the end waits for none
    finally:
        over.set()
