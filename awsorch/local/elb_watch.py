"""Keeps what is known of load balancers fresh: reads ELB's API again when somebody says that it may have changed.

It exists so that no request for the health of targets has to ask the upstream. Only the reading is done here; what
follows
from the facts is told to one listener.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from awsorch.local.ec2 import Ec2Error
from awsorch.local.elb_facts import Facts

_log = logging.getLogger(__name__)

_FRESH_SECONDS = 10.0
_SWEEP_SECONDS = 60.0
"""It is read this often in any case: a change whose answer was lost was not told by anybody."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
UpstreamFault = (*Ec2Error, KeyError, ValueError)
"""What a read may end with: the upstream is down, says no, or says half of something that is just changing."""


class FactsUnknown(Exception):
    """Nothing is known of load balancers yet."""


class FactsReader(Protocol):
    """`elb_reader.ElbReader`, as this file uses it."""

    async def read(self) -> Facts:
        """Everything there is now. Raises one of UpstreamFault."""


class ElbWatch:
    """The facts, read again after each `expire`. `run` does the reading for as long as it lasts."""

    def __init__(self, reader: FactsReader, found: Callable[[Facts, bool], None]) -> None:
        """`found` is called with each new reading, and with whether no change is known that may be missing from it."""
        self._reader = reader
        self._found = found
        self._asked = 1
        self._read = 0
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._news = asyncio.Event()
        self.known: Facts | None = None

    def expire(self) -> None:
        """Something may have changed: what was read before now does not count as fresh."""
        self._asked += 1
        self._wanted.set()

    async def facts(self) -> Facts:
        """Facts that no known change is missing from; older ones where the upstream does not answer in time.

        Raises FactsUnknown.
        """
        asked = self._asked
        try:
            async with asyncio.timeout(_FRESH_SECONDS):
                while self._read < asked:
                    await self._news.wait()
        except TimeoutError:
            _log.warning("the load balancers cannot be read now: they are taken to be as they were")
        if self.known is None:
            raise FactsUnknown
        return self.known

    async def run(self) -> None:
        """Read whenever it is asked for. Ends only by cancellation."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            asked = self._asked
            try:
                facts = await self._reader.read()
            except UpstreamFault as error:
                _log.info("reading the load balancers again in %g s: %s", pause, error)
                self._wanted.set()
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
                continue
            pause = _FIRST_PAUSE_SECONDS
            self.known, self._read = facts, asked
            self._found(facts, asked == self._asked)
            news, self._news = self._news, asyncio.Event()
            news.set()
