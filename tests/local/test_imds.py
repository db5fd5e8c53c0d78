from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import aiohttp
from botocore.utils import InstanceMetadataFetcher, InstanceMetadataRegionFetcher

from awsorch.local.imds import Identity, MetadataService, look_up
from tests.local.fakes import FakeEc2, an_instance

IDENTITY = Identity(
    account_id="123456789012", region="us-east-1", access_key_id="test", secret_access_key="shh", secret="s3cret"
)
FIRST = an_instance(address="127.201.1.1")
SECOND = an_instance(id="i-22222222222222222", address="127.201.1.2", instance_type="m7g.large", user_data="")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def get(path: str, address: str = FIRST.address, port: int = 0, method: str = "GET", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(headers=named) as session,
        session.request(method, f"http://{address}:{port}/{path}") as answer,
    ):
        return answer.status, await answer.text()


async def no_group(_instance_id: str) -> str | None:
    return None


def on_service(
    scene: Callable[[MetadataService, Clock, int], Coroutine[Any, Any, None]],
    port: int,
    lifecycle_state: Callable[[str], Awaitable[str | None]] = no_group,
) -> None:
    async def run() -> None:
        clock = Clock()
        service = MetadataService(IDENTITY, port=port, clock=clock, lifecycle_state=lifecycle_state)
        await service.serve(FIRST)
        await service.serve(SECOND)
        try:
            await scene(service, clock, port)
        finally:
            await service.close()

    asyncio.run(run())


def test_each_instance_has_its_own_answers_at_its_own_address() -> None:
    async def scene(service: MetadataService, _clock: Clock, port: int) -> None:
        assert service.endpoint(FIRST) == f"http://127.201.1.1:{port}"
        assert await get("latest/meta-data/instance-id", port=port) == (200, FIRST.id)
        assert await get("latest/meta-data/instance-id", address=SECOND.address, port=port) == (200, SECOND.id)
        await service.withdraw(SECOND.address)
        try:
            await get("latest/meta-data/instance-id", address=SECOND.address, port=port)
        except aiohttp.ClientConnectorError:
            return
        raise AssertionError("a withdrawn address still answers")

    on_service(scene, 16931)


def test_the_paths_that_the_agent_reads() -> None:
    interface = f"latest/meta-data/network/interfaces/macs/{FIRST.mac}"

    async def scene(_service: MetadataService, _clock: Clock, port: int) -> None:
        expected = {
            "latest/meta-data/mac": FIRST.mac,
            f"{interface}/vpc-id": FIRST.vpc_id,
            f"{interface}/subnet-id": FIRST.subnet_id,
            "latest/meta-data/local-ipv4": FIRST.address,
            "latest/meta-data/placement/availability-zone": FIRST.zone,
            "latest/meta-data/placement/availability-zone-id": FIRST.zone_id,
            "latest/meta-data/placement/region": "us-east-1",
            "latest/meta-data/instance-type": "t3.medium",
            "latest/meta-data/ami-id": FIRST.image_id,
            "latest/user-data": FIRST.user_data,
            "latest/meta-data/network/interfaces/macs/": f"{FIRST.mac}/",
            "2021-07-15/meta-data/placement": "availability-zone\navailability-zone-id\nregion",
        }
        for path, text in expected.items():
            assert await get(path, port=port) == (200, text), path
        for path in ("spot/instance-action", "outpost-arn", "public-ipv4", "autoscaling/target-lifecycle-state"):
            status, _ = await get(f"latest/meta-data/{path}", port=port)
            assert status == 404, path
        assert (await get("latest/user-data", address=SECOND.address, port=port))[0] == 404
        assert (await get("1066-10-14/meta-data/mac", port=port))[0] == 404

    on_service(scene, 16932)


def test_an_instance_of_an_auto_scaling_group_knows_where_it_is_heading() -> None:
    groups = FakeEc2()
    states = {
        "Pending:Wait": "InService",
        "InService": "InService",
        "Terminating:Wait": "Terminated",
        "Terminated": "Terminated",
        "Standby": "Standby",
        "Detaching": "Detached",
    }

    async def scene(_service: MetadataService, _clock: Clock, port: int) -> None:
        path = "latest/meta-data/autoscaling/target-lifecycle-state"
        for state, target in states.items():
            groups.lifecycle_states[FIRST.id] = state
            assert await get(path, port=port) == (200, target), state
        assert await get("latest/meta-data/autoscaling", port=port) == (200, "target-lifecycle-state")
        assert "autoscaling/" in (await get("latest/meta-data/", port=port))[1].splitlines()
        assert (await get(path, address=SECOND.address, port=port))[0] == 404
        assert "autoscaling/" not in (await get("latest/meta-data", address=SECOND.address, port=port))[1].splitlines()
        groups.down = True
        assert (await get(path, port=port))[0] == 503
        assert await get("latest/meta-data/instance-id", port=port) == (200, FIRST.id)

    on_service(scene, 16933, groups.describe_lifecycle_state)


def test_where_tokens_are_required_nothing_is_told_without_one() -> None:
    async def scene(service: MetadataService, _clock: Clock, port: int) -> None:
        await service.serve(replace(FIRST, tokens_required=True))
        path = "latest/meta-data/instance-id"
        assert (await get(path, port=port))[0] == 401
        seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        _, token = await get("latest/api/token", port=port, method="PUT", **seconds)
        assert await get(path, port=port, **{"X-aws-ec2-metadata-token": token}) == (200, FIRST.id)

    on_service(scene, 16938)


def test_tags_are_told_where_the_instance_is_to() -> None:
    async def scene(service: MetadataService, _clock: Clock, port: int) -> None:
        tags = {"Name": "web", "a/b": "no path"}
        await service.serve(replace(FIRST, tags=tags))
        assert (await get("latest/meta-data/tags/instance/Name", port=port))[0] == 404
        await service.serve(replace(FIRST, tags=tags, shows_tags=True))
        assert await get("latest/meta-data/tags/instance/Name", port=port) == (200, "web")
        assert await get("latest/meta-data/tags/instance", port=port) == (200, "Name")

    on_service(scene, 16939)


def test_instances_that_share_a_socket_are_told_apart_by_where_they_ask_from() -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as shared:
            service = MetadataService(IDENTITY, shared=shared)
            url = f"http://127.0.0.1:{shared.getsockname()[1]}/latest/meta-data/instance-id"
            for each in (FIRST, SECOND):
                await service.serve(each)
            for each, status in ((FIRST, 200), (SECOND, 200), (an_instance(address="127.201.1.3"), 404)):
                connector = aiohttp.TCPConnector(local_addr=(each.address, 0))
                async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
                    assert answer.status == status
                    assert status == 404 or await answer.text() == each.id
            await service.close()

    asyncio.run(scene())


def test_who_asks_from_an_interface_of_an_instance_is_answered_for_it() -> None:
    async def scene() -> None:
        async def asked_from(address: str) -> str:
            connector = aiohttp.TCPConnector(local_addr=(address, 0))
            async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
                return await answer.text() if answer.status == 200 else ""

        with socket.create_server(("127.0.0.1", 0)) as shared:
            service = MetadataService(IDENTITY, shared=shared)
            url = f"http://127.0.0.1:{shared.getsockname()[1]}/latest/meta-data/instance-id"
            for each in (FIRST, SECOND):
                await service.serve(each)
            service.answer_also(FIRST, ["127.201.1.8", "127.201.1.9"])
            service.answer_also(SECOND, ["127.201.1.10"])
            service.answer_also(FIRST, ["127.201.1.9"])
            addresses = [f"127.201.1.{last}" for last in (8, 9, 10)]
            assert [await asked_from(each) for each in addresses] == ["", FIRST.id, SECOND.id]
            await service.withdraw(SECOND.address)
            assert [await asked_from(each) for each in addresses] == ["", FIRST.id, ""]
            await service.close()

    asyncio.run(scene())


def test_the_identity_document_says_who_it_is_and_is_signed() -> None:
    async def scene(_service: MetadataService, _clock: Clock, port: int) -> None:
        _, text = await get("latest/dynamic/instance-identity/document", port=port)
        document = json.loads(text)
        assert document["instanceId"] == FIRST.id
        assert document["availabilityZone"] == "us-east-1a"
        assert document["accountId"] == "123456789012"
        assert document["architecture"] == "x86_64"
        assert document["pendingTime"] == "2027-01-15T08:00:00Z"
        _, signature = await get("latest/dynamic/instance-identity/signature", port=port)
        assert len(base64.b64decode(signature, validate=True)) == 32
        _, second = await get("latest/dynamic/instance-identity/document", address=SECOND.address, port=port)
        assert json.loads(second)["architecture"] == "arm64"

    on_service(scene, 16934)


def test_tokens_hold_for_their_instance_until_they_expire() -> None:
    async def scene(_service: MetadataService, clock: Clock, port: int) -> None:
        asked = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
        status, token = await get("latest/api/token", port=port, method="PUT", **asked)
        assert status == 200
        use = {"X_aws_ec2_metadata_token": token}
        assert (await get("latest/meta-data/mac", port=port, **use))[0] == 200
        assert (await get("latest/meta-data/mac", address=SECOND.address, port=port, **use))[0] == 401
        for wrong in ("", "x", "9999999999", "9999999999.aa.bb", token[:-1]):
            status, _ = await get("latest/meta-data/mac", port=port, X_aws_ec2_metadata_token=wrong)
            assert status == 401, wrong
        clock.now += 61
        assert (await get("latest/meta-data/mac", port=port, **use))[0] == 401
        for ttl in ("0", "21601", "x", "-1"):
            status, _ = await get("latest/api/token", port=port, method="PUT", X_aws_ec2_metadata_token_ttl_seconds=ttl)
            assert status == 400, ttl
        assert (await get("latest/api/token", port=port, method="PUT"))[0] == 400

    on_service(scene, 16935)


def test_botocore_finds_credentials_and_region_here() -> None:
    async def scene(service: MetadataService, _clock: Clock, _port: int) -> None:
        found: dict[str, Any] = {}
        config = {"ec2_metadata_service_endpoint": service.endpoint(FIRST)}

        def fetch() -> None:
            for_it = {"timeout": 30, "config": config, "env": {}}  # whatever this process was told about metadata
            found["credentials"] = InstanceMetadataFetcher(**for_it).retrieve_iam_role_credentials()
            found["region"] = InstanceMetadataRegionFetcher(**for_it).retrieve_region()

        thread = threading.Thread(target=fetch)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert found["credentials"]["access_key"] == "test"
        assert found["credentials"]["secret_key"] == "shh"
        assert found["region"] == "us-east-1"

    on_service(scene, 16936)


def test_folders_list_what_is_in_them() -> None:
    documents = {"a/b/c": "1", "a/d": "2", "a-b": "3", "empty": ""}
    assert look_up(documents, "") == "a-b\na/\nempty"
    assert look_up(documents, "a/") == "b/\nd"
    assert look_up(documents, "a") == "b/\nd"
    assert look_up(documents, "a/b/c") == "1"
    assert look_up(documents, "a/b/c/") == "1"
    assert look_up(documents, "x") is None
    assert look_up(documents, "empty") is None


def test_a_spot_instance_says_what_it_is_and_shows_its_interruption_notice() -> None:
    async def scene(service: MetadataService, _clock: Clock, port: int) -> None:
        assert await get("latest/meta-data/instance-life-cycle", port=port) == (200, "on-demand")
        assert (await get("latest/meta-data/spot/instance-action", port=port))[0] == 404
        await service.serve(replace(FIRST, spot=True, ends_at=1_800_000_120.0))
        assert await get("latest/meta-data/instance-life-cycle", port=port) == (200, "spot")
        status, notice = await get("latest/meta-data/spot/instance-action", port=port)
        assert (status, json.loads(notice)) == (200, {"action": "terminate", "time": "2027-01-15T08:02:00Z"})
        assert await get("latest/meta-data/spot/termination-time", port=port) == (200, "2027-01-15T08:02:00Z")
        assert (await get("latest/meta-data/spot/instance-action", address=SECOND.address, port=port))[0] == 404

    on_service(scene, 16937)
