"""The what-if of scaling in: a machine whose tasks would all have room on the others of its provider.

Only tasks of services move, by being replaced; a machine with any other task, or with a protected one, stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from awsorch.core.capacity.coming import has_connected
from awsorch.core.model import Task
from awsorch.core.model_capacity import Machine, Provider
from awsorch.core.placement.place import Request, place
from awsorch.core.rules.new_tasks import constraints_of
from awsorch.core.services.tasks import is_protected
from awsorch.core.state import ClusterState, Transaction

#: So many machines, those with the fewest tasks, are tried in one look.
TRIED = 3


def find_spare(tx: Transaction[ClusterState], provider: Provider, machines: Sequence[Machine]) -> Machine | None:
    """The machine with the fewest tasks that could do without, None where there is none."""
    loads = []
    for machine in machines:
        if (machine.spot and machine.interrupted_at is not None) or not has_connected(tx.state, machine):
            continue
        tasks = _movable(tx, machine)
        if tasks:
            loads.append((len(tasks), machine.id, machine, tasks))
    for _, _, machine, tasks in sorted(loads, key=lambda load: load[:2])[:TRIED]:
        if _fit_elsewhere(tx.state, provider, machine, tasks):
            return machine
    return None


def _movable(tx: Transaction[ClusterState], machine: Machine) -> list[Task]:
    """The machine's tasks but daemons', if every one may move; none if one may not."""
    tasks = []
    for instance_id in tx.state.instances_by_ec2_id[machine.id]:
        if tx.state.instances[instance_id].status != "ACTIVE":
            return []
        for task_id in tx.state.fleet.tasks_on(instance_id):
            task = tx.state.tasks[task_id]
            service = tx.state.services.get(task.service.name) if task.service is not None else None
            if service is None or task.last_status != "RUNNING" or is_protected(task, tx.now):
                return []
            if not service.is_daemon:
                tasks.append(task)
    return tasks


def _fit_elsewhere(state: ClusterState, provider: Provider, machine: Machine, tasks: Sequence[Task]) -> bool:
    """Whether all would find a place in the fleet without this machine, where their service would have them."""
    fleet = state.fleet.imagine(removed=tuple(state.instances_by_ec2_id[machine.id]))
    alike = Counter((task.definition, task.demand, task.capacity_provider, _service(task)) for task in tasks)
    for (definition, demand, owner, name), count in alike.items():
        service = state.services[name]
        request = Request(
            demand=demand,
            count=count,
            group=service.group,
            constraints=service.constraints + constraints_of(state.definitions[definition], "EC2"),
            strategies=service.strategies,
            capacity_provider=owner or provider.name,
        )
        placed = place(fleet, request).placed
        if len(placed) < count:
            return False
        fleet.assume(demand, service.group, placed)
    return True


def _service(task: Task) -> str:
    assert task.service is not None
    return task.service.name
