"""Whose name an agent without keys of its own signs with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from awsorch.agent.credentials import NoCredentialsError, RoleCredentials, SessionCredentials
from awsorch.agent.identity import InstanceMetadata
from awsorch.wire.caller_proof import PATH, Proof, is_bound
from tests.agent.bench import PAGES, MetadataService, play
from tests.agent.bench import Bench as AgentBench
from tests.support.fake_sts import FakeSts, fake_sts
from tests.support.served_app import ServedApp, served_app

INSTANCE = "i-0123456789abcdef0"


class Bench:
    """Credentials of an instance with a role, whose controller answers what ``answer`` is. ``now`` is the time."""

    def __init__(self, http: aiohttp.ClientSession, metadata: str, url: str) -> None:
        self.now = 1000.0
        self.asked: list[Proof] = []
        self.status = 200
        self.answer: Any = {"needed": False}
        role = RoleCredentials(InstanceMetadata(http, metadata), lambda: self.now)
        self.credentials = SessionCredentials(role, http, endpoint=url, region="eu-west-1", clock=lambda: self.now)

    async def key(self) -> str:
        return (await self.credentials.get()).access_key_id

    def session(self, key: str) -> dict[str, Any]:
        return {
            "needed": True,
            "instanceId": INSTANCE,
            "accessKeyId": key,
            "secretAccessKey": "s",
            "expiration": self.now + 3600,
        }


def with_bench(scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        benches: list[Bench] = []

        async def answer(request: web.Request) -> web.Response:
            benches[0].asked.append(msgspec.json.decode(await request.read(), type=Proof))
            return web.json_response(benches[0].answer, status=benches[0].status)

        application = web.Application()
        application.router.add_post(PATH, answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with MetadataService(PAGES) as metadata, aiohttp.ClientSession() as http:
            benches.append(Bench(http, metadata, url))
            await scenario(benches[0])
        await runner.cleanup()

    asyncio.run(whole())


def test_a_session_is_used_and_begun_again_before_it_ends() -> None:
    async def scenario(bench: Bench) -> None:
        bench.answer = bench.session("FIRST")
        assert [await bench.key() for _ in range(3)] == ["FIRST"] * 3
        (proof,) = bench.asked
        assert is_bound(proof)
        assert proof.security_token == "t"
        bench.now += 3000
        bench.answer = bench.session("SECOND")
        assert await bench.key() == "FIRST"
        bench.now += 301
        assert await bench.key() == "SECOND"

    with_bench(scenario)


def test_a_session_lasts_while_its_controller_is_away() -> None:
    async def scenario(bench: Bench) -> None:
        bench.answer = bench.session("FIRST")
        assert await bench.key() == "FIRST"
        bench.now, bench.status, bench.answer = bench.now + 3500, 500, {"__type": "ServerException"}
        assert await bench.key() == "FIRST"
        bench.now += 200
        assert await bench.key() == "ASIA", "what is left is the role's key"
        bench.status, bench.answer = 200, bench.session("SECOND")
        assert await bench.key() == "SECOND"

    with_bench(scenario)


def test_a_controller_that_verifies_nothing_is_asked_again_after_a_minute() -> None:
    async def scenario(bench: Bench) -> None:
        assert [await bench.key() for _ in range(3)] == ["ASIA"] * 3
        assert len(bench.asked) == 1
        bench.now += 61
        bench.answer = bench.session("FIRST")
        assert await bench.key() == "FIRST"

    with_bench(scenario)


def test_what_is_no_controller_of_awsorch_is_left_in_peace() -> None:
    async def scenario(bench: Bench) -> None:
        bench.status, bench.answer = 404, {"message": "no such page"}
        assert [await bench.key() for _ in range(3)] == ["ASIA"] * 3
        bench.now += 3599
        assert await bench.key() == "ASIA"
        assert len(bench.asked) == 1

    with_bench(scenario)


def test_who_is_not_let_in_is_told_why() -> None:
    async def scenario(bench: Bench) -> None:
        bench.status = 400
        bench.answer = {"__type": "AccessDeniedException", "message": "Instances of role role may not join."}
        with pytest.raises(
            NoCredentialsError, match=r"does not let this instance in: .*Instances of role role may not"
        ):
            await bench.key()
        bench.status, bench.answer = 200, bench.session("FIRST")
        assert await bench.key() == "FIRST"

    with_bench(scenario)


def is_connected(served: ServedApp) -> bool:
    arns = served.ecs.list_container_instances(cluster="c1")["containerInstanceArns"]
    found = served.ecs.describe_container_instances(cluster="c1", containerInstances=arns) if arns else {}
    return any(each["agentConnected"] for each in found.get("containerInstances", ()))


def test_an_agent_with_a_role_alone_joins_a_controller_that_verifies_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")

    async def scenario(bench: AgentBench) -> None:
        fake = FakeSts()
        key = fake.role(INSTANCE)
        keys = {"AccessKeyId": key, "SecretAccessKey": "hidden", "Expiration": "2999-01-01T00:00:00Z"}
        document = json.dumps({"instanceId": INSTANCE, "region": "us-east-1"})
        pages = {
            **PAGES,
            "dynamic/instance-identity/document": document,
            "meta-data/iam/security-credentials/role": json.dumps(keys),
        }
        async with fake_sts(fake) as sts, MetadataService(pages) as metadata:
            opened = served_app(tmp_path / "app", instance_roles=("nodes",), aws_endpoint=sts)
            served = await asyncio.to_thread(opened.__enter__)
            try:
                await asyncio.to_thread(served.ecs.create_cluster, clusterName="c1")
                agent = bench.agent(
                    ECS_BACKEND_HOST=served.url,
                    ECS_EXTERNAL="",
                    AWS_ACCESS_KEY_ID="",
                    AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata,
                )
                bench.running = asyncio.create_task(agent.run())
                while not await asyncio.to_thread(is_connected, served):
                    assert not bench.running.done(), bench.running.result()
                await bench.stop()
            finally:
                await asyncio.to_thread(opened.__exit__, None, None, None)

    play(tmp_path / "agent", scenario)
