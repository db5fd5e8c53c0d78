"""EC2's word that a spot instance goes: in virtual time, and on the wire of a whole agent."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from awsorch.agent.api import APIError
from awsorch.agent.notices import PATH, drain_when_noticed
from awsorch.agent.session import Registration
from tests.agent.bench import PAGES, Bench, MetadataService, play
from tests.support.virtual_time import VirtualTimeLoop

ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/c1/1"
REGISTRATION = Registration(cluster="c1", instance_arn=ARN, zone_id="", docker_version="24")
TERMINATE = '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}'


class Instance:
    """Metadata that shows one text after the other, the last one for ever; an API that fails so often first."""

    def __init__(self, notices: list[str | None], failures: list[APIError | dict[str, Any]] | None = None) -> None:
        self._notices = notices
        self._failures = failures or []
        self.looks = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def get(self, path: str) -> str | None:
        assert path == PATH
        self.looks += 1
        return self._notices[min(self.looks, len(self._notices)) - 1]

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, dict(request)))
        answer = self._failures.pop(0) if self._failures else {}
        if isinstance(answer, APIError):
            raise answer
        return answer


def watch(instance: Instance, limit: float | None = None) -> float:
    """Seconds until the instance was drained, or the limit when it never was."""
    loop = VirtualTimeLoop()

    async def run() -> float:
        try:
            async with asyncio.timeout(limit):
                await drain_when_noticed(instance, instance, REGISTRATION, 1.0)
        except TimeoutError:
            assert limit is not None
        return loop.time()

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


@pytest.mark.parametrize("action", ["terminate", "stop"])
def test_a_notice_drains_the_instance_once(action: str) -> None:
    instance = Instance([None, None, json.dumps({"action": action, "time": "2026-01-01T00:02:00Z"})])
    assert watch(instance) == 2.0
    assert instance.calls == [
        ("UpdateContainerInstancesState", {"cluster": "c1", "containerInstances": [ARN], "status": "DRAINING"})
    ]


def test_it_is_tried_again_until_it_worked() -> None:
    refused: list[APIError | dict[str, Any]] = [
        APIError("", "no answer"),
        APIError("ThrottlingException", "Rate exceeded", 400),
        {"failures": [{"arn": ARN, "reason": "MISSING"}]},
    ]
    instance = Instance([TERMINATE], refused)
    assert watch(instance) == 3.0
    assert len(instance.calls) == 4


@pytest.mark.parametrize(
    "notice", [None, '{"action": "hibernate", "time": "2026-01-01T00:02:00Z"}', "terminate", "[]", "{}"]
)
def test_what_is_no_notice_of_the_end_drains_nothing(notice: str | None) -> None:
    instance = Instance([notice])
    assert watch(instance, limit=10.5) == 10.5
    assert instance.looks == 11
    assert instance.calls == []


@pytest.mark.parametrize(("setting", "drained"), [("true", 1), ("false", 0)])
def test_an_agent_has_itself_drained_when_it_is_told_to(setting: str, drained: int, tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        async with MetadataService({**PAGES, PATH: TERMINATE}) as url:
            await bench.start(
                ECS_EXTERNAL="",
                AWS_EC2_METADATA_SERVICE_ENDPOINT=url,
                ECS_ENABLE_SPOT_INSTANCE_DRAINING=setting,
                AWSORCH_SPOT_NOTICE_INTERVAL="100ms",
            )
            backend, operation = bench.backend, "UpdateContainerInstancesState"
            await backend.until(lambda: len(backend.calls(operation)) == drained and backend.telemetry_frames)
            assert [call["containerInstances"] for call in backend.calls(operation)] == [
                [backend.instance_arn]
            ] * drained

    play(tmp_path, scenario)
