"""The task metadata endpoint: its shapes, whom it answers, and what it does when the engine or ECS does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from awsorch.agent import container_stats, metadata_routes
from awsorch.agent.assignment import Assignment, fresh_life
from awsorch.agent.engine import EngineError
from awsorch.agent.kernel_stats import NoKernelStats
from awsorch.agent.metadata import Place, container_view, task_view
from awsorch.agent.metadata_routes import TaskMetadata
from awsorch.agent.plan import names_for
from awsorch.agent.ports import Binding
from awsorch.agent.rates import RateLimit
from awsorch.agent.settings import load
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.agent.task_endpoint import TaskEndpoint
from awsorch.wire import acs
from tests.agent.bench import Bench, play
from tests.agent.tasks import a_container, a_task
from tests.agent.test_task_endpoint import environment_of

#: As Docker 20.10 describes a container, cut to what is read.
DESCRIBED = {
    "Id": "45a5",
    "Created": "2030-01-01T00:00:00.123456789Z",
    "Image": "sha256:1f",
    "Driver": "overlay2",
    "Config": {"Labels": {"com.amazonaws.ecs.cluster": "c1"}},
    "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}},
    "State": {
        "Health": {"Status": "healthy", "Log": [{"ExitCode": 1, "Output": "no"}, {"ExitCode": 0, "Output": "ok"}]}
    },
    "Mounts": [{"Type": "volume", "Name": "v-1", "Source": "/var/lib/docker/volumes/v-1/_data", "Destination": "/v"}],
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}},
}


async def ask(uri: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(uri) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


async def run(bench: Bench, **members: Any) -> acs.Task:
    task = a_task(
        a_container("app", cpu=1, memory=64, container_arn="arn:app", health_check_type="docker"),
        a_container("side"),
        **{
            "family": "web",
            "version": "7",
            "service_name": "svc",
            "launch_type": "EC2",
            "zone": "us-east-1a",
            **members,
        },
    )
    await bench.backend.send_tasks(task)
    await bench.backend.reported(task.arn, "RUNNING")
    return task


def test_a_container_finds_itself_and_its_task(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        task = await run(bench, cpu=0.25, memory=128)
        environment = environment_of(bench)
        uri = environment["ECS_CONTAINER_METADATA_URI_V4"]
        assert environment["ECS_CONTAINER_METADATA_URI"] == uri.replace("/v4/", "/v3/")
        status, own = await ask(uri)
        assert status == 200
        assert (own["Name"], own["ContainerARN"], own["KnownStatus"]) == ("app", "arn:app", "RUNNING")
        assert own["Limits"] == {"CPU": 1, "Memory": 64}
        assert own["Labels"]["com.amazonaws.ecs.task-arn"] == task.arn
        status, whole = await ask(f"{uri}/task")
        assert {name: whole[name] for name in ("Cluster", "TaskARN", "Family", "Revision", "ServiceName")} == {
            "Cluster": "c1",
            "TaskARN": task.arn,
            "Family": "web",
            "Revision": "7",
            "ServiceName": "svc",
        }
        assert whole["Limits"] == {"CPU": 0.25, "Memory": 128}
        assert (whole["AvailabilityZone"], whole["LaunchType"]) == ("us-east-1a", "EC2")
        assert [each["Name"] for each in whole["Containers"]] == ["app", "side"]
        assert whole["Containers"][0] == own
        older_status, older = await ask(uri.replace("/v4/", "/v3/") + "/task")
        assert older_status == 200
        assert not older.keys() & {"LaunchType", "ServiceName", "FaultInjectionEnabled"}
        assert older["Containers"][0]["Limits"]["CPU"] == 2

    play(tmp_path, scenario)


def test_others_are_refused(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        await run(bench)
        uri = environment_of(bench)["ECS_CONTAINER_METADATA_URI_V4"]
        base = uri.partition("/v4/")[0]
        assert (await ask(f"{uri}0"))[0] == 404
        assert (await ask(f"{uri}0/task"))[0] == 404
        assert (await ask(f"{base}/v3/nobody"))[0] == 500
        status, message = await ask(f"{base}/v2/metadata")
        assert status == 400
        assert isinstance(message, str)

    play(tmp_path, scenario)


def test_tags_are_asked_for_and_what_ecs_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_routes, "TAGS_LAST", 0.0)

    async def scenario(bench: Bench) -> None:
        await bench.start()
        task = await run(bench)
        uri = environment_of(bench)["ECS_CONTAINER_METADATA_URI_V4"]
        bench.backend.answers["ListTagsForResource"] = [{"tags": [{"key": "team", "value": "a"}]}]
        bench.backend.failures["ListTagsForResource"] = []
        status, tagged = await ask(f"{uri}/taskWithTags")
        assert status == 200
        assert tagged["TaskTags"] == {"team": "a"}
        assert {each["resourceArn"] for each in bench.backend.calls("ListTagsForResource")} >= {task.arn}
        bench.backend.failures["ListTagsForResource"] = [(400, "AccessDeniedException", "no")] * 2
        _, denied = await ask(f"{uri}/taskWithTags")
        assert "TaskTags" not in denied
        assert [(each["ErrorField"], each["ErrorCode"], each["StatusCode"]) for each in denied["Errors"]] == [
            ("TaskTags", "AccessDeniedException", 400),
            ("ContainerInstanceTags", "AccessDeniedException", 400),
        ]

    play(tmp_path, scenario)


def test_without_the_engine_the_answer_has_what_the_agent_knows(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        await run(bench)
        uri = environment_of(bench)["ECS_CONTAINER_METADATA_URI_V4"]
        bench.engine.fail_next("describe", EngineError("away"))
        status, own = await ask(uri)
        assert status == 200
        assert own["Name"] == "app"
        assert "Labels" not in own
        assert "Labels" in (await ask(uri))[1]

    play(tmp_path, scenario)


def test_a_container_finds_what_it_and_its_task_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_stats, "LASTS", 0.0)

    async def scenario(bench: Bench) -> None:
        await bench.start()
        await run(bench)
        uri = environment_of(bench)["ECS_CONTAINER_METADATA_URI_V4"]
        status, own = await ask(f"{uri}/stats")
        assert status == 200
        assert own["precpu_stats"]["cpu_usage"]["total_usage"] <= own["cpu_stats"]["cpu_usage"]["total_usage"]
        assert own["network_rate_stats"].keys() == {"rx_bytes_per_sec", "tx_bytes_per_sec"}
        status, older = await ask(uri.replace("/v4/", "/v3/") + "/stats")
        assert (status, own.keys() - older.keys()) == (200, {"network_rate_stats"})
        status, whole = await ask(f"{uri}/task/stats")
        assert status == 200
        assert [each["id"] for each in whole.values()] == list(whole)
        other = next(each for each in whole if each != own["id"])
        bench.engine.end(other, 0)
        assert (await ask(f"{uri}/task/stats"))[1][other] is None
        bench.engine.fail_next("stats", EngineError("away"))
        status, message = await ask(f"{uri}/stats")
        assert status == 500
        assert "away" in message
        assert (await ask(f"{uri}0/stats"))[0] == 404

    play(tmp_path, scenario)


class NoCalls:
    """ECS, which nobody calls."""

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError(operation)


def test_a_container_finds_its_devices() -> None:
    content = acs.AssociationContent(value="eyJhIjogMX0=", encoding="base64")
    associations = (
        acs.Association(name="GPU-1", type="gpu", containers=("app",)),
        acs.Association(name="eia1", type="elastic-inference", content=content, containers=("app",)),
        acs.Association(name="eia2", type="elastic-inference", containers=("side",)),
    )
    task = a_task(a_container("app"), a_container("side"), associations=associations)
    assignment = Assignment(task, fresh_life(task, names_for(task, lambda: "me"), load({})), load({}))
    engine, place = SimulatedEngine(), Place(cluster="c1")
    stats = container_stats.ContainerStats(NoKernelStats(), engine)
    metadata = TaskMetadata({task.arn: assignment}, engine, stats, NoCalls(), place=place, instance_arn="arn:i")

    async def scenario() -> None:
        endpoint = TaskEndpoint(RateLimit(100, 100, time.time))
        metadata.serve(endpoint)
        port = await endpoint.start("127.0.0.1", 0)
        base = f"http://127.0.0.1:{port}"
        try:
            uri = f"{base}/v4/me/associations"
            assert await ask(f"{uri}/gpu") == (200, {"Associations": ["GPU-1"]})
            assert await ask(f"{uri}/elastic-inference") == (200, {"Associations": ["eia1"]})
            assert await ask(f"{uri}/nothing") == (200, {"Associations": []})
            assert await ask(f"{uri}/elastic-inference/eia1") == (200, {"a": 1})
            assert (await ask(f"{uri}/elastic-inference/eia2"))[0] == 404
            assert (await ask(f"{base}/v3/me/associations/elastic-inference/eia2"))[0] == 500
            assert (await ask(f"{base}/v4/you/associations/gpu"))[0] == 404
        finally:
            await endpoint.close()

    asyncio.run(scenario())


def test_the_engine_is_asked_once_for_containers_that_look_at_themselves_all_the_time(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        await run(bench)
        uri = environment_of(bench)["ECS_CONTAINER_METADATA_URI_V4"]
        assert "Labels" in (await ask(uri))[1]
        bench.engine.fail_next("describe", EngineError("away"))
        assert "Labels" in (await ask(uri))[1]

    play(tmp_path, scenario)


def test_ecs_is_asked_once_for_containers_that_look_at_their_tags_all_the_time(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        await run(bench)
        uri = environment_of(bench)["ECS_CONTAINER_METADATA_URI_V4"]
        answers = await asyncio.gather(*(ask(f"{uri}/taskWithTags") for _ in range(30)))
        assert {status for status, _ in answers} == {200}
        assert len(bench.backend.calls("ListTagsForResource")) == 2, "the task's, and the instance's"

    play(tmp_path, scenario)


def views(described: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A container in versions 4 and 3."""
    settings = load({})
    task = a_task(a_container("app", image="busybox:1", health_check_type="docker"))
    life = fresh_life(task, names_for(task, lambda: "0f"), settings)
    assignment = Assignment(task, life, settings)
    assignment.bindings["app"] = (Binding(container_port=80, host_port=8080, protocol="tcp", bind_ip="0.0.0.0"),)
    whole = task_view(
        assignment, {"app": described}, Place(cluster="c1", zone_id="use1-az1", vpc_id="vpc-1"), version=4
    )
    assert (whole["VPCID"], whole["AvailabilityZoneID"], whole["FaultInjectionEnabled"]) == ("vpc-1", "use1-az1", False)
    (newer,) = whole["Containers"]
    return newer, container_view(assignment, "app", described, version=3)


def test_what_docker_says_is_shown_in_ecs_s_shapes() -> None:
    newer, older = views(DESCRIBED)
    assert newer["ImageID"] == "sha256:1f"
    assert newer["CreatedAt"] == "2030-01-01T00:00:00.123456789Z"
    assert newer["Volumes"] == [
        {"DockerName": "v-1", "Source": "/var/lib/docker/volumes/v-1/_data", "Destination": "/v"}
    ]
    assert newer["Health"] == {"status": "UNKNOWN", "exitCode": 0, "output": "ok"}
    assert newer["LogDriver"] == "json-file"
    assert newer["Snapshotter"] == "overlay2"
    assert newer["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.2"]}]
    assert "LogOptions" not in newer
    assert newer["Type"] == older["Type"] == "NORMAL"
    assert not older.keys() & {"LogDriver", "ContainerARN", "Snapshotter", "RestartCount"}


def test_what_is_not_known_is_left_out() -> None:
    newer, _ = views({})
    assert newer.keys() == {"Name", "DockerName", "Image", "DesiredStatus", "KnownStatus", "Limits", "Type", "Health"}
