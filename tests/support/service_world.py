"""Services without a controller: the core's step alone, on virtual time, with agents and a load balancer that obey.

Everything that a planner does is checked as it does it: never above maximumPercent, never below minimumHealthyPercent
by its own doing, protected tasks left alone.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.core import events
from awsorch.core.commands import SendTasks, SyncTargets, WatchAlarms
from awsorch.core.events_services import (
    AlarmsSeen,
    CreateService,
    DeleteService,
    RevisionWish,
    SeenTarget,
    TargetsSeen,
    UpdateService,
)
from awsorch.core.invariants import check
from awsorch.core.model import LoadBalancer, NetworkBinding, Pace, Task
from awsorch.core.model_services import Deployment, Service
from awsorch.core.services.bounds import lower_bound, upper_bound
from awsorch.core.services.deployments import deployments_of, primary_of
from awsorch.core.services.speech import events_of
from awsorch.core.services.tasks import is_protected
from awsorch.core.state import ClusterState
from awsorch.core.step import step
from tests.support.builders import ACCOUNT, a_definition, an_instance, arn

GROUP = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/web/1"
ROLLING: Mapping[str, Any] = {"maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING"}


@dataclass(slots=True)
class Conduct:
    """What the containers of a task definition do. ``fails``: they never start; ``exits_after``: so many seconds after
    they started; ``health``: what their health check and their target say."""

    start_seconds: float = 1.0
    stop_seconds: float = 0.5
    fails: bool = False
    exits_after: float | None = None
    health: str = "HEALTHY"


class ServiceWorld:
    """A cluster of instances in three zones. ``act`` submits an event, ``run`` lets time pass."""

    def __init__(self, *, instances: int = 3, settle: float = 1.0, checked: bool = True) -> None:
        self.state = ClusterState("seed")
        self.now = 1000.0
        self.conduct: dict[str, Conduct] = {}
        self.drops: Callable[[Any], bool] = lambda command: False
        self.digest_of: Callable[[str], str | None] = lambda image: None
        self.health: dict[tuple[str, int], str] = {}
        self.registered: dict[tuple[str, int], float] = {}
        self.draining: dict[tuple[str, int], float] = {}
        self.drain_seconds = 5.0
        self.alarms_on: set[str] = set()
        self.checked = checked
        self.looks = 0
        self._due: dict[tuple[str, str], float] = {}
        self._heap: list[tuple[float, int, Any]] = []
        self._ordinal = 0
        self._ports = 32768
        self.act(events.OpenGate(pace=Pace(settle_seconds=settle, poll_seconds=1.0)))
        for _ in range(instances):
            self.add_instance()

    # --- the cluster -------------------------------------------------------------------------------------------------

    def add_instance(self, **members: Any) -> str:
        """One more connected instance, in the next zone."""
        number = len(self.state.instances) + 1
        record = an_instance(f"{number:032x}", **members)
        zone = f"us-east-1{'abc'[number % 3]}"
        attributes = {**record.attributes, "ecs.availability-zone": zone}
        self.act(
            events.RegisterInstance(
                instance_id=record.id,
                arn=record.arn,
                ec2_instance_id=f"i-{number:03d}",
                resources=record.resources,
                attributes=attributes,
            )
        )
        self.act(events.AgentConnected(instance_id=record.id, session="s"))
        return str(record.id)

    def act(self, event: events.Event) -> Any:
        """Run one event through the core; what it sends is carried out, what it wakes is looked at in time."""
        outcome = step(self.state, event, self.now)
        for key, at in outcome.wakes.items():
            self._look_at(key, max(at, self.now))
        for command in outcome.commands:
            if not self.drops(command):
                self._carry_out(command)
        if self.checked and outcome.changes:
            broken = check(self.state)
            assert not broken, broken
        return outcome.reply

    def _look_at(self, key: tuple[str, str], at: float) -> None:
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self.later(at - self.now, key)

    def later(self, delay: float, what: Any) -> None:
        """Have an event, a call or a look after so many seconds."""
        self._ordinal += 1
        heapq.heappush(self._heap, (self.now + delay, self._ordinal, what))

    def run(self, seconds: float = 60.0, until: Callable[[], bool] | None = None) -> None:
        """Let time pass, or until something is so; it must become so in time."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            if until is not None and until():
                return
            at, _, what = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            if isinstance(what, tuple):
                if self._due.get(what) == at:
                    del self._due[what]
                    self._look(what)
            elif isinstance(what, events.Event):
                self.act(what)
            else:
                what()
        self.now = max(self.now, end) if until is None else self.now
        assert until is None or until(), "\n".join(self.said())

    def _look(self, key: tuple[str, str]) -> None:
        self.looks += 1
        before = {s.name: self._counts(s) for s in self.state.services.values()} if self.checked else {}
        kept = [t.id for t in self.state.tasks.values() if self.checked and self._is_kept(t)]
        self.act(events.Look(planner=key[0], subject=key[1], cause="look"))
        if self.checked and key[0] == "keep_services" and key[1] in before:
            self._check_moves(key[1], before[key[1]], kept)

    def _is_kept(self, task: Task) -> bool:
        wished = task.desired_status == "RUNNING" and is_protected(task, self.now)
        service = self.state.services.get(task.service.name) if task.service is not None else None
        healthy = task.service is not None and task.service.health != "UNHEALTHY"
        return wished and healthy and service is not None and service.status == "ACTIVE"

    def _counts(self, service: Service) -> tuple[int, int]:
        crews = self.state.service_index.crews(service.name).values()
        return sum(len(c.healthy) for c in crews), sum(c.live for c in crews)

    def _check_moves(self, name: str, before: tuple[int, int], kept: list[str]) -> None:
        service = self.state.services.get(name)
        if service is None or service.status != "ACTIVE":
            return
        healthy, live = self._counts(service)
        lower, upper = lower_bound(service, service.desired_count), upper_bound(service, service.desired_count)
        assert healthy >= min(before[0], lower), f"{name} went from {before[0]} healthy to {healthy}, below {lower}"
        if service.is_daemon:  # there its bounds are: old ones on instances that drain are none of the others' matter
            assert max(self._on_instances(name).values(), default=0) <= 1, f"{name} is twice on an instance"
        else:
            assert live <= max(before[1], upper), f"{name} went from {before[1]} tasks to {live}, above {upper}"
        stopped = [task_id for task_id in kept if self.state.tasks[task_id].desired_status == "STOPPED"]
        assert not stopped, f"{name} stopped protected tasks {stopped}"

    def _on_instances(self, name: str) -> Counter[str | None]:
        tasks = (t for t in self.state.tasks.values() if t.service is not None and t.service.name == name)
        return Counter(task.instance_id for task in tasks if task.last_status != "STOPPED")

    # --- agents and the load balancer --------------------------------------------------------------------------------

    def _carry_out(self, command: Any) -> None:
        if isinstance(command, SendTasks):
            for task_id in command.task_ids or self.state.fleet.tasks_on(command.instance_id):
                self._tell(self.state.tasks[task_id])
        elif isinstance(command, SyncTargets):
            self.later(0.1, lambda: self._sync(command))
        elif isinstance(command, WatchAlarms):
            on = tuple(name for name in command.names if name in self.alarms_on)
            self.later(0.1, AlarmsSeen(service=command.service, deployment=command.deployment, on=on))

    def _tell(self, task: Task) -> None:
        conduct = self.conduct.get(task.definition, Conduct())
        if task.told_status == "STOPPED":
            self.later(conduct.stop_seconds, events.TaskReported(task_id=task.id, status="STOPPED"))
        elif task.last_status == "PENDING":
            if conduct.fails:
                failed = events.TaskReported(task_id=task.id, status="STOPPED", reason="CannotPullContainerError: no")
                self.later(conduct.start_seconds, failed)
                return
            self.later(conduct.start_seconds, lambda: self._start(task.id, conduct))

    def _start(self, task_id: str, conduct: Conduct) -> None:
        task = self.state.tasks.get(task_id)
        if task is None or task.last_status != "PENDING" or task.told_status == "STOPPED":
            return  # told twice, or to stop meanwhile
        self._ports += 1
        binding = NetworkBinding(bind_ip="0.0.0.0", container_port=80, host_port=self._ports)
        reports = tuple(
            events.ContainerReport(
                name=c.name, status="RUNNING", network_bindings=(binding,), image_digest=self.digest_of(c.image)
            )
            for c in task.containers
        )
        self.health[self._address(task), self._ports] = conduct.health
        self.act(events.TaskReported(task_id=task_id, status="RUNNING", containers=reports))
        if any(c.has_health_check for c in task.containers):
            health = {c.name: conduct.health for c in task.containers}
            self.later(0.5, events.HealthReported(task_id=task_id, health=health))
        if conduct.exits_after is not None:
            self.later(conduct.exits_after, lambda: self.crash(task_id))

    def crash(self, task_id: str) -> None:
        """The task's containers end by themselves."""
        task = self.state.tasks.get(task_id)
        if task is not None and task.last_status not in ("STOPPED", "DELETED"):
            ended = tuple(events.ContainerReport(name=c.name, status="STOPPED", exit_code=1) for c in task.containers)
            self.act(events.TaskReported(task_id=task_id, status="STOPPED", containers=ended))

    def _address(self, task: Task) -> str:
        instance = self.state.instances[task.instance_id or ""]
        return instance.ec2_instance_id or ""

    def _sync(self, command: SyncTargets) -> None:
        for target in command.register:
            self.draining.pop(target, None)
            self.registered.setdefault(target, self.now)
        for target in command.deregister:
            if self.registered.pop(target, None) is not None:
                self.draining[target] = self.now + self.drain_seconds
        self.draining = {target: end for target, end in self.draining.items() if end > self.now}
        seen = [
            SeenTarget(target_id=i, port=p, state=self._target_state(i, p, since))
            for (i, p), since in self.registered.items()
        ]
        seen += [SeenTarget(target_id=i, port=p, state="draining") for i, p in self.draining]
        self.act(
            TargetsSeen(
                group=command.group,
                revision=command.revision,
                targets=tuple(seen),
                registered=frozenset(command.register),
                deregistered=frozenset(command.deregister),
            )
        )

    def _target_state(self, target_id: str, port: int, since: float) -> str:
        if self.now < since + 1.0:
            return "initial"
        return self.health.get((target_id, port), "HEALTHY").lower()

    # --- services ----------------------------------------------------------------------------------------------------

    def create(
        self, name: str = "web", count: int = 3, *, family: str = "web", port: int = 0, **members: Any
    ) -> Service:
        """CreateService; ``balanced=True`` puts its port 80 behind GROUP."""
        balanced = members.pop("balanced", False)
        wish = self.wish(family, 1, port=port, balanced=balanced)
        configuration = {**ROLLING, **members.pop("configuration", {})}
        made: Service = self.act(
            CreateService(
                name=name,
                arn=arn(f"service/default/{name}"),
                revision=wish,
                desired_count=count,
                configuration=configuration,
                created_by=arn("root"),
                **members,
            )
        )
        return made

    def wish(self, family: str, revision: int, *, port: int = 0, balanced: bool = False) -> RevisionWish:
        """What a revision of the family wishes for."""
        definition = a_definition(family, revision, cpu=128, memory=64, port=port)
        balancer = LoadBalancer(target_group_arn=GROUP, container_name="app", container_port=80)
        return RevisionWish(definition=definition, load_balancers=(balancer,) if balanced else ())

    def deploy(self, name: str = "web", revision: int = 2, **members: Any) -> Service:
        """UpdateService to another revision of its family."""
        balanced = members.pop("balanced", bool(self._balancers(name)))
        port = members.pop("port", 0)
        family = members.pop("family", "web")
        wish = self.wish(family, revision, balanced=balanced, port=port)
        made: Service = self.act(UpdateService(name=name, revision=wish, changes=members))
        return made

    def _balancers(self, name: str) -> tuple[LoadBalancer, ...]:
        service = self.state.services[name]
        revision = self.primary(name).revision
        return self.state.service_revisions[f"{service.name}/{revision}"].load_balancers

    def update(self, name: str = "web", **changes: Any) -> Service:
        """UpdateService without a deployment."""
        made: Service = self.act(UpdateService(name=name, changes=changes))
        return made

    def delete(self, name: str = "web", *, force: bool = False) -> Service:
        """DeleteService."""
        made: Service = self.act(DeleteService(name=name, force=force))
        return made

    def service(self, name: str = "web") -> Service:
        """The service as it is."""
        return self.state.services[name]

    def primary(self, name: str = "web") -> Deployment:
        """Its PRIMARY deployment."""
        return primary_of(self.state, self.service(name))

    def deployments(self, name: str = "web") -> list[Deployment]:
        """All of its deployments."""
        return deployments_of(self.state, name)

    def tasks(self, name: str = "web", status: str = "RUNNING") -> list[Task]:
        """Its tasks that are wished for and in this status."""
        return [
            t
            for t in self.state.tasks.values()
            if t.service is not None and t.service.name == name and t.last_status == status
            if t.desired_status == ("STOPPED" if status == "STOPPED" else "RUNNING")
        ]

    def steady(self, name: str = "web") -> bool:
        """Whether it said that it is."""
        return self.service(name).steady_at is not None

    def said(self, name: str = "web") -> list[str]:
        """Its events' messages, oldest first, without their head."""
        return [e.message.partition(") ")[2] for e in reversed(events_of(self.state, self.service(name)))]
