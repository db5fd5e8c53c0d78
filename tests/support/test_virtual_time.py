"""The loop that the simulator stands on."""

from __future__ import annotations

import asyncio

import pytest

from tests.support import virtual_time
from tests.support.virtual_time import START, Stalled, VirtualTimeLoop


def test_an_hour_passes_at_once_and_in_order() -> None:
    seen: list[tuple[str, float, float]] = []

    async def wait(name: str, seconds: float, loop: VirtualTimeLoop) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, loop.time(), loop.clock()))

    async def scenario(loop: VirtualTimeLoop) -> None:
        await asyncio.gather(wait("late", 3600.0, loop), wait("early", 0.5, loop), wait("now", 0.0, loop))

    virtual_time.run(scenario)
    assert seen == [("now", 0.0, START), ("early", 0.5, START + 0.5), ("late", 3600.0, START + 3600.0)]


def test_time_limits_hold() -> None:
    async def scenario(loop: VirtualTimeLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        return loop.time()

    assert virtual_time.run(scenario) == 30.0


def test_a_deadlock_is_told_not_waited_for() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled, match="nothing will do"):
        virtual_time.run(scenario)


def test_spinning_is_told() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        def again() -> None:
            loop.call_soon(again)

        again()
        await asyncio.sleep(1)

    with pytest.raises(Stalled, match="no time has passed"):
        virtual_time.run(scenario)
