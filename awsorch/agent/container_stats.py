"""What containers use, as the metadata endpoint answers it: Docker's statistics beside those before them.

They are looked up at most once a second for each container, and only while somebody wants to know. With the first
question there is nothing to compare with: it takes a second, in which a second sample is waited for.
Source: Docker Engine API, GET /containers/{id}/stats; ECS developer guide, "Amazon ECS task metadata endpoint v4".
"""

import asyncio
from datetime import datetime
from typing import Any, Protocol

from awsorch.agent.kernel_stats import Stats, StatsSource
from awsorch.agent.recent import Recent

LASTS = 1.0
"""Seconds for which statistics are good, as in the official agent, which gets them once a second."""
KEPT = 1000
"""Containers whose last sample is kept."""


_NOTHING: Stats = {"read": "0001-01-01T00:00:00Z"}
"""What Docker says of the sample before the first."""


class Measures(Protocol):
    """The engine."""

    async def stats(self, container: str) -> Stats | None:
        """Raises EngineError."""


class ContainerStats:
    """The statistics of one instance's containers: the kernel's, or the engine's where the kernel does not tell."""

    def __init__(self, kernel: StatsSource, engine: Measures) -> None:
        self._kernel = kernel
        self._engine = engine
        self._last: dict[str, Stats] = {}
        self._recent = Recent(self._measure, LASTS)

    async def of(self, docker_id: str, name: str) -> dict[str, Any] | None:
        """Docker's statistics with `network_rate_stats`; None for a container that does not run. Raises EngineError."""
        return await self._recent.get((docker_id, name))

    async def _sample(self, docker_id: str, name: str) -> Stats | None:
        return self._kernel.read(docker_id, name) or await self._engine.stats(docker_id)

    async def _measure(self, which: tuple[str, str]) -> dict[str, Any] | None:
        docker_id = which[0]
        before = self._last.get(docker_id)
        if before is None:
            before = await self._sample(*which)
            if before is None:
                return None
            await asyncio.sleep(LASTS)
        now = await self._sample(*which)
        if now is None:
            self._last.pop(docker_id, None)
            return None
        if _cpu_time(now) < _cpu_time(before):
            before = _NOTHING  # it has been started again meanwhile
        if len(self._last) >= KEPT and docker_id not in self._last:
            del self._last[next(iter(self._last))]
        self._last[docker_id] = now
        measured = {**now, "preread": before.get("read"), "precpu_stats": before.get("cpu_stats") or {}}
        rates = _rates(before, now)
        return measured if rates is None else measured | {"network_rate_stats": rates}


def _cpu_time(stats: Stats) -> int:
    return int(((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage", 0))


def _rates(before: Stats, now: Stats) -> dict[str, float] | None:
    """Bytes a second over all interfaces; None for a container without a network of its own."""
    if not now.get("networks"):
        return None
    seconds = (_time(now) - _time(before)).total_seconds()
    return {f"{way}_bytes_per_sec": _rate(_bytes(before, way), _bytes(now, way), seconds) for way in ("rx", "tx")}


def _rate(before: int, now: int, seconds: float) -> float:
    return max(now - before, 0) / seconds if seconds > 0 else 0.0


def _bytes(stats: Stats, way: str) -> int:
    return sum(int(each.get(f"{way}_bytes", 0)) for each in (stats.get("networks") or {}).values())


def _time(stats: Stats) -> datetime:
    """Docker's time, to the microsecond."""
    whole, _, fraction = str(stats["read"]).rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
