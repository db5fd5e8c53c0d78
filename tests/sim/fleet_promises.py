"""What is promised of a fleet, seen from outside: at every commit and command, when EC2 ends an instance by our order,
and at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING

from awsorch.adapters.machines import LAUNCH_TAG
from awsorch.core.commands import Command, SetGroupSize
from awsorch.core.model import ContainerInstance, Task
from awsorch.core.model_capacity import GOING, Launch, Machine, Provider
from awsorch.core.model_services import Service
from awsorch.engine.ports import Change

if TYPE_CHECKING:
    from tests.support.fake_fleet import FakeInstance
    from tests.support.world import World

#: What is added in one decision is limited for so long. Seconds.
STEP_S = 60.0


class FleetPromises:
    """Follows what is durable of providers, machines and tasks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tables: dict[type, dict[str, object]] = {
            kind: {} for kind in (Provider, Machine, Launch, ContainerInstance, Task, Service)
        }
        self._bounds: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._steps: dict[str, tuple[float, int, int]] = {}
        self.decisions = self.orders = self.ends = 0
        world.fleet.ec2.ordered = self._ordered_to_end

    def _all(self, kind: type) -> list:  # type: ignore[type-arg]
        return list(self._tables[kind].values())

    # --- at every commit ---------------------------------------------------------------------------------------------

    def stored(self, changes: Sequence[Change]) -> Iterator[str]:
        """What a commit did that it should not have done."""
        before = self._waiting()
        providers = dict(self._tables[Provider])
        launches = set(self._tables[Launch])
        for change in changes:
            table = self._tables.get(change.kind)
            if table is None:
                continue
            if change.record is None:
                table.pop(change.key, None)
            else:
                table[change.key] = change.record
        waiting = self._waiting()
        for name, tasks in before.items():
            waiting[name] |= tasks
        for change in changes:  # what came and was placed within the commit
            if change.kind is Task and change.record is not None and change.record.capacity_provider is not None:
                waiting[change.record.capacity_provider][change.key] = change.record
        for change in changes:
            if change.kind is Provider and change.record is not None:
                yield from self._grown(providers.get(change.key), change.record, waiting[change.key])
        ordered = {launch.provider for launch in self._all(Launch) if launch.id not in launches}
        for name in ordered:
            yield from self._bought(name, waiting[name])

    def _waiting(self) -> defaultdict[str, dict[str, Task]]:
        waiting: defaultdict[str, dict[str, Task]] = defaultdict(dict)
        for task in self._all(Task):
            if task.waiting is not None and task.capacity_provider is not None:
                waiting[task.capacity_provider][task.id] = task
        return waiting

    def _grown(self, old: Provider | None, new: Provider, waiting: dict[str, Task]) -> Iterator[str]:
        """A group grows within its bounds, by no more than a step a minute, and one for each waiting task."""
        if new.minimum is not None and new.maximum is not None:
            known = self._bounds[new.name]
            if not known or known[-1] != (new.minimum, new.maximum):
                known.append((new.minimum, new.maximum))
        if old is None or new.wanted is None or new.desired is None:
            return
        size = max(old.wanted if old.wanted is not None else (old.desired or 0), new.desired)
        if new.wanted <= size:
            return
        self.decisions += 1
        yield from self._stepped(new, new.wanted - size)
        machines = [m for m in self._all(Machine) if m.provider == new.name and not m.state.startswith(GOING)]
        there = sum(machine.ending is not None or self._has_agent(machine) for machine in machines)
        needed = len(waiting)
        spare = ceil((there + needed) * 100 / new.scaling.target) - there - needed
        coming = new.wanted - there
        if coming > needed + spare + max(new.scaling.minimum_step, 1):
            yield (f"group {new.name} is to have {new.wanted}, {coming} more than are there, for {needed} tasks")

    def _stepped(self, provider: Provider, added: int) -> Iterator[str]:
        now = self._world.now
        since, sum_, limit = self._steps.get(provider.name, (-STEP_S, 0, 1))
        if since + STEP_S <= now + 1e-6:
            since, sum_, limit = now, 0, 1
        limit = max(provider.scaling.maximum_step, limit)  # it may have been changed meanwhile
        self._steps[provider.name] = since, sum_ + added, limit
        if sum_ + added > 2 * limit:  # the minute may be another than ours
            yield f"group {provider.name} grew by {sum_ + added} in a minute, by steps of {limit} at most"

    def _bought(self, name: str, waiting: dict[str, Task]) -> Iterator[str]:
        """No more machines are on their way than tasks wait."""
        self.orders += 1
        orders = [launch for launch in self._all(Launch) if launch.provider == name and not launch.replaces]
        machines = [m for m in self._all(Machine) if m.provider == name and not m.is_leaving and not m.replaces]
        coming = len(orders) + sum(not self._has_agent(machine) for machine in machines)
        if orders and coming > len(waiting):
            yield f"{coming} machines of {name} are on their way for {len(waiting)} tasks"

    def _has_agent(self, machine: Machine) -> bool:
        return any(
            instance.ec2_instance_id == machine.id
            and instance.status != "INACTIVE"
            and (instance.agent_connected or instance.disconnected_at is not None)
            for instance in self._all(ContainerInstance)
        )

    # --- at every command --------------------------------------------------------------------------------------------

    def sent(self, command: Command) -> Iterator[str]:
        """A size is within the bounds that the group was last seen to have."""
        if isinstance(command, SetGroupSize):
            # What was seen last may have been seen in the same commit, after the decision.
            known = self._bounds[command.provider][-2:]
            if not any(minimum <= command.size <= maximum for minimum, maximum in known):
                yield f"group {command.provider} is to have {command.size}, which is not within {known}"

    # --- what EC2 is told --------------------------------------------------------------------------------------------

    def _ordered_to_end(self, instance: FakeInstance) -> None:
        """We end what is empty but for daemons."""
        self.ends += 1
        own = {
            i.id for i in self._all(ContainerInstance) if i.ec2_instance_id == instance.id and i.status != "INACTIVE"
        }
        held = [
            task.id
            for task in self._all(Task)
            if task.instance_id in own and task.last_status != "STOPPED" and not self._is_daemon(task)
        ]
        if held and instance.lifecycle != "Terminating:Wait":
            self._world.promises.breaks(f"{instance.id} is ended with tasks {held}")

    def _is_daemon(self, task: Task) -> bool:
        service = self._tables[Service].get(task.service.name) if task.service is not None else None
        return isinstance(service, Service) and service.is_daemon

    # --- at the end --------------------------------------------------------------------------------------------------

    def converged(self) -> Iterator[str]:
        """Nothing is left that nothing needs, and the state is what EC2 has."""
        state, fleet = self._world.state, self._world.fleet
        up = {instance.id: instance for instance in fleet.ec2.up()}
        orders = Counter(instance.tags[LAUNCH_TAG] for instance in fleet.ec2.instances.values() if instance.request)
        yield from (f"order {order} became {count} instances" for order, count in orders.items() if count > 1)
        yield from (f"order {launch} is still open" for launch in state.launches)
        for instance in up.values():
            if (instance.request or instance.group in state.providers) and instance.id not in state.machines:
                yield f"{instance.id} of {instance.group or 'a managed provider'} runs, and is not known"
        for machine in state.machines.values():
            if machine.id not in up:
                yield f"machine {machine.id} is {machine.state} and does not run any more"
        for container in state.instances.values():
            if container.status != "INACTIVE" and container.ec2_instance_id not in up:
                yield f"instance {container.id} is {container.status} and {container.ec2_instance_id} does not run"
        for provider in state.providers.values():
            yield from self._at_rest(provider)

    def _at_rest(self, provider: Provider) -> Iterator[str]:
        state = self._world.state
        machines = [m for m in state.machines.values() if m.provider == provider.name]
        idle = [m for m in machines if m.idle_since is not None or not self._has_agent(m)]
        least = 0
        if provider.is_group:
            group = self._world.fleet.scaling.groups[provider.name]
            least = max(group.minimum, ceil((len(machines) - len(idle)) * 100 / provider.scaling.target))
            if provider.wanted is not None or provider.desired != group.desired != len(group.staying()):
                yield (
                    f"group {group.name} wants {group.desired} and has {len(group.staying())}, "
                    f"seen as {provider.desired}, decided {provider.wanted}"
                )
            if not group.minimum <= group.desired <= group.maximum:
                yield f"group {group.name} wants {group.desired}, not within {group.minimum} to {group.maximum}"
        if idle and len(machines) > least:
            names = [machine.id for machine in idle]
            yield f"{provider.name} has {len(machines)} machines, {names} of them idle, and needs {least}"
        for task_id in state.capacity_index.waiting(provider.name):
            yield f"task {task_id} waits for {provider.name}: {state.tasks[task_id].waiting}"
