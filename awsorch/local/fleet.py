"""The instances of the local cloud: EC2 instances in moto, each made real by one agent.

The fleet keeps three things in step: its file (which instances there are), EC2 (which forgets everything
when moto ends) and the hosts (agents, addresses, metadata). An instance that EC2 does not know was
forgotten and is run again under its id; one that EC2 says is terminated goes, with its agent and
containers; one that somebody ran through the door with user data that joins a cluster is taken in. The
file is written before anything is done, so a fleet that is cut off carries on where it was. What becomes of an
instance is told as EC2 would tell it. The fleet knows no tasks and places nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from awsorch.local.ec2 import Ec2, Ec2Error, InstanceSize, SeenInstance
from awsorch.local.ec2_events import Events
from awsorch.local.instances import (
    FleetFile,
    LocalInstance,
    LocalNetwork,
    PowerState,
    address_of,
)
from awsorch.local.interfaces import SeenInterface
from awsorch.local.user_data import agent_settings, cluster_user_data

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_LOOK_COST_SHARE = 50
"""A look at EC2 that took a second is not repeated for this many, unless the door says that something
changed.
"""


class Hosts(Protocol):
    """What makes instances real. Each call may be repeated; any may raise OSError or one of Ec2Error."""

    async def switch_on(self, instance: LocalInstance) -> None:
        """See to it that the instance has its agent."""

    async def switch_off(self, instance: LocalInstance) -> None:
        """Take the agent and end the containers, as a stopped instance does; they may be started again."""

    async def crash(self, instance: LocalInstance) -> None:
        """End the agent and the containers at once, without asking them; they may be started again."""

    async def cut(self, instance: LocalInstance) -> None:
        """Have the agent hear and say nothing. Raises Refused where that cannot be played."""

    async def uncut(self, instance: LocalInstance) -> None:
        """Let it hear and speak again."""

    async def dispose(self, instance: LocalInstance) -> None:
        """Remove all that there is of the instance: agent, containers, data."""

    async def settle(self) -> None:
        """Called when a round of changes is complete."""

    async def attach(self, instance: LocalInstance, interfaces: Sequence[SeenInterface]) -> None:
        """Give an instance that is on these network interfaces, besides its own, and no others."""


class Fleet:
    """The local instances: `bring_back`, then `grow`, then `watch` for as long as it lasts.

    Whoever else does something to an instance meanwhile holds `turn` until it is done.
    """

    def __init__(self, *, file: FleetFile, ec2: Ec2, hosts: Hosts, events: Events, prefix: str) -> None:
        """`prefix` ("127.N") is the network of a cloud that has none yet: no other on the machine has it."""
        self._file = file
        self._ec2 = ec2
        self._hosts = hosts
        self._events = events
        self.turn = asyncio.Lock()
        self._record = file.load_or_begin()
        self._prefix = prefix
        self._not_ours: set[str] = set()

    @property
    def instances(self) -> tuple[LocalInstance, ...]:
        """The instances that exist, stopped ones too."""
        return tuple(each for each in self._record.instances if each.state is not PowerState.TERMINATED)

    def find(self, instance_id: str) -> LocalInstance | None:
        """The instance with an id, running or stopped."""
        return next((each for each in self.instances if each.id == instance_id), None)

    async def restore(self) -> None:
        """Run in EC2 what it has forgotten; hosts are left as they are. Raises one of Ec2Error.

        Before anybody asks EC2 what became of an instance: one that it does not know counts as terminated.
        """
        async with self.turn:
            await self._ensure_network()
            known = {each.id for each in await self._ec2.describe_instances()}
            for instance in self.instances:
                if instance.id not in known:
                    await self._restore_one(instance)

    async def bring_back(self) -> None:
        """Make EC2 and the hosts what the file says. Raises one of Ec2Error."""
        await self._ensure_network()
        await self.look()

    async def grow(self, count: int, instance_type: str, cluster: str) -> None:
        """Run instances of `awsorch up`'s own until there are `count`; more than that are left alone."""
        size = await self._ec2.describe_size(instance_type)
        own = [each for each in self.instances if each.own]
        zones = Counter(dict.fromkeys(self._network().subnets, 0))
        zones.update(each.zone for each in own if each.zone in zones)
        fresh: list[LocalInstance] = []
        for _ in range(count - len(own)):
            zone = min(zones, key=lambda each: zones[each])
            zones[zone] += 1
            fresh.append(self._plan(zone, instance_type, size, cluster))
        self._save()
        for instance in fresh:
            await self._hosts.switch_on(await self._run(instance))
        await self._hosts.settle()

    def _plan(self, zone: str, instance_type: str, size: InstanceSize, cluster: str) -> LocalInstance:
        """Add an instance of our own to the record, which the caller saves."""
        network = self._network()
        index = self._record.next_index
        instance = LocalInstance(
            id=f"i-{secrets.token_hex(9)[:17]}",
            index=index,
            address=self._free_address(zone),
            zone=zone,
            zone_id=network.zone_ids[zone],
            instance_type=instance_type,
            cpu=size.cpu,
            memory=size.memory,
            image_id=network.image_id,
            vpc_id=network.vpc_id,
            subnet_id=network.subnets[zone],
            user_data=cluster_user_data(cluster),
            cluster=cluster,
            launched_at=time.time(),
            own=True,
            tags={"Name": f"awsorch-local-{index}"},
        )
        self._add(instance)
        return instance

    async def look(self) -> None:
        """Compare with EC2 once, and do what follows for each instance, whatever becomes of the others.

        Raises the first Ec2Error; a later look carries on.
        """
        async with self.turn:
            await self._look()

    async def _look(self) -> None:
        seen = {each.id: each for each in await self._ec2.describe_instances()}
        if any(each.id not in seen for each in self._record.instances):
            await self._ensure_network()
        known = {each.id for each in self._record.instances} | self._not_ours
        rounds = [self._follow(each, seen.get(each.id)) for each in self._record.instances]
        rounds += [
            self._take_in(each)
            for each in seen.values()
            if each.id not in known and each.state in {"pending", "running"}
        ]
        failures: list[Exception] = []
        for one in rounds:
            try:
                await one
            except Ec2Error as error:
                failures.append(error)
        await self._hosts.settle()
        for instance in self.instances:
            if instance.id in seen and instance.state is PowerState.RUNNING:
                await self._hosts.attach(instance, seen[instance.id].interfaces)
        if failures:
            raise failures[0]

    async def watch(self, changed: asyncio.Event) -> None:
        """Look whenever `changed` is set, and now and then without. Ends only by cancellation."""
        loop = asyncio.get_running_loop()
        pause = _LOOK_SECONDS
        while True:
            try:
                await asyncio.wait_for(changed.wait(), pause)
            except TimeoutError:
                _log.debug("looking at the instances without being told")
            changed.clear()
            began = loop.time()
            try:
                await self.look()
            except Ec2Error as error:
                _log.warning("the instances cannot be looked after now: %s", error)
            pause = max(_LOOK_SECONDS, (loop.time() - began) * _LOOK_COST_SHARE)

    async def _ensure_network(self) -> None:
        known = self._record.network
        network = await self._ec2.ensure_network(known.prefix if known is not None else self._prefix)
        if network != known:
            self._record = replace(self._record, network=network)
            self._save()

    async def _follow(self, instance: LocalInstance, seen: SeenInstance | None) -> None:
        if instance.state is PowerState.TERMINATED or (
            seen is not None and seen.state in {"shutting-down", "terminated"}
        ):
            await self._drop(instance)
        elif seen is None:
            await self._bring_back_one(instance)
        elif seen.state in {"stopping", "stopped"}:
            stops = instance.state is PowerState.RUNNING
            if stops:
                self.put(replace(instance, state=PowerState.STOPPED, ends_at=None))
            await self._hosts.switch_off(instance)
            if stops:  # told when its agent is away, or its tasks would be replaced where they were
                await self._events.state(instance.id, "stopping", "stopped")
        else:
            instance = self._described(instance, seen)
            if instance.state is PowerState.STOPPED:
                instance = replace(instance, state=PowerState.RUNNING)
                self.put(instance)
                await self._events.state(instance.id, "pending", "running")
            await self._hosts.switch_on(instance)

    def _described(self, instance: LocalInstance, seen: SeenInstance) -> LocalInstance:
        """The instance with what callers of EC2 can change of its description; written where something has changed."""
        kept = {key: value for key, value in instance.tags.items() if key.startswith("aws:")}  # lost with moto
        described = replace(
            instance, tags=kept | seen.tags, tokens_required=seen.tokens_required, shows_tags=seen.shows_tags
        )
        if described != instance:
            self.put(described)
        return described

    async def _bring_back_one(self, instance: LocalInstance) -> None:
        running = await self._restore_one(instance)
        if running is not None and running.state is PowerState.RUNNING:
            await self._hosts.switch_on(running)

    async def _restore_one(self, instance: LocalInstance) -> LocalInstance | None:
        """Run an instance again, stopped where it was; None where its zone is no more."""
        network = self._network()
        if instance.zone not in network.subnets:
            await self._drop(instance)
            return None
        moved = replace(instance, vpc_id=network.vpc_id, subnet_id=network.subnets[instance.zone])
        if moved != instance:
            self.put(moved)
        running = await self._run(moved)
        if running.state is PowerState.STOPPED:
            await self._ec2.stop_instance(running.id)
        return running

    async def _run(self, instance: LocalInstance) -> LocalInstance:
        """Run an instance; where EC2 will not give it the id that it had, what was under that id is over."""
        got = await self._ec2.run_instance(instance)
        if got == instance.id:
            return instance
        _log.info("instance %s came back as %s: this EC2 chooses ids itself", instance.id, got)
        await self._hosts.dispose(instance)
        running = replace(instance, id=got)
        self._replace(instance.id, running)
        return running

    async def _drop(self, instance: LocalInstance) -> None:
        gone = replace(instance, state=PowerState.TERMINATED)
        self.put(gone)
        await self._events.state(gone.id, "shutting-down", "terminated")
        await self._hosts.dispose(gone)
        self._replace(gone.id, None)

    async def _take_in(self, seen: SeenInstance) -> None:
        network = self._network()
        user_data = await self._ec2.describe_user_data(seen.id)
        settings = agent_settings(user_data)
        if settings is None or seen.zone not in network.subnets:
            self._not_ours.add(seen.id)
            return
        size = await self._ec2.describe_size(seen.instance_type)
        taken = {each.address for each in self._record.instances}
        in_network = seen.private_ip.startswith(f"{network.prefix}.") and seen.private_ip not in taken
        instance = LocalInstance(
            id=seen.id,
            index=self._record.next_index,
            address=seen.private_ip if in_network else self._free_address(seen.zone),
            zone=seen.zone,
            zone_id=network.zone_ids[seen.zone],
            instance_type=seen.instance_type,
            cpu=size.cpu,
            memory=size.memory,
            image_id=seen.image_id,
            vpc_id=seen.vpc_id,
            subnet_id=seen.subnet_id,
            user_data=user_data,
            cluster=settings["ECS_CLUSTER"],
            launched_at=seen.launched_at,
            own=False,
            tags=seen.tags,
            spot=seen.spot,
            tokens_required=seen.tokens_required,
            shows_tags=seen.shows_tags,
        )
        self.put(instance)
        await self._events.state(instance.id, "pending", "running")
        await self._hosts.switch_on(instance)

    def _network(self) -> LocalNetwork:
        if self._record.network is None:
            raise RuntimeError("bring_back() comes first")
        return self._record.network

    def _free_address(self, zone: str) -> str:
        network = self._network()
        taken = {each.address for each in self._record.instances}
        index = self._record.next_index
        while (address := address_of(network, zone, index)) in taken:
            index += 1
        return address

    def put(self, instance: LocalInstance) -> None:
        """Record an instance as it is now, durably."""
        if any(each.id == instance.id for each in self._record.instances):
            self._replace(instance.id, instance)
        else:
            self._add(instance)
            self._save()

    def _add(self, instance: LocalInstance) -> None:
        self._record = replace(
            self._record,
            instances=(*self._record.instances, instance),
            next_index=max(self._record.next_index, instance.index + 1),
        )

    def _replace(self, instance_id: str, instance: LocalInstance | None) -> None:
        kept = ((instance if each.id == instance_id else each) for each in self._record.instances)
        self._record = replace(self._record, instances=tuple(each for each in kept if each is not None))
        self._save()

    def _save(self) -> None:
        self._file.save(self._record)
