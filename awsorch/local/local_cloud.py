"""The local cloud as one thing: its processes in the order in which they need each other, and its fleet.

The parts are put together here and nowhere else. moto and the controller start side by side, but where moto
first has to be told of the instances that there were; the fleet follows when both answer, since its instances
are moto's and its agents the controller's; ready is when every agent is connected.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from awsorch.agent.network_commands import NetworkError
from awsorch.local import notice, session_keys
from awsorch.local.balancer import process as haproxy
from awsorch.local.balancer.structure import connection_limit
from awsorch.local.bridge import Bridge, find_bridge
from awsorch.local.containers import EngineDown, InstanceContainers
from awsorch.local.data_folder import DataFolder
from awsorch.local.ec2 import Ec2Error, MotoEc2
from awsorch.local.ec2_events import EventBridge
from awsorch.local.ecs import LocalEcs
from awsorch.local.elsewhere import look_at
from awsorch.local.fleet import Fleet, Hosts
from awsorch.local.hosts import SIMULATED_AGENTS, AgentSettings, DockerHosts, SimulatedHosts, agent_name
from awsorch.local.imds import PORT, Identity, MetadataService
from awsorch.local.instances import FleetFile, LocalInstance, PowerState
from awsorch.local.moto_child import listen
from awsorch.local.moto_notices import NoticesQueue
from awsorch.local.netns_hosts import NetnsHosts
from awsorch.local.netns_images import ImageSource
from awsorch.local.netns_switch import Switch, prefix_beside
from awsorch.local.networks import claim_networks
from awsorch.local.options import CannotStart, Options
from awsorch.local.outages import Outages
from awsorch.local.outages_line import VARIABLE, Line
from awsorch.local.ready import Ready, ReadyInstance
from awsorch.local.supervisor import ChildSpec, Supervisor
from awsorch.local.task_front import TaskFront, front_at
from awsorch.local.waiting import until, until_answers

_log = logging.getLogger(__name__)

ACCOUNT_ID = "123456789012"
_MOTO, _CONTROLLER = "moto", "controller"
_CONNECT_SECONDS = 60.0
_STOP_SECONDS = 10.0
_NOT_INHERITED = ("AWS_", "ECS_", "AWSORCH_")
"""Children get what they need of these from us; a developer's real keys and settings stay outside."""


class LocalCloud:
    """One local cloud on a data folder that this process holds. `start`, then `stop`, once each."""

    def __init__(self, options: Options, folder: DataFolder, port: int, children_lock: int) -> None:
        self._options = options
        self._folder = folder
        self._port = port
        self._supervisor = Supervisor(folder.logs, inherited=(children_lock,))
        self._open = AsyncExitStack()
        self._fleet = AsyncExitStack()
        """What must end before its instances' processes do, or it would start them again."""
        self._line = Line()
        self._switch: Switch | None = None
        self._bridge: Bridge | None = None
        self._session_secret = ""
        self._elsewhere: frozenset[str] = frozenset()
        """Services that are left to what `--aws` names."""

    @property
    def endpoint(self) -> str:
        """Where clients on this machine find the door."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._options.host, self._options.host)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    async def start(self) -> Ready:
        """Start everything; returns when every agent is connected. Raises CannotStart; `stop` is due
        either way.
        """
        if self._options.engine == "docker":
            await _check_docker()
        self._open.push_async_callback(self._supervisor.close)
        notices = notice.Notice()
        self._open.callback(notices.close)
        self._open.callback(self._line.close)
        file = FleetFile(self._folder.fleet)
        self._session_secret = file.load_or_begin().secret
        network, claim = claim_networks(file.load_or_begin().network, self._options.hosts, self._folder.path)
        self._open.enter_context(claim)
        await self._start_balancer()
        door = await (self._start_switch(network) if self._options.hosts == "netns" else self._open_to_containers())
        if self._options.aws is not None:
            self._elsewhere = await look_at(self._options.aws, self._options.leave)
        upstream = await self._start_moto(notices)
        try:
            fleet, outages = await self._open_fleet(upstream, file, network, notices)
            if fleet.instances:
                # The controller asks what became of instances whose agents are away: EC2 has to know them by then.
                await self._until_upstream_answers(upstream)
                await fleet.restore()
            await self._start_controller(upstream, network, notices, door)
            await until_answers(f"{self.endpoint}/awsorch/health", _CONTROLLER, self._supervisor)
            await self._until_upstream_answers(upstream)
            return await self._start_fleet(fleet, outages, notices)
        except Ec2Error as error:
            raise CannotStart(f"the local instances cannot be started: {error}") from error

    async def stop(self) -> None:
        """Stop agents, controller, moto and HAProxy, in this order. Containers run on, on shared hosts."""
        await self._fleet.aclose()
        agents = [name for name in self._supervisor.names() if name not in {_CONTROLLER, _MOTO, haproxy.CHILD}]
        await self._supervisor.stop_all(agents, _STOP_SECONDS)
        await self._supervisor.stop(_CONTROLLER, _STOP_SECONDS)
        await self._supervisor.stop(_MOTO, _STOP_SECONDS)
        await self._supervisor.stop(haproxy.CHILD, _STOP_SECONDS)
        await self._open.aclose()

    async def _start_switch(self, network: str) -> socket.socket:
        """Make the network of instances that have their own; the socket at which they find the door."""
        self._switch = Switch(self._supervisor, prefix_beside(network), inherited_environment(os.environ))
        self._fleet.push_async_callback(self._switch.close)
        try:
            await self._switch.start()
            return self._open.enter_context(self._switch.listen(self._port))
        except OSError as error:
            raise CannotStart(f"the network of the local instances cannot be made: {error}") from error

    async def _open_to_containers(self) -> socket.socket | None:
        """The socket at which containers on this machine's engine find the door; None where they can't."""
        self._bridge = await asyncio.to_thread(find_bridge) if self._options.engine == "docker" else None
        if self._bridge is None:
            return None
        try:
            return self._open.enter_context(self._bridge.listen(self._port))
        except OSError as error:
            _log.warning("containers do not find the door: %s", error)
            self._bridge = None
            return None

    async def _start_front(self) -> TaskFront | None:
        """Lead containers on this machine's engine to their agents at 169.254.170.2; None where that can't be done."""
        if self._bridge is None:
            return None
        try:
            return await self._open.enter_async_context(front_at(self._bridge))
        except (OSError, NetworkError) as error:
            _log.warning("tasks here can't have roles: %s", error)
            return None

    async def _start_balancer(self) -> None:
        """Start HAProxy, which outlives the controller, so that no request is lost with it. Raises CannotStart."""
        try:
            spec = haproxy.child_spec(self._folder.balancer, inherited_environment(os.environ))
        except haproxy.HaproxyMissing as error:
            raise CannotStart(str(error)) from error
        haproxy.prepare(self._folder.balancer, connection_limit())
        await self._supervisor.start(spec)

    async def _start_moto(self, notices: notice.Notice) -> str:
        """Start moto on a socket that stays ours, so that its address outlives it and calls wait while it
        restarts.
        """
        listener = self._open.enter_context(listen("127.0.0.1", 0))
        await self._supervisor.start(
            ChildSpec(
                name=_MOTO,
                command=(
                    *(sys.executable, "-m", "awsorch.local.moto_child", "--fd", str(listener.fileno())),
                    *("--memory", str(self._folder.upstream / "moto.memory")),
                    *("--notices", ACCOUNT_ID, self._options.region),
                ),
                environment=inherited_environment(os.environ)
                | {notice.VARIABLE: str(notices.writing), session_keys.VARIABLE: self._session_secret},
                inherited=(listener.fileno(), notices.writing),
                started=notices.changed.set,
            )
        )
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def _start_controller(
        self, upstream: str, network: str, notices: notice.Notice, door: socket.socket | None
    ) -> None:
        key_id, secret = self._options.first_key
        settings = {
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            # Its own calls of AWS come through the door, as everybody's do.
            "AWSORCH_AWS_ENDPOINT": self.endpoint,
            "AWSORCH_HOST": self._options.host,
            "AWSORCH_PORT": str(self._port),
            "AWSORCH_DATA_DIR": str(self._folder.controller),
            "AWSORCH_REGION": self._options.region,
            "AWSORCH_ACCOUNT_ID": ACCOUNT_ID,
            "AWSORCH_ACCESS_KEYS": json.dumps(dict(self._options.access_keys)),
            "AWSORCH_STORE": "sqlite",
            session_keys.VARIABLE: self._session_secret,
            "AWSORCH_UPSTREAM": upstream,
            "AWSORCH_ELSEWHERE": (self._options.aws or "").rstrip("/"),
            "AWSORCH_ELSEWHERE_SERVICES": json.dumps(sorted(self._elsewhere)),
            # Nobody who develops wants to wait 40 seconds for a rollout, and nobody here throttles.
            "AWSORCH_SETTLE_SECONDS": "5" if self._options.engine == "docker" else "0.2",
            "AWSORCH_IDLE_SECONDS": "10",
            "AWSORCH_POLL_SECONDS": "0.5" if self._options.engine == "docker" else "0.1",
            "AWSORCH_LOCAL_DIR": str(self._folder.path),
            "AWSORCH_INERT_TYPES": json.dumps(list(self._options.inert)),
            "AWSORCH_LOOPBACK_NETWORK": network,
            "AWSORCH_NOTICES_QUEUE": self._notices_queue(),
            notice.VARIABLE: str(notices.writing),
            VARIABLE: str(self._line.theirs),
            "AWSORCH_DOOR_SOCKET": str(door.fileno()) if door is not None else "",
            "AWSORCH_DOOR_URL": self._door_url(),
        }
        await self._supervisor.start(
            ChildSpec(
                name=_CONTROLLER,
                command=(sys.executable, "-m", "awsorch.app"),
                environment=inherited_environment(os.environ) | settings,
                inherited=(notices.writing, self._line.theirs, *((door.fileno(),) if door is not None else ())),
            )
        )

    def _notices_queue(self) -> str:
        """The URL of the queue of EC2's notices; empty where moto, which has one, has no queues."""
        if "sqs" in self._elsewhere:
            return ""
        return NoticesQueue(account_id=ACCOUNT_ID, region=self._options.region).url(self.endpoint)

    async def _open_fleet(
        self, upstream: str, file: FleetFile, network: str, notices: notice.Notice
    ) -> tuple[Fleet, Outages]:
        """The fleet, and what may befall it; nothing is started yet."""
        options, keys = self._options, self._options.first_key
        ec2 = await self._open.enter_async_context(
            MotoEc2(url=upstream, region=options.region, access_key_id=keys[0], secret_access_key=keys[1])
        )
        record = file.load_or_begin()
        metadata = MetadataService(
            Identity(
                account_id=ACCOUNT_ID,
                region=options.region,
                access_key_id=keys[0],
                secret_access_key=keys[1],
                secret=record.secret,
            ),
            shared=self._open.enter_context(self._switch.listen(PORT)) if self._switch is not None else None,
            lifecycle_state=ec2.describe_lifecycle_state,
        )
        self._open.push_async_callback(metadata.close)
        events = await self._open.enter_async_context(
            EventBridge(
                url=(options.aws or upstream) if "events" in self._elsewhere else upstream,
                region=options.region,
                account_id=ACCOUNT_ID,
                access_key_id=ACCOUNT_ID if "events" in self._elsewhere else keys[0],
                secret_access_key=keys[1],
            )
        )
        hosts = await self._hosts(metadata)
        fleet = Fleet(
            file=file, ec2=ec2, hosts=hosts, events=events, prefix=self._switch.prefix if self._switch else network
        )
        outages = Outages(
            fleet=fleet, ec2=ec2, hosts=hosts, events=events, changed=notices.changed.set, clock=time.time
        )
        return fleet, outages

    async def _start_fleet(self, fleet: Fleet, outages: Outages, notices: notice.Notice) -> Ready:
        options, keys = self._options, self._options.first_key
        ecs = await self._open.enter_async_context(
            LocalEcs(url=self.endpoint, region=options.region, access_key_id=keys[0], secret_access_key=keys[1])
        )
        await ecs.ensure_cluster(options.cluster)
        await fleet.bring_back()
        await fleet.grow(options.instances, options.instance_type, options.cluster)
        await self._until_connected(ecs, fleet)
        for work in (fleet.watch(notices.changed), outages.keep(), self._line.serve(outages)):
            self._fleet.push_async_callback(_cancelled, asyncio.create_task(work))
        return self._ready(fleet)

    def _door_url(self) -> str:
        """Where containers find the door; empty where they don't."""
        containers_find = self._switch or self._bridge
        return f"http://{containers_find.address}:{self._port}" if containers_find else ""

    async def _hosts(self, metadata: MetadataService) -> Hosts:
        front = await self._start_front()
        door = self._door_url()
        settings = AgentSettings(
            endpoint=self.endpoint if self._switch is None else door,
            region=self._options.region,
            access_key_id=self._options.first_key[0],
            secret_access_key=self._options.first_key[1],
            data=self._folder.path,
            inherited=inherited_environment(os.environ),
            door=door,
            task_roles=front is not None or self._options.engine == "simulated",
            registry=self._options.registry or "",
        )
        if self._options.engine == "simulated":
            return SimulatedHosts(settings=settings, supervisor=self._supervisor, metadata=metadata)
        if self._switch is not None:
            hosts = NetnsHosts(
                settings=settings,
                supervisor=self._supervisor,
                metadata=metadata,
                switch=self._switch,
                images=ImageSource(),
            )
            await hosts.clear()
            self._fleet.push_async_callback(hosts.close)
            return hosts
        shared = DockerHosts(
            settings=settings,
            supervisor=self._supervisor,
            metadata=metadata,
            containers=InstanceContainers(),
        )
        if front is not None:
            front.agents = shared.addresses
        return shared

    def _ready(self, fleet: Fleet) -> Ready:
        instances = tuple(
            ReadyInstance(
                id=each.id,
                instance_type=each.instance_type,
                zone=each.zone,
                address=each.address,
                cluster=each.cluster,
            )
            for each in fleet.instances
        )
        environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": self._options.region,
            "AWS_ACCESS_KEY_ID": self._options.first_key[0],
            "AWS_SECRET_ACCESS_KEY": self._options.first_key[1],
        }
        return Ready(endpoint=self.endpoint, environment=environment, instances=instances, process_id=os.getpid())

    async def _until_upstream_answers(self, upstream: str) -> None:
        await until_answers(f"{upstream}/moto-api/config", _MOTO, self._supervisor)

    async def _until_connected(self, ecs: LocalEcs, fleet: Fleet) -> None:
        """Wait until the agents of all running instances of our cluster are connected."""
        wanted = {
            each.id: each
            for each in fleet.instances
            if each.cluster == self._options.cluster and each.state is PowerState.RUNNING
        }
        missing = set(wanted)

        async def are_connected() -> bool:
            missing.intersection_update(wanted.keys() - await ecs.connected_instances(self._options.cluster))
            return not missing or any(self._has_given_up(wanted[each]) for each in missing)

        await until(are_connected, _CONNECT_SECONDS + 0.05 * len(wanted))
        if missing:
            raise CannotStart(self._why_not_connected([wanted[each] for each in sorted(missing)]))

    def _has_given_up(self, instance: LocalInstance) -> bool:
        return self._supervisor.ended(self._agent_of(instance)) is not None

    def _why_not_connected(self, instances: list[LocalInstance]) -> str:
        names = ", ".join(each.id for each in instances[:5]) + (" …" if len(instances) > 5 else "")
        words = self._supervisor.last_words(self._agent_of(instances[0]))
        return f"the agents of {names} did not connect. The end of the first one's log:\n{words}"

    def _agent_of(self, instance: LocalInstance) -> str:
        return SIMULATED_AGENTS if self._options.engine == "simulated" else agent_name(instance)


def inherited_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What children get of this process's environment: all but AWS's, ECS's and our own variables."""
    return {name: value for name, value in environment.items() if not name.startswith(_NOT_INHERITED)}


async def _check_docker() -> None:
    try:
        await asyncio.to_thread(InstanceContainers().check)
    except EngineDown as error:
        raise CannotStart(
            f"{error}. Start it (for example: systemctl start docker, or dockerd &), let this user use its socket, "
            "or run with --engine simulated."
        ) from error


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
