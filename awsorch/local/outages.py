"""What can be played on a local instance that EC2's API has no call for, or that moto answers without doing it.

A spot interruption, a cut network, a crash, a reboot: an instance of the fleet is put through it, and who listens to
EC2's events or asks its API is told no more than EC2 would tell. What follows for tasks is the controller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from awsorch.local.ec2 import Ec2, Ec2Error
from awsorch.local.ec2_events import Events
from awsorch.local.fleet import Fleet, Hosts
from awsorch.local.instances import LocalInstance, PowerState
from awsorch.local.refusal import Refused

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0


class Outages:
    """Plays outages. `keep` is to run for as long as the fleet is watched; it ends what was begun for a time.

    All raise Refused for an instance that is not there or not running, and one of Ec2Error where a part of the local
    cloud does not do what it should.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        ec2: Ec2,
        hosts: Hosts,
        events: Events,
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """`changed` makes the fleet look at EC2 soon; `clock` gives seconds since 1970."""
        self._fleet = fleet
        self._ec2 = ec2
        self._hosts = hosts
        self._events = events
        self._changed = changed
        self._clock = clock
        self._cut: dict[str, float | None] = {}
        self._news = asyncio.Event()

    async def interrupt(self, instance_id: str, seconds: float) -> float:
        """Give notice that EC2 takes an instance in so many seconds; the time, in seconds since 1970.

        Any instance will do, not only spot ones. Given again, the notice counts that was given last.
        """
        async with self._fleet.turn:
            instance = replace(self._running(instance_id), ends_at=self._clock() + seconds)
            self._fleet.put(instance)
            await self._hosts.switch_on(instance)
            await self._events.interruption(instance_id, "terminate")
        self._news.set()
        assert instance.ends_at is not None
        return instance.ends_at

    async def cut(self, instance_id: str, seconds: float | None) -> float | None:
        """Have an instance's agent hear and say nothing, for so long or until `uncut`; its containers go on.

        When it is over, in seconds since 1970.
        """
        async with self._fleet.turn:
            await self._hosts.cut(self._running(instance_id))
            until = self._cut[instance_id] = None if seconds is None else self._clock() + seconds
        self._news.set()
        return until

    async def uncut(self, instance_id: str) -> None:
        """Let it hear and speak again; one that is not cut off stays as it is."""
        async with self._fleet.turn:
            self._cut.pop(instance_id, None)
            await self._hosts.uncut(self._there(instance_id))

    async def kill(self, instance_id: str) -> None:
        """End an instance as when its host burns: agent and containers at once, then EC2 says that it is terminated."""
        async with self._fleet.turn:
            await self._hosts.crash(self._there(instance_id))
            await self._ec2.terminate_instance(instance_id)
        self._changed()

    async def reboot(self, instance_ids: Sequence[str]) -> None:
        """End all that runs on instances, then start their agents again; those that do not run are left alone."""
        async with self._fleet.turn:
            for instance_id in instance_ids:
                instance = self._fleet.find(instance_id)
                if instance is not None and instance.state is PowerState.RUNNING:
                    await self._hosts.crash(instance)
                    await self._hosts.switch_on(instance)
            await self._hosts.settle()

    async def keep(self) -> None:
        """Terminate interrupted instances and end cuts when it is time. Ends only by cancellation."""
        while True:
            self._news.clear()
            try:
                await self._end_what_is_due()
                pause = self._pause()
            except Ec2Error as error:
                _log.warning("what is due cannot be ended yet: %s", error)
                pause = _AGAIN_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)

    async def _end_what_is_due(self) -> None:
        now = self._clock()
        for instance_id in [each for each, until in self._cut.items() if until is not None and until <= now]:
            with contextlib.suppress(Refused):  # it has gone meanwhile
                await self.uncut(instance_id)
        for instance in self._fleet.instances:
            if instance.ends_at is not None and instance.ends_at <= now:
                await self._terminate(instance.id)

    async def _terminate(self, instance_id: str) -> None:
        async with self._fleet.turn:
            instance = self._fleet.find(instance_id)
            if instance is not None:
                await self._ec2.terminate_instance(instance_id)
                self._fleet.put(replace(instance, ends_at=None))
        self._changed()

    def _pause(self) -> float | None:
        """Seconds until something is due; None where nothing is."""
        due = [until for until in self._cut.values() if until is not None]
        due += [each.ends_at for each in self._fleet.instances if each.ends_at is not None]
        return max(min(due) - self._clock(), 0.0) if due else None

    def _there(self, instance_id: str) -> LocalInstance:
        instance = self._fleet.find(instance_id)
        if instance is None:
            raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return instance

    def _running(self, instance_id: str) -> LocalInstance:
        instance = self._there(instance_id)
        if instance.state is not PowerState.RUNNING:
            raise Refused("IncorrectInstanceState", f"The instance '{instance_id}' is {instance.state}, not running.")
        return instance
