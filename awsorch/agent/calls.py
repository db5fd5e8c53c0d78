"""Actions carried out: each call of the engine ends in events, whatever became of it.

Nothing is decided here. A call that did not reach the engine is tried again until it does; every call is safe to
repeat, since containers have names that were stored before.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from awsorch.agent import efs, firelens, pause, plan
from awsorch.agent.assignment import Assignment
from awsorch.agent.cloudwatch_logs import LogError
from awsorch.agent.docker_config import ConfigError
from awsorch.agent.ebs import VolumeError, volumes_of
from awsorch.agent.engine import (
    CannotCreateContainerError,
    CannotCreateVolumeError,
    ContainerFacts,
    CreateArguments,
    DockerTimeoutError,
    Engine,
    EngineError,
    EngineUnavailableError,
)
from awsorch.agent.events import (
    Action,
    Create,
    Created,
    CreateFailed,
    Died,
    Event,
    HealthChanged,
    Kill,
    LookUp,
    Pull,
    Pulled,
    PullFailed,
    Start,
    Started,
    StartFailed,
    StopWanted,
    Terminate,
    Vanished,
)
from awsorch.agent.firelens_config import RouterError
from awsorch.agent.images import PullError
from awsorch.agent.inputs import InputError
from awsorch.agent.log_shipping import LogShipper
from awsorch.agent.network_commands import NetworkError
from awsorch.agent.pause import is_internal
from awsorch.agent.states import Call, Health, Status
from awsorch.agent.surroundings import Surroundings
from awsorch.agent.task_limits import LimitError
from awsorch.wire.acs import Container

T = TypeVar("T")

LOG = logging.getLogger(__name__)

RETRY_DELAY = 1.0
EVENT_GRACE = 5.0
"""Seconds after which a start whose event did not come is looked up."""
ROUTER_REASON = "ResourceInitializationError: the log router cannot be configured"
NETWORK_REASON = "ResourceInitializationError: the task's network cannot be set up"
VOLUME_REASON = "VolumeError: Agent could not create task's volume resources"

Tell = Callable[[str, Event], None]


class EngineCalls:
    """Calls under way. `tell` takes a task's ARN and what happened."""

    def __init__(self, surroundings: Surroundings, logs: LogShipper, tell: Tell) -> None:
        self._around = surroundings
        self._logs = logs
        self._engine = surroundings.engine
        self._clock = surroundings.clock
        self._tell = tell
        self._under_way: set[asyncio.Task[None]] = set()
        self._signalling: set[tuple[str, str]] = set()
        self._preparing: set[tuple[str, asyncio.Task[Any]]] = set()

    def carry_out(self, assignment: Assignment, action: Action) -> None:
        """Begin the call that `action` asks for; reports are not for here."""
        match action:
            case Pull(container=name):
                self.spawn(self._pull(assignment, name))
            case Create(container=name):
                self.spawn(self._create(assignment, name))
            case Start(container=name):
                self.spawn(self._start(assignment, name))
            case LookUp(container=name):
                self.spawn(self.look_up(assignment, name))
            case Terminate(container=name) | Kill(container=name):
                if (assignment.arn, name) not in self._signalling:
                    self.spawn(self._signal(assignment, name, kill=isinstance(action, Kill)))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a call of the engine ended in a bug", exc_info=task.exception())

    async def _unless_stopped(self, assignment: Assignment, work: Coroutine[Any, Any, T]) -> T:
        """What a creation waits for of others. Raises InputError as soon as the task is to stop, or where it was since
        its creation was decided: who keeps them waiting may never answer."""
        waiting = asyncio.create_task(work)
        if assignment.state.stopping:
            waiting.cancel()
        self._preparing.add((assignment.arn, waiting))
        try:
            await asyncio.wait({waiting})
        finally:
            waiting.cancel()
            self._preparing.discard((assignment.arn, waiting))
        if waiting.cancelled():
            raise InputError
        return waiting.result()

    def give_up(self, arn: str) -> None:
        """The task is to stop: its creations wait for nobody."""
        for task_arn, waiting in self._preparing:
            if task_arn == arn:
                waiting.cancel()

    async def close(self) -> None:
        under_way = list(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _pull(self, assignment: Assignment, name: str) -> None:
        task, container = assignment.task, assignment.containers[name]
        if is_internal(name):
            await self._load_pause(assignment)
            return
        self._around.inputs.prepare(task)
        try:
            digest = await self._around.images.make_ready(container.image, self._around.registries.of(task, container))
        except PullError as error:
            if error.stops_task:
                self._tell(assignment.arn, StopWanted(reason=error.reason))
            self._tell(assignment.arn, PullFailed(container=name, error=error.reason, fatal=error.fatal))
        else:
            self._tell(assignment.arn, Pulled(container=name, image_digest=digest))

    async def _load_pause(self, assignment: Assignment) -> None:
        """Have the pause container's image, which no registry has."""
        while True:
            try:
                if await self._engine.inspect_image(pause.IMAGE) is None:
                    await self._engine.load_image(pause.image_archive())
            except EngineUnavailableError:
                await asyncio.sleep(RETRY_DELAY)
                continue
            except (EngineError, KeyError) as error:
                reason = f"CannotPullContainerError: the pause container's image cannot be made: {error}"
                self._tell(assignment.arn, PullFailed(container=pause.PAUSE, error=reason, fatal=True))
            else:
                self._tell(assignment.arn, Pulled(container=pause.PAUSE, image_digest=""))
            return

    async def _create(self, assignment: Assignment, name: str) -> None:
        container = assignment.containers[name]
        try:
            await self._ready_network(assignment, name)
            await self._ready_volumes(assignment, name)
            arguments = plan.create_arguments(
                assignment.task,
                container,
                names=assignment.names,
                bindings=assignment.bindings.get(name, ()),
                place=self._around.place,
                inputs=await self._unless_stopped(assignment, self._around.inputs.of(assignment.task, container)),
                cgroup=await self._around.limits.make(assignment.task),
            )
            await self._create_volumes(assignment, name)
            await self._unless_stopped(assignment, self._logs.prepare(assignment, name))
            arguments = await self._with_router(assignment, container, arguments)
            arguments = self._around.metadata_files.give(assignment, name, arguments)
            docker_id = await self._engine.create(arguments)
        except InputError as error:
            self._tell(assignment.arn, StopWanted(reason=str(error)))
            self._tell(assignment.arn, CreateFailed(container=name, error=str(error)))
        except (ConfigError, LogError, LimitError) as error:
            self._tell(assignment.arn, CreateFailed(container=name, error=str(error)))
        except (RouterError, OSError) as error:
            self._tell(assignment.arn, StopWanted(reason=f"{ROUTER_REASON}: {error}"))
            self._tell(assignment.arn, CreateFailed(container=name, error=f"{ROUTER_REASON}: {error}"))
        except VolumeError as error:
            self._tell(assignment.arn, StopWanted(reason=f"{VOLUME_REASON}: {error}"))
            self._tell(assignment.arn, CreateFailed(container=name, error=f"{VOLUME_REASON}: {error}"))
        except NetworkError as error:
            self._tell(assignment.arn, StopWanted(reason=f"{NETWORK_REASON}: {error}"))
            self._tell(assignment.arn, CreateFailed(container=name, error=f"{NETWORK_REASON}: {error}"))
        except CannotCreateVolumeError as error:
            self._tell(assignment.arn, CreateFailed(container=name, error=str(error)))
            self._tell(assignment.arn, StopWanted(reason=VOLUME_REASON))
        except EngineUnavailableError:
            await self._again(assignment, Create(container=name), Call.CREATE)
        except EngineError as error:
            missing = isinstance(error, CannotCreateContainerError) and error.image_missing
            self._tell(assignment.arn, CreateFailed(container=name, error=str(error), image_missing=missing))
        else:
            self._tell(assignment.arn, Created(container=name, docker_id=docker_id))

    async def _ready_network(self, assignment: Assignment, name: str) -> None:
        """Have the network that a container shares with its pause container. Raises NetworkError, EngineError."""
        holder = assignment.state.containers.get(pause.PAUSE)
        if holder is not None and holder.docker_id is not None and not is_internal(name):
            await self._around.networks.make_ready(assignment.task, holder.docker_id)

    async def _ready_volumes(self, assignment: Assignment, name: str) -> None:
        """Have the volumes mounted that a container may mount. Raises VolumeError."""
        if not is_internal(name):
            for volume in volumes_of(assignment.task.attachments, self._around.volumes.folder):
                await self._around.volumes.make_ready(volume, 0.0)

    async def _with_router(
        self, assignment: Assignment, container: Container, arguments: CreateArguments
    ) -> CreateArguments:
        """With what makes a log router of it, or sends its lines to one. Raises RouterError, OSError, EngineError."""
        task = assignment.task
        router = firelens.router_of(task)
        if router is None:
            return arguments
        inputs = {
            each.name: await self._unless_stopped(assignment, self._around.inputs.of(task, each))
            for each in task.containers
        }
        given = firelens.Given(inputs=inputs, router_address=await self._address_of(assignment, router.name))
        return firelens.complete(task, container, arguments, self._around.place, given)

    async def _address_of(self, assignment: Assignment, router: str) -> str:
        """Where a container that sends lines itself finds the router; empty where it is not there yet."""
        if assignment.task.network_mode in ("host", "awsvpc"):
            return "127.0.0.1"
        docker_id = assignment.state.containers[router].docker_id
        found = await self._engine.describe(docker_id) if docker_id is not None else None
        return str(((found or {}).get("NetworkSettings") or {}).get("IPAddress") or "")

    async def _create_volumes(self, assignment: Assignment, name: str) -> None:
        container = assignment.containers[name]
        for volume, may_create in plan.volumes_for(assignment.task, container, assignment.names, self._around.place):
            efs.make_folder(volume, self._around.place)
            if may_create:
                await self._engine.create_volume(volume)
            elif not await self._engine.has_volume(volume.name):
                raise CannotCreateVolumeError(f"shared volume {volume.name} does not exist and autoprovision is off")

    async def _start(self, assignment: Assignment, name: str) -> None:
        """Start it; that it runs, the engine's event tells, with the engine's time."""
        docker_id = _id(assignment, name)
        try:
            await self._engine.start(docker_id)
        except EngineUnavailableError:
            await self._again(assignment, Start(container=name), assignment.state.containers[name].call)
        except DockerTimeoutError as error:
            self._tell(assignment.arn, StartFailed(container=name, error=str(error), timed_out=True))
        except EngineError as error:
            exit_code = await self._exit_code(docker_id)
            self._tell(assignment.arn, StartFailed(container=name, error=str(error), exit_code=exit_code))
        else:
            asyncio.get_running_loop().call_later(EVENT_GRACE, self._look_after_start, assignment, name)
            await self._around.metadata_files.complete(assignment, name, self._engine)

    async def start_once(self, assignment: Assignment, name: str) -> None:
        """Start what a former life of the agent asked the engine to start, unless that has been done since: what ends
        at once must not run twice."""
        known = assignment.state.containers[name].started_at
        try:
            facts = await self._engine.inspect(_id(assignment, name))
        except EngineError:
            facts = None
        if facts is None or facts.started_at is None or (known is not None and facts.started_at <= known):
            await self._start(assignment, name)
            return
        for event in happened(assignment, name, facts, self._clock(), missed=True):
            self._tell(assignment.arn, event)

    def _look_after_start(self, assignment: Assignment, name: str) -> None:
        if assignment.state.containers[name].call in (Call.START, Call.RESTART):
            self.spawn(self.look_up(assignment, name))

    async def _exit_code(self, docker_id: str) -> int | None:
        try:
            facts = await self._engine.inspect(docker_id)
        except EngineError:
            return None
        return facts.exit_code if facts is not None else None

    async def _signal(self, assignment: Assignment, name: str, *, kill: bool) -> None:
        docker_id = assignment.state.containers[name].docker_id
        if docker_id is None:
            return
        self._signalling.add((assignment.arn, name))
        try:
            call = self._engine.kill if kill else self._engine.terminate
            delivered = await call(docker_id)
        except EngineError as error:
            LOG.warning("container %s was not signalled: %s", assignment.names.containers[name], error)
            return  # the next look kills it
        finally:
            self._signalling.discard((assignment.arn, name))
        if not delivered:
            await self.look_up(assignment, name)

    async def _again(self, assignment: Assignment, action: Create | Start, call: Call | None) -> None:
        """Once more after a while, unless something else has become of the container meanwhile."""
        await asyncio.sleep(RETRY_DELAY)
        await self.look_up(assignment, action.container)
        await asyncio.sleep(0)  # what was found is an event: let it be taken first
        if call is not None and assignment.state.containers[action.container].call is call:
            self.carry_out(assignment, action)

    async def look_up(self, assignment: Assignment, name: str) -> None:
        """Ask the engine what has become of a container, and tell it as if it had been seen."""
        try:
            facts = await self._engine.inspect(_id(assignment, name))
        except EngineError as error:
            LOG.info("container %s could not be looked up: %s", assignment.names.containers[name], error)
            return
        for event in happened(assignment, name, facts, self._clock()):
            self._tell(assignment.arn, event)


def _id(assignment: Assignment, name: str) -> str:
    """What the engine knows a container by: its id, or its name as long as nobody was told the id."""
    return assignment.state.containers[name].docker_id or assignment.names.containers[name]


def happened(
    assignment: Assignment, name: str, facts: ContainerFacts | None, now: float, *, missed: bool = False
) -> list[Event]:
    """What must have happened to a container, given what the engine says of it now."""
    if facts is None:
        gone = assignment.state.containers[name].known >= Status.CREATED
        return [Vanished(container=name, at=now)] if gone else []
    if facts.started_at is None:
        return [Created(container=name, docker_id=facts.id)]
    events: list[Event] = []
    last_start = assignment.state.containers[name].started_at
    if last_start is None or facts.started_at > last_start or facts.is_running:
        events.append(Started(container=name, at=facts.started_at, docker_id=facts.id))
    if facts.is_running:
        if facts.health is not Health.UNKNOWN:
            events.append(HealthChanged(container=name, health=facts.health, at=now))
    elif facts.status in ("exited", "dead"):
        events.append(
            Died(
                container=name,
                exit_code=facts.exit_code,
                at=facts.finished_at or now,
                out_of_memory=facts.out_of_memory,
                missed=missed,
                looked_up=True,
            )
        )
    return events


async def remove_objects(assignment: Assignment, engine: Engine) -> None:
    """Remove a stopped task's containers and volumes; what is gone already is no error. Raises EngineError."""
    for name in assignment.containers:
        await engine.remove(assignment.names.containers[name])
    for volume in plan.task_volumes(assignment.task, assignment.names):
        await engine.remove_volume(volume)
