"""The local load balancers as a whole: facts from ELB's API and registered targets, brought to the balancer.

Level-triggered: whatever happened, the next round makes one wish of all that is known now and hands it over. Nothing
here answers requests; those who change something say so and go on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from awsorch.local.balancer.model import ServerHealth, TrafficReport, Wish
from awsorch.local.balancer.runtime import BalancerDown, CommandRefused
from awsorch.local.balancer.structure import StructureRefused
from awsorch.local.ec2 import Ec2Error
from awsorch.local.elb_facts import Facts
from awsorch.local.elb_watch import ElbWatch, FactsReader
from awsorch.local.front_ends_addresses import AddressBook
from awsorch.local.front_ends_wish import Plan, plan
from awsorch.local.targets_db import Registration, Registrations
from awsorch.local.targets_instances import OVER, Instances

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_LOOK_SECONDS = 10.0
_Fault = (BalancerDown, CommandRefused, StructureRefused, OSError, sqlite3.Error)
"""What a round may end with. The balancer goes on by itself with a wish that it has; the rest is tried again."""


class Carrier(Protocol):
    """`balancer.Balancer`, as this file uses it."""

    async def apply(self, wish: Wish) -> Mapping[str, str]:
        """Carry this and nothing else; which front ends cannot be carried, and why. Raises BalancerDown,
        StructureRefused, OSError.
        """

    async def keep(self) -> None:
        """Look after the wish until cancelled."""

    async def health(self, pool: str) -> Mapping[str, ServerHealth]:
        """The health of each server of a pool."""

    async def traffic(self) -> TrafficReport:
        """What has been carried. Raises BalancerDown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the local cloud keeps of its load balancers itself."""

    registrations: Registrations
    addresses: AddressBook


class FrontEnds:
    """All of it; `run` works for as long as it lasts, the other methods are called by whoever knows of a change."""

    def __init__(
        self, *, reader: FactsReader, kept: Kept, instances: Instances, balancer: Carrier, clock: Callable[[], float]
    ) -> None:
        """`clock` tells seconds since 1970."""
        self._watch = ElbWatch(reader, self._learn)
        self._kept = kept
        self._instances = instances
        self._balancer = balancer
        self._clock = clock
        self._changed = asyncio.Event()
        self._moved = True
        self._planned: Facts | None = None
        self._applied: Plan | None = None
        self.plan = Plan()
        self.refused: Mapping[str, str] = {}

    async def run(self) -> None:
        """Bring every change to the balancer. Ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run())
            group.create_task(self._balancer.keep())
            group.create_task(self._follow())

    async def facts(self) -> Facts:
        """Facts that no known change is missing from; `plan` is for them. Raises elb_watch.FactsUnknown."""
        facts = await self._watch.facts()
        self._plan_for(facts)
        return facts

    def is_settled(self) -> bool:
        """Whether the balancer carries all of the plan that it can."""
        return self._applied is self.plan

    def elb_changed(self) -> None:
        """ELB's API has been called in a way that may change load balancers or target groups."""
        self._watch.expire()

    def targets_changed(self) -> None:
        """Targets have been registered or deregistered."""
        self._changed.set()

    def instances_changed(self) -> None:
        """EC2 instances may have come, stopped or gone."""
        self._instances.forget()
        self._moved = True
        self._changed.set()

    def _learn(self, facts: Facts, current: bool) -> None:
        if current:
            listeners = {each.key for balancer in facts.load_balancers.values() for each in balancer.listeners}
            self._kept.registrations.keep_only(facts.owners())
            self._kept.addresses.keep_only(facts.load_balancers, listeners)
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._seconds_to_look()):
                    await self._changed.wait()
            except TimeoutError:
                self._moved = self._moved or self._instances.have_moved()
            self._changed.clear()
            try:
                await self._bring()
            except _Fault as error:
                _log.warning("the load balancers are not as they should be: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
                self._changed.set()

    async def _bring(self) -> None:
        """One round. Raises one of _Fault."""
        facts = self._watch.known
        if facts is None:
            return
        if self._moved:
            self._moved = False
            try:
                await self._follow_instances(facts)
            except Ec2Error as error:
                _log.warning("instances are taken to be where they were: %s", error)
                self._moved = True
        self._kept.registrations.expire(self._clock())
        self._planned = None
        self._plan_for(facts)
        applying = self.plan
        self.refused = await self._balancer.apply(applying.wish)
        self._applied = applying

    def _plan_for(self, facts: Facts) -> None:
        if self._planned is not facts:
            self.plan = plan(facts, self._kept.registrations, self._kept.addresses)
            self._planned = facts

    async def _follow_instances(self, facts: Facts) -> None:
        """Take over new addresses; deregister what has been terminated, as ELB does."""
        registered = [
            each
            for owner in facts.owners()
            if any(group.target_type == "instance" for group in facts.groups_of(owner))
            for each in self._kept.registrations.of(owner)
        ]
        found = await self._instances.find({each.id for each in registered})
        fresh: list[Registration] = []
        for each in registered:
            seen = found.get(each.id)
            if seen is None:
                continue
            if seen.state in OVER and each.draining_until is None:
                delay = facts.groups_of(each.owner)[0].deregistration_delay_seconds
                fresh.append(replace(each, draining_until=self._clock() + delay))
            elif seen.address not in {"", each.address}:
                fresh.append(replace(each, address=seen.address))
        self._kept.registrations.put(fresh)

    def _seconds_to_look(self) -> float:
        """Until the next target has drained long enough, or somebody may have forgotten to say something."""
        expiry = self._kept.registrations.next_expiry()
        return _LOOK_SECONDS if expiry is None else min(_LOOK_SECONDS, max(0.0, expiry - self._clock()))
