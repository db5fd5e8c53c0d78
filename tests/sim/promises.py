"""What the whole controller promises, looked at from outside: at every commit, command, reply and container start.

A broken promise is kept in words; the world stops at the first. ``converged`` is asked after a quiet time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from awsorch.core.commands import Command, SendTasks
from awsorch.core.events import Event, RunTasks, StartTasks, StopTask
from awsorch.core.invariants import check
from awsorch.core.lifecycle import TASK_STATUSES
from awsorch.core.model import Task
from awsorch.core.state import ClusterState
from awsorch.engine.ports import Change
from tests.sim.fleet_promises import FleetPromises
from tests.sim.service_promises import ServicePromises

if TYPE_CHECKING:
    from tests.sim.machine import Machine, Run
    from tests.support.world import World


class Promises:
    """The witness: told of everything, it remembers what was promised."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.services = ServicePromises(world)
        self.fleet = FleetPromises(world)
        self.broken: list[str] = []
        self.accepted: dict[str, float] = {}
        self.stops: set[str] = set()
        self.started: Counter[str] = Counter()
        self._durable: dict[str, Task] = {}
        self._expired: set[str] = set()
        self._answers: dict[str, set[str]] = {}
        self._versions: dict[str, tuple[int, frozenset[str]]] = {}

    def breaks(self, what: str) -> None:
        """A promise is broken."""
        self._world.say(f"BROKEN: {what}")
        self.broken.append(what)

    # --- told by the store -------------------------------------------------------------------------------------------

    def stored(self, changes: Sequence[Change]) -> None:
        """A commit took effect: tasks only move forward, and why one stopped is said once."""
        for change in changes:
            if change.kind is Task:
                self._follow(change.key, self._durable.get(change.key), change.record)
        for complaint in [*self.services.stored(changes), *self.fleet.stored(changes)]:
            self.breaks(complaint)

    def _follow(self, task_id: str, old: Task | None, new: Task | None) -> None:
        if new is None:
            self._durable.pop(task_id, None)
            self._expired.add(task_id)
            if old is not None and old.last_status != "STOPPED":
                self.breaks(f"task {task_id} was forgotten while {old.last_status}")
            return
        self._durable[task_id] = new
        if task_id in self._expired:
            self.breaks(f"task {task_id} came back after it was forgotten")
        if old is None:
            return
        if TASK_STATUSES.index(new.last_status) < TASK_STATUSES.index(old.last_status):
            self.breaks(f"task {task_id} went back from {old.last_status} to {new.last_status}")
        if (old.desired_status, new.desired_status) == ("STOPPED", "RUNNING"):
            self.breaks(f"task {task_id} was to stop and is wished to run again")
        if old.last_status == "STOPPED" and (old.stop_code, old.stopped_reason) != (new.stop_code, new.stopped_reason):
            self.breaks(f"task {task_id} stopped for {old.stopped_reason!r}, later for {new.stopped_reason!r}")
        if old.instance_id not in (None, new.instance_id):
            self.breaks(f"task {task_id} moved from {old.instance_id} to {new.instance_id}")

    # --- told by the door --------------------------------------------------------------------------------------------

    def sent(self, command: Command) -> None:
        """A command was let out: what it speaks of must be durable."""
        for complaint in self.fleet.sent(command):
            self.breaks(complaint)
        if isinstance(command, SendTasks):
            for task_id in command.task_ids or ():
                if task_id not in self._durable and task_id not in self._expired:
                    self.breaks(f"task {task_id} was sent before it was stored")

    def replied(self, event: Event, reply: Any) -> None:
        """A caller has its answer: what it was told must be durable, and is a promise from now on."""
        if isinstance(event, RunTasks | StartTasks):
            for task in reply.tasks:
                self.accepted.setdefault(task.id, self._world.now)
                if task.id not in self._durable and task.id not in self._expired:
                    self.breaks(f"task {task.id} was promised before it was stored")
        if isinstance(event, RunTasks) and event.token is not None and reply.tasks:
            ids = {task.id for task in reply.tasks}
            if ids - self._answers.setdefault(event.token, ids):
                self.breaks(f"RunTask asked twice under one clientToken made more tasks: {sorted(ids)}")
        elif isinstance(event, StopTask):
            self.stops.add(event.task_id)
            held = self._durable.get(event.task_id)
            if held is not None and held.desired_status != "STOPPED":
                self.breaks(f"StopTask of {event.task_id} was answered before it was stored")

    def described(self, seen: Mapping[str, tuple[int, frozenset[str]]]) -> None:
        """A caller was shown instances: (version, ids of the tasks that hold something there) by id. A version never
        goes back, and tells that tasks came or went."""
        for instance_id, (version, tasks) in seen.items():
            known, before = self._versions.get(instance_id, (0, frozenset()))
            if version < known or (version == known and tasks != before):
                was = f"after version {known} with {sorted(before)}"
                self.breaks(f"instance {instance_id} is shown in version {version} with {sorted(tasks)}, {was}")
        self._versions.update(seen)

    # --- told by machines --------------------------------------------------------------------------------------------

    def container_started(self, machine: Machine, run: Run) -> None:
        """Containers start once for a task, and what runs on a machine fits it, but for what it ran before it was
        declared gone and came back."""
        self.started[run.task_id] += 1
        if self.started[run.task_id] > 1:
            self.breaks(f"task {run.task_id} was started twice, now on {machine.name}")
        running = [o for o in machine.running() if o.home == run.home]
        cpu = sum(other.demand.cpu for other in running)
        memory = sum(other.demand.memory for other in running)
        ports = [port for other in running for port in other.demand.tcp_ports]
        if cpu > machine.resources.cpu or memory > machine.resources.memory or len(ports) != len(set(ports)):
            self.breaks(
                f"{machine.name} is over-committed: {cpu}/{machine.resources.cpu} CPU units, "
                f"{memory}/{machine.resources.memory} MiB, ports {sorted(ports)}"
            )

    def told_to_stop(self, machine: Machine, run: Run) -> None:
        """An agent heard that a task which runs is to be stopped."""
        for complaint in self.services.told_to_stop(machine, run):
            self.breaks(complaint)

    # --- asked by the world ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """The state in memory keeps its invariants. Asked between events, when the controller runs."""
        controller = self._world.controller
        if controller is None:
            return
        for partition in [controller.registry, *controller.clusters.values()]:
            for complaint in check(partition.state):
                self.breaks(complaint)
            if partition.bugs:
                self.breaks(f"{partition.name}: {partition.bugs} events ended in a bug")

    def converged(self) -> Iterator[str]:
        """What is still not as it should be, after a quiet time."""
        state = self._world.state
        self.described(shown_instances(state))
        yield from self.broken
        machines = {m.instance_id: m for m in self._world.machines.values() if m.alive and not m.retired}
        for task_id in sorted(self.accepted):
            task = state.tasks.get(task_id)
            if task is None:
                if task_id not in self._expired:
                    yield f"task {task_id} was accepted and is lost"
                continue
            yield from self._settled(task, machines.get(task.instance_id))
        for machine in machines.values():
            yield from self._at_home(machine)
        yield from self.services.converged()
        yield from self.fleet.converged()

    def _settled(self, task: Task, machine: Machine | None) -> Iterator[str]:
        if task.last_status == "STOPPED":
            if not (task.stop_code and task.stopped_reason):
                yield f"task {task.id} is STOPPED and nobody knows why"
            return
        if task.id in self.stops or task.desired_status == "STOPPED":
            yield f"task {task.id} should be STOPPED and is {task.last_status}"
        run = machine.runs.get(task.id) if machine is not None else None
        if task.last_status != "RUNNING" or run is None or run.stage != "running":
            yield (
                f"task {task.id} is {task.last_status} on {machine.name if machine else task.instance_id}, "
                f"where it is {run.stage if run else 'unknown'}"
            )

    def _at_home(self, machine: Machine) -> Iterator[str]:
        state = self._world.state
        instance = state.instances.get(str(machine.instance_id))
        if instance is None or not instance.agent_connected:
            yield f"{machine.name} is up and its agent is not connected"
        for run in machine.running():
            task = state.tasks.get(run.task_id)
            if task is None or task.last_status != "RUNNING" or task.instance_id != machine.instance_id:
                yield f"{machine.name} runs {run.task_id}, which is {task.last_status if task else 'not known'}"


def shown_instances(state: ClusterState) -> dict[str, tuple[int, frozenset[str]]]:
    """(version, ids of the tasks that hold something there) of each instance."""
    return {i.id: (state.version_of(i), frozenset(state.fleet.tasks_on(i.id))) for i in state.instances.values()}
