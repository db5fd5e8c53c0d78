"""What containers are told of what they use: the engine's statistics beside those before, asked for once a second."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from awsorch.agent.container_stats import ContainerStats
from awsorch.agent.engine import EngineError
from awsorch.agent.kernel_stats import NoKernelStats
from tests.support.virtual_time import VirtualTimeLoop, run


class Samples:
    """An engine whose container receives 100 bytes a second; it counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.running = True
        self.networks = True
        self.began = 0.0
        self.failure: EngineError | None = None

    async def stats(self, container: str) -> dict[str, Any] | None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        if not self.running:
            return None
        at = asyncio.get_running_loop().time()
        found: dict[str, Any] = {
            "read": f"2030-01-01T00:00:{at:012.9f}Z",
            "cpu_stats": {"cpu_usage": {"total_usage": int((at - self.began) * 1e9)}},
        }
        if self.networks:
            found["networks"] = {"eth0": {"rx_bytes": int(at * 100), "tx_bytes": 0}}
        return found


def test_the_first_answer_has_a_sample_to_compare_with() -> None:
    async def scenario(_: VirtualTimeLoop) -> None:
        found = await ContainerStats(NoKernelStats(), Samples()).of("x", "name")
        assert found is not None
        assert found["preread"] < found["read"]
        spent = found["cpu_stats"]["cpu_usage"]["total_usage"] - found["precpu_stats"]["cpu_usage"]["total_usage"]
        assert spent == pytest.approx(1e9)
        assert found["network_rate_stats"] == {"rx_bytes_per_sec": pytest.approx(100.0), "tx_bytes_per_sec": 0.0}

    run(scenario)


def test_later_answers_compare_with_the_one_before_and_are_asked_for_once_a_second() -> None:
    async def scenario(_: VirtualTimeLoop) -> None:
        engine = Samples()
        stats = ContainerStats(NoKernelStats(), engine)
        first = await stats.of("x", "name")
        await asyncio.sleep(5)
        both = await asyncio.gather(stats.of("x", "name"), stats.of("x", "name"))
        assert engine.asked == 3
        assert both[0] == both[1]
        assert first is not None
        assert both[0] is not None
        assert both[0]["precpu_stats"] == first["cpu_stats"]
        await asyncio.sleep(0.5)
        assert await stats.of("x", "name") == both[0]
        assert engine.asked == 3

    run(scenario)


def test_a_container_that_does_not_run_has_none_and_begins_anew_when_it_does() -> None:
    async def scenario(_: VirtualTimeLoop) -> None:
        engine = Samples()
        stats = ContainerStats(NoKernelStats(), engine)
        await stats.of("x", "name")
        engine.running = False
        await asyncio.sleep(2)
        assert await stats.of("x", "name") is None
        engine.running = True
        await asyncio.sleep(2)
        again = await stats.of("x", "name")
        assert again is not None
        assert again["network_rate_stats"]["rx_bytes_per_sec"] == pytest.approx(100.0)

    run(scenario)


def test_a_container_that_was_started_again_has_nothing_to_compare_with() -> None:
    async def scenario(_: VirtualTimeLoop) -> None:
        engine = Samples()
        stats = ContainerStats(NoKernelStats(), engine)
        await stats.of("x", "name")
        await asyncio.sleep(5)
        engine.began = asyncio.get_running_loop().time() - 0.5
        found = await stats.of("x", "name")
        assert found is not None
        assert (found["preread"], found["precpu_stats"]) == ("0001-01-01T00:00:00Z", {})

    run(scenario)


def test_a_container_without_a_network_of_its_own_has_no_rates() -> None:
    async def scenario(_: VirtualTimeLoop) -> None:
        engine = Samples()
        engine.networks = False
        found = await ContainerStats(NoKernelStats(), engine).of("x", "name")
        assert found is not None
        assert "network_rate_stats" not in found

    run(scenario)


def test_what_failed_is_asked_again() -> None:
    async def scenario(_: VirtualTimeLoop) -> None:
        engine = Samples()
        engine.failure = EngineError("away")
        stats = ContainerStats(NoKernelStats(), engine)
        with pytest.raises(EngineError):
            await stats.of("x", "name")
        engine.failure = None
        assert await stats.of("x", "name") is not None

    run(scenario)
