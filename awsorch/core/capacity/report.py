"""What capacity a cluster has, how full it is, what waits for more, and what will be decided next.

Nothing is changed here: it is what ``awsorch capacity`` shows. Prices are US dollars an hour, times seconds since the
epoch, memory MiB, CPU in units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from awsorch.core.capacity.coming import has_connected, lines_of
from awsorch.core.capacity.forecast import NO_TYPE_FITS, decisions, is_over, lacking, outlooks, waiting_for
from awsorch.core.capacity.group_size import census, expected_size
from awsorch.core.model import ContainerInstance, Demand, Task
from awsorch.core.model_capacity import LaunchFailure, Machine, Provider
from awsorch.core.planners.end_machines import is_idle
from awsorch.core.state import ClusterState

View = dict[str, Any]
RESOURCES = ("cpu", "memory", "gpus")


def overview(state: ClusterState, now: float, most: int) -> View:
    """``{hourlyPrice, unpriced, totals, groups, instances, machines, waiting, providers}``.

    ``groups`` sums the instances of a zone, type and market up; ``instances`` has each of them, the first ``most`` by
    zone and type. ``machines``: those without an agent, as many at most. ``unpriced``: instances whose price is not
    known, such as those of no capacity provider.
    """
    instances = [_instance(state, each) for each in state.instances.values() if each.status != "INACTIVE"]
    instances.sort(key=_by_make)
    machines = [_machine(each) for each in state.machines.values() if not _has_agent(state, each)]
    machines.sort(key=_by_make)
    every = [*instances, *machines]
    return {
        "hourlyPrice": sum(each["hourlyPrice"] or 0.0 for each in every),
        "unpriced": sum(not each["hourlyPrice"] for each in every),
        "totals": _sums(instances),
        "groups": list(_groups(instances)),
        "instances": instances[:most],
        "machines": machines[:most],
        "waiting": [
            *(view for provider in state.providers.values() for view in _waiting(state, provider, now)),
            *_short_services(state),
        ],
        "providers": [_provider(state, provider, now) for provider in state.providers.values()],
    }


def _has_agent(state: ClusterState, machine: Machine) -> bool:
    ids = state.instances_by_ec2_id[machine.id]
    return any(state.instances[instance_id].status != "INACTIVE" for instance_id in ids)


def _by_make(view: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(view[name] or "") for name in ("zone", "instanceType", "spot", "ec2InstanceId"))


# --- instances ---------------------------------------------------------------------------------------------------


def _instance(state: ClusterState, instance: ContainerInstance) -> View:
    machine = state.machines.get(instance.ec2_instance_id or "")
    free, there = state.fleet.free(instance.id), instance.resources
    return {
        "containerInstance": instance.arn,
        "ec2InstanceId": instance.ec2_instance_id,
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "provider": instance.capacity_provider,
        "zone": instance.zone,
        "instanceType": instance.attributes.get("ecs.instance-type"),
        "spot": machine is not None and machine.spot,
        "interrupted": machine is not None and machine.interrupted_at is not None,
        "hourlyPrice": machine.price if machine is not None else None,
        "ending": machine.ending if machine is not None else None,
        "idleSince": machine.idle_since if machine is not None and is_idle(state, machine) else None,
        "tasks": len(state.fleet.tasks_on(instance.id)),
        "cpu": {"total": there.cpu, "used": there.cpu - free.cpu},
        "memory": {"total": there.memory, "used": there.memory - free.memory},
        "gpus": {"total": len(there.gpu_ids), "used": len(there.gpu_ids) - len(free.gpu_ids)},
    }


def _groups(instances: Iterable[View]) -> Iterator[View]:
    """Instances in the order of zones and types, those of one make together."""
    makes: dict[tuple[Any, ...], list[View]] = {}
    for each in instances:
        makes.setdefault((each["zone"], each["instanceType"], each["spot"]), []).append(each)
    for (zone, instance_type, spot), alike in makes.items():
        yield {
            "zone": zone,
            "instanceType": instance_type,
            "spot": spot,
            **_sums(alike),
            "idle": sum(each["idleSince"] is not None for each in alike),
            "ending": sum(each["ending"] is not None for each in alike),
            "draining": sum(each["status"] == "DRAINING" for each in alike),
            "away": sum(not each["agentConnected"] for each in alike),
            "hourlyPrice": sum(each["hourlyPrice"] or 0.0 for each in alike),
        }


def _sums(instances: Sequence[View]) -> View:
    """How many there are, and their resources and tasks together."""
    resources = {
        name: {what: sum(each[name][what] for each in instances) for what in ("total", "used")} for name in RESOURCES
    }
    return {"instances": len(instances), "tasks": sum(each["tasks"] for each in instances), **resources}


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
        "leaving": machine.is_leaving,
        "replaces": list(machine.replaces),
        "hourlyPrice": machine.price,
    }


# --- what waits --------------------------------------------------------------------------------------------------


def _waiting(state: ClusterState, provider: Provider, now: float) -> Iterator[View]:
    """The tasks that wait for a provider, those that differ in nothing together."""
    tasks = waiting_for(state, provider)
    lines = lines_of(tasks)
    alike: dict[tuple[Any, ...], Task] = {}
    for task in tasks:  # the oldest first
        assert task.waiting is not None
        alike.setdefault((task.demand, task.group, task.waiting.constraints, task.waiting.strategies), task)
    for line, outlook in zip(lines, outlooks(state, provider, lines, now), strict=True):
        oldest = alike[line.demand, line.group, line.constraints, line.strategies]
        assert oldest.waiting is not None
        yield {
            "group": line.group,
            "provider": provider.name,
            "count": line.count,
            "since": oldest.waiting.since,
            "reason": oldest.waiting.reason,
            "outlook": outlook,
            **amounts(line.demand),
            "lacking": lacking(provider, line.demand) if outlook == NO_TYPE_FITS else [],
        }


def amounts(demand: Demand) -> View:
    """What one task asks for; ``gpus`` "all" for every GPU of its instance."""
    return {"cpu": demand.cpu, "memory": demand.memory, "gpus": "all" if demand.all_gpus else demand.gpus}


def _short_services(state: ClusterState) -> Iterator[View]:
    """Services that found no place for tasks that no capacity provider has taken; a daemon's have no count."""
    for name in state.service_index.waiting:
        service = state.services[name]
        crews = state.service_index.crews(name).values()
        problem = service.problems.get("placement")
        missing = service.desired_count - sum(phases.wished for phases in crews)
        if problem is not None and (missing > 0 or service.is_daemon):
            yield {
                "group": service.group,
                "provider": None,
                "count": None if service.is_daemon else missing,
                "since": problem.said_at,
                "reason": problem.text,
                "outlook": None,
            }


# --- providers ---------------------------------------------------------------------------------------------------


def _provider(state: ClusterState, provider: Provider, now: float) -> View:
    machines = [state.machines[machine_id] for machine_id in state.capacity_index.machines(provider.name)]
    up = [machine for machine in machines if not is_over(machine)]
    orders = len(state.capacity_index.launches(provider.name))
    if provider.is_group:
        size, coming = expected_size(provider), census(state, provider).coming
    else:
        size = len(up) + orders
        coming = orders + sum(not machine.is_leaving and not has_connected(state, machine) for machine in up)
    return {
        "name": provider.name,
        "type": provider.type,
        "minimum": provider.minimum,
        "maximum": provider.maximum,
        "size": size,
        "coming": coming,
        "scales": provider.scales,
        "waiting": len(state.capacity_index.waiting(provider.name)),
        "hourlyPrice": sum(machine.price for machine in machines),
        "failure": failure_view(provider.failure),
        "next": decisions(state, provider, now),
    }


def failure_view(failure: LaunchFailure | None) -> View | None:
    """AWS's refusal, how often in a row, and until when nothing is asked for."""
    if failure is None:
        return None
    return {"code": failure.code, "message": failure.message, "count": failure.count, "until": failure.until}
