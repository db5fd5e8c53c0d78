"""What capacity a cluster has, what waits for it, and what will be decided next; and what more tasks would take.

Nothing is changed here. The answers are what ``awsorch capacity`` and ``awsorch plan --add`` show. Prices are US
dollars an hour, times seconds since the epoch, memory MiB, CPU units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from awsorch.core.capacity.coming import Line, lines_of
from awsorch.core.capacity.failures import is_failing
from awsorch.core.capacity.group_size import census, expected_size, instances_needed, smallest, wished_size
from awsorch.core.capacity.orders import machines_for, machines_missing
from awsorch.core.events import TaskTemplate
from awsorch.core.model import Constraint, ContainerInstance, Strategy, Task
from awsorch.core.model_capacity import Machine, Provider
from awsorch.core.placement.place import Request, place
from awsorch.core.planners.end_machines import idle_delay
from awsorch.core.rules.new_tasks import definition_constraints
from awsorch.core.state import ClusterState

View = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """Tasks that somebody thinks of adding. ``provider``: the capacity provider that they would wait for; None: they
    run on the instances that there are, or nowhere."""

    name: str
    template: TaskTemplate
    count: int
    provider: str | None = None
    constraints: tuple[Constraint, ...] = ()
    strategies: tuple[Strategy, ...] = ()


def overview(state: ClusterState, now: float) -> View:
    """``{providers, machines, instances, waiting}``: see the functions that make each."""
    of_machines = {state.machines[i].id: state.machines[i] for i in state.machines}
    return {
        "providers": [_provider(state, provider, now) for provider in state.providers.values()],
        "instances": [
            _instance(state, instance, of_machines.get(instance.ec2_instance_id or ""))
            for instance in state.instances.values()
            if instance.status != "INACTIVE"
        ],
        "machines": [
            _machine(machine) for machine in state.machines.values() if not state.instances_by_ec2_id[machine.id]
        ],
        "waiting": [_waiting(task) for name in state.providers for task in _tasks(state, name)],
        "hourlyPrice": sum(machine.price for machine in state.machines.values() if not machine.is_leaving),
    }


def _tasks(state: ClusterState, provider: str) -> list[Task]:
    return [state.tasks[task_id] for task_id in state.capacity_index.waiting(provider)]


def _provider(state: ClusterState, provider: Provider, now: float) -> View:
    machines = [state.machines[machine_id] for machine_id in state.capacity_index.machines(provider.name)]
    failure = provider.failure
    return {
        "name": provider.name,
        "type": provider.type,
        "minimum": provider.minimum,
        "maximum": provider.maximum,
        "size": expected_size(provider) if provider.is_group else len(machines),
        "machines": len(machines),
        "orders": len(state.capacity_index.launches(provider.name)),
        "scales": provider.scales,
        "waiting": len(state.capacity_index.waiting(provider.name)),
        "hourlyPrice": sum(machine.price for machine in machines if not machine.is_leaving),
        "failure": None
        if failure is None
        else {"code": failure.code, "message": failure.message, "count": failure.count, "until": failure.until},
        "next": list(_decisions(state, provider, now)),
    }


def _decisions(state: ClusterState, provider: Provider, now: float) -> Iterator[View]:
    """What will be done unless something changes: ``{what, count, at, hourlyPrice}``, the soonest first."""
    if not provider.scales:
        return
    waiting = _tasks(state, provider.name)
    at = provider.failure.until if provider.failure is not None and is_failing(provider, now) else now
    if provider.is_group and provider.maximum is not None:
        more = min(wished_size(state, provider, waiting), provider.maximum) - expected_size(provider)
        if more > 0:
            price = provider.offers[0].price * more if provider.offers else 0.0
            yield {"what": "launch", "count": more, "at": at, "hourlyPrice": price}
    elif not provider.is_group and waiting:
        bought = machines_missing(state, provider, lines_of(waiting), now)
        if bought:
            yield {"what": "launch", "count": len(bought), "at": at, "hourlyPrice": sum(o.price for o, _ in bought)}
    delay = idle_delay(state, provider)
    machines = [state.machines[machine_id] for machine_id in state.capacity_index.machines(provider.name)]
    going = [m for m in machines if m.ending is not None and not m.state.startswith("Terminat")]
    if going:
        yield {"what": "end", "count": len(going), "at": now, "hourlyPrice": -sum(m.price for m in going)}
    idle = sorted((m for m in machines if m.idle_since is not None and not m.is_leaving), key=_idle_since)
    count = census(state, provider)
    free = count.busy + count.idle - max(provider.minimum or 0, count.busy)
    for machine in idle[: max(free, 0)]:
        if delay is not None:
            yield {"what": "end", "count": 1, "at": _idle_since(machine) + delay, "hourlyPrice": -machine.price}


def _idle_since(machine: Machine) -> float:
    return machine.idle_since or 0.0


def _instance(state: ClusterState, instance: ContainerInstance, machine: Machine | None) -> View:
    free = state.fleet.free(instance.id)
    return {
        "containerInstance": instance.arn,
        "ec2InstanceId": instance.ec2_instance_id,
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "provider": instance.capacity_provider,
        "zone": instance.zone,
        "instanceType": instance.attributes.get("ecs.instance-type"),
        "spot": machine.spot if machine is not None else False,
        "hourlyPrice": machine.price if machine is not None else None,
        "ending": machine.ending if machine is not None else None,
        "idleSince": machine.idle_since if machine is not None else None,
        "tasks": len(state.fleet.tasks_on(instance.id)),
        "cpu": {"total": instance.resources.cpu, "used": instance.resources.cpu - free.cpu},
        "memory": {"total": instance.resources.memory, "used": instance.resources.memory - free.memory},
        "gpus": {
            "total": len(instance.resources.gpu_ids),
            "used": len(instance.resources.gpu_ids) - len(free.gpu_ids),
        },
    }


def _machine(machine: Machine) -> View:
    """One that has no agent yet, or no more."""
    return {
        "ec2InstanceId": machine.id,
        "provider": machine.provider,
        "zone": machine.zone,
        "instanceType": machine.instance_type,
        "spot": machine.spot,
        "state": machine.state,
        "since": machine.since,
        "ending": machine.ending,
        "hourlyPrice": machine.price,
    }


def _waiting(task: Task) -> View:
    assert task.waiting is not None
    return {
        "task": task.arn,
        "group": task.group,
        "provider": task.capacity_provider,
        "since": task.waiting.since,
        "reason": task.waiting.reason,
        "cpu": task.demand.cpu,
        "memory": task.demand.memory,
    }


def plan(state: ClusterState, additions: Sequence[Addition], now: float) -> View:
    """What adding these tasks would take: ``{additions: [{name, count, fit, unplaceable}], launches: [{provider,
    instanceType, zone, spot, count, hourlyPrice}], hourlyPrice}``. Nothing is done."""
    fleet = state.fleet.imagine()
    told, lines = [], list[tuple[Addition, Line]]()
    for addition in additions:
        request = _request(addition)
        placed = place(fleet, request).placed
        fleet.assume(addition.template.demand, addition.template.group, placed)
        left = addition.count - len(placed)
        told.append({"name": addition.name, "count": addition.count, "fit": len(placed), "unplaceable": left})
        if left:
            line = Line(request.demand, request.group, request.constraints, request.strategies, False, left)
            lines.append((addition, line))
    launches: list[View] = []
    for name in dict.fromkeys(addition.provider for addition, _ in lines):
        provider = state.providers.get(name or "")
        if provider is not None and provider.scales:
            mine = [(addition, line) for addition, line in lines if addition.provider == name]
            launches += _launches(state, provider, mine, told, now)
    return {"additions": told, "launches": launches, "hourlyPrice": sum(each["hourlyPrice"] for each in launches)}


def _request(addition: Addition) -> Request:
    return Request(
        demand=addition.template.demand,
        count=addition.count,
        group=addition.template.group,
        constraints=addition.constraints + definition_constraints(addition.template),
        strategies=addition.strategies,
        capacity_provider=addition.provider,
    )


def _launches(
    state: ClusterState, provider: Provider, mine: Sequence[tuple[Addition, Line]], told: list[View], now: float
) -> Iterator[View]:
    """What one provider would launch; what it can launch room for is no longer unplaceable."""
    lines = [line for _, line in mine]
    if provider.is_group:
        count = instances_needed(state, provider, lines)
        room = max((provider.maximum or 0) - expected_size(provider), 0)
        if count <= room and count:
            _placed(mine, told)
        offers = [(smallest(provider), "")] * min(count, room)
    else:
        offers = machines_for(state, provider, lines, now)
        if offers:
            _placed(mine, told)
    for (offer, zone), count in Counter(offers).items():
        yield {
            "provider": provider.name,
            "instanceType": offer.instance_type,
            "zone": zone,
            "spot": offer.spot,
            "count": count,
            "hourlyPrice": offer.price * count,
        }


def _placed(mine: Sequence[tuple[Addition, Line]], told: list[View]) -> None:
    names = {addition.name for addition, _ in mine}
    for each in told:
        if each["name"] in names:
            each["unplaceable"] = 0
