"""Servers put in, taken out and looked after while HAProxy runs, without a change of its structure.

It exists because targets come and go all the time, and no request may notice. All it needs to know is in HAProxy, but
for how long a server has been new. A new server is given no requests until a check passes: HAProxy has it as
"stopping" (NOLB), from where one passed check makes it UP and `unhealthy_threshold` failed ones make it DOWN. One
whose check fails while it starts is taken out and put in again, since that is how HAProxy checks it soon instead of
after the interval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from awsorch.local.balancer.checks import FIRST_CHECK_MILLISECONDS
from awsorch.local.balancer.configuration import OPEN, BackEnd, Configuration, server_words
from awsorch.local.balancer.runtime import CommandRefused, Runtime
from awsorch.local.balancer.slow_start import SlowStart

Rows = Mapping[str, Mapping[str, str]]
_NO_ROW: Mapping[str, str] = {"status": ""}


class Servers:
    """The servers of the HAProxy that runs. `unsettled` says that something is under way that is to be looked at
    soon.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._slow_start = SlowStart(runtime)
        self._new_since: dict[str, float] = {}
        self.unsettled = False

    async def rows(self) -> Mapping[str, Rows]:
        """Each server's statistics by back end and name. Raises BalancerDown."""
        found: dict[str, dict[str, Mapping[str, str]]] = {}
        for row in await self._runtime.rows():
            if row["svname"] not in {"FRONTEND", "BACKEND"}:
                found.setdefault(row["pxname"], {})[row["svname"]] = row
        return found

    async def settle(self, wanted: Configuration, down: Collection[str] = ()) -> None:
        """Make the servers equal to the configuration's. Those named in `down` begin as unhealthy, not as new.

        A server that HAProxy refuses holds up no other. Raises CommandRefused for all such in the end, BalancerDown.
        """
        self.unsettled = False
        rows = await self.rows()
        names = {name for each in wanted.back_ends.values() for name in each.servers}
        self._new_since = {name: since for name, since in self._new_since.items() if name in names}
        refusals = []
        for back_end in wanted.back_ends.values():
            there = rows.get(back_end.id, {})
            for name in (
                *back_end.servers,
                *(each for each in there if each.removesuffix(OPEN) not in back_end.servers),
            ):
                try:
                    await self._settle_one(back_end, name, there, down=name in down)
                except CommandRefused as refusal:
                    refusals.append(str(refusal))
            healthy = {name for name in back_end.servers if there.get(name, _NO_ROW)["status"].startswith("UP")}
            self.unsettled |= await self._slow_start.go_on(back_end, healthy)
        if refusals:
            raise CommandRefused("\n".join(refusals))

    async def _settle_one(self, back_end: BackEnd, name: str, there: Rows, *, down: bool) -> None:
        server = back_end.servers.get(name)
        if server is None:
            await self._take_out(back_end, name)
        elif server.draining:
            await self._drain(back_end, name, there)
        elif name not in there:
            await self._put_in(back_end, name, down=down)
        elif there[name]["status"] == "MAINT":
            await self._runtime.tell(*_begin(back_end, name))
            self.unsettled = True
        else:
            await self._look_after(back_end, name, there)

    async def _drain(self, back_end: BackEnd, name: str, there: Rows) -> None:
        """Give it nothing new; what it has it finishes. HAProxy's own "drain" would still let sticky clients in."""
        open_to_all = [each for each in (name, name + OPEN) if each in there and there[each]["status"] != "MAINT"]
        if open_to_all:
            commands = [f"disable server {back_end.id}/{each}" for each in open_to_all]
            await self._runtime.tell(*commands)
            await self._runtime.tell_earlier(*commands)

    async def _put_in(self, back_end: BackEnd, name: str, *, down: bool) -> None:
        server, *backup = (f"add server {back_end.id}/{words}" for words in server_words(back_end, name))
        if back_end.fails_open:
            server += f" downinter {FIRST_CHECK_MILLISECONDS}ms"
        begin = _begin(back_end, name)
        await self._runtime.tell(server)
        await self._slow_start.await_health(back_end, name)
        await self._runtime.tell(*(begin[:-1] if down and back_end.fails_open else begin))
        await self._add_backups(backup)
        self.unsettled = True

    async def _add_backups(self, commands: list[str]) -> None:
        for command in commands:
            try:
                await self._runtime.tell(command)
            except CommandRefused as refusal:
                if "Already exists" not in str(refusal):
                    raise

    async def _look_after(self, back_end: BackEnd, name: str, there: Rows) -> None:
        """Open the backup of a server that is new no more; have a new one checked again soon."""
        if not back_end.fails_open:
            return
        row, backup = there[name], there.get(name + OPEN)
        if row["status"].startswith("NOLB"):
            self.unsettled = True
            if row["check_status"] == "INI" or row["check_status"].startswith("*"):
                self._new_since.setdefault(name, _now())
            else:
                await self._check_again(back_end, name)
            return
        self._new_since.pop(name, None)
        if backup is None:
            _, *words = server_words(back_end, name)
            await self._add_backups([f"add server {back_end.id}/{each}" for each in words])
            self.unsettled = True
        elif backup["status"] == "MAINT":
            await self._runtime.tell(f"enable server {back_end.id}/{name}{OPEN}")

    async def _check_again(self, back_end: BackEnd, name: str) -> None:
        """Check a new server soon, or call it unhealthy when it has had all the time that its thresholds give it."""
        check = back_end.pool.check
        server = f"{back_end.id}/{name}"
        since = self._new_since.setdefault(name, _now())
        if _now() - since >= check.unhealthy_threshold * check.interval_seconds:
            await self._runtime.tell(f"set server {server} health down")
            return
        try:
            await self._runtime.tell(f"disable server {server}", f"del server {server}")
        except CommandRefused:
            return
        await self._put_in(back_end, name, down=False)

    async def _take_out(self, back_end: BackEnd, name: str) -> None:
        """Remove a server that is wanted no more, with what it still has. One that cannot go yet goes next time."""
        server = f"{back_end.id}/{name}"
        await self._runtime.tell(f"disable server {server}", f"shutdown sessions server {server}")
        try:
            await self._runtime.tell(f"del server {server}")
        except CommandRefused:
            self.unsettled = True


def _begin(back_end: BackEnd, name: str) -> tuple[str, ...]:
    """How a server that has just been added, or comes back, begins. Without the last command it begins as unhealthy.

    "Drain" on the way, since a server that leaves maintenance is UP for a moment.
    """
    server = f"{back_end.id}/{name}"
    if not back_end.fails_open:
        return (f"enable server {server}",)
    return (
        f"enable health {server}",
        f"set server {server} state drain",
        f"set server {server} health down",
        f"set server {server} state ready",
        f"set server {server} health stopping",
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
