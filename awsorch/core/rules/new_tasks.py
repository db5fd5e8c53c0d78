"""Making tasks: placed on an instance at once, or waiting for their capacity provider to have one.

Source: ECS API, RunTask; developer guide, "Amazon ECS capacity providers", tasks in the PROVISIONING state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from awsorch.core.arn import parse_arn
from awsorch.core.commands import SendTasks
from awsorch.core.events import NewTask, TaskTemplate
from awsorch.core.model import Constraint, Container, StrategyItem, Task, TaskDefinition, Waiting
from awsorch.core.model_access import EXTERNAL
from awsorch.core.model_attachments import TaskNetwork
from awsorch.core.model_capacity import Provider
from awsorch.core.model_story import Placement, StoryEntry
from awsorch.core.placement.place import Decision, Request, place
from awsorch.core.resources import container_gpus, effective_containers
from awsorch.core.rules.wished_attachments import at_its_instance, wished, zone_constraints
from awsorch.core.state import ClusterState, Transaction

#: ECS's reasons for tasks whose capacity provider has no place for them.
EMPTY_PROVIDER, NO_ACTIVE = "EMPTY CAPACITY PROVIDER", "NO ACTIVE INSTANCES"
#: So many tasks of a cluster may wait in PROVISIONING; what others are told of it.
MOST_WAITING, QUOTA = 500, "PROVISIONING LIMIT"
#: Only tasks that ask for it run on machines that are no EC2 instances.
_ON_EC2 = Constraint(type="memberOf", expression=f"attribute:{EXTERNAL} !exists")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTasks:
    """The tasks made, and (container instance id, ECS reason) of what turned others away.

    ``repeated``: they were made by an earlier request under the same token.
    """

    tasks: tuple[Task, ...]
    failures: tuple[tuple[str, str], ...] = ()
    repeated: bool = False


def definition_constraints(template: TaskTemplate) -> tuple[Constraint, ...]:
    """The constraints of the task definition and of the launch type; they bind together with the request's."""
    return constraints_of(template.definition, template.launch_type, template.network)


def constraints_of(
    definition: TaskDefinition, launch_type: str, network: TaskNetwork | None = None
) -> tuple[Constraint, ...]:
    """The constraints that every task of this definition, launch type and network has."""
    given = definition.definition.get("placementConstraints", ())
    own = tuple(Constraint(type=item["type"], expression=item.get("expression")) for item in given)
    return own if launch_type == "EXTERNAL" else (*own, _ON_EC2, *zone_constraints(network))


def record_tasks(
    tx: Transaction[ClusterState],
    template: TaskTemplate,
    ids: tuple[NewTask, ...],
    decision: Decision,
    provider: str | None = None,
) -> PlacedTasks:
    """Make the tasks that found a place, and tell their instances; what did not fit is a failure. ``provider``: the
    capacity provider whose tasks they are."""
    if decision.placed and template.definition.key not in tx.state.definitions:
        tx.put(template.definition)
    tasks = []
    by_instance: dict[str, list[str]] = {}
    for new, instance_id, gpus in zip(ids, decision.placed, decision.gpus, strict=False):
        task = replace(_placed(tx, template, new, instance_id, gpus, decision), capacity_provider=provider)
        tx.put(task)
        tasks.append(task)
        by_instance.setdefault(instance_id, []).append(task.id)
    for instance_id, task_ids in by_instance.items():
        tx.send(SendTasks(instance_id=instance_id, task_ids=tuple(task_ids)))
    failures = decision.failures if len(tasks) < len(ids) else ()
    return PlacedTasks(tasks=tuple(tasks), failures=failures)


def _placed(
    tx: Transaction[ClusterState],
    template: TaskTemplate,
    new: NewTask,
    instance_id: str,
    gpus: tuple[str, ...],
    decision: Decision,
) -> Task:
    instance = tx.state.instances[instance_id]
    arn = parse_arn(instance.arn)
    assert arn is not None, instance.arn
    cluster = arn.path[0]
    prefix = instance.arn.removesuffix(f"container-instance/{cluster}/{instance_id}")
    task = replace(
        _described(tx, template, new, f"{prefix}{{}}/{cluster}/", gpus),
        instance_id=instance_id,
        zone=instance.zone,
        placement=Placement(considered=decision.considered, refused=decision.refused, chosen=instance.arn),
        story=(StoryEntry(at=tx.now, what=f"placed on {instance.arn}", cause=tx.cause),),
    )
    return at_its_instance(tx, task)


def _described(
    tx: Transaction[ClusterState], template: TaskTemplate, new: NewTask, arns: str, gpus: tuple[str, ...]
) -> Task:
    """The task as its template has it, wherever it will be. ``arns``: what ARNs begin with, the kind left out."""
    demand = template.demand
    return Task(
        id=new.id,
        arn=arns.format("task") + new.id,
        definition=template.definition.key,
        definition_arn=template.definition.arn,
        group=template.group,
        started_by=template.started_by,
        service=template.service,
        launch_type=template.launch_type,
        containers=_containers(template, new, f"{arns.format('container')}{new.id}/", gpus),
        demand=demand,
        cpu=str(demand.cpu),
        memory=str(demand.memory),
        gpu_ids=gpus,
        overrides=template.overrides,
        tags=template.tags,
        enable_execute_command=template.enable_execute_command,
        reference_id=template.reference_id,
        attachments=wished(tx, template),
        network=template.network,
        volume=template.volume,
        created_at=tx.now,
    )


def _containers(template: TaskTemplate, new: NewTask, arn_prefix: str, gpus: tuple[str, ...]) -> tuple[Container, ...]:
    definition = template.definition.definition
    containers = effective_containers(definition, template.overrides)
    shares = gpus_by_container(definition, template.overrides, gpus)
    return tuple(
        _container(container, template.images.get(container["name"]), arn_prefix + container_id, share)
        for container, container_id, share in zip(containers, new.container_ids, shares, strict=True)
    )


def gpus_by_container(
    definition: Mapping[str, Any], overrides: Mapping[str, Any], gpus: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Which of a task's GPUs each container gets, in the definition's order."""
    shares, left = [], list(gpus)
    for container in effective_containers(definition, overrides):
        count = container_gpus(container)
        shares.append(tuple(left[:count]))
        left = left[count:]
    return shares


def _container(container: Mapping[str, Any], image: str | None, arn: str, gpus: tuple[str, ...]) -> Container:
    return Container(
        name=container["name"],
        arn=arn,
        image=image or container["image"],
        essential=container.get("essential", True),
        has_health_check="healthCheck" in container,
        cpu=container.get("cpu", 0),
        memory=container.get("memory"),
        memory_reservation=container.get("memoryReservation"),
        gpu_ids=gpus,
    )


def place_or_wait(
    tx: Transaction[ClusterState],
    template: TaskTemplate,
    ids: tuple[NewTask, ...],
    request: Request,
    providers: Sequence[str],
    strategy: tuple[StrategyItem, ...],
    *,
    wait: bool = True,
) -> PlacedTasks:
    """Place each task on its provider's instances; those that find no room wait in PROVISIONING. Where a provider
    cannot have more instances, or too many tasks wait already (``QUOTA``), they are failures instead."""
    tasks: list[Task] = []
    failures: list[tuple[str, str]] = []
    for name in dict.fromkeys(providers):
        mine = tuple(new for new, provider in zip(ids, providers, strict=True) if provider == name)
        own = replace(request, count=len(mine), capacity_provider=name, seed=int(mine[0].id[:15], 16))
        done = record_tasks(tx, template, mine, place(tx.state.fleet, own), name)
        tasks += done.tasks
        left = mine[len(done.tasks) :]
        provider = tx.state.providers.get(name)
        if not (left and wait):
            failures += done.failures
        elif tx.state.capacity_index.waiting_count + len(left) > MOST_WAITING:
            failures += [(name, QUOTA)] * len(left)
        elif provider is not None and provider.scales:
            reason = waiting_reason(tx.state, name, done.failures)
            wish = Waiting(
                since=tx.now,
                constraints=request.constraints,
                strategies=request.strategies,
                strategy=strategy,
                reason=reason,
            )
            tasks += [_wait(tx, template, new, provider, wish) for new in left]
        else:
            failures += done.failures or [(name, EMPTY_PROVIDER)]
    return PlacedTasks(tasks=tuple(tasks), failures=tuple(failures))


def waiting_reason(state: ClusterState, provider: str, failures: Sequence[tuple[str, str]]) -> str:
    """Why there is no place, in ECS's words: the reason of the instances that came closest, or that there is none."""
    if state.fleet.active(provider):
        return nearest(reason for _, reason in failures)
    return NO_ACTIVE if state.capacity_index.machines(provider) else EMPTY_PROVIDER


def nearest(reasons: Iterable[str]) -> str:
    """ECS's reason of the instances that came closest: one that lacks room passed the earlier filters, so it came
    closer than one without its agent. Among equally near ones the commonest."""
    counts = Counter(reasons)
    return max(counts, key=lambda reason: (_nearness(reason), counts[reason], reason))


def _nearness(reason: str) -> int:
    if reason.startswith("RESOURCE:"):
        return 2
    return 1 if reason not in ("AGENT", "INACTIVE", "MISSING") else 0


def _wait(
    tx: Transaction[ClusterState], template: TaskTemplate, new: NewTask, provider: Provider, wish: Waiting
) -> Task:
    """Make a task that has no instance yet."""
    if template.definition.key not in tx.state.definitions:
        tx.put(template.definition)
    prefix = provider.arn.removesuffix(f"capacity-provider/{provider.name}")
    entry = StoryEntry(at=tx.now, what=f"waits for {provider.arn}: {wish.reason}", cause=tx.cause)
    task = _described(tx, template, new, f"{prefix}{{}}/{provider.cluster}/", ())
    task = replace(
        task, capacity_provider=provider.name, last_status="PROVISIONING", waiting=wish, story=(*task.story, entry)
    )
    tx.put(task)
    return task
