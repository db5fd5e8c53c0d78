"""Keep what is registered at a load balancer equal to the tasks that should get its traffic.

One look at one group (a target group's ARN, or ``elb/<name>``): it compares wish and knowledge, records what is to come
and to go, and asks for all of it again until the load balancer has said so; whatever got lost on the way is repeated
by the next look. ``rules/targets`` records what was said.

Source: ECS developer guide, "Use load balancing to distribute Amazon ECS service traffic".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from awsorch.core.commands import SyncTargets
from awsorch.core.model import LoadBalancer, Task
from awsorch.core.model_services import Target, target_key
from awsorch.core.rules.stop_tasks import send_stop
from awsorch.core.services.speech import clear, complain
from awsorch.core.services.targets import address_of, leaving, named
from awsorch.core.state import ClusterState, Transaction

BATCH = 50
#: A group where nothing changes is asked for its health this often; the second where all is healthy. Seconds.
QUIET_S = 15.0
HEALTHY_QUIET_S = 20.0
#: The longer nothing changed the seldomer is asked: after a quarter of the time that has passed.
PATIENCE = 0.25
#: Draining takes an hour at most (deregistration_delay.timeout_seconds); a task that waits longer is stopped. Seconds.
LONGEST_DRAIN_S = 3600.0 + 300.0

Wanted = Mapping[str, tuple[Task, tuple[str, int]]]


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """One group: what is wanted in, what is to leave, and tasks that need wait no longer. About 50 records a step."""
    key = ("sync_targets", subject)
    wanted = _wanted(tx, subject)
    changes = list(islice(_changes(tx, subject, wanted), BATCH + 1))
    for target in changes[:BATCH]:
        tx.put(target)
    drained = _drained(tx, subject)
    for task in drained[:BATCH]:
        send_stop(tx, task)
    targets = [tx.state.targets[name] for name in tx.state.service_index.targets(subject)]
    if not targets:
        return
    tx.send(_sync(tx, subject, targets))
    if len(changes) > BATCH or len(drained) > BATCH:
        tx.wake(key)
    else:
        tx.wake(key, tx.now + _interval(tx, targets))


def _wanted(tx: Transaction[ClusterState], group: str) -> Wanted:
    """By key: the running tasks that are to get traffic, and their targets. What has no address is said."""
    wanted: dict[str, tuple[Task, tuple[str, int]]] = {}
    unknown: dict[str, str] = {}
    names: dict[str, None] = {}
    for task_id in tx.state.service_index.tasks_of_group(group):
        task = tx.state.tasks[task_id]
        assert task.service is not None
        names[task.service.name] = None
        if task.last_status != "RUNNING" or task.desired_status != "RUNNING":
            continue
        for balancer in task.service.load_balancers:
            if balancer.group != group:
                continue
            address = address_of(tx.state, task, balancer)
            if address is None:
                unknown[task.service.name] = _has_no_address(task, balancer)
            elif _is_let_in(tx.state, task, target_key(group, *address)):
                wanted.setdefault(target_key(group, *address), (task, address))
    for name in names:
        if name not in tx.state.services:
            continue
        if name in unknown:
            complain(tx, name, f"address {group}", unknown[name])
        else:
            clear(tx, name, f"address {group}")
    return wanted


def _has_no_address(task: Task, balancer: LoadBalancer) -> str:
    what = f"task {task.id} has no address for container {balancer.container_name}, port {balancer.container_port}"
    return f"failed to register targets in {named(balancer.group)} with (error {what})"


def _is_let_in(state: ClusterState, task: Task, key: str) -> bool:
    """Containers with a health check must be healthy before they get traffic. Later the load balancer's own checks say
    who gets it: the scheduler replaces the task, and its target stays until it does."""
    known = state.targets.get(key)
    if known is not None and known.task_id == task.id:
        return True
    return all(c.health_status == "HEALTHY" for c in task.containers if c.essential and c.has_health_check)


def _changes(tx: Transaction[ClusterState], group: str, wanted: Wanted) -> Iterator[Target]:
    """The records that are to be otherwise."""
    for key in tx.state.service_index.targets(group):
        target = tx.state.targets[key]
        if key not in wanted and not target.leaving:
            yield leaving(tx, target)
    for key, (task, (target_id, port)) in wanted.items():
        known = tx.state.targets.get(key)
        # An address may pass from a task that ended to a new one: nothing that was said of it is true any more.
        if known is None or known.leaving or known.task_id != task.id:
            assert task.service is not None
            yield Target(
                group=group,
                target_id=target_id,
                port=port,
                task_id=task.id,
                service=task.service.name,
                changed_at=tx.now,
                revision=tx.state.revision + 1,
            )


def _drained(tx: Transaction[ClusterState], group: str) -> list[Task]:
    """Tasks that wait for targets that are not there any more, or have waited longer than any draining takes."""
    found = []
    for task_id in tx.state.service_index.tasks_of_group(group):
        task = tx.state.tasks[task_id]
        if task.last_status != "DEACTIVATING":
            continue
        overdue = (task.stopping_at or tx.now) + LONGEST_DRAIN_S <= tx.now
        if overdue or not tx.state.service_index.targets_of_task(task_id):
            found.append(task)
    return found


def _sync(tx: Transaction[ClusterState], group: str, targets: list[Target]) -> SyncTargets:
    """Ask for all that the load balancer has not said to be so."""
    return SyncTargets(
        group=group,
        revision=tx.state.revision + bool(tx.changes),
        register=tuple(t.address for t in targets if not t.leaving and t.state in (None, "absent", "draining")),
        deregister=tuple(t.address for t in targets if t.leaving and t.state != "draining"),
    )


def _interval(tx: Transaction[ClusterState], targets: list[Target]) -> float:
    calm = all(target.state == "healthy" and not target.leaving for target in targets)
    since = tx.now - max(target.changed_at for target in targets)
    limit = HEALTHY_QUIET_S if calm else QUIET_S
    return min(max(since * PATIENCE, tx.state.gate.pace.poll_seconds), limit)
