"""The local balancer: HAProxy kept equal to a wish, and asked how its servers are.

Level-triggered: each look compares the wish with what HAProxy itself says it has, so a look after a lost call, a
restart of HAProxy or one of this process does what is missing and nothing else. It knows nothing of ELB's API; the
wish is made elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from awsorch.local.balancer.checks import DRAINING, REGISTERING, UNUSED, read_health
from awsorch.local.balancer.configuration import OPEN, Configuration, front_end_id, server_id
from awsorch.local.balancer.model import Server, ServerHealth, Traffic, TrafficReport, Wish
from awsorch.local.balancer.rules import pool_id
from awsorch.local.balancer.runtime import BalancerDown, CommandRefused, Runtime
from awsorch.local.balancer.servers import Servers
from awsorch.local.balancer.structure import Structure, StructureRefused

_log = logging.getLogger(__name__)

_SOON_SECONDS = 0.2
_LATER_SECONDS = 1.0


class Balancer:
    """The balancer whose HAProxy runs on a folder (see `process`). One object a folder; all on one event loop."""

    def __init__(self, folder: Path) -> None:
        self._runtime = Runtime(folder)
        self._structure = Structure(folder, self._runtime)
        self._servers = Servers(self._runtime)
        self._wish: Wish | None = None
        self._configuration: Configuration | None = None
        self._last_health: dict[str, ServerHealth] = {}
        self._turn = asyncio.Lock()
        self._wished = asyncio.Event()

    async def apply(self, wish: Wish) -> Mapping[str, str]:
        """Carry this and nothing else. Answers which front ends cannot be carried, and why, by their keys.

        Raises BalancerDown while HAProxy does not answer (the wish is taken all the same: `keep` brings it about, and a
        HAProxy that starts begins with it), StructureRefused or CommandRefused where HAProxy does not take it, OSError.
        """
        async with self._turn:
            self._wish = wish
            self._wished.set()
            names = {server_id(name, server) for name, pool in wish.pools.items() for server in pool.servers}
            self._last_health = {name: last for name, last in self._last_health.items() if name in names}
            return await self._settle(wish)

    async def keep(self) -> None:
        """Look after the wish until cancelled: restarts of HAProxy, new servers, servers that could not go yet."""
        trouble = ""
        while True:
            await self._wished.wait()
            await asyncio.sleep(_SOON_SECONDS if self._servers.unsettled else _LATER_SECONDS)
            async with self._turn:
                if self._wish is None:
                    continue
                try:
                    await self._settle(self._wish)
                    trouble = ""
                except (BalancerDown, CommandRefused, StructureRefused, OSError) as error:
                    if str(error) != trouble:
                        _log.warning("the local balancer is not as it should be: %s", error)
                    trouble = str(error)

    async def health(self, pool: str) -> Mapping[str, ServerHealth]:
        """The health of each server of a pool by its key, as HAProxy sees it now; nothing for an unknown pool.

        While HAProxy is away its servers are as they were last.
        """
        wished = self._wish.pools.get(pool) if self._wish is not None else None
        if wished is None:
            return {}
        if self._configuration is None or pool_id(pool) not in self._configuration.back_ends:
            return {server.key: DRAINING if server.draining else UNUSED for server in wished.servers}
        try:
            rows = {row["svname"]: row for row in await self._runtime.rows(pool_id(pool))}
        except BalancerDown as error:
            _log.debug("health as it was: %s", error)
            rows = {}
        found = {server.key: rows.get(server_id(pool, server)) for server in wished.servers}
        return {server.key: self._health_of(pool, server, found[server.key]) for server in wished.servers}

    async def sessions(self, pool: str, key: str) -> int:
        """How many requests (HTTP) or connections (TCP) a server has in flight, of earlier structures too.

        Raises BalancerDown.
        """
        wished = self._wish.pools.get(pool) if self._wish is not None else None
        servers = wished.servers if wished is not None else ()
        names = {server_id(pool, server) for server in servers if server.key == key}
        names |= {f"{name}{OPEN}" for name in names}
        rows = await self._runtime.rows(pool_id(pool)) + await self._runtime.earlier_rows(pool_id(pool))
        return sum(int(row["scur"] or 0) for row in rows if row["svname"] in names)

    async def traffic(self) -> TrafficReport:
        """What has been carried, by front end's key and pool's name. Raises BalancerDown."""
        wish = self._wish or Wish()
        rows = {(row["pxname"], row["svname"]): row for row in await self._runtime.rows()}
        front_ends = {each.key: rows.get((front_end_id(each), "FRONTEND")) for each in wish.front_ends}
        pools = {name: rows.get((pool_id(name), "BACKEND")) for name in wish.pools}
        return TrafficReport(
            front_ends={key: _traffic(row) for key, row in front_ends.items() if row is not None},
            pools={name: _traffic(row) for name, row in pools.items() if row is not None},
        )

    async def _settle(self, wish: Wish) -> Mapping[str, str]:
        try:
            running = await self._runtime.description()
            rows = await self._runtime.rows()
        except BalancerDown:
            self._configuration, _ = self._structure.plan(wish, ())
            await asyncio.to_thread(self._structure.write, self._configuration)
            raise
        bound = {row["pxname"] for row in rows if row["svname"] == "FRONTEND"}
        configuration, refused = self._structure.plan(wish, bound)
        down: set[str] = set()
        if running != configuration.digest:
            up = {row["svname"] for row in rows if row["status"].startswith(("UP", "no check"))}
            down = {row["svname"] for row in rows if row["status"].startswith("DOWN")}
            await self._structure.take_up(configuration, up)
        self._configuration = configuration
        await self._servers.settle(configuration, down)
        await asyncio.to_thread(self._structure.write, configuration)
        return refused

    def _health_of(self, pool: str, server: Server, row: Mapping[str, str] | None) -> ServerHealth:
        if server.draining:
            return DRAINING
        name = server_id(pool, server)
        if row is None:
            return self._last_health.get(name, REGISTERING)
        found = self._last_health[name] = read_health(row)
        return found


def _traffic(row: Mapping[str, str]) -> Traffic:
    """A row of `show stat`: requests where HAProxy counts them, else connections."""
    requests, rate = (row["req_tot"], row["req_rate"]) if row["req_tot"] else (row["stot"], row["rate"])
    return Traffic(
        requests=int(requests or 0),
        requests_per_second=int(rate or 0),
        sessions=int(row["scur"] or 0),
        responses={hundred: int(row[f"hrsp_{hundred}xx"] or 0) for hundred in range(1, 6)},
    )
