"""One seeded world in which anything may happen at any time, then quiet, then the promises.

``play(seed)`` is the whole of it: the same seed and number of steps give the same world, to the last message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from awsorch.core.errors import Refusal
from awsorch.core.events import DeregisterInstance, Event, InstanceGone, SetInstanceStatus, StartTasks, TaskTemplate
from awsorch.core.model import Strategy, TaskDefinition
from awsorch.core.resources import demand_of
from awsorch.core.services.failures import LONGEST_PAUSE_S
from tests.sim.definitions import DefinitionChaos
from tests.sim.fleets import FleetChaos
from tests.sim.machine import Machine, Plan
from tests.sim.network import Unreachable, Weather
from tests.sim.promises import shown_instances
from tests.sim.services import PROTECTION_S, ServiceChaos
from tests.support import virtual_time
from tests.support.builders import a_definition
from tests.support.virtual_time import VirtualTimeLoop
from tests.support.world import World

STEPS = 80
#: Worlds whose machines come and go by themselves, and such as have a fleet that follows the tasks.
TASKS, FLEET = "tasks", "fleet"
MACHINES = 4

DEFINITIONS = (
    a_definition("small", cpu=128, memory=64),
    a_definition("web", cpu=256, memory=256, port=8080),
    a_definition("large", cpu=1500, memory=3000),
    a_definition("much", cpu=512, memory=900),
)
STRATEGIES = (
    (),
    (Strategy(type="binpack", field="memory"),),
    (Strategy(type="spread", field="attribute:ecs.availability-zone"), Strategy(type="binpack", field="cpu")),
    (Strategy(type="spread", field="instanceId"),),
    (Strategy(type="random"),),
)


@dataclass(slots=True, kw_only=True)
class Report:
    """What a world came to."""

    seed: int
    kind: str = TASKS
    seconds: float
    accepted: int
    started: int
    broken: str | None = None


class Chaos:
    """Does one random thing after another to a world."""

    def __init__(self, world: World, kind: str) -> None:
        self._world = world
        self._rng = world.rng
        self._clients: set[asyncio.Task[None]] = set()
        world.next_plan = self._plan
        world.network.weather = Weather(
            loss=self._rng.choice((0.0, 0.05, 0.2)),
            duplication=self._rng.choice((0.0, 0.05, 0.2)),
            delay_s=self._rng.choice((0.05, 0.5, 4.0)),
        )
        self._commits_fail = self._rng.choice((0.0, 0.05, 0.2))
        world.store.faults.delay = self._rng.choice((0.0, 0.01, 0.2))
        world.store.faults.commits = self._verdict
        dropped = self._rng.choice((0.0, 0.1, 0.4))
        world.drops_command = lambda command: self._rng.random() < dropped
        self._acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (8, self.stop_task),
            (4, self.kill_agent),
            (6, self.start_agents),
            (4, self.cut_off),
            (5, self.drain),
            (2, self.deregister),
            (3, self.kill_controller),
            (2, self.fill_disk),
            (2, self.wait_long),
            (6, self.describe),
        ]
        if self._rng.random() < 0.2:
            self._acts.append((5, self.kill_after_each_commit))
        self._fleet = FleetChaos(world, self._client, DEFINITIONS) if kind == FLEET else None
        if self._fleet is not None:
            self._services = ServiceChaos(world, self._client, self._fleet.strategy)
            self._acts += self._fleet.acts
        else:
            self._services = ServiceChaos(world, self._client)
            self._acts += self._machines_of_their_own()
        self._acts += self._services.acts
        self._acts += DefinitionChaos(world, self._client).acts

    def _machines_of_their_own(self) -> list[tuple[int, Callable[[], Awaitable[None]]]]:
        """What happens where machines come and go by themselves."""
        return [
            (20, self.run_task),
            (4, self.start_task),
            (3, self.add_machine),
            (3, self.kill_machine),
            (2, self.declare_gone),
            (4, self.come_back),
        ]

    async def rage(self, steps: int) -> None:
        """So many things, seconds or less apart."""
        weights = [weight for weight, _ in self._acts]
        acts = [act for _, act in self._acts]
        if self._fleet is not None:
            await self._fleet.begin()
        else:
            for _ in range(MACHINES):
                self._world.add_machine()
        for _ in range(steps):
            await self._world.sleep(self._rng.choice((0.0, 0.05, 0.5, 3.0, 10.0)))
            await self._rng.choices(acts, weights)[0]()

    def calm(self) -> None:
        """From here on all that there is works, and there is some room."""
        self._world.calm()
        self._services.calm()
        if self._fleet is not None:
            self._fleet.calm()
        else:
            for _ in range(2):
                self._world.add_machine()

    async def until_answered(self) -> None:
        """Every client has its answer."""
        if self._clients:
            _, waiting = await asyncio.wait(self._clients, timeout=300.0)
            for client in waiting:
                self._world.promises.breaks(f"{client.get_name()} was never answered")
        self._world.check()

    # --- what may happen ---------------------------------------------------------------------------------------------

    async def run_task(self) -> None:
        definition, strategies = self._rng.choice(DEFINITIONS), self._rng.choice(STRATEGIES)
        count = self._rng.choice((1, 1, 2, 10))
        self._client(self._world.run_task(count, definition=definition, strategies=strategies))

    async def start_task(self) -> None:
        machine = self._machine()
        if machine is not None and machine.instance_id is not None:
            definition, instance_id = self._rng.choice(DEFINITIONS), machine.instance_id
            self._client(self._ask(lambda: self._start_tasks(definition, instance_id)))

    async def stop_task(self) -> None:
        if self._world.promises.accepted:
            self._client(self._world.stop_task(self._rng.choice(sorted(self._world.promises.accepted))))

    async def add_machine(self) -> None:
        if sum(machine.alive for machine in self._world.machines.values()) < 2 * MACHINES:
            self._world.add_machine()

    async def kill_machine(self) -> None:
        machine = self._machine()
        if machine is not None:
            self._world.kill(machine)

    async def kill_agent(self) -> None:
        machine = self._machine()
        if machine is not None:
            self._world.say(f"agent {machine.name} killed")
            machine.kill_agent()

    async def start_agents(self) -> None:
        for machine in self._world.machines.values():
            if not machine.retired:
                machine.start_agent()

    async def cut_off(self) -> None:
        machine = self._machine()
        if machine is not None and machine.reachable:
            self._world.cut_off(machine, self._rng.choice((1.0, 10.0, 90.0)))

    async def drain(self) -> None:
        machine = self._machine()
        if machine is not None and machine.instance_id is not None:
            status = self._rng.choice(("DRAINING", "ACTIVE"))
            event = SetInstanceStatus(instance_ids=(machine.instance_id,), status=status)
            self._client(self._ask(lambda: event))

    async def deregister(self) -> None:
        machine = self._machine()
        if machine is not None and machine.instance_id is not None:
            event = DeregisterInstance(instance_id=machine.instance_id, force=self._rng.random() < 0.5)
            self._client(self._ask(lambda: event))

    async def kill_controller(self) -> None:
        await self._world.kill_controller()
        await self._world.sleep(self._rng.choice((0.1, 5.0, 60.0)))
        await self._world.start_controller()

    async def kill_after_each_commit(self) -> None:
        await self._world.kill_after_each_commit(self._rng.choice((5.0, 30.0)))

    async def fill_disk(self) -> None:
        self._world.say("disk full")
        faults = self._world.store.faults
        faults.full = True
        await self._world.sleep(self._rng.choice((1.0, 20.0)))
        faults.full = False
        self._world.say("disk has room")

    async def declare_gone(self) -> None:
        """Somebody takes a machine for dead that was only cut off."""
        machine = self._machine()
        if machine is not None and machine.reachable and machine.instance_id is not None:
            self._world.cut_off(machine, self._rng.choice((10.0, 90.0)))
            event = InstanceGone(cause="notice", instance_id=machine.instance_id, reason="Host EC2 terminated.")
            self._client(self._ask(lambda: event))

    async def come_back(self) -> None:
        """Agents that were told that they are not registered forget who they were and start again."""
        for machine in self._world.machines.values():
            if machine.retired and machine.alive:
                machine.come_back()

    async def describe(self) -> None:
        """DescribeContainerInstances, of all there are."""
        door = self._world.door
        if door is not None:
            with suppress(Unreachable):
                self._world.promises.described(await door.read(shown_instances))

    async def wait_long(self) -> None:
        await self._world.sleep(self._rng.choice((60.0, 400.0, 4000.0)))

    # --- parts -------------------------------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        rng = self._rng
        return Plan(
            pull_s=rng.choice((0.01, 0.5, 8.0)),
            run_s=rng.choice((None, None, 0.0, 2.0, 60.0, 900.0)),
            stop_s=rng.choice((0.0, 0.3, 5.0)),
            exit_code=rng.choice((0, 0, 1)),
            pull_fails=rng.random() < 0.1,
        )

    def _verdict(self, partition: str) -> str | None:
        if self._rng.random() >= self._commits_fail:
            return None
        verdict = self._rng.choice(("before", "after"))
        self._world.say(f"a commit of {partition} fails {verdict} it was stored")
        return verdict

    def _machine(self) -> Machine | None:
        machines = [machine for machine in self._world.machines.values() if machine.alive]
        return self._rng.choice(machines) if machines else None

    def _start_tasks(self, definition: TaskDefinition, instance_id: str) -> StartTasks:
        template = TaskTemplate(
            definition=definition,
            demand=demand_of(definition.definition, {}),
            group=f"family:{definition.family}",
            overrides={},
        )
        return StartTasks(cause="client", ids=self._world.new_tasks(1), template=template, instance_ids=(instance_id,))

    async def _ask(self, event: Callable[[], Event]) -> None:
        reply = await self._world.insist(event)
        self._world.say(f"answered: {reply!r:.100}")

    def _client(self, request: Coroutine[Any, Any, Any]) -> None:
        async def asked() -> None:
            try:
                await request
            except Refusal as refusal:
                self._world.say(f"refused: {refusal}")

        client = asyncio.get_running_loop().create_task(asked(), name=f"client at {self._world.now:.3f}")
        self._clients.add(client)


def play(
    seed: int,
    *,
    kind: str = TASKS,
    steps: int = STEPS,
    echo: bool = False,
    change: Callable[[World], None] = lambda world: None,
) -> Report:
    """Play one seed of a kind of world. ``change`` may break the world beforehand, to see that it is noticed."""

    async def played(loop: VirtualTimeLoop) -> Report:
        world = World(loop, seed, echo=echo)
        handler = world.listen()
        change(world)
        report = Report(seed=seed, kind=kind, seconds=0.0, accepted=0, started=0)
        try:
            await world.start_controller()
            chaos = Chaos(world, kind)
            await chaos.rage(steps)
            chaos.calm()
            await chaos.until_answered()
            await world.settle(LONGEST_PAUSE_S + PROTECTION_S + 900.0)
        except Exception as error:
            world.say(f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else "failed")
            report.broken = str(error) or repr(error)
        finally:
            world.unlisten(handler)
        report.seconds = world.now
        report.accepted = len(world.promises.accepted)
        report.started = sum(world.promises.started.values())
        return report

    return virtual_time.run(played)
