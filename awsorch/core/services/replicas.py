"""Replica services: what to start and what to stop now, so that the desired count is reached within the bounds.

Every decision, taken on counts (``Muster``), keeps at least the lower bound of healthy tasks and at most the upper
bound of tasks, whatever else is going on. New tasks go first where there is room for
them; old ones are stopped early, down to the lower bound, only where the new ones find none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from awsorch.core.model import Task
from awsorch.core.model_services import Deployment, Service
from awsorch.core.service_index import Phases
from awsorch.core.services.bounds import lower_bound, upper_bound
from awsorch.core.services.deployments import deployments_of, growing_of
from awsorch.core.services.draining import displaced, without
from awsorch.core.services.failures import next_start
from awsorch.core.services.scale_in import choose
from awsorch.core.services.speech import BLOCKED, clear, complain, no_place
from awsorch.core.services.tasks import is_protected, start_tasks, stop_tasks
from awsorch.core.state import ClusterState, Transaction

BATCH = 50
#: A task that found no place is tried again after this long, should nothing have told that there is room. Seconds.
RETRY_S = 60.0
PROTECTED = (
    "was unable to reach steady state because task set ({task_set}) was unable to scale in. "
    "Reason: The number of protected tasks are more than the desired count of tasks."
)


@dataclass(frozen=True, slots=True)
class Muster:
    """A service's tasks as they are now: of the deployment that gets new tasks, and of the others, newest
    first; without those that are ``displaced`` by instances that drain. ``live``: all that have not STOPPED, whatever
    deployment they were of. ``stuck``: the PRIMARY deployment FAILED, so that nothing is rolled out and what there is
    is kept up."""

    service: Service
    growing: Deployment
    own: Phases
    others: tuple[tuple[Deployment, Phases], ...]
    displaced: Phases
    live: int
    stuck: bool

    @property
    def desired(self) -> int:
        """The service's desired count."""
        return self.service.desired_count

    @property
    def healthy(self) -> int:
        """Healthy tasks of every deployment, wherever they are."""
        crews = (self.own, self.displaced, *(phases for _, phases in self.others))
        return sum(len(phases.healthy) for phases in crews)

    @property
    def room(self) -> int:
        """How many more tasks there may be; stopping ones count until they have STOPPED."""
        return upper_bound(self.service, self.desired) - self.live

    @property
    def missing(self) -> int:
        """Tasks to start sooner or later: unhealthy ones are replaced. Less than 0: so many are too many."""
        own = self.own.wished - len(self.own.unhealthy)
        if self.stuck:
            own += sum(phases.wished - len(phases.unhealthy) for _, phases in self.others)
        return self.desired + self.service.moving - own

    @property
    def spare(self) -> int:
        """Healthy tasks that may stop without going below the lower bound."""
        return self.healthy - lower_bound(self.service, self.desired)

    @property
    def is_done(self) -> bool:
        """Whether the growing deployment alone is all that is wished for."""
        return not self.stuck and len(self.own.healthy) >= self.desired


def muster(tx: Transaction[ClusterState], service: Service) -> Muster:
    """Count. After a deployment that FAILED, lost tasks are made from the one before it, which worked."""
    every = deployments_of(tx.state, service.name)
    growing = growing_of(every)
    stuck = every[0].rollout_state == "FAILED"
    crews = tx.state.service_index.crews(service.name)
    live = sum(phases.live for phases in crews.values())
    gone = Phases()
    staying: dict[str, Phases] = {}
    for number, phases in crews.items():
        leaving = displaced(tx, phases)
        staying[number] = without(phases, leaving)
        for phase in ("pending", "unknown", "healthy", "unhealthy"):
            gone.of(phase).update(leaving.of(phase))
    others = tuple((d, staying.get(d.number, Phases())) for d in every if d.number != growing.number)
    return Muster(service, growing, staying.get(growing.number, Phases()), others, gone, live, stuck)


def keep(tx: Transaction[ClusterState], service: Service) -> None:
    """Start and stop what may be started and stopped now, about 50 of each."""
    name = service.name
    short = _fill(tx, muster(tx, service))
    picks = list(_picks(tx, muster(tx, tx.state.services[name]), short))
    stop_tasks(tx, service, picks[:BATCH])
    if len(picks) > BATCH:
        tx.wake(("keep_services", name))
    _say_what_blocks(tx, muster(tx, tx.state.services[name]))


def _fill(tx: Transaction[ClusterState], counted: Muster) -> int:
    """Start what is missing, as far as there is room. Answers how many more would need others to stop first."""
    service, missing = counted.service, counted.missing
    if missing <= 0 or counted.growing.rollout_state == "FAILED":
        _placed_all(tx, service)
        return 0
    pause_until = next_start(service, counted.growing)
    if tx.now < pause_until:
        tx.wake(("keep_services", service.name), pause_until)
        return 0
    count = min(missing, counted.room, BATCH)
    if count <= 0:
        return missing
    placed = start_tasks(tx, service, counted.growing, count)
    left = missing - len(placed.tasks)
    if len(placed.tasks) < count:
        complain(tx, service.name, "placement", no_place(placed.failures))
        tx.put(replace(tx.state.services[service.name], waiting=True))
        tx.wake(("keep_services", service.name), tx.now + RETRY_S)
        return left if any(_stopping_helps(reason) for _, reason in placed.failures) else 0
    _placed_all(tx, service)
    if count == BATCH and left:
        tx.wake(("keep_services", service.name))
        return 0
    return left


def _stopping_helps(reason: str) -> bool:
    """Whether a place could be free once older tasks have stopped."""
    return reason.startswith(("RESOURCE:", "DistinctInstance"))


def _placed_all(tx: Transaction[ClusterState], service: Service) -> None:
    clear(tx, service.name, "placement")
    record = tx.state.services[service.name]
    if record.waiting:
        tx.put(replace(record, waiting=False))


def _picks(tx: Transaction[ClusterState], counted: Muster, short: int) -> Iterator[Task]:
    """The tasks to stop now."""
    yield from _too_many(tx, counted)
    yield from _older(tx, counted, short)
    # Health comes before protection: what does not work helps nobody.
    crews = [counted.own, *(phases for _, phases in counted.others)] if counted.stuck else [counted.own]
    unhealthy = [task_id for phases in crews for task_id in phases.unhealthy]
    if unhealthy:
        replaced = counted.healthy >= counted.desired
        yield from _tasks(tx, unhealthy if replaced else unhealthy[: max(short, 0)])


def _too_many(tx: Transaction[ClusterState], counted: Muster) -> Iterator[Task]:
    """More than desired: those that do not work yet first, then as the placement strategy would have it."""
    excess = -counted.missing
    if excess <= 0:
        return
    crews = [counted.own]
    if counted.stuck:
        crews = [*(phases for _, phases in counted.others), counted.own]
    strategies, group = counted.service.strategies, counted.service.group
    healthy = sum(len(phases.healthy) for phases in crews)
    for phase in ("pending", "unknown", "healthy"):
        if phase == "healthy":
            # What runs is not given up for protected tasks that have yet to prove themselves.
            excess = min(excess, healthy - counted.desired - counted.service.moving)
        for phases in crews:
            free = _unprotected(tx, phases.of(phase))
            chosen = choose(tx.state, strategies, group, free, excess) if free else []
            yield from chosen
            excess -= len(chosen)


def _older(tx: Transaction[ClusterState], counted: Muster, short: int) -> Iterator[Task]:
    """Tasks of older deployments, and those on instances that drain: what never ran at once, the others as new ones
    take their place."""
    others = [counted.displaced]
    if not counted.stuck:
        others += [phases for _, phases in reversed(counted.others)]
    yield from _tasks(tx, _unprotected(tx, [task_id for phases in others for task_id in phases.pending]))
    weak = [task_id for phases in others for kind in (phases.unhealthy, phases.unknown) for task_id in kind]
    weak = _unprotected(tx, weak)
    allowed = len(weak) if counted.is_done else min(short, len(weak))
    yield from _tasks(tx, weak[:allowed])
    if counted.is_done:
        healthy = counted.healthy
    else:
        healthy = max(counted.healthy - counted.desired, min(short - allowed, counted.spare))
    for phases in others:
        if healthy > 0:
            free = _unprotected(tx, phases.healthy)
            chosen = choose(tx.state, counted.service.strategies, counted.service.group, free, healthy)
            yield from chosen
            healthy -= len(chosen)


def _tasks(tx: Transaction[ClusterState], ids: Iterable[str]) -> list[Task]:
    return [tx.state.tasks[task_id] for task_id in ids]


def _unprotected(tx: Transaction[ClusterState], ids: Iterable[str]) -> list[str]:
    """Those that scale-in and deployments may stop. The end of a protection is a time to look again."""
    free = []
    for task_id in ids:
        task = tx.state.tasks[task_id]
        if is_protected(task, tx.now) and task.service is not None:
            tx.wake(("keep_services", task.service.name), task.service.protected_until or 0.0)
        else:
            free.append(task_id)
    return free


def _say_what_blocks(tx: Transaction[ClusterState], counted: Muster) -> None:
    """Say why nothing goes on, where nothing can by itself."""
    service = counted.service
    crews = [counted.own, counted.displaced, *(phases for _, phases in counted.others)]
    under_way = any(phases.pending or phases.unknown or phases.stopping for phases in crews)
    older = [d for d, phases in counted.others if phases.wished]
    waiting = bool(counted.displaced.wished or (older and not counted.stuck))
    too_many = counted.missing < 0 or (counted.is_done and older)
    if too_many and not under_way:
        held = older[0] if older else counted.growing
        complain(tx, service.name, "protection", PROTECTED.format(task_set=held.id))
    elif not too_many:
        clear(tx, service.name, "protection")
    if waiting and not under_way and counted.missing > 0 and counted.room <= 0:
        complain(tx, service.name, "bounds", BLOCKED)
    elif not waiting:
        clear(tx, service.name, "bounds")
