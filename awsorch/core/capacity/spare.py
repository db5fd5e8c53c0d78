"""The what-if of scaling in: machines whose tasks would all have room on the others of their provider, or on one new
machine that costs less.

Only tasks of services move, by being replaced; a machine with any other task, or with a protected one, stays. What is
proposed is tried on an imagined fleet, with everything that placing looks at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from awsorch.core.capacity.coming import Imagination, has_connected
from awsorch.core.capacity.consolidation import Change, Load, Standing, consolidate
from awsorch.core.capacity.orders import reserve_for_daemons
from awsorch.core.model import Constraint, Task
from awsorch.core.model_capacity import Machine, Provider
from awsorch.core.model_services import Service
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.place import Request, place
from awsorch.core.rules.new_tasks import constraints_of
from awsorch.core.services.bounds import lower_bound, upper_bound
from awsorch.core.services.deployments import deployments_of, growing_of
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
        fleet = tx.state.fleet.imagine(removed=tuple(tx.state.instances_by_ec2_id[machine.id]))
        if _fit(fleet, tx.state, provider, tasks):
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
            if service.is_daemon:
                continue
            if not _may_replace(tx.state, service):
                return []
            tasks.append(task)
    return tasks


def _may_replace(state: ClusterState, service: Service) -> bool:
    """Whether it starts tasks at all, and its bounds leave room to stop one first or to start one more: else a draining
    machine does not empty."""
    deployments = deployments_of(state, service.name)
    if not deployments or growing_of(deployments).rollout_state == "FAILED":
        return False
    count = service.desired_count
    return lower_bound(service, count) < count or upper_bound(service, count) > count


def _fit(fleet: Fleet, state: ClusterState, provider: Provider, tasks: Sequence[Task]) -> bool:
    """Whether all would find a place in an imagined fleet, where their service would have them."""
    alike = Counter((task.demand, task.capacity_provider, _service(task), _fixed(state, task)) for task in tasks)
    for (demand, owner, name, constraints), count in alike.items():
        service = state.services[name]
        request = Request(
            demand=demand,
            count=count,
            group=service.group,
            constraints=service.constraints + constraints,
            strategies=service.strategies,
            capacity_provider=owner or provider.name,
        )
        placed = place(fleet, request).placed
        if len(placed) < count:
            return False
        fleet.assume(demand, service.group, placed)
    return True


def _fixed(state: ClusterState, task: Task) -> tuple[Constraint, ...]:
    """The constraints that are the task's own, whatever its service says."""
    return constraints_of(state.definitions[task.definition], "EC2", task.network)


def find_change(tx: Transaction[ClusterState], provider: Provider, machines: Sequence[Machine]) -> Change | None:
    """What a managed provider's machines would cost less as; None where there is nothing to gain."""
    there = [machine for machine in machines if has_connected(tx.state, machine)]
    standings = [_standing(tx, machine) for machine in there]
    cpu, memory = reserve_for_daemons(tx.state)
    offers = [offer for offer in provider.offers if not offer.spot or any(machine.spot for machine in there)]
    changes = consolidate(standings, offers, limit=TRIED, reserve_cpu=cpu, reserve_memory=memory)
    return next((change for change in changes if _holds(tx, provider, change)), None)


def _holds(tx: Transaction[ClusterState], provider: Provider, change: Change) -> bool:
    """Whether every task finds a place when the change is made."""
    ended = [tx.state.machines[machine_id] for machine_id in change.ends]
    tasks = [task for machine in ended for task in _movable(tx, machine)]
    added = []
    if change.offer is not None:
        added.append(Imagination(tx.state, provider).machine(change.offer, 0, change.zone))
    gone = [instance_id for machine in ended for instance_id in tx.state.instances_by_ec2_id[machine.id]]
    return bool(tasks) and _fit(tx.state.fleet.imagine(added=added, removed=gone), tx.state, provider, tasks)


def _standing(tx: Transaction[ClusterState], machine: Machine) -> Standing:
    """The machine as consolidation sees it."""
    movable = bool(_movable(tx, machine))
    (instance_id,) = list(tx.state.instances_by_ec2_id[machine.id])[:1]
    free = tx.state.fleet.free(instance_id)
    instance = tx.state.instances[instance_id]
    loads = []
    for task_id in tx.state.fleet.tasks_on(instance_id):
        task = tx.state.tasks[task_id]
        service = tx.state.services.get(task.service.name) if task.service is not None else None
        if service is None or not service.is_daemon:
            apart = service is not None and any(c.type == "distinctInstance" for c in service.constraints)
            loads.append(Load(task=task_id, demand=task.demand, movable=movable, apart=task.group if apart else None))
    return Standing(
        id=machine.id,
        zone=machine.zone,
        price=machine.price,
        cpu=free.cpu,
        memory=free.memory,
        gpus=len(free.gpu_ids),
        all_gpus=len(instance.resources.gpu_ids),
        architecture=instance.attributes.get("ecs.cpu-architecture") or "x86_64",
        loads=tuple(loads),
    )


def _service(task: Task) -> str:
    assert task.service is not None
    return task.service.name
