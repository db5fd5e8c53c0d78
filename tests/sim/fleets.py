"""What happens to a fleet in a world of chaos: groups and managed providers, what users do to them, how AWS fails."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from awsorch.adapters.aws import AwsError
from awsorch.core.errors import Refusal
from awsorch.core.events_capacity import CreateCapacityProvider, SetClusterCapacity, UpdateCapacityProvider
from awsorch.core.model import StrategyItem, TaskDefinition
from awsorch.core.model_capacity import GROUP, MANAGED, CapacityProvider, ManagedScaling
from awsorch.engine.controller import Controller
from tests.sim.hosts import Fate
from tests.sim.machine import Plan
from tests.sim.network import Unreachable
from tests.support.fake_fleet import SUBNETS, TYPES, FakeInstance
from tests.support.fake_groups import FakeScalingGroup
from tests.support.world import QUEUE, World

#: Names of providers; those of the groups are also their groups'.
GROUPS, BOUGHT = ("one", "two"), "bought"
THROTTLED = AwsError("Throttling", "Rate exceeded")
LATE = AwsError("InternalFailure", "We encountered an internal error")
#: EC2 takes a spot instance so long after it said so. Seconds.
NOTICE_S = 120.0
#: Fleets make many commits: fewer of them are compared with what a restart would find.
COMPARED_COMMITS = 24
#: In the end every group may have as many as anybody could need.
ROOM = 40

Client = Callable[[Coroutine[Any, Any, None]], None]


class FleetChaos:
    """``acts`` are (weight, act). ``client`` has a request made that nobody waits for; tasks are of ``definitions``."""

    def __init__(self, world: World, client: Client, definitions: Sequence[TaskDefinition]) -> None:
        self._world = world
        self._rng: Random = world.rng
        self._client = client
        self._definitions = definitions
        self._calm = False
        self.acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (24, self.run_tasks),
            (3, self.lose_machine),
            (3, self.interrupt),
            (2, self.lose_zone),
            (4, self.resize),
            (4, self.run_out),
            (3, self.change_settings),
            (3, self.detach),
            (4, self.attach),
        ]
        world.hosts.fate = self._fate
        world.store.compared_commits = COMPARED_COMMITS
        self._spoil_aws()

    # --- the beginning and the end -----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Two groups and a managed provider, in a cluster that has them all."""
        scaling = self._world.fleet.scaling
        scaling.launch_seconds = self._rng.choice((0.5, 5.0, 20.0))
        for name in GROUPS:
            minimum = self._rng.choice((0, 0, 1))
            scaling.add(
                name,
                types=self._rng.choice((("t3.medium",), ("m5.large",), ("m5.large", "t3.medium"))),
                minimum=minimum,
                desired=minimum + self._rng.choice((0, 1)),
                maximum=self._rng.choice((2, 6)),
                spot=self._rng.random() < 0.3,
                protects_new=True,
            )
            await self._insist(self._creating(self._group_provider(scaling.groups[name])))
        await self._insist(self._creating(self._managed_provider()))
        await self._attach(GROUPS)

    def calm(self) -> None:
        """From here on instances come up, there is enough of every type, and groups may be as large as they need."""
        self._calm = True
        ec2, scaling = self._world.fleet.ec2, self._world.fleet.scaling
        ec2.none_left.clear()
        ec2.limit = None
        self._world.hosts.fate = Fate
        for name in GROUPS:
            scaling.resize(name, scaling.groups[name].minimum, ROOM)
        self._client(self._attach(GROUPS))

    def _spoil_aws(self) -> None:
        rng, fleet = self._rng, self._world.fleet
        throttled, failing, lost = (rng.choice((0.0, 0.05, 0.3)) for _ in range(3))
        slowest = rng.choice((0.0, 0.5, 5.0))
        fleet.ec2.invisible_seconds = rng.choice((0.0, 5.0, 30.0))

        def fault(operation: str) -> AwsError | None:
            chance = rng.random()
            if chance < throttled:
                return THROTTLED
            return LATE if chance < throttled + failing else None

        fleet.fault = fault
        fleet.loses = lambda operation: rng.random() < lost
        fleet.delay = lambda operation: rng.uniform(0.0, slowest)

    def _fate(self) -> Fate:
        rng = self._rng
        if rng.random() < 0.1:
            return Fate(starts_after=None)
        dies = rng.choice((None, None, None, None, None, 2.0, 20.0, 600.0))
        return Fate(starts_after=rng.choice((1.0, 1.0, 10.0, 60.0, 290.0, 310.0)), dies_after=dies)

    # --- what users ask for ------------------------------------------------------------------------------------------

    def strategy(self) -> tuple[StrategyItem, ...]:
        """Which providers are to have the tasks: groups, or the managed one; ECS refuses a mix of them."""
        if self._rng.random() < 0.4:
            return (StrategyItem(provider=BOUGHT, weight=1),)
        names = self._rng.choice((GROUPS, GROUPS[::-1], GROUPS[:1], GROUPS[1:]))
        weights = self._rng.choice(((1, 1), (1, 0), (3, 1)))
        first, *rest = (
            StrategyItem(provider=name, weight=weight) for name, weight in zip(names, weights, strict=False)
        )
        return (replace(first, base=self._rng.choice((0, 0, 2))), *rest)

    async def run_tasks(self) -> None:
        definition, count = self._rng.choice(self._definitions), self._rng.choice((1, 1, 2, 5, 12))
        plan = Plan(
            pull_s=self._rng.choice((0.01, 0.5, 8.0)),
            run_s=self._rng.choice((None, 2.0, 60.0, 60.0, 900.0)),
            stop_s=self._rng.choice((0.0, 0.3, 5.0)),
        )
        self._client(self._run(count, definition, plan))

    async def _run(self, count: int, definition: TaskDefinition, plan: Plan) -> None:
        await self._world.run_task(count, definition=definition, strategy=self.strategy(), plan=plan)

    async def resize(self) -> None:
        """Somebody changes a group by hand."""
        group = self._group()
        kind = self._rng.choice(("bounds", "size", "size"))
        if kind == "bounds":
            minimum = self._rng.choice((0, 0, 1, 2))
            maximum = self._rng.choice((2, 4, 8))
            self._world.say(f"group {group.name} is to have {minimum} to {maximum}")
            self._world.fleet.scaling.resize(group.name, minimum, maximum)
        else:
            size = self._rng.randint(group.minimum, group.maximum)
            self._world.say(f"group {group.name} is set to {size} by hand")
            self._world.fleet.scaling.set_size(group.name, size)

    async def change_settings(self) -> None:
        """UpdateCapacityProvider."""
        event = UpdateCapacityProvider(
            cause="client", name=self._group().name, scaling=self._scaling(), draining=self._rng.random() < 0.8
        )
        self._client(self._insist(lambda controller: controller.attachments.update(lambda _: event)))

    async def detach(self) -> None:
        """PutClusterCapacityProviders without one of the groups; refused while anything needs it."""
        self._client(self._attach([name for name in GROUPS if name != self._group().name]))

    async def attach(self) -> None:
        self._client(self._attach(GROUPS))

    async def _attach(self, groups: Sequence[str]) -> None:
        event = SetClusterCapacity(
            cause="client", cluster=self._world.cluster, providers=tuple(groups), default_strategy=()
        )
        while True:
            try:
                await self._insist(lambda controller: controller.attachments.put(event))
            except Refusal as refusal:
                self._world.say(f"{event.providers} refused: {refusal.message}")
                if refusal.code != "UpdateInProgressException" or not self._calm:
                    return
                await self._world.sleep(5.0)
            else:
                self._world.say(f"the cluster has {event.providers}")
                return

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    async def lose_machine(self) -> None:
        """A host dies."""
        instance = self._instance()
        if instance is not None:
            self._die(instance)

    async def interrupt(self) -> None:
        """EC2 takes an instance, and says so two minutes before."""
        instance = self._instance()
        if instance is None:
            return
        self._world.say(f"EC2 will take {instance.id}")
        self._tell("EC2 Spot Instance Interruption Warning", {"instance-id": instance.id})
        self._world.later(NOTICE_S, lambda: self._die(instance))

    async def lose_zone(self) -> None:
        """All machines of a zone die, and there is nothing to be had there for a while."""
        zone = self._rng.choice(sorted(SUBNETS))
        self._world.say(f"zone {zone} is lost")
        for instance in self._world.fleet.ec2.up():
            if instance.zone == zone:
                self._die(instance)
        self._lack({(kind, zone) for kind in TYPES}, self._rng.choice((60.0, 600.0)))

    async def run_out(self) -> None:
        """EC2 has no more of a type, here or everywhere."""
        kind = self._rng.choice(sorted(TYPES))
        zones = self._rng.choice((sorted(SUBNETS), [self._rng.choice(sorted(SUBNETS))]))
        self._world.say(f"EC2 has no {kind} in {zones}")
        self._lack({(kind, zone) for zone in zones}, self._rng.choice((20.0, 120.0, 1200.0)))

    def _lack(self, what: set[tuple[str, str]], seconds: float) -> None:
        none_left = self._world.fleet.ec2.none_left
        none_left |= what
        self._world.later(seconds, lambda: none_left.difference_update(what))

    def _die(self, instance: FakeInstance) -> None:
        if instance.is_up:
            self._world.fleet.ec2.end(instance)
            if self._rng.random() < 0.5:
                detail = {"instance-id": instance.id, "state": "shutting-down"}
                self._tell("EC2 Instance State-change Notification", detail)

    def _tell(self, detail_type: str, detail: dict[str, str]) -> None:
        body = json.dumps({"id": "e", "detail-type": detail_type, "detail": detail})
        self._world.fleet.queues[QUEUE].send(body)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _group_provider(self, group: FakeScalingGroup) -> CapacityProvider:
        return CapacityProvider(
            name=group.name,
            arn=self._world.arn(f"capacity-provider/{group.name}"),
            type=GROUP,
            group=group.arn,
            scaling=self._scaling(),
            termination_protection=self._rng.random() < 0.5,
            draining=self._rng.random() < 0.7,
            created_at=self._world.loop.clock(),
        )

    def _managed_provider(self) -> CapacityProvider:
        template = {"networkConfiguration": {"subnets": list(SUBNETS.values())}, "capacityOptionType": "ON_DEMAND"}
        return CapacityProvider(
            name=BOUGHT,
            arn=self._world.arn(f"capacity-provider/{BOUGHT}"),
            type=MANAGED,
            managed={"infrastructureRoleArn": "r", "instanceLaunchTemplate": template},
            cluster=self._world.cluster,
            created_at=self._world.loop.clock(),
        )

    def _scaling(self) -> ManagedScaling:
        return ManagedScaling(
            enabled=True,
            target=self._rng.choice((100, 100, 100, 70)),
            minimum_step=self._rng.choice((1, 1, 2)),
            maximum_step=self._rng.choice((2, 3, 10000)),
        )

    def _creating(self, provider: CapacityProvider) -> Callable[[Controller], Awaitable[Any]]:
        event = CreateCapacityProvider(cause="client", provider=provider)
        return lambda controller: controller.attachments.create(event)

    async def _insist(self, request: Callable[[Controller], Awaitable[Any]]) -> None:
        """Ask until there is an answer. Raises Refusal."""
        while True:
            try:
                await self._world.over_network(lambda door: door.use(request))
            except Unreachable:
                await self._world.sleep(self._rng.uniform(0.5, 2.0))
            else:
                return

    def _group(self) -> FakeScalingGroup:
        return self._world.fleet.scaling.groups[self._rng.choice(GROUPS)]

    def _instance(self) -> FakeInstance | None:
        up = self._world.fleet.ec2.up()
        return self._rng.choice(up) if up else None
