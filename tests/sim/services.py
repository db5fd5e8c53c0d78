"""What happens to services in a world of chaos: what users ask for, how versions behave, how load balancers fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any

from awsorch.adapters.aws import AwsError
from awsorch.core.errors import Refusal
from awsorch.core.events_services import (
    CreateService,
    DeleteService,
    ProtectTasks,
    RevisionWish,
    StopServiceDeployment,
    UpdateService,
)
from awsorch.core.model import LoadBalancer, Strategy, StrategyItem
from awsorch.core.model_services import Service
from tests.sim.machine import Plan
from tests.sim.network import Unreachable
from tests.support.builders import ACCOUNT, a_definition
from tests.support.world import World

GROUPS = tuple(f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/{name}/1" for name in ("one", "two"))
FOREIGN = ("i-of-others", 80)
ALARM = "high"
#: The target groups of each service; "node" is a daemon.
SERVICES: dict[str, tuple[str, ...]] = {"front": GROUPS[:1], "shop": GROUPS, "back": (), "node": ()}
PERCENTS = ((100, 200), (50, 100), (0, 100), (100, 150), (50, 200))
STRATEGIES = ((), (Strategy(type="binpack", field="memory"),), (Strategy(type="spread", field="instanceId"),))
#: Versions 1 to 3 work; these do not.
NO_IMAGE, EXITS, SICK = 4, 5, 6
PROTECTION_S = 900.0
THROTTLED = AwsError("Throttling", "Rate exceeded")
LATE = AwsError("InternalFailure", "We encountered an internal error")


class ServiceChaos:
    """``acts`` are (weight, act). ``client`` has a request made that nobody waits for; ``strategy`` draws the capacity
    provider strategy of a service."""

    def __init__(
        self,
        world: World,
        client: Callable[[Coroutine[Any, Any, Any]], None],
        strategy: Callable[[], tuple[StrategyItem, ...]] = tuple,
    ) -> None:
        self._world = world
        self._rng: Random = world.rng
        self._client = client
        self._strategy = strategy
        self.acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (8, self.create),
            (8, self.deploy),
            (5, self.scale),
            (3, self.change_bounds),
            (2, self.delete),
            (6, self.protect),
            (2, self.stop_deployment),
            (2, self.delete_group),
            (2, self.turn_alarm),
        ]
        for arn in GROUPS:
            self._make_group(arn)
        world.promises.services.foreign.add(FOREIGN)
        for name in SERVICES:
            for version in range(1, SICK + 1):
                world.conducts[f"{name}:{version}"] = lambda version=version: self._plan(version)  # type: ignore[misc]
        self._spoil_aws()

    def _spoil_aws(self) -> None:
        rng, aws = self._rng, self._world.aws
        throttled, failing, lost = (rng.choice((0.0, 0.05, 0.3)) for _ in range(3))
        slowest = rng.choice((0.0, 0.5, 5.0))

        def fault(operation: str) -> AwsError | None:
            chance = rng.random()
            if chance < throttled:
                return THROTTLED
            return LATE if chance < throttled + failing else None

        aws.fault = fault
        aws.loses = lambda operation: rng.random() < lost
        aws.delay = lambda operation: rng.uniform(0.0, slowest)

    def _make_group(self, arn: str) -> None:
        group = self._world.aws.add_group(arn, drain_seconds=self._rng.choice((0.0, 10.0, 60.0)))
        group.since[FOREIGN] = self._world.now
        for machine in self._world.machines.values():
            group.health.update({(machine.name, run.port): "healthy" for run in machine.running()})

    def _plan(self, version: int) -> Plan:
        rng = self._rng
        plan = Plan(
            pull_s=rng.choice((0.01, 0.5, 8.0)),
            run_s=rng.choice((None, None, None, None, 60.0, 900.0)),
            stop_s=rng.choice((0.0, 0.3, 5.0)),
            pull_fails=rng.random() < 0.05 or version == NO_IMAGE,
            sick=version == SICK,
        )
        return replace(plan, run_s=1.0) if version == EXITS else plan

    def calm(self) -> None:
        """From here on versions work, load balancers answer, and no alarm is on."""
        world = self._world
        for key in world.conducts:
            world.conducts[key] = Plan
        for arn in GROUPS:
            if arn not in world.aws.groups:
                self._make_group(arn)
        for machine in world.machines.values():
            for run in machine.running():
                for group in world.aws.groups.values():
                    group.health[machine.name, run.port] = "healthy"
        world.aws.alarms[ALARM] = "OK"

    # --- what users ask for ------------------------------------------------------------------------------------------

    async def create(self) -> None:
        name = self._rng.choice(sorted(SERVICES))
        daemon = name == "node"
        event = CreateService(
            cause="client",
            name=name,
            arn=self._world.arn(f"service/{self._world.cluster}/{name}"),
            revision=self._wish(name, 1),
            scheduling_strategy="DAEMON" if daemon else "REPLICA",
            desired_count=0 if daemon else self._rng.choice((1, 3, 6)),
            configuration=self._configuration(daemon),
            strategies=() if daemon else self._rng.choice(STRATEGIES),
            grace_seconds=self._rng.choice((None, 30)),
            zone_rebalancing="DISABLED" if daemon else self._rng.choice(("ENABLED", "DISABLED")),
            created_by=self._world.arn("root"),
            client_token=self._world.new_id(),
        )
        self._ask(event)

    async def deploy(self) -> None:
        """UpdateService, now and then by two users at once, derived from the same deployment."""
        service = await self._service()
        if service is None:
            return
        twice = self._rng.random() < 0.2
        for _ in range(1 + twice):
            version = self._rng.choice((1, 2, 2, 3, 3, NO_IMAGE, EXITS, SICK))
            wish = self._wish(service.name, version)
            expected = service.deployment if twice else None
            self._ask(UpdateService(cause="client", name=service.name, revision=wish, expected=expected))

    async def scale(self) -> None:
        service = await self._service()
        if service is not None and not service.is_daemon:
            changes = {"desired_count": self._rng.choice((0, 1, 2, 4, 8))}
            self._ask(UpdateService(cause="client", name=service.name, changes=changes))

    async def change_bounds(self) -> None:
        service = await self._service()
        if service is not None:
            changes = {"configuration": self._configuration(service.is_daemon)}
            self._ask(UpdateService(cause="client", name=service.name, changes=changes))

    async def delete(self) -> None:
        service = await self._service()
        if service is not None:
            self._ask(DeleteService(cause="client", name=service.name, force=self._rng.random() < 0.7))

    async def protect(self) -> None:
        tasks = await self._read(lambda state: [t.id for t in state.tasks.values() if t.service is not None])
        if tasks:
            chosen = tuple(self._rng.sample(tasks, min(3, len(tasks))))
            until = self._world.loop.clock() + self._rng.choice((60.0, PROTECTION_S))
            self._ask(ProtectTasks(cause="client", task_ids=chosen, until=self._rng.choice((until, until, None))))

    async def stop_deployment(self) -> None:
        service = await self._service()
        if service is not None and service.service_deployment is not None:
            self._ask(StopServiceDeployment(cause="client", service=service.name, id=service.service_deployment))

    # --- what goes wrong in AWS --------------------------------------------------------------------------------------

    async def delete_group(self) -> None:
        """Somebody deletes a target group, or makes it again."""
        arn = self._rng.choice(GROUPS)
        if self._world.aws.groups.pop(arn, None) is None:
            self._make_group(arn)
        self._world.say(f"target group {arn[-5:]} is {'here' if arn in self._world.aws.groups else 'gone'}")

    async def turn_alarm(self) -> None:
        self._world.aws.alarms[ALARM] = self._rng.choice(("OK", "ALARM"))

    # --- parts -------------------------------------------------------------------------------------------------------

    def _wish(self, name: str, version: int) -> RevisionWish:
        balancers = tuple(
            LoadBalancer(target_group_arn=g, container_name="app", container_port=80) for g in SERVICES[name]
        )
        strategy = () if name == "node" else self._strategy()
        return RevisionWish(
            definition=a_definition(name, version, cpu=128, memory=64),
            load_balancers=balancers,
            launch_type=None if strategy else "EC2",
            capacity_provider_strategy=strategy,
        )

    def _configuration(self, daemon: bool) -> dict[str, Any]:
        minimum, maximum = (0, 100) if daemon else self._rng.choice(PERCENTS)
        breaks, watches = self._rng.random() < 0.5, self._rng.random() < 0.3
        return {
            "strategy": "ROLLING",
            "minimumHealthyPercent": minimum,
            "maximumPercent": maximum,
            "deploymentCircuitBreaker": {"enable": breaks, "rollback": True},
            "alarms": {"alarmNames": [ALARM], "enable": watches, "rollback": True},
            "bakeTimeInMinutes": 1,
        }

    async def _service(self) -> Service | None:
        found = await self._read(lambda state: [s for s in state.services.values() if s.status == "ACTIVE"])
        return self._rng.choice(found) if found else None

    async def _read(self, look: Callable[[Any], list[Any]]) -> list[Any]:
        """What a client finds; nothing where it gets no answer."""
        door = self._world.door
        try:
            return list(await door.read(look)) if door is not None else []
        except Unreachable:
            return []

    def _ask(self, event: Any) -> None:
        async def asked() -> None:
            what = f"{type(event).__name__} {getattr(event, 'name', '')}"
            try:
                reply = await self._world.insist(lambda: event)
            except Refusal as refusal:
                self._world.say(f"{what} refused: {refusal.message}")
            else:
                self._world.say(f"{what}: {reply!r:.200}")

        self._client(asked())
