"""Makes local instances real as machines of their own: each has namespaces, a Docker Engine, an agent and an address.

What befalls such an instance is no play: a cut pulls its cable, a crash ends every process in it at once. It is off
while the local cloud is; its disk (images, containers, the agent's state) stays. Which instances there are is the
fleet's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import docker
from docker.errors import DockerException

from awsorch.local.ebs_files import release_mounts
from awsorch.local.files import remove_folder
from awsorch.local.hosts import TERMINAL_EXIT_CODE, AgentSettings, agent_name
from awsorch.local.imds import MetadataService
from awsorch.local.instances import LocalInstance
from awsorch.local.interfaces import SeenInterface
from awsorch.local.netns import HOLDER, Space, run, space_of
from awsorch.local.netns_engine import CONTAINERD, HostEngine, left_over, run_folder
from awsorch.local.netns_front import EngineFront
from awsorch.local.netns_images import ImageSource
from awsorch.local.netns_switch import Switch
from awsorch.local.refusal import Refused
from awsorch.local.supervisor import ChildSpec, Supervisor

_log = logging.getLogger(__name__)

_AGENT_STOP_SECONDS = 10.0
_ENGINE_SECONDS = 60.0
_BRIDGE_ADDRESS = "02:42:ac:11:00:01"
"""Ethernet address of the engine's bridge. Without one of its own it has that of one of the containers' interfaces, and
when that container ends the others do not find their host for up to a minute."""
_ENGINE_DEATHS = 3
_POLL_SECONDS = 0.05
_OF_SHARED_MACHINES = (
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWSORCH_PORT_BIND_ADDRESS",
    "AWSORCH_INTROSPECTION_ADDRESS",
    "AWSORCH_TASK_ENDPOINT_PORT",
    "AWSORCH_TASK_FRONT",
    "AWSORCH_AWSLOGS_BY_AGENT",
)
"""Settings with which agents share one network; with one of its own each does as on EC2."""


@dataclass(slots=True, kw_only=True)
class _Machine:
    """An instance that is to be on, and where it runs once it has been booted."""

    instance: LocalInstance
    engine: HostEngine
    front: EngineFront
    space: Space | None = None
    interfaces: dict[str, SeenInterface] = field(default_factory=dict)


class NetnsHosts:
    """One machine made of namespaces per instance, all on one switch. Calls come one at a time."""

    def __init__(
        self,
        *,
        settings: AgentSettings,
        supervisor: Supervisor,
        metadata: MetadataService,
        switch: Switch,
        images: ImageSource,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._metadata = metadata
        self._switch = switch
        self._images = images
        self._machines: dict[str, _Machine] = {}

    async def clear(self) -> None:
        """Remove what an earlier run, killed perhaps, left behind but the instances' disks. Raises OSError."""
        for engine in left_over(self._settings.data):
            await asyncio.to_thread(engine.clear)

    async def close(self) -> None:
        """Switch all instances off. What cannot be removed now, `clear` removes in the next run."""
        shutting = [self._shut_down(each.instance) for each in self._machines.values()]
        for outcome in await asyncio.gather(*shutting, return_exceptions=True):
            if isinstance(outcome, OSError):
                _log.warning("something of an instance is left: %s", outcome)
            elif outcome is not None:
                raise outcome
        with contextlib.suppress(OSError):  # it is kept as long as anything is in it
            run_folder(self._settings.data).rmdir()

    async def switch_on(self, instance: LocalInstance) -> None:
        """It boots in `settle`, with all others that are switched on in the same round."""
        await self._metadata.serve(instance)
        if instance.id not in self._machines:
            engine = HostEngine(self._settings.data, instance.id)
            front = EngineFront(engine.socket, self._images)
            self._machines[instance.id] = _Machine(instance=instance, engine=engine, front=front)

    async def switch_off(self, instance: LocalInstance) -> None:
        await self._shut_down(instance)
        await self._metadata.withdraw(instance.address)

    async def crash(self, instance: LocalInstance) -> None:
        await self._power_off(instance)

    async def cut(self, instance: LocalInstance) -> None:
        machine = self._machines.get(instance.id)
        if machine is None or not self._is_on(machine):
            raise Refused("IncorrectInstanceState", f"The instance '{instance.id}' is not on now.")
        await self._switch.cut(_port(instance))

    async def uncut(self, instance: LocalInstance) -> None:
        machine = self._machines.get(instance.id)
        if machine is not None and self._is_on(machine):
            await self._switch.uncut(_port(instance))

    async def dispose(self, instance: LocalInstance) -> None:
        await self._power_off(instance)
        await self._metadata.withdraw(instance.address)
        await asyncio.to_thread(HostEngine(self._settings.data, instance.id).remove)
        await asyncio.to_thread(remove_folder, self._settings.folder(instance))

    async def settle(self) -> None:
        off = [each for each in self._machines.values() if not self._is_on(each)]
        outcomes = await asyncio.gather(*(self._boot(each) for each in off), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def attach(self, instance: LocalInstance, interfaces: Sequence[SeenInterface]) -> None:
        machine = self._machines.get(instance.id)
        if machine is None or machine.space is None or not self._is_on(machine):
            return
        wanted, router = {each.id: each for each in interfaces}, self._switch.router
        for gone in machine.interfaces.keys() - wanted.keys():
            await router.disconnect(machine.interfaces.pop(gone))
        for each in wanted.values():
            # The rules come first: nothing gets through meanwhile that should not.
            await router.guard(each)
            if each.id not in machine.interfaces:
                await router.connect(machine.space, each)
            machine.interfaces[each.id] = each
        self._metadata.answer_also(instance, [each.address for each in machine.interfaces.values()])

    def _is_on(self, machine: _Machine) -> bool:
        """Whether it has been booted and has not died since; its engine and its agent are the supervisor's to keep."""
        holder = self._supervisor.process_id(_holder(machine.instance))
        return machine.space is not None and machine.space.holder == holder

    async def _boot(self, machine: _Machine) -> None:
        """Make the namespaces, start the engine, and the agent as soon as that answers. Raises OSError."""
        instance, environment = machine.instance, self._settings.inherited
        await self._power_off(instance)
        self._machines[instance.id] = machine
        self._settings.folder(instance).mkdir(parents=True, exist_ok=True)
        await self._supervisor.start(ChildSpec(name=_holder(instance), command=HOLDER, environment=environment))
        space = await space_of(self._supervisor.process_id(_holder(instance)) or 0)
        await self._switch.plug(space, _port(instance), instance.address)
        await space.hide(CONTAINERD)
        await asyncio.to_thread(machine.engine.prepare)
        await machine.front.start(machine.engine.front)
        command = machine.engine.command(space)
        await self._supervisor.start(ChildSpec(name=_engine_name(instance), command=command, environment=environment))
        await self._until_engine_answers(machine)
        await run(*space.enter("net"), "ip", "link", "set", "dev", "docker0", "address", _BRIDGE_ADDRESS)
        await self._start_agent(machine, space)
        machine.space = space

    async def _start_agent(self, machine: _Machine, space: Space) -> None:
        environment = self._settings.environment(machine.instance, "")
        for name in _OF_SHARED_MACHINES:
            environment.pop(name, None)
        await self._supervisor.start(
            ChildSpec(
                name=agent_name(machine.instance),
                command=(*space.enter("net"), sys.executable, "-m", "awsorch.agent"),
                environment={
                    **self._settings.inherited,
                    **environment,
                    "DOCKER_HOST": f"unix://{machine.engine.front}",
                    "AWSORCH_MOUNT_NAMESPACE": f"/proc/{space.holder}/ns/mnt",
                    "ECS_ENABLE_TASK_ENI": "true",
                    "ECS_ENABLE_TASK_IAM_ROLE": "true",
                    "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": "true",
                    "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
                    "AWSORCH_CGROUP_PARENT": machine.engine.cgroup,
                },
                final_exit_codes=frozenset({TERMINAL_EXIT_CODE}),
            )
        )

    async def _until_engine_answers(self, machine: _Machine) -> None:
        name = _engine_name(machine.instance)
        deadline = asyncio.get_running_loop().time() + _ENGINE_SECONDS
        while not await asyncio.to_thread(_answers, machine.engine):
            late = asyncio.get_running_loop().time() > deadline
            if late or self._supervisor.restarts(name) >= _ENGINE_DEATHS:
                words = self._supervisor.last_words(name)
                raise OSError(f"the Docker Engine of {machine.instance.id} does not answer. Its last words:\n{words}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _shut_down(self, instance: LocalInstance) -> None:
        """Give the agent time to end, then pull the plug."""
        await self._supervisor.stop(agent_name(instance), _AGENT_STOP_SECONDS)
        await self._power_off(instance)

    async def _power_off(self, instance: LocalInstance) -> None:
        """End all that runs in the instance, at once, as when its plug is pulled."""
        for child in (agent_name(instance), _engine_name(instance), _holder(instance)):
            await self._supervisor.kill(child)
        machine = self._machines.pop(instance.id, None)
        if machine is None:
            return
        await machine.front.close()
        if machine.space is not None:
            await machine.space.gone()
            machine.space = None
        machine.interfaces.clear()  # they went with their namespace
        with contextlib.suppress(OSError):  # the switch has gone before: then so has the port
            await self._switch.unplug(_port(instance))
        await asyncio.to_thread(machine.engine.clear)
        await asyncio.to_thread(release_mounts, self._settings.folder(instance))


def _answers(engine: HostEngine) -> bool:
    try:
        with contextlib.closing(docker.APIClient(f"unix://{engine.socket}", version="auto", timeout=5)) as client:
            return bool(client.ping())
    except (DockerException, OSError):
        return False


def _holder(instance: LocalInstance) -> str:
    return f"host-{instance.id}"


def _engine_name(instance: LocalInstance) -> str:
    return f"engine-{instance.id}"


def _port(instance: LocalInstance) -> str:
    return f"host{instance.index}"
