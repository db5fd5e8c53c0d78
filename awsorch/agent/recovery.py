"""Finding out what was missed: after a restart of the agent, or while the engine's event stream was broken."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from awsorch.agent.assignment import Assignment
from awsorch.agent.calls import EngineCalls, Tell, happened
from awsorch.agent.engine import (
    INSTANCE_LABEL,
    DockerTimeoutError,
    Engine,
    EngineError,
    EngineUnavailableError,
    Occurrence,
)
from awsorch.agent.events import (
    Create,
    Died,
    Event,
    HealthChanged,
    Looked,
    Pull,
    RanOutOfMemory,
    ReportDue,
    Started,
    Terminate,
    Vanished,
)
from awsorch.agent.states import Call, ContainerState, Status

LOG = logging.getLogger(__name__)

RETRY_DELAY = 1.0
LOOKS = 3
"""How often a container is looked at that the engine answers for, but not sensibly: it must not keep the agent from
its other tasks."""


def event_of(what: Occurrence, container: str, *, missed: bool) -> Event:
    """What the engine saw, as an event of the task; `missed`: before this agent was there."""
    match what.what:
        case "start":
            return Started(container=container, at=what.at, docker_id=what.id)
        case "die":
            return Died(container=container, exit_code=what.exit_code, at=what.at, missed=missed)
        case "oom":
            return RanOutOfMemory(container=container)
        case "destroy":
            return Vanished(container=container, at=what.at)
        case _:
            return HealthChanged(container=container, health=what.health, at=what.at)


async def look_at_all(
    tasks: Mapping[str, Assignment], engine: Engine, clock: Callable[[], float], tell: Tell, *, missed: bool
) -> None:
    """Look up every container that the engine may have; returns when all were looked at.

    `missed`: nobody was there to see what is found (ECS does not restart what exited then).
    """
    for arn in list(tasks):
        assignment = tasks.get(arn)
        if assignment is None or assignment.is_stopped:
            continue
        for name in assignment.containers:
            looks = 0
            while looks < LOOKS and _is_in_engine(assignment.state.containers[name]):
                container = assignment.state.containers[name]
                try:
                    facts = await engine.inspect(container.docker_id or assignment.names.containers[name])
                except EngineError as error:
                    LOG.warning("container %s cannot be looked at: %s", assignment.names.containers[name], error)
                    looks += not isinstance(error, (EngineUnavailableError, DockerTimeoutError))
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                for event in happened(assignment, name, facts, clock(), missed=missed):
                    tell(arn, event)
                break


async def find_strangers(tasks: Mapping[str, Assignment], engine: Engine, instance_arn: str) -> set[str]:
    """Containers with this instance's label that belong to no task known here; as in ECS they are left alone.

    There are some after the state file was lost. They take room that nobody accounts for, so they are logged.
    """
    known = {container.docker_id for each in tasks.values() for container in each.state.containers.values()}
    try:
        found = set(await engine.find({INSTANCE_LABEL: instance_arn}))
    except EngineError as error:
        LOG.warning("containers cannot be listed: %s", error)
        return set()
    strangers = found - known
    for docker_id in strangers:
        LOG.warning("container %s belongs to no task of this agent and is left alone", docker_id)
    return strangers


def resume(tasks: Iterable[Assignment], calls: EngineCalls, tell: Tell) -> None:
    """Make again the calls that a former life of the agent had under way; all are safe to repeat."""
    for assignment in tasks:
        if assignment.is_stopped:
            continue
        for name, container in assignment.state.containers.items():
            match container.call:
                case Call.PULL:
                    calls.carry_out(assignment, Pull(container=name))
                case Call.CREATE:
                    calls.carry_out(assignment, Create(container=name))
                case Call.START | Call.RESTART:
                    calls.spawn(calls.start_once(assignment, name))
                case None:
                    if container.known is Status.RUNNING and container.signalled_at is not None:
                        calls.carry_out(assignment, Terminate(container=name))
        if assignment.state.unreported:
            tell(assignment.arn, ReportDue())
        tell(assignment.arn, Looked())


def _is_in_engine(container: ContainerState) -> bool:
    if container.known is Status.PULLED:
        return container.call is Call.CREATE
    return Status.CREATED <= container.known < Status.STOPPED
