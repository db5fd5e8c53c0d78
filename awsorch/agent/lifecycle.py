"""The life of one task as a pure state machine: what happened and when goes in, what to do next comes out.

No input or output, no clock and no randomness: the time comes with every event. The supervisor turns actions
into calls of the engine and their results into events. Every event may come late, twice or never; one that no
longer fits changes nothing.
"""

from dataclasses import replace
from typing import Any

from awsorch.agent import dependencies
from awsorch.agent.events import (
    Action,
    Admitted,
    ContainerEvent,
    Create,
    Created,
    CreateFailed,
    Decision,
    Died,
    Event,
    HealthChanged,
    Kill,
    Looked,
    LookUp,
    Pull,
    Pulled,
    PullFailed,
    RanOutOfMemory,
    Report,
    ReportDue,
    ReportSoon,
    Start,
    Started,
    StartFailed,
    StopWanted,
    Terminate,
    Vanished,
)
from awsorch.agent.pause import is_internal
from awsorch.agent.states import (
    Call,
    ContainerRules,
    ContainerState,
    Health,
    Status,
    TaskState,
    change_of,
)

KILL_AGAIN_AFTER = 10.0
"""Seconds after which a container that outlived SIGKILL is killed again: the engine may not have heard."""

UNRESOLVABLE = "Task dependencies cannot be resolved, taskArn: {arn}"
NOTHING_TO_STOP = "TaskStateError: Agent could not progress task's state to stopped"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
VANISHED = "ContainerVanishedError: No container matching saved ID found"
NEVER_STARTED_EXIT_CODE = 143
"""ECS gives this exit code to a container that was not started because a dependency can never be met."""


def advance(rules: tuple[ContainerRules, ...], state: TaskState, event: Event, now: float) -> Decision:
    """What becomes of the task when `event` is seen at `now`, and what has to be done about it."""
    turn = _Turn(rules, state, now)
    turn.take(event)
    turn.settle()
    turn.report(due=isinstance(event, ReportDue))
    return turn.decision()


class _Turn:
    """One step of the machine: a working copy of the state and the actions collected so far."""

    def __init__(self, rules: tuple[ContainerRules, ...], state: TaskState, now: float) -> None:
        self._rules = {each.name: each for each in rules}
        self._containers = dict(state.containers)
        self._task = state
        self._now = now
        self._actions: list[Action] = []
        self._looks: list[float] = []

    def decision(self) -> Decision:
        return Decision(
            state=replace(self._task, containers=self._containers),
            actions=tuple(self._actions),
            look_at=min(self._looks, default=None),
        )

    # What happened

    def take(self, event: Event) -> None:
        match event:
            case Admitted():
                self._task = replace(self._task, admitted=True)
            case StopWanted(reason=reason):
                self._stop(reason)
            case Looked() | ReportDue():
                pass
            case _:
                if event.container in self._containers:
                    self._take_container_event(event, self._containers[event.container])

    def _take_container_event(self, event: ContainerEvent, container: ContainerState) -> None:
        match event:
            case Pulled() | PullFailed():
                self._take_pull(event, container)
            case Created() | CreateFailed():
                self._take_create(event, container)
            case Started() | StartFailed():
                self._take_start(event, container)
            case Died():
                self._take_death(event, container)
            case RanOutOfMemory(container=name):
                if container.known is Status.RUNNING:
                    self._change(name, out_of_memory=True)
            case Vanished(container=name, at=at):
                if Status.CREATED <= container.known < Status.STOPPED:
                    self._finish(name, reason=VANISHED, at=at)
            case HealthChanged(container=name, health=health, at=at):
                if container.known is Status.RUNNING and health is not container.health:
                    self._change(name, health=health, health_at=at)

    def _take_pull(self, event: Pulled | PullFailed, container: ContainerState) -> None:
        if container.call is not Call.PULL or container.known is not Status.NONE:
            return
        if isinstance(event, Pulled):
            self._change(event.container, known=Status.PULLED, call=None, image_digest=event.image_digest)
        elif event.fatal:
            self._finish(event.container, reason=event.error)
            self._stop()
        else:
            self._change(event.container, known=Status.PULLED, call=None, pull_error=event.error)
        if all(each.call is not Call.PULL for each in self._containers.values()):
            self._task = replace(self._task, pull_stopped_at=self._now)

    def _take_create(self, event: Created | CreateFailed, container: ContainerState) -> None:
        if container.call is not Call.CREATE:
            return
        if isinstance(event, Created):
            self._change(event.container, known=Status.CREATED, call=None, docker_id=event.docker_id)
        else:
            because_of_pull = event.image_missing and container.pull_error
            self._finish(event.container, reason=container.pull_error if because_of_pull else event.error)

    def _take_start(self, event: Started | StartFailed, container: ContainerState) -> None:
        found = isinstance(event, Started) and event.docker_id is not None
        if container.call not in (Call.START, Call.RESTART) and not (found and container.call is Call.CREATE):
            return
        if isinstance(event, StartFailed):
            exit_code = container.exit_code if event.exit_code is None else event.exit_code
            self._finish(event.container, reason=event.error, exit_code=exit_code)
            if event.timed_out:  # the engine may still start it
                self._actions.append(Kill(container=event.container))
        else:
            self._change(
                event.container,
                known=Status.RUNNING,
                call=None,
                docker_id=event.docker_id or container.docker_id,
                began_at=event.at if container.began_at is None else container.began_at,
                started_at=event.at,
                exit_code=None,
                out_of_memory=False,
                in_doubt=False,
            )
            if container.in_doubt:
                self._actions.append(LookUp(container=event.container))

    def _take_death(self, event: Died, container: ContainerState) -> None:
        if container.call in (Call.CREATE, Call.START, Call.RESTART):
            self._change(event.container, in_doubt=True)
            return
        if container.known is not Status.RUNNING or _is_of_an_earlier_run(event, container):
            return
        if event.out_of_memory:
            container = self._change(event.container, out_of_memory=True)
        if self._is_to_restart(event, container):
            self._change(
                event.container,
                call=Call.RESTART,
                exit_code=event.exit_code,
                last_death_at=event.at,
                restarts=container.restarts + 1,
                health=Health.UNKNOWN,
                health_at=event.at,
            )
            self._actions.append(Start(container=event.container))
            return
        reason = OUT_OF_MEMORY if container.out_of_memory and event.exit_code else container.reason
        self._finish(event.container, reason=reason, exit_code=event.exit_code, at=event.at)

    def _is_to_restart(self, event: Died, container: ContainerState) -> bool:
        rule = self._rules[event.container].restart
        return (
            rule is not None
            and not event.missed
            and not self._task.stopping
            and event.exit_code is not None
            and event.exit_code not in rule.ignored_exit_codes
            and event.at - (container.started_at or 0.0) >= rule.attempt_period
        )

    # What follows from it

    def settle(self) -> None:
        """Draw conclusions until there are none left, then begin what can begin."""
        if not self._task.containers and self._task.stopping and self._task.known is not Status.STOPPED:
            self._task = replace(self._task, reason=self._task.reason or NOTHING_TO_STOP)
        while self._conclude():
            pass
        for name, container in self._containers.items():
            if container.known is Status.STOPPED:
                continue
            if self._task.stopping:
                self._stop_running(name, container)
            elif self._task.admitted and container.call is None:
                self._go_on(name, container)
        self._know()

    def _conclude(self) -> bool:
        for name, container in self._containers.items():
            if container.known is Status.STOPPED:
                if self._rules[name].essential and self._task.execution_stopped_at is None:
                    self._task = replace(self._task, execution_stopped_at=container.finished_at)
                    self._stop()
                    return True
            elif self._task.stopping:
                if container.known is not Status.RUNNING and container.call in (None, Call.PULL):
                    self._finish(name, reason=container.reason)
                    return True
            elif container.known <= Status.PULLED and container.call is not Call.CREATE:
                obstacle = self._obstacle(name)
                if obstacle is not None:
                    self._finish(name, reason=obstacle, exit_code=NEVER_STARTED_EXIT_CODE)
                    return True
        return False

    def _obstacle(self, name: str) -> str | None:
        for each in self._rules[name].depends_on:
            if dependencies.is_met(each, self._containers):
                continue
            why = dependencies.obstacle(each, self._rules, self._containers, self._now)
            if why is not None:
                return (
                    f"CannotStartContainerError: dependency on container {each.on} "
                    f"({each.condition.value}) cannot be met: {why}"
                )
        return None

    def _go_on(self, name: str, container: ContainerState) -> None:
        match container.known:
            case Status.NONE:
                self._call(name, Call.PULL, Pull(container=name))
                if self._task.pull_started_at is None:
                    self._task = replace(self._task, pull_started_at=self._now)
            case Status.PULLED:
                waits = [
                    each for each in self._rules[name].depends_on if not dependencies.is_met(each, self._containers)
                ]
                if not waits:
                    self._call(name, Call.CREATE, Create(container=name))
                for each in waits:
                    self._look(dependencies.deadline_of(each, self._rules, self._containers))
            case Status.CREATED:
                self._call(name, Call.START, Start(container=name))
            case _:
                pass

    def _stop_running(self, name: str, container: ContainerState) -> None:
        if container.known is not Status.RUNNING or container.call is not None:
            return
        if not dependencies.dependents_are_stopped(name, self._rules, self._containers):
            return
        grace = self._rules[name].stop_timeout
        if container.signalled_at is None:
            self._change(name, signalled_at=self._now)
            self._actions.append(Terminate(container=name))
            self._look(self._now + grace)
        elif self._now < container.signalled_at + grace:
            self._look(container.signalled_at + grace)
        elif container.killed_at is None or self._now >= container.killed_at + KILL_AGAIN_AFTER:
            self._change(name, killed_at=self._now)
            self._actions.append(Kill(container=name))
            self._look(self._now + KILL_AGAIN_AFTER)
        else:
            self._look(container.killed_at + KILL_AGAIN_AFTER)

    def _know(self) -> None:
        """The task is where its slowest container is; one that is being stopped can only become STOPPED."""
        lowest = min((each.known for each in self._containers.values()), default=Status.NONE)
        if not self._containers and self._task.stopping:
            lowest = Status.STOPPED
        if lowest <= self._task.known or (self._task.stopping and lowest is not Status.STOPPED):
            return
        self._task = replace(self._task, known=lowest)
        if lowest is Status.STOPPED:
            self._task = replace(self._task, stopping=True, stopped_at=self._now)

    def report(self, *, due: bool) -> None:
        known, task = self._task.known, self._task
        if known >= Status.RUNNING and known > task.reported:
            self._actions.append(Report(status=known, reason=task.reason, changes=task.unreported))
            self._task = replace(task, reported=known, unreported=())
        elif task.unreported and due:
            self._actions.append(Report(status=task.reported, reason="", changes=task.unreported))
            self._task = replace(task, unreported=())
        elif task.unreported:
            self._actions.append(ReportSoon())

    # Small changes

    def _change(self, name: str, **fields: Any) -> ContainerState:
        before = self._containers[name]
        after = self._containers[name] = replace(before, **fields)
        if after.known > before.known and after.known >= Status.RUNNING and not is_internal(name):
            change = change_of(name, after)
            self._task = replace(self._task, unreported=(*self._task.unreported, change))
        return after

    def _finish(self, name: str, *, reason: str, exit_code: int | None = None, at: float | None = None) -> None:
        self._change(
            name,
            known=Status.STOPPED,
            call=None,
            reason=reason,
            exit_code=exit_code,
            finished_at=self._now if at is None else at,
        )

    def _stop(self, reason: str = "") -> None:
        if not self._task.stopping:
            self._task = replace(self._task, stopping=True, reason=reason)

    def _call(self, name: str, call: Call, action: Action) -> None:
        self._change(name, call=call)
        self._actions.append(action)

    def _look(self, at: float | None) -> None:
        if at is not None:
            self._looks.append(at)


def _is_of_an_earlier_run(event: Died, container: ContainerState) -> bool:
    """True for a death that is told late: the container was started again since."""
    if event.looked_up:
        return container.last_death_at is not None and event.at <= container.last_death_at
    return container.started_at is not None and event.at < container.started_at
