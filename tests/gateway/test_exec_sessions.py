"""Sessions over real sockets: agents that don't come, clients that come again, and clients that take nothing."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from awsorch.adapters.aws import AwsError
from awsorch.adapters.channel_keys import ChannelKeys
from awsorch.cli.session_client import SessionClient, SessionLost
from awsorch.core.errors import Refusal
from awsorch.engine.ports import CommandTarget
from awsorch.gateway import exec_sessions
from awsorch.gateway.exec_sessions import ExecSessions
from awsorch.wire import acs
from awsorch.wire.exec_frames import Data, End, Size, Terminate, decode_said, encode_said
from awsorch.wire.session_channel import (
    ACKNOWLEDGE,
    CLOSED,
    DATA,
    EXIT_CODE,
    HANDSHAKE_RESPONSE,
    INPUT,
    OUTPUT,
    Frame,
    decode,
    encode,
)
from tests.support.fake_kms import FakeKms

PATIENCE = 20.0


class World:
    """A controller's sessions on a port; agents are told of them as instances are."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.told: dict[str, acs.AwsorchExecuteCommandMessage] = {}
        self.sessions = ExecSessions(self._tell, lambda _, instance: instance != "not ours", time.time)
        self.base = ""
        self._runner = web.ServerRunner(web.Server(self.sessions.serve, access_log=None), shutdown_timeout=0.1)

    def _tell(self, cluster: str, instance: str, frame: str) -> bool:
        message = acs.decode_acs(frame)
        assert isinstance(message, acs.AwsorchExecuteCommandMessage)
        self.told[instance] = message
        return True

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base = "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def close(self) -> None:
        await self.sessions.close()
        await self._runner.cleanup()

    def open(self, name: str, kms_key: str = "") -> tuple[str, str]:
        """The path and the token of a session in a container of an instance of this name, encrypted where there is a
        key."""
        target = CommandTarget(
            cluster="c",
            instance_id=name,
            task_arn="arn:t",
            container="app",
            runtime_id=name,
            command="ls",
            caller_arn="arn:me",
            configuration={"kmsKeyId": kms_key} if kms_key else {},
        )
        grant = self.sessions.open(target, "")
        return grant.url, grant.token

    async def client(self, path: str, token: str) -> aiohttp.ClientWebSocketResponse:
        socket = await self.http.ws_connect(self.base + path, max_msg_size=0)
        await socket.send_str(json.dumps({"TokenValue": token}))
        return socket

    async def agent(self, name: str) -> aiohttp.ClientWebSocketResponse:
        return await self.http.ws_connect(self.base + self.told[name].path)


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
            world = World(http)
            await world.start()
            try:
                await scenario(world)
            finally:
                await world.close()

    asyncio.run(whole())


async def shake(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Take the handshake."""
    frame = decode((await socket.receive()).data)
    await acknowledge(socket, frame)
    await send(socket, 0, b"{}", HANDSHAKE_RESPONSE)


async def send(socket: aiohttp.ClientWebSocketResponse, sequence: int, payload: bytes, kind: int = DATA) -> None:
    frame = Frame(kind=INPUT, sequence=sequence, flags=0, id=uuid.uuid4(), payload_type=kind, payload=payload)
    await socket.send_bytes(encode(frame))


async def acknowledge(socket: aiohttp.ClientWebSocketResponse, frame: Frame) -> None:
    said = json.dumps({"AcknowledgedMessageSequenceNumber": frame.sequence}).encode()
    await socket.send_bytes(
        encode(Frame(kind=ACKNOWLEDGE, sequence=0, flags=3, id=uuid.uuid4(), payload_type=0, payload=said))
    )


async def rest(socket: aiohttp.ClientWebSocketResponse) -> tuple[bytes, list[bytes], str]:
    """What is printed until the session is over, exit codes, and its last words; all is acknowledged."""
    printed, codes, seen = b"", [], set()
    async for message in socket:
        frame = decode(message.data)
        if frame.kind == CLOSED:
            return printed, codes, json.loads(frame.payload)["Output"]
        if frame.kind == OUTPUT and frame.sequence not in seen:
            seen.add(frame.sequence)
            await acknowledge(socket, frame)
            printed += frame.payload if frame.payload_type == DATA else b""
            codes += [frame.payload] if frame.payload_type == EXIT_CODE else []
    raise AssertionError("it ended without a word")


def test_a_command_from_its_beginning_to_its_end() -> None:
    async def scenario(world: World) -> None:
        client = await world.client(*world.open("i"))
        await shake(client)
        await send(client, 1, b"hello")
        agent = await world.agent("i")
        assert decode_said((await agent.receive()).data) == Data(b"hello")
        await agent.send_bytes(encode_said(Data(b"world")))
        await agent.send_bytes(encode_said(End(3)))
        assert await rest(client) == (b"world", [b"3"], "")
        assert not world.sessions._sessions

    play(scenario)


def test_a_client_that_comes_again_misses_nothing() -> None:
    async def scenario(world: World) -> None:
        path, token = world.open("i")
        client = await world.client(path, token)
        await shake(client)
        agent = await world.agent("i")
        await agent.send_bytes(encode_said(Data(b"before ")))
        while decode((await client.receive()).data).payload != b"before ":
            continue
        await client.close()
        await agent.send_bytes(encode_said(Data(b"meanwhile ")))
        again = await world.client(path, token)
        await agent.send_bytes(encode_said(Data(b"after")))
        await agent.send_bytes(encode_said(End(0)))
        printed, codes, _ = await rest(again)
        assert (printed, codes) == (b"before meanwhile after", [b"0"])

    play(scenario)


@pytest.mark.parametrize("has_stalled_neighbour", [False, True])
def test_an_agent_that_does_not_come_and_a_neighbour_that_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, has_stalled_neighbour: bool
) -> None:
    monkeypatch.setattr(exec_sessions, "AGENT_S", 1.0)

    async def scenario(world: World) -> None:
        feeding: asyncio.Task[None] | None = None
        if has_stalled_neighbour:
            slow = await world.client(*world.open("slow"))
            await shake(slow)
            agent = await world.agent("slow")
            transport = slow._response.connection.transport  # type: ignore[union-attr]
            transport.pause_reading()  # type: ignore[union-attr]

            async def feed() -> None:
                for _ in range(400):
                    await agent.send_bytes(encode_said(Data(b"x" * 32000)))

            feeding = asyncio.create_task(feed())
        client = await world.client(*world.open("other"))
        await shake(client)
        printed, codes, words = await rest(client)
        assert (printed, codes, words) == (b"", [], "The container's instance did not answer.")
        if feeding is not None:
            feeding.cancel()

    play(scenario)


def test_a_client_that_resumes_carries_on_with_another_token() -> None:
    async def scenario(world: World) -> None:
        path, token = world.open("i")
        client = await world.client(path, token)
        await shake(client)
        agent = await world.agent("i")
        await agent.send_bytes(encode_said(Data(b"before ")))
        while decode((await client.receive()).data).payload != b"before ":
            continue
        await send(client, 1, b"typed ")
        assert decode_said((await agent.receive()).data) == Data(b"typed ")

        (session_id,) = world.sessions._sessions
        grant = world.sessions.resume(session_id)
        assert grant is not None
        assert (grant.url, grant.token == token) == (path, False)
        stranger = await world.client(path, token)
        assert (await stranger.receive()).type is aiohttp.WSMsgType.CLOSE, "the former token opens nothing"
        await agent.send_bytes(encode_said(Data(b"meanwhile ")))
        again = await world.client(path, grant.token)  # the first connection is not known to be broken
        await send(again, 1, b"typed ")
        await send(again, 2, b"and on")
        assert decode_said((await agent.receive()).data) == Data(b"and on"), "what came twice counts once"
        await agent.send_bytes(encode_said(End(0)))
        printed, codes, _ = await rest(again)
        assert (printed, codes) == (b"before meanwhile ", [b"0"])
        assert world.sessions.resume(session_id) is None

    play(scenario)


def test_who_terminates_a_session_ends_its_command() -> None:
    async def scenario(world: World) -> None:
        client = await world.client(*world.open("i"))
        await shake(client)
        agent = await world.agent("i")
        (session_id,) = world.sessions._sessions
        await world.sessions.terminate(session_id)
        assert decode_said((await agent.receive()).data) == Terminate()
        assert await rest(client) == (b"", [], "")
        await world.sessions.terminate(session_id)
        assert not world.sessions._sessions

    play(scenario)


def test_our_own_client_outlives_its_connection() -> None:
    async def scenario(world: World) -> None:
        path, token = world.open("i")
        printed, is_ready = bytearray(), asyncio.Event()
        ours = SessionClient(printed.extend, is_ready.set)
        running = asyncio.create_task(ours.run(world.base + path, token))
        await is_ready.wait()
        agent = await world.agent("i")
        (session,) = world.sessions._sessions.values()
        for number in range(3):
            await ours.type(f"line {number}".encode())
            assert decode_said((await agent.receive()).data) == Data(f"line {number}".encode())
            assert session._client is not None
            session._client.cut()
            await agent.send_bytes(encode_said(Data(f"said {number} ".encode())))
        await agent.send_bytes(encode_said(End(4)))
        await running
        assert (bytes(printed), ours.exit_code) == (b"said 0 said 1 said 2 ", 4)

    play(scenario)


def make_key(
    world: World, kms: FakeKms, target: str = "ecs:c_arn:t_i"
) -> Callable[[str], Awaitable[tuple[bytes, bytes]]]:
    """What a client has KMS make for the only session."""

    async def make(key_id: str) -> tuple[bytes, bytes]:
        (session_id,) = world.sessions._sessions
        context = {"aws:ssm:SessionId": session_id, "aws:ssm:TargetId": target}
        asked = {"KeyId": key_id, "NumberOfBytes": 64, "EncryptionContext": context}
        made = await kms.call("kms", "generate_data_key", **asked)
        return made["CiphertextBlob"], made["Plaintext"]

    return make


def test_a_session_with_a_key_of_kms_is_encrypted_and_may_be_resumed() -> None:
    async def scenario(world: World) -> None:
        kms = FakeKms("k")
        world.sessions.keys = ChannelKeys(kms)
        path, token = world.open("i", "k")
        printed, is_ready = bytearray(), asyncio.Event()
        ours = SessionClient(printed.extend, is_ready.set, make_key(world, kms))
        running = asyncio.create_task(ours.run(world.base + path, token))
        await is_ready.wait()
        agent = await world.agent("i")
        (session,) = world.sessions._sessions.values()
        await ours.resize(80, 24)
        await ours.type(b"hidden")
        assert decode_said((await agent.receive()).data) == Size(80, 24)
        assert decode_said((await agent.receive()).data) == Data(b"hidden")
        assert session._client is not None
        session._client.cut()
        await agent.send_bytes(encode_said(Data(b"hidden, too")))
        await agent.send_bytes(encode_said(End(4)))
        await running
        assert (bytes(printed), ours.exit_code) == (b"hidden, too", 4)
        assert session.transcript() == "hidden, too", "the audit can be read"

    play(scenario)


@pytest.mark.parametrize(
    ("target", "fails", "words"),
    [
        ("ecs:c_arn:t_another", "", "cannot be encrypted with the cluster's KMS key: KMS: InvalidCiphertextException"),
        ("ecs:c_arn:t_i", "decrypt", "cannot be encrypted with the cluster's KMS key: KMS: AccessDeniedException: no"),
        ("ecs:c_arn:t_i", "generate_data_key", "Failed to process action KMSEncryption: AccessDeniedException: no"),
    ],
)
def test_a_session_that_cannot_be_encrypted_ends_before_it_begins(target: str, fails: str, words: str) -> None:
    async def scenario(world: World) -> None:
        kms = FakeKms("k")
        denied = AwsError("AccessDeniedException", "no", refused=True)
        kms.fault = lambda operation: denied if operation == fails else None
        world.sessions.keys = ChannelKeys(kms)
        path, token = world.open("i", "k")
        printed, is_ready = bytearray(), asyncio.Event()
        ours = SessionClient(printed.extend, is_ready.set, make_key(world, kms, target))
        await ours.run(world.base + path, token)
        assert words in ours.words
        assert (bytes(printed), is_ready.is_set(), ours.exit_code) == (b"", False, None)

    play(scenario)


def test_our_own_client_gives_up_where_nobody_is() -> None:
    async def scenario(world: World) -> None:
        path, _ = world.open("i")
        ours = SessionClient(lambda _: None, lambda: None)
        with pytest.raises(SessionLost):
            await ours.run(world.base + path, "guess")
        with pytest.raises(aiohttp.ClientError):
            await ours.run(world.base + path + "x", "guess")

    play(scenario)


def test_what_is_refused() -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(Refusal, match="TargetNotConnectedException"):
            world.open("not ours")
        for _ in range(exec_sessions.MOST_IN_CONTAINER):
            path, _ = world.open("i")
        with pytest.raises(Refusal, match="as many sessions as there may be"):
            world.open("i")
        world.open("another container")
        stranger = await world.client(path, "guess")
        assert (await stranger.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert not world.told

    play(scenario)
