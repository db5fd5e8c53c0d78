"""A machine that is somebody's container instance, and the agent on it.

Containers belong to the machine: they go on when the agent dies. What an agent must remember (its registration, the
tasks it accepted, what it has reported) is on the machine's disk, so a new agent carries on where the last one ended.
The agent does what the protocol asks of one: payloads are idempotent by task, a wish only moves towards STOPPED,
reports of one task are sent in order and again until they are acknowledged.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from awsorch.core.errors import Refusal
from awsorch.core.events import ContainerReport, RegisterInstance, TaskReported
from awsorch.core.model import Demand, NetworkBinding, Resources
from tests.sim.network import Unreachable

if TYPE_CHECKING:
    from tests.sim.door import Door, Session
    from tests.support.world import World


@dataclass(slots=True, kw_only=True)
class Plan:
    """What will become of a task's container: seconds to pull, to run (None: for ever) and to stop.
    ``sick``: load balancers find it unhealthy."""

    pull_s: float = 0.2
    run_s: float | None = None
    stop_s: float = 0.2
    exit_code: int = 0
    pull_fails: bool = False
    sick: bool = False


@dataclass(slots=True)
class Run:
    """One task on one machine, as the container instance ``home``. ``stage``: accepted, running, exited. ``port``: the
    host port of container port 80. ``reports`` are still to be acknowledged."""

    task_id: str
    demand: Demand
    containers: tuple[str, ...]
    plan: Plan
    home: str
    desired: str = "RUNNING"
    stage: str = "accepted"
    port: int = 0
    started_at: float = 0.0
    reports: list[TaskReported] = field(default_factory=list)


class Machine:
    """What outlives agents: resources, the disk, the containers."""

    def __init__(
        self, world: World, name: str, resources: Resources, zone: str, instance_type: str = "t3.medium"
    ) -> None:
        self.world = world
        self.name = name
        self.resources = resources
        self.zone = zone
        self.instance_type = instance_type
        self.alive = True
        self.reachable = True
        self.retired = False
        self.instance_id: str | None = None
        self.runs: dict[str, Run] = {}
        self.agent: Agent | None = None

    def running(self) -> list[Run]:
        """Tasks whose containers run now."""
        return [run for run in self.runs.values() if run.stage == "running"] if self.alive else []

    def start_agent(self) -> None:
        """Start the agent, as after a boot or a crash of the last one."""
        if self.alive and self.agent is None:
            self.world.say(f"agent {self.name} starts")
            self.agent = Agent(self)
            self.agent.start()

    def kill_agent(self) -> None:
        """Kill -9: containers go on, the connection breaks."""
        agent, self.agent = self.agent, None
        if agent is not None:
            agent.kill()

    def die(self) -> None:
        """The machine is gone, with everything on it."""
        self.kill_agent()
        for run in self.running():
            self._answer_checks(run.port, False)
        self.alive = False

    def come_back(self) -> None:
        """Somebody had the agent forget its registration, and starts it again: a new container instance, with all that
        still runs here."""
        self.kill_agent()
        self.instance_id = None
        self.retired = False
        self.start_agent()

    def start_containers(self, run: Run) -> None:
        """Start a task's containers; they end by themselves when their time is up."""
        run.port = self._free_port(run)
        run.stage, run.started_at = "running", self.world.now
        self._answer_checks(run.port, not run.plan.sick)
        self.world.say(f"{self.name} starts {run.task_id[:6]}")
        self.world.promises.container_started(self, run)
        if run.plan.run_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(run.plan.run_s, lambda: self.end_containers(run, run.plan.exit_code))

    def end_containers(self, run: Run, exit_code: int) -> None:
        """The containers have exited; the agent, if there is one, sees it."""
        if not self.alive or run.stage != "running":
            return
        run.stage = "exited"
        self._answer_checks(run.port, False)
        run.plan.exit_code = exit_code
        self.world.say(f"{self.name} sees {run.task_id[:6]} exit with {exit_code}")
        if self.agent is not None:
            self.agent.containers_ended(run)

    def _free_port(self, run: Run) -> int:
        """The port that the task asks for, or the lowest that is free: given away again as soon as it may be."""
        if run.demand.tcp_ports:
            return run.demand.tcp_ports[0]
        taken = {other.port for other in self.running()}
        return next(port for port in count(32768) if port not in taken)

    def _answer_checks(self, port: int, healthy: bool) -> None:
        for group in self.world.aws.groups.values():
            group.health[self.name, port] = "healthy" if healthy else "unhealthy"


class Agent:
    """One life of the agent process. All that it does ends with ``kill``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.world = machine.world
        self.session: Session | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reporting: set[str] = set()
        self._settling: set[str] = set()
        self._broken = asyncio.Event()
        self._rng: random.Random = machine.world.rng

    def start(self) -> None:
        """Register, connect, and take up what the last life left behind."""
        self._spawn(self._live())
        for run in self.machine.runs.values():
            if run.stage == "exited":
                self._report(run, self._final_report(run))
            else:
                if run.stage == "running":
                    self._report(run, self._running_report(run))
                self._settle(run)

    def kill(self) -> None:
        """End at once."""
        for task in self._tasks:
            task.cancel()
        if self.session is not None:
            self.session.drop(by_agent=True)
            self.session = None

    # --- the control connection --------------------------------------------------------------------------------------

    async def _live(self) -> None:
        while True:
            try:
                await self._register()
                await self._connect()
                await self._broken.wait()
            except Unreachable:
                pass
            except Refusal as refusal:
                self.world.say(f"agent {self.machine.name} is refused: {refusal}")
                if "not registered" in refusal.message:
                    self.machine.retired = True
                    return
            await asyncio.sleep(self._rng.uniform(0.25, 3.0))

    async def _register(self) -> None:
        machine = self.machine
        instance_id = self.world.new_id()
        event = RegisterInstance(
            cause=f"agent {machine.name}",
            instance_id=instance_id,
            arn=self.world.arn(f"container-instance/{self.world.cluster}/{instance_id}"),
            known_id=machine.instance_id,
            ec2_instance_id=machine.name,
            resources=machine.resources,
            attributes={"ecs.availability-zone": machine.zone, "ecs.instance-type": machine.instance_type},
        )
        registered = await self.world.call(machine, lambda door: door.submit(event))
        machine.instance_id = registered.id

    async def _connect(self) -> None:
        self._broken.clear()
        session = await self.world.call(self.machine, lambda door: door.accept(self))
        if not session.open:
            raise Unreachable("the connection broke at once")
        self.session = session

    def session_broke(self, session: Session) -> None:
        """The agent has noticed that its connection is gone."""
        if self.session is session:
            self.session = None
            self._broken.set()

    # --- what the controller says ------------------------------------------------------------------------------------

    def receive_tasks(self, tasks: list[tuple[str, str, Demand, tuple[str, ...], str]]) -> None:
        """A payload: (task id, desired status, demand, container names, task definition) each."""
        for task_id, desired, demand, containers, definition in sorted(tasks, key=lambda task: task[1] == "RUNNING"):
            run = self.machine.runs.get(task_id)
            if run is None:
                plan = self.world.plan_for(task_id, definition)
                run = Run(task_id, demand, containers, plan, str(self.machine.instance_id), desired)
                self.machine.runs[task_id] = run
                if desired == "STOPPED":
                    run.stage = "exited"
                    self._report(run, self._final_report(run, reason=""))
                    continue
            elif desired == "STOPPED":
                if run.desired == "RUNNING" and run.stage == "running":
                    self.world.promises.told_to_stop(self.machine, run)
                run.desired = "STOPPED"
            self._settle(run)

    def receive_manifest(self, wanted: frozenset[str], session: Session) -> None:
        """The tasks that may run here. Others are named to the controller, which says which of them to stop."""
        mine = [run.task_id for run in self.machine.runs.values() if run.stage != "exited" and run.desired == "RUNNING"]
        extra = frozenset(mine) - wanted
        if extra:
            self.world.network.message(lambda: session.door.verify_stops(session, extra))

    def receive_stops(self, task_ids: frozenset[str]) -> None:
        """The controller confirmed that these must stop."""
        for task_id in sorted(task_ids):
            run = self.machine.runs.get(task_id)
            if run is not None:
                run.desired = "STOPPED"
                self._settle(run)

    # --- containers --------------------------------------------------------------------------------------------------

    def _settle(self, run: Run) -> None:
        """Bring the containers to what is desired, one coroutine a task at a time."""
        if run.task_id not in self._settling and run.stage != "exited":
            self._settling.add(run.task_id)
            self._spawn(self._drive(run))

    async def _drive(self, run: Run) -> None:
        if run.stage == "accepted":
            await asyncio.sleep(run.plan.pull_s)
            if run.desired == "STOPPED" or run.plan.pull_fails:
                run.stage = "exited"
                reason = None if run.desired == "STOPPED" else "CannotPullContainerError: no such image"
                self._report(run, self._final_report(run, reason))
            else:
                self.machine.start_containers(run)
                self._report(run, self._running_report(run))
        if run.stage == "running" and run.desired == "STOPPED":
            await asyncio.sleep(run.plan.stop_s)
            self.machine.end_containers(run, 143)
        self._settling.discard(run.task_id)
        if run.stage == "running" and run.desired == "STOPPED":
            self._settle(run)

    def containers_ended(self, run: Run) -> None:
        """Seen in the engine's events."""
        self._report(run, self._final_report(run))

    # --- reports -----------------------------------------------------------------------------------------------------

    def _running_report(self, run: Run) -> TaskReported:
        bindings = (NetworkBinding(bind_ip="0.0.0.0", container_port=80, host_port=run.port),)
        containers = tuple(
            ContainerReport(name=name, status="RUNNING", network_bindings=bindings) for name in run.containers
        )
        return TaskReported(
            cause=f"agent {self.machine.name}", task_id=run.task_id, status="RUNNING", containers=containers
        )

    def _final_report(self, run: Run, reason: str | None = None) -> TaskReported:
        code = None if reason is not None else run.plan.exit_code
        containers = tuple(ContainerReport(name=name, status="STOPPED", exit_code=code) for name in run.containers)
        return TaskReported(
            cause=f"agent {self.machine.name}",
            task_id=run.task_id,
            status="STOPPED",
            reason=reason,
            containers=containers,
        )

    def _report(self, run: Run, report: TaskReported) -> None:
        run.reports.append(report)
        self._send_reports(run)

    def _send_reports(self, run: Run) -> None:
        if run.task_id not in self._reporting and run.reports:
            self._reporting.add(run.task_id)
            self._spawn(self._report_in_order(run))

    async def _report_in_order(self, run: Run) -> None:
        while run.reports:
            report = run.reports[0]
            try:
                await self.world.call(self.machine, self._submitting(report))
            except (Unreachable, Refusal):
                await asyncio.sleep(self._rng.uniform(0.5, 4.0))
            else:
                run.reports.remove(report)
        self._reporting.discard(run.task_id)

    @staticmethod
    def _submitting(report: TaskReported) -> Callable[[Door], object]:
        return lambda door: door.submit(report)

    def _spawn(self, work: object) -> None:
        task = asyncio.get_running_loop().create_task(work)  # type: ignore[var-annotated,arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
