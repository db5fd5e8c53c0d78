"""What is promised of services, seen from outside: at every commit, when agents are told to stop, and at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from awsorch.core.model import Task
from awsorch.core.model_services import Service
from awsorch.core.planners.sync_targets import LONGEST_DRAIN_S
from awsorch.core.service_index import HEALTHY, phase_of
from awsorch.core.services.bounds import lower_bound, upper_bound
from awsorch.core.services.deployments import deployments_of
from awsorch.core.services.targets import address_of
from awsorch.core.services.tasks import SCHEDULER
from awsorch.engine.ports import Change

if TYPE_CHECKING:
    from tests.sim.machine import Machine, Run
    from tests.support.world import World


class ServicePromises:
    """Follows what is durable of services and their tasks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._services: dict[str, Service] = {}
        self._tasks: dict[str, dict[str, Task]] = {}
        self.scheduled_stops = 0
        self.foreign: set[tuple[str, int]] = set()
        self.retired: set[str] = set()

    # --- at every commit ---------------------------------------------------------------------------------------------

    def stored(self, changes: Sequence[Change]) -> Iterator[str]:
        """What a commit did that it should not have done."""
        before = {name: list(self._of(name).values()) for name in self._touched(changes)}
        wished = dict(self._services)
        for change in changes:
            if change.kind is Service:
                self._follow_service(change)
        ended: dict[str, list[Task]] = {}
        for change in changes:
            if change.kind is Task:
                self._follow_task(change, ended)
        for name, old in before.items():
            service = self._services.get(name)
            if service is not None and service.status == "ACTIVE":
                known = wished.get(name, service)
                yield from self._within_bounds(service, known, old)
                yield from self._stops(service, known, old, ended.get(name, []))

    def _of(self, name: str) -> dict[str, Task]:
        return self._tasks.setdefault(name, {})

    @staticmethod
    def _touched(changes: Sequence[Change]) -> set[str]:
        tasks = (change.record for change in changes if change.kind is Task and change.record is not None)
        return {task.service.name for task in tasks if task.service is not None}

    def _follow_service(self, change: Change) -> None:
        if change.record is None:
            self._services.pop(change.key, None)
        else:
            self._services[change.key] = change.record

    def _follow_task(self, change: Change, ended: dict[str, list[Task]]) -> None:
        new = change.record
        if new is None or new.service is None:
            return
        tasks = self._of(new.service.name)
        old = tasks.get(new.id)
        if old is not None and old.desired_status == "RUNNING" and new.desired_status == "STOPPED":
            ended.setdefault(new.service.name, []).append(new)
        if new.last_status == "STOPPED":
            tasks.pop(new.id, None)
        else:
            tasks[new.id] = new

    def _within_bounds(self, service: Service, known: Service, old: list[Task]) -> Iterator[str]:
        """Never more than maximumPercent: one on an instance where it is a daemon."""
        live = self._of(service.name).values()
        if service.is_daemon:
            most = Counter(task.instance_id for task in live).most_common(1)
            if most and most[0][1] > 1:
                yield f"daemon {service.name} is twice on {most[0][0]}"
            return
        upper = max(upper_bound(each, each.desired_count) for each in (service, known))
        if len(live) > max(len(old), upper):
            yield f"{service.name} went from {len(old)} tasks to {len(live)}, above {upper}"

    def _stops(self, service: Service, known: Service, old: list[Task], ended: list[Task]) -> Iterator[str]:
        """Never fewer healthy ones than minimumHealthyPercent by the scheduler's doing; protected ones stay."""
        ours = [
            task for task in ended if task.stop_code == SCHEDULER and task.service and task.service.health == "HEALTHY"
        ]
        self.scheduled_stops += len(ours)
        for task in ours:
            assert task.service is not None
            assert task.stopping_at is not None
            if not service.is_daemon and (task.service.protected_until or 0.0) > task.stopping_at:
                yield f"{service.name}: the scheduler stopped {task.id}, which is protected"
        healthy = {task.id for task in old if phase_of(task) == HEALTHY}
        left = {task.id for task in self._of(service.name).values() if phase_of(task) == HEALTHY}
        others = len(healthy - left - {task.id for task in ours})
        lower = min(lower_bound(each, each.desired_count) for each in (service, known))
        stopped = any(task.id in healthy for task in ours)
        if stopped and len(left) + others < min(len(healthy), lower):
            yield f"{service.name} was brought from {len(healthy)} healthy tasks to {len(left)}, below {lower}"

    # --- when an agent is told to stop -------------------------------------------------------------------------------

    def told_to_stop(self, machine: Machine, run: Run) -> Iterator[str]:
        """A task that runs is stopped after load balancers have let go of it."""
        task = next((tasks[run.task_id] for tasks in self._tasks.values() if run.task_id in tasks), None)
        if task is None or task.service is None or run.home != str(task.instance_id):
            return
        waited = self._world.loop.clock() - (task.stopping_at or 0.0)
        for balancer in task.service.load_balancers:
            group = self._world.aws.groups.get(balancer.group)
            if group is None or waited > LONGEST_DRAIN_S:
                continue
            address = (machine.name, run.port)
            # An earlier task may have had the port: what of it still drains is not this one's.
            came = group.since.get(address, -1.0)
            left = group.draining.get(address, -1.0)
            drains = left > self._world.now and left - group.drain_seconds >= run.started_at
            if came >= run.started_at or drains:
                yield f"task {task.id} is told to stop and {address} still gets requests from {balancer.group}"

    # --- at the end --------------------------------------------------------------------------------------------------

    def converged(self) -> Iterator[str]:
        """Services are as wished, or say why not; targets are their running tasks."""
        for service in self._world.state.services.values():
            if service.status == "ACTIVE":
                yield from self._at_rest(service)
            elif service.status == "DRAINING":
                yield f"service {service.name} is still DRAINING"
        yield from self._targets()
        yield from self._definitions()

    def _definitions(self) -> Iterator[str]:
        """What was deleted is known, and on its way out, while a service has it."""
        controller, state = self._world.controller, self._world.state
        assert controller is not None
        for key in sorted(self.retired):
            known = controller.registry.state.definitions.get(key)
            if key in state.definitions and (known is None or known.status != "DELETE_IN_PROGRESS"):
                yield f"task definition {key} is in use, was deleted and is {known.status if known else 'forgotten'}"

    def _at_rest(self, service: Service) -> Iterator[str]:
        state = self._world.state
        primary, *older = deployments_of(state, service.name)
        crews = state.service_index.crews(service.name)
        live = sum(phases.live for phases in crews.values())
        if service.waiting or primary.rollout_state == "FAILED" or "bounds" in service.problems:
            if live > upper_bound(service, service.desired_count):
                yield f"{service.name} has {live} tasks and can't go on: {service.problems}"
            return
        own = state.service_index.phases(service.name, service.deployment)
        if primary.rollout_state != "COMPLETED" or older:
            yield f"{service.name}: {primary.id} is {primary.rollout_state}, and there are {len(older)} older ones"
        if not len(own.healthy) == live == service.desired_count:
            yield f"{service.name} has {live} tasks, {len(own.healthy)} healthy, not {service.desired_count}"
        for task_id in own.healthy:
            instance = state.instances[str(state.tasks[task_id].instance_id)]
            if instance.status != "ACTIVE":
                yield f"{service.name} still has {task_id} on {instance.id}, which is {instance.status}"

    def _targets(self) -> Iterator[str]:
        state = self._world.state
        wanted: dict[str, set[tuple[str, int]]] = {}
        for task in state.tasks.values():
            for balancer in task.service.load_balancers if task.service is not None else ():
                address = address_of(state, task, balancer)
                if task.last_status == "RUNNING" and address is not None:
                    wanted.setdefault(balancer.group, set()).add(address)
        for arn, group in self._world.aws.groups.items():
            if group.registered - self.foreign != wanted.get(arn, set()):
                yield f"{arn} has {sorted(group.registered - self.foreign)}, not {sorted(wanted.get(arn, set()))}"
            if not self.foreign <= group.registered:
                yield f"{arn} lost targets of others"
