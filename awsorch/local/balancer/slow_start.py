"""Slow start: a target that has just become healthy gets a share of requests that grows to its full one.

HAProxy's own is not to be had for servers that are added while it runs, so their weights are raised step by step. As in
ELB, a target starts slowly only beside another healthy one that has its full share.
"""

from __future__ import annotations

import asyncio

from awsorch.local.balancer.configuration import BackEnd
from awsorch.local.balancer.runtime import Runtime

_LEAST_PERCENT = 5


class SlowStart:
    """The servers that have not got their full weight yet, by back end and name."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._since: dict[tuple[str, str], float | None] = {}

    async def await_health(self, back_end: BackEnd, name: str) -> None:
        """Give a new server its first weight, before it gets any request. Raises BalancerDown."""
        if back_end.pool.slow_start_seconds:
            self._since[back_end.id, name] = None
            await self._weigh(back_end, name, _LEAST_PERCENT)

    async def go_on(self, back_end: BackEnd, healthy: set[str]) -> bool:
        """Raise the weights of servers that are healthy; True while that is not over. Raises BalancerDown."""
        now = asyncio.get_running_loop().time()
        growing = {name for id, name in self._since if id == back_end.id}
        for name in growing - set(back_end.servers):
            del self._since[back_end.id, name]
        for name in sorted(growing & healthy):
            since = self._since[back_end.id, name]
            if since is None:
                since = self._since[back_end.id, name] = now
            percent = round(100 * (now - since) / max(1, back_end.pool.slow_start_seconds))
            if percent >= 100 or not healthy - growing:
                del self._since[back_end.id, name]
                growing.discard(name)
                percent = 100
            await self._weigh(back_end, name, max(_LEAST_PERCENT, percent))
        return bool(growing & healthy)

    async def _weigh(self, back_end: BackEnd, name: str, percent: int) -> None:
        await self._runtime.tell(f"set weight {back_end.id}/{name} {percent}%")
