"""A whole small world on virtual time: controller, store, network, machines with agents, clients. In scenario words.

``world.add_machine()``, ``await world.run_task()``, ``world.kill(machine)``, ``await world.until(…)``: a scenario says
what happens, and the promises are checked at every commit, command, reply and container start meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from awsorch.adapters.alarms import CloudWatchAlarms
from awsorch.adapters.group_reader import GroupReader
from awsorch.adapters.instance_groups import AutoScalingGroups
from awsorch.adapters.load_balancers import ElasticLoadBalancing
from awsorch.adapters.machines import Ec2Machines
from awsorch.adapters.metrics import CloudWatchMetrics
from awsorch.adapters.notices import Notices
from awsorch.core.commands import Command
from awsorch.core.errors import Refusal
from awsorch.core.events import CreateCluster, Event, InstanceGone, NewTask, OpenGate, RunTasks, StopTask, TaskTemplate
from awsorch.core.model import Resources, Strategy, StrategyItem, TaskDefinition
from awsorch.core.resources import demand_of
from awsorch.core.state import ClusterState
from awsorch.engine.controller import Controller
from awsorch.engine.outbox import Outbox
from awsorch.engine.partition import Unavailable
from awsorch.store.memory import Faults
from tests.sim.door import Door
from tests.sim.hosts import Hosts
from tests.sim.machine import Machine, Plan
from tests.sim.network import Network, Unreachable, Weather
from tests.sim.promises import Promises
from tests.support.builders import a_definition, arn
from tests.support.fake_aws import FakeAws
from tests.support.fake_catalogue import FakeCatalogue
from tests.support.fake_fleet import FakeFleet, FakeQueue
from tests.support.virtual_time import VirtualTimeLoop
from tests.support.witnessed_store import WitnessedStore

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
#: Where EC2's notices are.
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/notices"


class Closable(Protocol):
    """What calls AWS for one life of the controller."""

    async def close(self) -> None:
        """Stop calling."""
        ...


#: A store fails for seconds at a time, so a controller that is started again and again comes up within this. Seconds.
START_LIMIT_S = 3600.0


class BrokenPromise(AssertionError):
    """What the world saw go wrong, and all that happened before."""


@dataclass(slots=True)
class Journal:
    """What happened, a line each, with the second at which it did."""

    lines: list[str] = field(default_factory=list)
    echo: bool = False

    def write(self, at: float, what: str) -> None:
        """Add a line."""
        line = f"{at:10.3f}  {what}"
        self.lines.append(line)
        if self.echo:
            print(line, flush=True)


class _ToJournal(logging.Handler):
    """Puts awsorch's own log lines between the world's."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, with its traceback if it has one."""
        self._world.say(f"log: {self.format(record)}")


class World:
    """See the module. ``seed`` decides everything that chance does."""

    def __init__(self, loop: VirtualTimeLoop, seed: int = 0, *, echo: bool = False) -> None:
        self.loop = loop
        self.rng = random.Random(seed)
        self.journal = Journal(echo=echo)
        self.cluster = "default"
        self.network = Network(self.rng)
        self.store = WitnessedStore(self)
        self.machines: dict[str, Machine] = {}
        self.aws = FakeAws()
        self.fleet = FakeFleet()
        self.fleet.queues[QUEUE] = FakeQueue()
        self.hosts = Hosts(self)
        self.promises = Promises(self)
        self.plans: dict[str, Plan] = {}
        self.conducts: dict[str, Callable[[], Plan]] = {}
        self.next_plan: Callable[[], Plan] = Plan
        self.drops_command: Callable[[Command], bool] = lambda command: False
        self.controller: Controller | None = None
        self.door: Door | None = None
        self._life: tuple[Controller, Door] | None = None
        self._adapters: Sequence[Closable] = ()
        self._machines_made = 0
        loop.set_exception_handler(lambda _, context: self.promises.breaks(f"nobody caught {context!r}"))

    # --- time and words ----------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.loop.time()

    def say(self, what: str) -> None:
        """Write into the journal."""
        self.journal.write(self.now, what)

    def later(self, delay: float, act: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        self.loop.call_later(delay, act)

    async def sleep(self, seconds: float) -> None:
        """Let time pass; then every promise must still hold."""
        await asyncio.sleep(seconds)
        self.check()

    async def until(self, condition: Callable[[], bool], within: float = 600.0) -> None:
        """Wait until something is so. Fails, with the journal, where it is not so in time."""
        end = self.now + within
        while not condition():
            if self.now >= end:
                raise self._failure(f"not so within {within} s")
            await self.sleep(0.25)

    def check(self) -> None:
        """Raise what was broken so far."""
        self.promises.look()
        if self.promises.broken:
            raise self._failure("; ".join(self.promises.broken))

    def _failure(self, what: str) -> BrokenPromise:
        return BrokenPromise("\n".join([*self.journal.lines[-60:], what]))

    def new_id(self) -> str:
        """32 hex digits that nothing else has."""
        return f"{self.rng.getrandbits(128):032x}"

    @staticmethod
    def arn(resource: str) -> str:
        """An ARN of the world's account."""
        return arn(resource)

    # --- the controller ----------------------------------------------------------------------------------------------

    async def start_controller(self) -> None:
        """A new controller process over the same store; another one where it ends because the store fails meanwhile."""
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while True:
                    if await self._starts():
                        return
                    await asyncio.sleep(1.0)
        except TimeoutError:
            raise self._failure(f"no controller came up within {START_LIMIT_S:.0f} s") from None

    async def _starts(self) -> bool:
        """Whether a new controller came up."""
        try:
            await self._start_life()
        except Unavailable as failure:
            self.say(f"the controller ends at its start: {failure}")
            await self.kill_controller()
            return False
        return True

    async def _start_life(self) -> None:
        outbox = Outbox()

        def send(partition: str, command: Command) -> None:
            self.promises.sent(command)
            if not self.drops_command(command):
                outbox.send(partition, command)

        catalogue = FakeCatalogue()
        machines = Ec2Machines(self.fleet, outbox.post, lambda cluster: f"ECS_CLUSTER={cluster}")
        controller = Controller(self.store, send, self.loop.clock, catalogue=catalogue, subnets=machines)
        door = Door(self, controller)
        outbox.connect(agents=door)
        targets, alarms = ElasticLoadBalancing(self.aws, outbox.post), CloudWatchAlarms(self.aws, outbox.post)
        outbox.connect_aws(targets=targets, alarms=alarms, inboxes=controller.clusters)
        groups = AutoScalingGroups(self.fleet, outbox.post, GroupReader(self.fleet, catalogue))
        metrics = CloudWatchMetrics(self.fleet)
        outbox.connect_fleet(groups=groups, machines=machines, reservations=metrics)
        notices = Notices(self.fleet, QUEUE, outbox.post, lambda: controller.clusters)
        self._adapters = targets, alarms, groups, machines, metrics, notices
        self._life = controller, door
        await controller.start()
        notices.start()
        self.controller, self.door = controller, door
        self.say("controller started")
        if self.cluster not in controller.registry.state.clusters:
            created = CreateCluster(name=self.cluster, arn=self.arn(f"cluster/{self.cluster}"), settings={})
            await controller.registry.submit(created)
            partition = await controller.open_cluster(self.cluster)
            await partition.submit(OpenGate())
        self.later(60.0, lambda: self.network.spawn(door.mind_the_missing()))

    async def kill_controller(self) -> None:
        """Kill -9: every connection breaks, nothing is tidied up; what was committed is in the store. It may be one
        that is still starting, or none: the last ended at its start and the next is yet to come."""
        if self._life is None:
            return
        controller, door = self._life
        self.say("controller killed")
        self.controller = self.door = self._life = None
        door.die()
        for adapter in self._adapters:
            await adapter.close()
        await controller.stop()
        await self.store.close()

    async def kill_after_each_commit(self, seconds: float) -> None:
        """For so long a controller lives until its first commit is stored, and lets out nothing of it."""
        end = self.now + seconds
        while self.now < end:
            await self.kill_controller()
            await asyncio.sleep(self.rng.choice((0.1, 1.0)))
            self.store.deadly = asyncio.Event()
            start = asyncio.create_task(self.start_controller())
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end + 1.0):
                    await self.store.deadly.wait()
            self.store.deadly = None
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            self.check()
        await self.kill_controller()
        await self.start_controller()

    @property
    def state(self) -> ClusterState:
        """The cluster's state in memory."""
        assert self.controller is not None
        return self.controller.clusters[self.cluster].state

    # --- machines ----------------------------------------------------------------------------------------------------

    def add_machine(self, *, cpu: int = 2048, memory: int = 3884) -> Machine:
        """A machine that boots its agent now."""
        self._machines_made += 1
        name = f"i-{self._machines_made:03d}"
        resources = Resources(cpu=cpu, memory=memory, reserved_tcp=(22,))
        machine = Machine(self, name, resources, ZONES[self._machines_made % len(ZONES)])
        self.machines[name] = machine
        self.fleet.ec2.adopt(name, machine.zone)
        self.say(f"machine {name} boots")
        machine.start_agent()
        return machine

    def kill(self, machine: Machine) -> None:
        """The machine dies; after a while somebody notices and says so until it is heard."""
        self.say(f"machine {machine.name} dies")
        self.fleet.ec2.end(self.fleet.ec2.instances[machine.name])
        self.network.spawn(self._notice_death(machine))

    async def _notice_death(self, machine: Machine) -> None:
        await asyncio.sleep(self.rng.uniform(1.0, 60.0))
        if machine.instance_id is not None:
            reason = f"Host EC2 (instance {machine.name}) terminated."
            gone = InstanceGone(cause="notice", instance_id=machine.instance_id, reason=reason)
            await self.insist(lambda: gone)

    def cut_off(self, machine: Machine, seconds: float) -> None:
        """Nothing reaches the machine or leaves it for a while."""
        self.say(f"machine {machine.name} is cut off for {seconds:.0f} s")
        machine.reachable = False
        if machine.agent is not None and machine.agent.session is not None:
            machine.agent.session.drop()

        def mend() -> None:
            machine.reachable = True

        self.later(seconds, mend)

    async def call(self, machine: Machine, request: Callable[[Door], Any]) -> Any:
        """An agent calls the controller over the network."""
        if not machine.reachable:
            await asyncio.sleep(1.0)
            raise Unreachable("cut off")
        return await self.over_network(request)

    # --- clients -----------------------------------------------------------------------------------------------------

    async def over_network(self, request: Callable[[Door], Any]) -> Any:
        """One call of the controller that there is. Raises Unreachable, Refusal."""

        async def handle() -> Any:
            if self.door is None:
                raise Unreachable("connection refused")
            return await request(self.door)

        return await self.network.call(handle)

    async def insist(self, event: Callable[[], Event]) -> Any:
        """A client that asks again until it has an answer. Each time that the request arrives it is a new event, with
        new ids, as the API makes them. Raises Refusal."""
        while True:
            try:
                return await self.over_network(lambda door: door.submit(event()))
            except Unreachable:
                await asyncio.sleep(self.rng.uniform(0.5, 2.0))

    async def run_task(
        self,
        count: int = 1,
        *,
        definition: TaskDefinition | None = None,
        strategies: tuple[Strategy, ...] = (),
        strategy: tuple[StrategyItem, ...] = (),
        plan: Plan | None = None,
    ) -> list[str]:
        """RunTask under a clientToken, asked until it is answered: the ids of the tasks."""
        of = definition or a_definition()
        template = TaskTemplate(
            definition=of, demand=demand_of(of.definition, {}), group=f"family:{of.family}", overrides={}
        )
        token = self.new_id()

        def event() -> RunTasks:
            return RunTasks(
                cause="client",
                ids=self.new_tasks(count, plan),
                template=template,
                strategies=strategies,
                strategy=strategy,
                token=token,
                fingerprint=token,
            )

        reply = await self.insist(event)
        placed = [task.id for task in reply.tasks]
        self.say(f"RunTask {of.key} ×{count}: {[i[:6] for i in placed]} {sorted({why for _, why in reply.failures})}")
        return placed

    async def stop_task(self, task_id: str) -> None:
        """StopTask, asked until it is answered."""
        try:
            await self.insist(lambda: StopTask(cause="client", task_id=task_id, reason="because"))
        except Refusal as refusal:
            self.say(f"StopTask {task_id[:6]} refused: {refusal.message}")
        else:
            self.say(f"StopTask {task_id[:6]}")

    def new_tasks(self, count: int, plan: Plan | None = None) -> tuple[NewTask, ...]:
        """Ids of new tasks with one container each; with ``plan``, what will become of them."""
        new = tuple(NewTask(id=self.new_id(), container_ids=(self.new_id(),)) for _ in range(count))
        if plan is not None:
            self.plans.update((one.id, replace(plan)) for one in new)
        return new

    def plan_for(self, task_id: str, definition: str) -> Plan:
        """What will become of a task on the machine that got it."""
        if task_id not in self.plans:
            self.plans[task_id] = self.conducts.get(definition, self.next_plan)()
        return self.plans[task_id]

    def status_of(self, task_id: str) -> str:
        """lastStatus as it is in memory."""
        task = self.state.tasks.get(task_id)
        return task.last_status if task is not None else "MISSING"

    # --- the end -----------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing goes wrong from here on."""
        self.say("--- quiet from here on")
        self.network.weather = Weather()
        self.store.faults = Faults()
        self.drops_command = lambda command: False
        self.aws.obey()
        self.fleet.obey()
        for machine in self.machines.values():
            machine.reachable = True

    async def settle(self, seconds: float = 900.0) -> None:
        """Good weather for so long; then everything that was promised must have come to pass."""
        self.calm()
        if self.controller is None:
            await self.start_controller()
        for machine in self.machines.values():
            if not machine.retired:
                machine.start_agent()
        await self.sleep(seconds)
        unsettled = list(self.promises.converged())
        if unsettled:
            raise self._failure("; ".join(unsettled))

    def listen(self) -> logging.Handler:
        """Have awsorch's log in the journal, until ``unlisten``."""
        handler = _ToJournal(self)
        logger = logging.getLogger("awsorch")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        return handler

    @staticmethod
    def unlisten(handler: logging.Handler) -> None:
        """Undo ``listen``."""
        logger = logging.getLogger("awsorch")
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
