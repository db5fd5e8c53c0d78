"""Facts about load balancers are fresh when they can be, and known when they cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from awsorch.local import elb_watch
from awsorch.local.elb_facts import Facts, LoadBalancer
from awsorch.local.elb_watch import ElbWatch, FactsUnknown


class FakeReader:
    """Answers with what `now` is when the read ends; `ready` holds reads back; `faults` is how many fail first."""

    def __init__(self) -> None:
        self.now = Facts()
        self.faults = 0
        self.reads = 0
        self.ready = asyncio.Event()
        self.ready.set()

    async def read(self) -> Facts:
        now = self.now
        self.reads += 1
        await self.ready.wait()
        if self.faults:
            self.faults -= 1
            raise OSError("the upstream is down")
        return now


def facts_with(name: str) -> Facts:
    balancer = LoadBalancer(key=name, name=name, kind="application", idle_timeout_seconds=60, listeners=())
    return Facts(load_balancers={name: balancer})


def play(scene: Callable[[FakeReader, ElbWatch, list[bool]], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        reader, currents = FakeReader(), list[bool]()
        watch = ElbWatch(reader, lambda _, current: currents.append(current))
        running = asyncio.create_task(watch.run())
        try:
            async with asyncio.timeout(10):
                await scene(reader, watch, currents)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(run())


def test_facts_have_every_change_that_was_told() -> None:
    async def scene(reader: FakeReader, watch: ElbWatch, currents: list[bool]) -> None:
        assert await watch.facts() == Facts()
        reader.now = facts_with("web")
        watch.expire()
        assert "web" in (await watch.facts()).load_balancers
        assert reader.reads == 2
        await watch.facts()
        assert reader.reads == 2, "what is fresh is not read again"

    play(scene)


def test_a_change_during_a_read_makes_another_read() -> None:
    async def scene(reader: FakeReader, watch: ElbWatch, currents: list[bool]) -> None:
        await watch.facts()
        reader.ready.clear()
        watch.expire()
        while reader.reads < 2:  # noqa: ASYNC110  (the watch announces no beginning)
            await asyncio.sleep(0)
        reader.now = facts_with("web")
        watch.expire()
        asked = asyncio.create_task(watch.facts())
        reader.ready.set()
        assert "web" in (await asked).load_balancers
        assert currents == [True, False, True], "an overtaken reading does not count as current"

    play(scene)


def test_a_read_that_fails_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elb_watch, "_FIRST_PAUSE_SECONDS", 0.001)

    async def scene(reader: FakeReader, watch: ElbWatch, currents: list[bool]) -> None:
        reader.faults = 3
        assert await watch.facts() == Facts()
        assert reader.reads == 4

    play(scene)


def test_it_reads_now_and_then_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elb_watch, "_SWEEP_SECONDS", 0.001)

    async def scene(reader: FakeReader, watch: ElbWatch, currents: list[bool]) -> None:
        await watch.facts()
        reader.now = facts_with("web")
        while watch.known != reader.now:  # noqa: ASYNC110  (nobody announces what nobody told)
            await asyncio.sleep(0)

    play(scene)


def test_older_facts_serve_while_the_upstream_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elb_watch, "_FRESH_SECONDS", 0.01)

    async def scene(reader: FakeReader, watch: ElbWatch, currents: list[bool]) -> None:
        reader.ready.clear()
        with pytest.raises(FactsUnknown):
            await watch.facts()
        reader.ready.set()
        while watch.known is None:  # noqa: ASYNC110  (facts() would not wait that long here)
            await asyncio.sleep(0)
        reader.ready.clear()
        watch.expire()
        assert await watch.facts() == Facts()

    play(scene)
