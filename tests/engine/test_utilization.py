"""The meter: once a minute, at the minute, and whatever goes wrong with one cluster the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from awsorch.core.state import ClusterState
from awsorch.core.utilization import Figure, Used
from awsorch.engine.partition import Partition, Unavailable
from awsorch.engine.utilization import SLICE, UtilizationMeter
from tests.core.test_utilization import INSTANCE, running
from tests.gateway.test_telemetry import a_state
from tests.support.virtual_time import VirtualTimeLoop, run


class Told:
    """Agents and CloudWatch: counts who is asked, and keeps what is published by the minute."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.minutes: list[float] = []
        self.broken = False

    def take_usage(self, cluster: str) -> Iterator[Mapping[str, Used]]:
        self.taken.append(cluster)
        yield {}

    def publish_figures(self, minute: float, figures: Sequence[Figure]) -> None:
        if self.broken:
            raise RuntimeError("a bug")
        self.minutes.append(minute)


class Fixed:
    """A partition of which only the state is looked at."""

    def __init__(self, state: ClusterState | None) -> None:
        self._state = state

    @property
    def state(self) -> ClusterState:
        if self._state is None:
            raise Unavailable("loading")
        return self._state


def partitions(**states: ClusterState | None) -> dict[str, Partition[ClusterState]]:
    return {name: cast("Any", Fixed(state)) for name, state in states.items()}


def test_every_full_minute_is_published() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        told = Told()
        meter = UtilizationMeter(partitions(web=a_state(INSTANCE, running("a"))), told, told, loop.clock)
        meter.start()
        began = loop.clock() // 60 * 60
        await asyncio.sleep(150)
        assert told.minutes == [began, began + 60]
        await meter.close()
        await asyncio.sleep(150)
        assert len(told.minutes) == 2

    run(scenario)


def test_a_cluster_that_is_loading_or_has_no_tasks_is_passed_over() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        told = Told()
        clusters = partitions(loading=None, empty=a_state(INSTANCE), web=a_state(INSTANCE, running("a")))
        meter = UtilizationMeter(clusters, told, told, loop.clock)
        meter.start()
        await asyncio.sleep(61)
        assert told.taken == ["loading", "empty", "web"]
        assert len(told.minutes) == 1
        await meter.close()

    run(scenario)


def test_a_large_cluster_does_not_hold_up_everything_else() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        told, turns = Told(), 0
        tasks = [replace(running("a"), id=f"{number:032x}") for number in range(3 * SLICE)]
        meter = UtilizationMeter(partitions(web=a_state(INSTANCE, *tasks)), told, told, loop.clock)
        meter.start()
        await asyncio.sleep(60 - loop.clock() % 60)
        while not told.minutes:
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 3
        await meter.close()

    run(scenario)


def test_a_bug_costs_a_minute_and_no_more() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        told = Told()
        meter = UtilizationMeter(partitions(web=a_state(INSTANCE, running("a"))), told, told, loop.clock)
        meter.start()
        told.broken = True
        await asyncio.sleep(61)
        told.broken = False
        await asyncio.sleep(60)
        assert len(told.minutes) == 1
        await meter.close()

    run(scenario)
