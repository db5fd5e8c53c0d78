"""The one loop that owns every task of this agent.

Whatever happens is put into an inbox. A turn takes all that waits there, lets the pure lifecycle decide, stores the
new states as one batch, and only then lets anything out: calls of the engine, reports, acknowledgements. So a kill
at any moment finds on the disk at least as much as the world has seen. If the batch cannot be stored (the disk is
full), nothing but stops gets out, and the batch is tried again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from awsorch.agent import dependencies, lifecycle, plan, recovery
from awsorch.agent.assignment import Assignment, fresh_life, refusal_body, report_body
from awsorch.agent.calls import EngineCalls
from awsorch.agent.cleanup import Cleanup
from awsorch.agent.ebs import with_mounts
from awsorch.agent.engine import (
    CONTAINER_NAME_LABEL,
    INSTANCE_LABEL,
    TASK_ARN_LABEL,
    Connected,
    Occurrence,
)
from awsorch.agent.events import (
    Action,
    Admitted,
    Create,
    CreateFailed,
    Event,
    HealthChanged,
    Kill,
    Looked,
    Report,
    ReportDue,
    ReportSoon,
    StopWanted,
    Terminate,
)
from awsorch.agent.log_shipping import LogShipper
from awsorch.agent.pause import with_pause
from awsorch.agent.ports import NoPortError
from awsorch.agent.reports import Reports
from awsorch.agent.state_file import Batch, Saved, SavedReport, StateFileError
from awsorch.agent.states import Status
from awsorch.agent.surroundings import Listener, Surroundings
from awsorch.agent.unmounting import Unmounting
from awsorch.wire import acs

LOG = logging.getLogger(__name__)

STORE_RETRY_DELAY = 1.0
MANIFEST_FACT = "task-manifest-seq-num"


@dataclass(frozen=True, slots=True)
class _Payload:
    tasks: tuple[acs.Task, ...]
    sequence: int
    stored: asyncio.Future[bool]


class Supervisor:
    """Every task of an agent, from its payload to its cleanup."""

    def __init__(self, surroundings: Surroundings, reports: Reports, listener: Listener) -> None:
        self._around = surroundings
        self._reports = reports
        self._listener = listener
        self._tasks = surroundings.tasks
        self._logs = LogShipper(surroundings.engine, surroundings.cloudwatch, surroundings.place, self._note)
        self._calls = EngineCalls(surroundings, self._logs, self.tell)
        self._unmounting = Unmounting(surroundings.volumes)
        self._cleanup = Cleanup(surroundings, self._calls, self._forget)
        self._inbox: deque[tuple[str, Event] | _Payload] = deque()
        self._turn_is_due = False
        self._batch = Batch()
        self._held: list[tuple[Assignment, Action]] = []
        self._outgoing: list[SavedReport] = []
        self._answers: list[tuple[asyncio.Future[bool], bool]] = []
        self._report_id = 0
        self._sequence = 0
        self._recovered: asyncio.Event | None = None
        self._since = 0.0
        self._closed = False

    # What the agent asks for

    async def recover(self, saved: Saved) -> None:
        """Take up the tasks of a former life and find out what has become of their containers."""
        self._sequence = int(saved.facts.get(MANIFEST_FACT, 0))
        for task, life in saved.tasks:
            self._adopt(Assignment(task, life, self._around.settings))
        for report in saved.reports:
            self._report_id = max(self._report_id, report.id)
            self._send(report)
        self._recovered = asyncio.Event()
        self._since = self._around.clock()
        self._around.engine.watch({INSTANCE_LABEL: self._around.place.instance_arn}, self._see)
        await self._recovered.wait()

    async def accept(self, tasks: Sequence[acs.Task], sequence: int = 0) -> bool:
        """Start and stop tasks; returns, once all of it is stored, whether every task was understood."""
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._put(_Payload(tuple(tasks), sequence, stored))
        return await stored

    def compare(self, manifest: acs.TaskManifestMessage) -> tuple[acs.TaskIdentifier, ...] | None:
        """The tasks here that the manifest does not want to run; None for a manifest that is out of date.

        Raises StateFileError when the manifest's number cannot be stored; it counts as not seen then.
        """
        if manifest.timeline <= self._sequence:
            return None
        self._around.store.save(Batch(facts={MANIFEST_FACT: str(manifest.timeline)}, durable=True))
        self._sequence = manifest.timeline
        wanted = {each.task_arn for each in manifest.tasks if each.desired_status != "STOPPED"}
        return tuple(
            acs.TaskIdentifier(task_arn=arn, task_cluster_arn=each.task.task_cluster_arn, desired_status="STOPPED")
            for arn, each in self._tasks.items()
            if arn not in wanted and not each.state.stopping and not each.is_stopped
        )

    def stop(self, arns: Iterable[str]) -> None:
        """Stop the tasks of these ARNs that are here."""
        for arn in arns:
            self.tell(arn, StopWanted())

    def _delivered(self, report: SavedReport) -> None:
        """The controller has taken (or refused for good) this report."""
        self._batch.delivered.add(report.id)
        assignment = self._tasks.get(report.task)
        if assignment is not None and report.is_final:
            assignment.stop_reported = True
            self._batch.lives[assignment.arn] = assignment.life()
            self._cleanup.schedule(assignment)
        self._schedule_turn()

    def tell(self, arn: str, event: Event) -> None:
        """Something happened to a task."""
        self._put((arn, event))

    def knows(self, arn: str) -> bool:
        return arn in self._tasks

    async def close(self) -> None:
        """Stop watching and calling; containers go on. What is waiting is stored first."""
        self._turn()
        self._closed = True
        for assignment in self._tasks.values():
            assignment.cancel_timers()
        await self._calls.close()
        await self._unmounting.close()
        await self._logs.close()

    # The turn

    def _put(self, item: tuple[str, Event] | _Payload) -> None:
        self._inbox.append(item)
        self._schedule_turn()

    def _schedule_turn(self, delay: float = 0.0) -> None:
        if not self._turn_is_due and not self._closed:
            self._turn_is_due = True
            loop = asyncio.get_running_loop()
            if delay:
                loop.call_later(delay, self._turn)
            else:
                loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if self._closed:
            return
        while self._inbox:
            item = self._inbox.popleft()
            if isinstance(item, _Payload):
                self._take_payload(item)
            else:
                arn, event = item
                assignment = self._tasks.get(arn)
                if assignment is not None:
                    self._advance(assignment, event)
            for admitted in self._around.host.admit():
                self._advance(self._tasks[admitted], Admitted())
        if self._commit():
            self._release()
        else:
            self._release_stops()
            self._schedule_turn(STORE_RETRY_DELAY)

    def _commit(self) -> bool:
        if not self._batch:
            return True
        try:
            self._around.store.save(self._batch)
        except StateFileError as error:
            LOG.error("the agent's state could not be stored, so nothing is started: %s", error)
            return False
        self._batch = Batch()
        return True

    def _release(self) -> None:
        held, self._held = self._held, []
        for assignment, action in held:
            self._calls.carry_out(assignment, action)
        outgoing, self._outgoing = self._outgoing, []
        for report in outgoing:
            self._send(report)
        answers, self._answers = self._answers, []
        for future, answer in answers:
            if not future.done():
                future.set_result(answer)

    def _send(self, report: SavedReport) -> None:
        send = partial(self._reports.add, report, self._delivered)
        if report.is_final:
            self._unmounting.first(report.task, send)
        else:
            send()

    def _release_stops(self) -> None:
        """Stopping twice does no harm, so it does not have to wait for the disk."""
        stops = [each for each in self._held if isinstance(each[1], Terminate | Kill)]
        self._held = [each for each in self._held if not isinstance(each[1], Terminate | Kill)]
        for assignment, action in stops:
            self._calls.carry_out(assignment, action)

    def _advance(self, assignment: Assignment, event: Event) -> None:
        before = assignment.state
        decision = assignment.advance(event, self._around.clock())
        for action in decision.actions:
            self._prepare(assignment, action)
        self._look_again(assignment, decision.look_at)
        if decision.state == before:
            return
        self._batch.lives[assignment.arn] = assignment.life()
        self._logs.see(assignment)
        if isinstance(event, HealthChanged):
            self._listener.health_changed()
        for name, container in assignment.state.containers.items():
            if container.known is Status.STOPPED and before.containers[name].known is not Status.STOPPED:
                self._around.ports.release(assignment.bindings.get(name, ()))
        if assignment.is_stopped and before.known is not Status.STOPPED:
            self._around.host.release(assignment.arn)
            self._unmounting.begin(assignment)
        if assignment.state.stopping:
            self._around.inputs.forget(assignment.arn)
            self._calls.give_up(assignment.arn)

    def _prepare(self, assignment: Assignment, action: Action) -> None:
        match action:
            case Report():
                body = report_body(assignment, action, self._around.place.cluster)
                self._queue_report(assignment.arn, body, is_final=action.status is Status.STOPPED)
                if assignment.report_timer is not None:
                    assignment.report_timer.cancel()
                    assignment.report_timer = None
            case ReportSoon():
                if assignment.report_timer is None:
                    assignment.report_timer = asyncio.get_running_loop().call_later(
                        self._around.settings.engine.report_delay, self._report_is_due, assignment
                    )
            case Create(container=name):
                if self._take_ports(assignment, name):
                    self._held.append((assignment, action))
            case _:
                self._held.append((assignment, action))

    def _take_ports(self, assignment: Assignment, name: str) -> bool:
        container = assignment.containers[name]
        wanted = plan.wanted_ports(container)
        if not wanted or name in assignment.bindings or not plan.is_bridged(assignment.task, container):
            return True
        try:
            assignment.bindings[name] = self._around.ports.take(wanted)
        except NoPortError as error:
            self.tell(assignment.arn, CreateFailed(container=name, error=f"CannotCreateContainerError: {error}"))
            return False
        return True

    def _queue_report(self, arn: str, body: bytes, *, is_final: bool) -> None:
        self._report_id += 1
        report = SavedReport(id=self._report_id, task=arn, body=body, is_final=is_final)
        self._batch.reports.append(report)
        self._outgoing.append(report)

    def _report_is_due(self, assignment: Assignment) -> None:
        assignment.report_timer = None
        self.tell(assignment.arn, ReportDue())

    def _look_again(self, assignment: Assignment, at: float | None) -> None:
        if assignment.look is not None:
            assignment.look.cancel()
            assignment.look = None
        if at is not None:
            delay = max(at - self._around.clock(), 0.0)
            assignment.look = asyncio.get_running_loop().call_later(delay, self.tell, assignment.arn, Looked())

    # Payloads

    def _take_payload(self, payload: _Payload) -> None:
        self._sequence = max(self._sequence, payload.sequence)
        stops_first = sorted(payload.tasks, key=lambda task: task.desired_status != "STOPPED")
        understood = [self._take_task(task) for task in stops_first]
        self._batch.durable = True
        self._answers.append((payload.stored, all(understood)))

    def _take_task(self, task: acs.Task) -> bool:
        known = self._tasks.get(task.arn)
        if known is not None:
            if task.desired_status == "STOPPED":
                self._advance(known, StopWanted())
            return True
        reason = None
        try:
            plan.check(task, self._around.settings.instance)
        except plan.InvalidTaskError as error:
            body = refusal_body(task, f"UnrecogniedTaskError: Error loading task - {error}", self._around.place.cluster)
            self._queue_report(task.arn, body, is_final=True)
            return False
        except plan.UnsupportedTaskError as error:
            reason = str(error)
        self._begin(with_mounts(with_pause(task), self._around.volumes.folder), reason)
        return True

    def _begin(self, task: acs.Task, reason: str | None) -> None:
        around = self._around
        life = fresh_life(task, plan.names_for(task, around.suffix), around.settings)
        assignment = Assignment(task, life, around.settings)
        self._batch.arrived[task.arn] = task
        self._batch.lives[task.arn] = life
        self._adopt(assignment)
        if not dependencies.is_resolvable({each.name: each for each in assignment.rules}):
            reason = lifecycle.UNRESOLVABLE.format(arn=task.arn)
        if reason is not None or task.desired_status == "STOPPED":
            self._advance(assignment, StopWanted(reason=reason or ""))

    def _adopt(self, assignment: Assignment) -> None:
        """Make a task this agent's, with the resources that it holds or waits for."""
        self._tasks[assignment.arn] = assignment
        self._listener.tasks_changed()
        self._logs.see(assignment)
        for container in assignment.task.containers:
            self._around.images.use(container.image)
            if assignment.state.containers[container.name].known is not Status.STOPPED:
                self._around.ports.hold(assignment.bindings.get(container.name, ()))
        if assignment.is_stopped:
            self._unmounting.begin(assignment)
            if assignment.stop_reported:
                self._cleanup.schedule(assignment)
            return
        needs = plan.needs_of(assignment.task)
        if assignment.state.admitted:
            self._around.host.take(assignment.arn, needs)
        else:
            self._around.host.enqueue(assignment.arn, needs)

    # What the engine says

    def _see(self, what: Occurrence | Connected) -> None:
        if isinstance(what, Connected):
            self._calls.spawn(self._reconcile())
            return
        arn, name = what.labels.get(TASK_ARN_LABEL, ""), what.labels.get(CONTAINER_NAME_LABEL, "")
        assignment = self._tasks.get(arn)
        container = assignment.state.containers.get(name) if assignment is not None else None
        if container is None or container.docker_id not in (None, what.id):
            return
        self.tell(arn, recovery.event_of(what, name, missed=what.at < self._since))

    async def _reconcile(self) -> None:
        """The stream is open (again): look at every container for what was missed."""
        first_time = self._recovered is not None and not self._recovered.is_set()
        await recovery.look_at_all(self._tasks, self._around.engine, self._around.clock, self.tell, missed=first_time)
        if first_time and self._recovered is not None:
            self._turn()
            await recovery.find_strangers(self._tasks, self._around.engine, self._around.place.instance_arn)
            recovery.resume(self._tasks.values(), self._calls, self.tell)
            self._recovered.set()

    def _forget(self, assignment: Assignment) -> None:
        """Nothing is left of a task."""
        del self._tasks[assignment.arn]
        assignment.cancel_timers()
        self._logs.forget(assignment.arn)
        self._batch.lives.pop(assignment.arn, None)
        self._batch.forgotten.add(assignment.arn)
        self._schedule_turn()

    def _note(self, assignment: Assignment) -> None:
        """Something about a task is to be stored that nobody waits for."""
        if assignment.arn in self._tasks:
            self._batch.lives[assignment.arn] = assignment.life()
            self._schedule_turn()
