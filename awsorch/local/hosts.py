"""Makes local instances real: an agent for each, with an address, a data folder and a metadata service of
its own.

Two ways: one agent process each on the machine's Docker Engine, or all agents with simulated containers in
one process. Which instances there are is the fleet's business; how processes are kept alive is the
supervisor's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from awsorch.agent.simulated_scripts import VARIABLE as SCRIPTS
from awsorch.local.containers import InstanceContainers
from awsorch.local.files import remove_folder, write_private
from awsorch.local.imds import MetadataService
from awsorch.local.instances import LocalInstance
from awsorch.local.interfaces import SeenInterface
from awsorch.local.outages_sockets import hang_up
from awsorch.local.refusal import Refused
from awsorch.local.supervisor import ChildSpec, Supervisor
from awsorch.local.user_data import agent_settings

_AGENT_STOP_SECONDS = 10.0
TERMINAL_EXIT_CODE = 5
"""An agent that ends with this says that starting it again would change nothing."""
SIMULATED_AGENTS = "agents"
_NOTICE_INTERVAL = "5s"
"""An agent looks for a spot notice this often: on AWS each second, but here all of them ask one process."""
_LOOKS_A_SECOND = 20
_LOGGING_DRIVERS = '["json-file","syslog","journald","awslogs","fluentd","none"]'
"""So many simulated agents at most look for theirs each second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What all agents have in common: where the API is, whose keys they sign with, the folder of their
    folders.

    `inherited` is the environment that an agent gets besides its settings (PATH, HOME, DOCKER_HOST…). Containers find
    the door at `door`, a URL; empty where they can't. With `task_roles` they are led to their agent at 169.254.170.2.
    Images of ECR are those of `registry`, a host and port, if there is one.
    """

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str
    data: Path
    inherited: Mapping[str, str]
    door: str = ""
    task_roles: bool = False
    registry: str = ""

    def folder(self, instance: LocalInstance) -> Path:
        """The data folder of an instance's agent."""
        return self.data / "instances" / instance.id

    def environment(self, instance: LocalInstance, metadata_endpoint: str) -> dict[str, str]:
        """The settings of one agent: those of its user data, but for what makes this machine its host."""
        from_user_data = agent_settings(instance.user_data) or {}
        return from_user_data | {
            "ECS_CLUSTER": instance.cluster,
            "ECS_BACKEND_HOST": self.endpoint,
            "ECS_DATADIR": str(self.folder(instance)),
            "ECS_AGENT_CONFIG_FILE_PATH": str(self.folder(instance) / "config.json"),
            "ECS_IMAGE_PULL_BEHAVIOR": from_user_data.get("ECS_IMAGE_PULL_BEHAVIOR", "prefer-cached"),
            "ECS_ENABLE_SPOT_INSTANCE_DRAINING": from_user_data.get("ECS_ENABLE_SPOT_INSTANCE_DRAINING", "true"),
            "ECS_DISABLE_IMAGE_CLEANUP": from_user_data.get("ECS_DISABLE_IMAGE_CLEANUP", "true"),
            "ECS_ENABLE_TASK_IAM_ROLE": str(self.task_roles).lower(),
            # Rules for this machine's own network would be rules for all of its processes.
            "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": "false",
            "AWS_ENDPOINT_URL": self.endpoint,
            "ECS_AVAILABLE_LOGGING_DRIVERS": from_user_data.get("ECS_AVAILABLE_LOGGING_DRIVERS", _LOGGING_DRIVERS),
            # This machine's engine has no credentials of the local cloud.
            "AWSORCH_AWSLOGS_BY_AGENT": "true",
            "AWSORCH_EFS_FOLDER": str(self.data / "efs"),
            # Mounting takes root; a file of the volume's size stands in for its device.
            "ECS_EBSTA_SUPPORTED": str(os.geteuid() == 0).lower(),
            "AWSORCH_EBS_FOLDER": str(self.data / "ebs"),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata_endpoint,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWSORCH_SPOT_NOTICE_INTERVAL": _NOTICE_INTERVAL,
            "AWSORCH_PORT_BIND_ADDRESS": instance.address,
            "AWSORCH_INTROSPECTION_ADDRESS": instance.address,
            "AWSORCH_TASK_ENDPOINT_PORT": "0",
            "AWSORCH_INSTANCE_CPU": str(instance.cpu),
            "AWSORCH_INSTANCE_MEMORY": str(instance.memory),
            **({"AWSORCH_ECR_REGISTRY": self.registry} if self.registry else {}),
            **({"AWSORCH_TASK_FRONT": instance.address} if self.task_roles else {}),
            **({"AWSORCH_CONTAINER_ENVIRONMENT": json.dumps({"AWS_ENDPOINT_URL": self.door})} if self.door else {}),
        }


class DockerHosts:
    """One agent process per instance; all share the machine's Docker Engine."""

    def __init__(
        self,
        *,
        settings: AgentSettings,
        supervisor: Supervisor,
        metadata: MetadataService,
        containers: InstanceContainers,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._metadata = metadata
        self._containers = containers
        self._off: set[str] = set()
        self._on: dict[str, str] = {}

    def addresses(self) -> Collection[str]:
        """Where the agents of the instances that are on listen."""
        return self._on.values()

    async def switch_on(self, instance: LocalInstance) -> None:
        self._off.discard(instance.id)
        self._on[instance.id] = instance.address
        await self._metadata.serve(instance)
        if agent_name(instance) in self._supervisor.names():
            return
        folder = self._settings.folder(instance)
        folder.mkdir(parents=True, exist_ok=True)
        environment = self._settings.environment(instance, self._metadata.endpoint(instance))
        await self._supervisor.start(
            ChildSpec(
                name=agent_name(instance),
                command=(sys.executable, "-m", "awsorch.agent"),
                environment={**self._settings.inherited, **environment},
                final_exit_codes=frozenset({TERMINAL_EXIT_CODE}),
            )
        )

    async def switch_off(self, instance: LocalInstance) -> None:
        if instance.id in self._off:
            return
        await self._supervisor.stop(agent_name(instance), _AGENT_STOP_SECONDS)
        await asyncio.to_thread(self._containers.kill, self._settings.folder(instance))
        await self._metadata.withdraw(instance.address)
        self._on.pop(instance.id, None)
        self._off.add(instance.id)

    async def crash(self, instance: LocalInstance) -> None:
        await self._supervisor.kill(agent_name(instance))
        await asyncio.to_thread(self._containers.kill, self._settings.folder(instance))

    async def cut(self, instance: LocalInstance) -> None:
        """The agent's process is stopped in its tracks and its connections end, which the controller of a host whose
        cable is pulled finds out by itself some seconds later. Containers share this machine's network and can still be
        reached.
        """
        name = agent_name(instance)
        if not await self._supervisor.pause(name):
            raise Refused("IncorrectInstanceState", f"The agent of {instance.id} does not run now.")
        process_id, port = self._supervisor.process_id(name), urlsplit(self._settings.endpoint).port
        if process_id is not None and port is not None:
            hang_up(process_id, port)

    async def uncut(self, instance: LocalInstance) -> None:
        await self._supervisor.resume(agent_name(instance))

    async def dispose(self, instance: LocalInstance) -> None:
        folder = self._settings.folder(instance)
        await self._supervisor.stop(agent_name(instance), _AGENT_STOP_SECONDS)
        await asyncio.to_thread(self._containers.remove, folder)
        await self._metadata.withdraw(instance.address)
        await asyncio.to_thread(remove_folder, folder)
        self._on.pop(instance.id, None)
        self._off.discard(instance.id)

    async def settle(self) -> None:
        """Nothing is left to do: each agent has its own process."""

    async def attach(self, instance: LocalInstance, interfaces: Sequence[SeenInterface]) -> None:
        """Nothing: instances that share this machine's network have no interfaces, nor do their agents claim so."""


class SimulatedHosts:
    """All agents in one process, which starts afresh when the set of instances has changed."""

    def __init__(
        self,
        *,
        settings: AgentSettings,
        supervisor: Supervisor,
        metadata: MetadataService,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._metadata = metadata
        self._on: dict[str, dict[str, str]] = {}
        self._running: dict[str, dict[str, str]] = {}

    async def switch_on(self, instance: LocalInstance) -> None:
        await self._metadata.serve(instance)
        folder = self._settings.folder(instance)
        folder.mkdir(parents=True, exist_ok=True)
        self._on[instance.id] = self._settings.environment(instance, self._metadata.endpoint(instance))

    async def switch_off(self, instance: LocalInstance) -> None:
        self._on.pop(instance.id, None)
        await self._metadata.withdraw(instance.address)

    async def crash(self, instance: LocalInstance) -> None:
        self._on.pop(instance.id, None)
        await self.settle()

    async def attach(self, instance: LocalInstance, interfaces: Sequence[SeenInterface]) -> None:
        """Nothing: simulated containers have no network."""

    async def cut(self, instance: LocalInstance) -> None:
        raise Refused(
            "UnsupportedOperation", "Simulated agents share one process; cut needs a cloud with --engine docker."
        )

    async def uncut(self, instance: LocalInstance) -> None:
        """Nothing to do: none can be cut off."""

    async def dispose(self, instance: LocalInstance) -> None:
        await self.switch_off(instance)
        await self.settle()
        await asyncio.to_thread(remove_folder, self._settings.folder(instance))

    async def settle(self) -> None:
        if self._on == self._running:
            return
        await self._supervisor.stop(SIMULATED_AGENTS, _AGENT_STOP_SECONDS)
        self._running = {}
        if self._on:
            wanted = dict(self._on)
            path = self._settings.data / "run" / "agents.json"
            interval = {"AWSORCH_SPOT_NOTICE_INTERVAL": f"{max(len(wanted) // _LOOKS_A_SECOND, 5)}s"}
            interval["ECS_EBSTA_SUPPORTED"] = "false"
            write_private(path, json.dumps([each | interval for each in wanted.values()], indent=1))
            await self._supervisor.start(
                ChildSpec(
                    name=SIMULATED_AGENTS,
                    command=(sys.executable, "-m", "awsorch.agent", "--simulated", str(path)),
                    environment={**self._settings.inherited, SCRIPTS: str(path.with_name("containers.json"))},
                    final_exit_codes=frozenset({TERMINAL_EXIT_CODE}),
                )
            )
            self._running = wanted


def agent_name(instance: LocalInstance) -> str:
    """The name of an instance's agent among the children."""
    return f"agent-{instance.id}"
