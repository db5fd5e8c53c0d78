"""What load balancers say of targets: recorded, said in service events, and what follows for the tasks.

Source: Elastic Load Balancing API, DescribeTargetHealth; ECS developer guide, "Amazon ECS service event messages".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from awsorch.core.events_services import SeenTarget, TargetsFailed, TargetsSeen
from awsorch.core.model_services import Target
from awsorch.core.rules.stop_tasks import send_stop
from awsorch.core.services.health import judge
from awsorch.core.services.speech import clear, complain, say
from awsorch.core.services.targets import named
from awsorch.core.state import ClusterState, Transaction

THROTTLED = "operations are being throttled on elb. Will try again later."
ACTIONS = {
    "register": "register targets",
    "deregister": "deregister targets",
    "describe": "describe the health of targets",
}
#: What a target's state is where the load balancer does not know it, or is itself not there.
ABSENT, GROUP_GONE = "absent", "TargetGroupNotFound"


def targets_seen(tx: Transaction[ClusterState], event: TargetsSeen) -> None:
    """Record the group as it is. What was wished otherwise since the command was given is not what was looked at."""
    seen = {(target.target_id, target.port): target for target in event.targets}
    known = [
        target
        for target in map(tx.state.targets.__getitem__, tx.state.service_index.targets(event.group))
        if target.revision <= event.revision
    ]
    changed = [target for target in known if _record(tx, event, target, seen.get(target.address))]
    _say_registered(tx, event, known, seen)
    _say_deregistered(tx, event, known)
    _clear_problems(tx, event.group)
    if changed:
        _follow(tx, changed)
        tx.wake(("sync_targets", event.group), tx.now + tx.state.gate.pace.poll_seconds)


def _record(tx: Transaction[ClusterState], event: TargetsSeen, target: Target, seen: SeenTarget | None) -> bool:
    """Bring one record up to date; whether that changed anything. What was to leave and has left is forgotten."""
    if seen is None and target.leaving and (target.address in event.deregistered or target.state == "draining"):
        tx.remove(target)
        return True
    said = (ABSENT, None, None) if seen is None else (seen.state, seen.reason, seen.description)
    if said == (target.state, target.reason, target.description):
        return False
    state, reason, description = said
    tx.put(replace(target, state=state, reason=reason, description=description, changed_at=tx.now))
    return True


def _follow(tx: Transaction[ClusterState], targets: Iterable[Target]) -> None:
    """Judge the tasks whose targets changed, and stop those whose targets are drained."""
    for task_id in dict.fromkeys(target.task_id for target in targets):
        task = tx.state.tasks.get(task_id)
        if task is None:
            continue
        if task.last_status == "DEACTIVATING":
            if not tx.state.service_index.targets_of_task(task_id):
                send_stop(tx, task)
        else:
            judge(tx, task)


def _say_registered(
    tx: Transaction[ClusterState],
    event: TargetsSeen,
    known: Iterable[Target],
    seen: dict[tuple[str, int], SeenTarget],
) -> None:
    """``known`` are the records as they were: those that were not there and are now have been registered."""
    come = Counter(
        target.service
        for target in known
        if not target.leaving
        and target.state in (None, ABSENT, "draining")
        and target.address in event.registered
        and target.address in seen
    )
    for service, count in come.items():
        if service in tx.state.services:
            say(tx, service, f"registered {count} targets in {named(event.group)}")


def _say_deregistered(tx: Transaction[ClusterState], event: TargetsSeen, known: Iterable[Target]) -> None:
    """``known`` are the records as they were: those that left are said once, when their draining begins."""
    left = [
        target
        for target in known
        if target.leaving and target.state != "draining" and target.address in event.deregistered
    ]
    for service, count in Counter(target.service for target in left).items():
        if service in tx.state.services:
            say(tx, service, f"deregistered {count} targets in {named(event.group)}")
            _say_draining(tx, service, [target.task_id for target in left if target.service == service])


def _say_draining(tx: Transaction[ClusterState], service: str, task_ids: list[str]) -> None:
    """Said of tasks that wait for their connections to end, by deployment; once where a task has several targets."""
    draining: Counter[str] = Counter()
    for task_id in dict.fromkeys(task_ids):
        task = tx.state.tasks.get(task_id)
        if task is None or task.service is None or task.last_status != "DEACTIVATING":
            continue
        targets = [tx.state.targets[key] for key in tx.state.service_index.targets_of_task(task_id)]
        if sum(target.state == "draining" for target in targets) <= task_ids.count(task_id):
            draining[task.service.deployment] += 1
    for deployment, count in draining.items():
        say(tx, service, f"has begun draining connections on {count} tasks.", task_set=f"ecs-svc/{deployment}")


def targets_failed(tx: Transaction[ClusterState], event: TargetsFailed) -> None:
    """Say it, once while it lasts. A group that is gone keeps no task from being stopped."""
    for name in _services(tx.state, event.group):
        service = tx.state.services[name]
        kind, text = f"describe {event.group}", THROTTLED
        if event.gone:
            what = "LOAD BALANCER" if event.group.startswith("elb/") else "TARGET GROUP"
            where = named(event.group).strip("()")
            text = f"ecs-svc/{service.deployment} is not healthy in {where} due to {what} IS NOT FOUND"
        elif not event.throttled:
            kind = f"{event.action} {event.group}"
            error = f"(error {event.code}: {event.message})"
            text = f"failed to {ACTIONS[event.action]} in {named(event.group)} with {error}"
        complain(tx, name, kind, text)
    if event.gone:
        _forget_group(tx, event.group)


def _forget_group(tx: Transaction[ClusterState], group: str) -> None:
    targets = [tx.state.targets[key] for key in tx.state.service_index.targets(group)]
    for target in targets:
        if target.leaving:
            tx.remove(target)
        elif (target.state, target.reason) != (ABSENT, GROUP_GONE):
            tx.put(replace(target, state=ABSENT, reason=GROUP_GONE, description=None, changed_at=tx.now))
    _follow(tx, targets)


def _clear_problems(tx: Transaction[ClusterState], group: str) -> None:
    """The group answers; and what could not be registered or deregistered may have been by now."""
    targets = [tx.state.targets[key] for key in tx.state.service_index.targets(group)]
    out = {target.service for target in targets if not target.leaving and target.state in (None, ABSENT, "draining")}
    staying = {target.service for target in targets if target.leaving and target.state != "draining"}
    for name in _services(tx.state, group):
        clear(tx, name, f"describe {group}")
        if name not in out:
            clear(tx, name, f"register {group}")
        if name not in staying:
            clear(tx, name, f"deregister {group}")


def _services(state: ClusterState, group: str) -> list[str]:
    """Names of the services that have something to do with a group."""
    names = [state.targets[key].service for key in state.service_index.targets(group)]
    for task_id in state.service_index.tasks_of_group(group):
        of = state.tasks[task_id].service
        if of is not None:
            names.append(of.name)
    return [name for name in dict.fromkeys(names) if name in state.services]
