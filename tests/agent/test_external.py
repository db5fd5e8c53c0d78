"""A machine that joins by an activation: what it keeps, what it is told, what goes wrong on the way."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from awsorch.agent import external, main
from awsorch.agent.api import APIError, TerminalError
from awsorch.agent.external import IdentityFileError, fingerprint, join, read_identity, settings_of
from awsorch.agent.settings import SettingError, load

JOINED = {
    "managedInstanceId": "mi-0123456789abcdef0",
    "accessKeyId": "AKEX1",
    "secretAccessKey": "a secret",
    "cluster": "c1",
    "region": "eu-west-1",
    "attributes": {"site": "attic"},
}
REFUSED = {"__type": "InvalidActivation", "message": "Activation a-1 is spent."}


class Controller:
    """Answers those who join; `answers` are given before the usual one."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Any]] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert (request.method, request.path) == ("POST", "/awsorch/activations/a-1/join")
        self.shown.append(json.loads(await request.read()))
        status, answer = self.answers.pop(0) if self.answers else (200, JOINED)
        return web.json_response(answer, status=status)


def play(scenario: Callable[[Controller, str, ClientSession], Awaitable[None]]) -> None:
    async def whole() -> None:
        controller = Controller()
        runner = web.ServerRunner(web.Server(controller.handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with ClientSession() as http:
                await scenario(controller, "http://127.0.0.1:{1}".format(*runner.addresses[0]), http)
        finally:
            await runner.cleanup()

    asyncio.run(whole())


def environment(url: str, folder: Path, **more: str) -> dict[str, str]:
    variables = {"ECS_BACKEND_HOST": url, "ECS_DATADIR": str(folder)}
    return {**variables, "AWSORCH_ACTIVATION_ID": "a-1", "AWSORCH_ACTIVATION_CODE": "c0de", **more}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "RETRY_DELAYS", (0.0, 0.0))


def test_what_it_is_answered_is_kept_for_its_owner_s_eyes(tmp_path: Path) -> None:
    async def scenario(controller: Controller, url: str, http: ClientSession) -> None:
        identity = await join(http, load(environment(url, tmp_path)))
        assert controller.shown == [{"activationCode": "c0de", "fingerprint": fingerprint(tmp_path)}]
        assert read_identity(tmp_path) == identity
        assert (tmp_path / "external-instance.json").stat().st_mode & 0o777 == 0o600
        assert "a secret" not in repr(identity)
        settings = load(settings_of(identity, {"ECS_DATADIR": str(tmp_path), "AWS_SESSION_TOKEN": "stale"}))
        assert (settings.external, settings.cluster, settings.region) == (True, "c1", "eu-west-1")
        assert (settings.backend_host, settings.managed_instance_id) == (url, "mi-0123456789abcdef0")
        assert settings.instance.attributes == {"site": "attic"}

    play(scenario)


def test_what_the_operator_of_the_machine_says_counts(tmp_path: Path) -> None:
    async def scenario(_: Controller, url: str, http: ClientSession) -> None:
        identity = await join(http, load(environment(url, tmp_path)))
        own = settings_of(
            identity, {"ECS_BACKEND_HOST": "https://moved", "ECS_INSTANCE_ATTRIBUTES": '{"site": "shed", "a": "b"}'}
        )
        assert own["ECS_BACKEND_HOST"] == "https://moved"
        assert json.loads(own["ECS_INSTANCE_ATTRIBUTES"]) == {"site": "shed", "a": "b"}
        assert "AWS_SESSION_TOKEN" not in settings_of(identity, {"AWS_SESSION_TOKEN": "stale"})
        with pytest.raises(SettingError, match="ECS_CLUSTER is c2, but this machine joined cluster c1 as mi-0123"):
            settings_of(identity, {"ECS_CLUSTER": "c2"})
        with pytest.raises(SettingError, match="ECS_INSTANCE_ATTRIBUTES='nonsense' cannot be used"):
            load(settings_of(identity, {"ECS_INSTANCE_ATTRIBUTES": "nonsense"}))

    play(scenario)


def test_it_asks_again_while_nobody_answers_as_a_controller_does(tmp_path: Path) -> None:
    async def scenario(controller: Controller, url: str, http: ClientSession) -> None:
        controller.answers = [(503, {"__type": "ServerException"}), (404, [])]
        identity = await join(http, load(environment(url, tmp_path)))
        assert identity.managed_instance_id == JOINED["managedInstanceId"]
        assert len(controller.shown) == 3
        controller.answers = [(500, {})] * 3
        with pytest.raises(APIError, match="ServerException"):
            await join(http, load(environment(url, tmp_path)))
        controller.answers = [(200, {"managedInstanceId": 1})]
        with pytest.raises(APIError, match="does not answer as a controller"):
            await join(http, load(environment(url, tmp_path)))
        with pytest.raises(APIError, match=r"no answer from http://127\.0\.0\.1:1/awsorch"):
            await join(http, load(environment("http://127.0.0.1:1", tmp_path)))

    play(scenario)


def test_a_refusal_is_final(tmp_path: Path) -> None:
    async def scenario(controller: Controller, url: str, http: ClientSession) -> None:
        controller.answers = [(400, REFUSED)]
        with pytest.raises(TerminalError, match=r"InvalidActivation: Activation a-1 is spent\."):
            await join(http, load(environment(url, tmp_path)))
        assert len(controller.shown) == 1
        assert read_identity(tmp_path) is None

    play(scenario)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("ECS_BACKEND_HOST", "needs the URL"),
        ("AWSORCH_ACTIVATION_CODE", "beside the activation's id"),
        ("ECS_DATADIR", "needs a folder"),
    ],
)
def test_what_joining_needs(tmp_path: Path, missing: str, says: str) -> None:
    async def scenario(controller: Controller, url: str, http: ClientSession) -> None:
        with pytest.raises(SettingError, match=f"{missing} is not set.*{says}"):
            await join(http, load(environment(url, tmp_path, **{missing: ""})))
        assert controller.shown == []

    play(scenario)


def test_an_identity_that_cannot_be_stored_or_read_is_said(tmp_path: Path) -> None:
    async def scenario(_: Controller, url: str, http: ClientSession) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(IdentityFileError, match=r"external-instance\.json cannot be written"):
            await join(http, load(environment(url, tmp_path / "file" / "folder")))
        (tmp_path / "external-instance.json").write_text('{"managed_instance_id": ')
        with pytest.raises(IdentityFileError, match="remove it and join anew"):
            read_identity(tmp_path)

    play(scenario)


def test_a_fingerprint_stays_and_is_of_a_machine_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = tmp_path / "machine-id"
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setattr(external, "MACHINE_ID", machine)
    first = fingerprint(tmp_path / "a")
    assert first == fingerprint(tmp_path / "a")
    assert "0123456789abcdef" not in first
    assert first != fingerprint(tmp_path / "b")
    machine.unlink()
    bare = fingerprint(tmp_path / "a")
    assert bare == fingerprint(tmp_path / "a") != first


def test_a_channel_that_others_hear_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(_: Controller, url: str, http: ClientSession) -> None:
        await join(http, load(environment(url, tmp_path)))
        assert "not encrypted" not in caplog.text
        with pytest.raises(APIError):
            await join(http, load(environment("http://controller.invalid", tmp_path)))
        assert "http://controller.invalid is not encrypted" in caplog.text

    play(scenario)


def test_the_program_joins_and_says_why_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ECS_DATADIR", str(tmp_path))
    arguments = ["--activation-id", "a-1", "--activation-code", "c0de", "--no-start"]

    async def scenario(controller: Controller, url: str, _: ClientSession) -> None:
        controller.answers = [(400, REFUSED)]
        command = ["join", "--endpoint", url, *arguments]
        assert await asyncio.to_thread(main.main, command) == main.TERMINAL
        assert "Activation a-1 is spent." in caplog.text
        assert await asyncio.to_thread(main.main, command) == main.STOPPED
        assert read_identity(tmp_path) is not None
        assert await asyncio.to_thread(main.main, command) == main.STOPPED
        assert len(controller.shown) == 2, "it had joined already"

    # The program listens for signals, which only a main thread may.
    monkeypatch.setattr(main, "_until_signalled", _finished)
    play(scenario)


async def _finished(work: Awaitable[None]) -> int:
    await work
    return main.STOPPED
