"""One agent, put together and run: it registers, takes up what a former life left, connects, and stays.

Stopping it stops no container.
"""

import asyncio
import logging
import platform
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from awsorch.agent import AGENT_HASH, AGENT_VERSION, credentials
from awsorch.agent.api import ECS, APIError, TerminalError
from awsorch.agent.assignment import Assignment
from awsorch.agent.capabilities import attributes
from awsorch.agent.cloudwatch_logs import LOGS, CloudWatchLogs
from awsorch.agent.control import Asides, Control
from awsorch.agent.doctor import Doctor
from awsorch.agent.ebs import mounts_of
from awsorch.agent.efs import CAPABILITY
from awsorch.agent.engine import Engine, EngineError, EngineFacts
from awsorch.agent.environment import Placement
from awsorch.agent.exec_sessions import ExecSessions
from awsorch.agent.host import Host
from awsorch.agent.identity import Identity, InstanceMetadata
from awsorch.agent.images import ImageStock
from awsorch.agent.inputs import TaskInputs
from awsorch.agent.interface_reports import InterfaceReports
from awsorch.agent.kernel_stats import NoKernelStats, StatsSource
from awsorch.agent.leftovers import clean_for_ever
from awsorch.agent.link_local import route
from awsorch.agent.measurements import Measurements
from awsorch.agent.metadata_files import HostFacts, MetadataFiles
from awsorch.agent.network_commands import NetworkError
from awsorch.agent.notices import drain_when_noticed
from awsorch.agent.ports import Ports, Probe, default_range
from awsorch.agent.registry_access import RegistryAccess
from awsorch.agent.reports import Reports
from awsorch.agent.resources import cpu_of, memory_of, total_resources
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.servers import Servers, import_servers
from awsorch.agent.services import AwsServices
from awsorch.agent.session import Registration
from awsorch.agent.settings import SettingError, Settings, firelens_folder
from awsorch.agent.state_file import Batch, Saved, StateFile, StateFileError, StateInMemory, Store
from awsorch.agent.supervisor import Supervisor
from awsorch.agent.surroundings import Surroundings
from awsorch.agent.task_limits import TaskLimits
from awsorch.agent.task_networks import networks_of
from awsorch.agent.telemetry import Publishing, Telemetry
from awsorch.agent.update_folder import folder_of
from awsorch.agent.updates import Updates
from awsorch.agent.usage import UsageSource
from awsorch.agent.volume_reports import VolumeReports

LOG = logging.getLogger(__name__)

STATE_FILE = "agent.db"
METADATA_FOLDER = "metadata"
INSTANCE_ARN_FACT = "container-instance-arn"
CLUSTER_FACT = "cluster-name"
INSTANCE_ID_FACT = "ec2-instance-id"
VERSION_FACT = "agent-version"
PULLED_FACT = "pulled-image "
ENDPOINT_PORT_FACT = "task-endpoint-port"
ENGINE_RETRY = (2.0, 200.0, 1.5)
DEFAULT_CLUSTER = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What differs between a real agent and a simulated one. `probe` tries a host port.

    `serves_containers`: simulated ones never call their agent, so a fleet need not listen for them.
    """

    engine: Engine
    usage: UsageSource
    probe: Probe
    clock: Callable[[], float]
    stats: StatsSource = field(default_factory=NoKernelStats)
    telemetry_when_idle: bool = True
    cleans_images: bool = True
    serves_containers: bool = True


class Agent:
    """An agent with its own settings; several may live in one process."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        http: aiohttp.ClientSession,
        parts: Parts,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._http = http
        self._parts = parts
        self._metadata = InstanceMetadata(http, settings.metadata_endpoint)
        self.registered = asyncio.Event()
        """Set when the agent has its container instance and has taken up its former tasks."""

    async def run(self) -> None:
        """Runs until cancelled. Raises TerminalError, APIError, SettingError, StateFileError or NoIdentityError."""
        settings = self._settings
        outside = Identity(instance_id=settings.managed_instance_id)
        identity = outside if settings.external else await self._metadata.identify()
        region = settings.region or identity.region
        if not region:
            raise SettingError("AWS_DEFAULT_REGION is not set and no instance metadata tells the region")
        endpoint = settings.backend_host or f"https://ecs.{region}.amazonaws.com"
        signing = credentials.signing_credentials(self._own_credentials(), self._http, settings.backend_host, region)
        ecs = ECS(self._http, endpoint, region, signing, self._parts.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(import_servers(settings, for_containers=self._parts.serves_containers))
            waiting = group.create_task(self._wait_for_engine())
        facts = waiting.result()
        store = self._open_store()
        try:
            saved = self._check_saved(store.load(), identity)
            if saved is None:
                store.close()
                store, saved = self._fresh_store(), Saved()
            registration = await self._register(ecs, identity, facts, saved)
            self._remember(store, registration, identity)
            await self._live(ecs, registration, region, facts, store, saved)
        finally:
            store.close()
            await self._parts.engine.close()

    # Before the registration

    def _own_credentials(self) -> credentials.FixedCredentials | credentials.RoleCredentials:
        return credentials.own_credentials(self._environment, self._metadata, self._parts.clock)

    async def _wait_for_engine(self) -> EngineFacts:
        delay, longest, growth = ENGINE_RETRY
        while True:
            try:
                return await self._parts.engine.facts()
            except EngineError as error:
                LOG.warning("%s; trying again in %g s", error, delay)
            await asyncio.sleep(delay)
            delay = min(delay * growth, longest)

    def _open_store(self) -> Store:
        if not self._settings.checkpoint:
            return StateInMemory()
        return StateFile(Path(self._settings.data_dir or ".") / STATE_FILE)

    def _fresh_store(self) -> Store:
        path = Path(self._settings.data_dir or ".") / STATE_FILE
        for each in (path, path.with_name(STATE_FILE + "-wal"), path.with_name(STATE_FILE + "-shm")):
            each.unlink(missing_ok=True)
        return self._open_store()

    def _check_saved(self, saved: Saved, identity: Identity) -> Saved | None:
        """The saved state if it is this instance's; None when the disk was copied from another instance."""
        cluster = saved.facts.get(CLUSTER_FACT)
        if cluster is not None and cluster != self._settings.cluster:
            raise TerminalError(
                f"ClientException: this instance is registered in cluster {cluster}, but ECS_CLUSTER is "
                f"{self._settings.cluster}; remove {STATE_FILE} in ECS_DATADIR to register it anew"
            )
        if identity.instance_id and saved.facts.get(INSTANCE_ID_FACT, identity.instance_id) != identity.instance_id:
            LOG.warning("the saved state belongs to instance %s and is dropped", saved.facts[INSTANCE_ID_FACT])
            return None
        return saved

    # The registration

    async def _register(self, ecs: ECS, identity: Identity, facts: EngineFacts, saved: Saved) -> Registration:
        settings, arn = self._settings, saved.facts.get(INSTANCE_ARN_FACT)
        request: dict[str, Any] = {
            "cluster": settings.cluster,
            "instanceIdentityDocument": identity.document,
            "instanceIdentityDocumentSignature": identity.signature,
            "totalResources": total_resources(self._settings, facts),
            "attributes": attributes(settings, facts, identity, platform.machine(), first=arn is None),
            "versionInfo": {
                "agentVersion": AGENT_VERSION,
                "agentHash": AGENT_HASH,
                "dockerVersion": f"DockerVersion: {facts.version}",
            },
        }
        if arn is not None:
            request["containerInstanceArn"] = arn
        if settings.instance.gpus:
            request["platformDevices"] = [{"id": each, "type": "GPU"} for each in settings.instance.gpus]
        if settings.instance.tags:
            request["tags"] = [{"key": key, "value": value} for key, value in settings.instance.tags.items()]
        try:
            instance = await ecs.register(request)
        except (APIError, TerminalError) as error:
            if settings.cluster != DEFAULT_CLUSTER or "ClusterNotFoundException" not in str(error):
                raise
            await ecs.call("CreateCluster", {"clusterName": DEFAULT_CLUSTER})
            instance = await ecs.register(request)
        LOG.info("registered as %s", instance["containerInstanceArn"])
        return Registration(
            cluster=settings.cluster,
            instance_arn=instance["containerInstanceArn"],
            zone_id=identity.zone_id,
            docker_version=facts.version,
            vpc_id=identity.vpc_id,
            private_ip=identity.private_ip,
        )

    @staticmethod
    def _remember(store: Store, registration: Registration, identity: Identity) -> None:
        facts = {
            INSTANCE_ARN_FACT: registration.instance_arn,
            CLUSTER_FACT: registration.cluster,
            VERSION_FACT: AGENT_VERSION,
        }
        if identity.instance_id:
            facts[INSTANCE_ID_FACT] = identity.instance_id
        store.save(Batch(facts=facts, durable=True))

    # The life

    async def _live(
        self, ecs: ECS, registration: Registration, region: str, facts: EngineFacts, store: Store, saved: Saved
    ) -> None:
        tasks: dict[str, Assignment] = {}
        roles = RoleCredentialsStore(tasks, self._parts.clock)
        services = AwsServices(self._http, self._environment, self._parts.clock)
        async with Servers(self._settings, registration, tasks, roles) as servers:
            await servers.introspect(self._parts.engine, self._parts.usage)
            surroundings = Surroundings(
                settings=self._settings,
                place=Placement(
                    instance_arn=registration.instance_arn,
                    cluster=registration.cluster,
                    region=region,
                    agent_url=await self._serve_containers(servers, ecs, facts, store, saved),
                    is_routed=self._settings.task_roles,
                    is_routed_on_host=self._settings.task_roles_on_host,
                    environment=self._settings.container_environment,
                    ships_logs=self._settings.engine.awslogs_by_agent,
                    efs_folder=self._settings.instance.efs_folder,
                    has_efs_plugin=CAPABILITY in self._settings.instance.volume_plugin_capabilities,
                    gpu_runtime="" if self._settings.external else self._settings.instance.gpu_runtime,
                    firelens_folder=firelens_folder(self._settings.data_dir),
                    logs_endpoint=services.given_endpoint(LOGS),
                    logs_by_execution_role=self._settings.engine.awslogs_by_execution_role,
                ),
                clock=self._parts.clock,
                suffix=lambda: secrets.token_hex(10),
                engine=self._parts.engine,
                images=self._images(store, saved),
                inputs=TaskInputs(services, roles, region),
                registries=RegistryAccess(services, roles, self._own_credentials(), self._parts.clock),
                cloudwatch=CloudWatchLogs(services, roles, self._own_credentials()),
                networks=networks_of(self._parts.engine, self._settings.instance),
                volumes=mounts_of(self._settings),
                limits=TaskLimits(self._settings.engine.limits, facts.cgroup_parent),
                store=store,
                host=self._host(facts),
                ports=self._ports(),
                tasks=tasks,
                metadata_files=await self._metadata_files(registration),
            )
            await self._work(ecs, registration, surroundings, roles, facts, saved)

    async def _work(
        self,
        ecs: ECS,
        registration: Registration,
        surroundings: Surroundings,
        roles: RoleCredentialsStore,
        facts: EngineFacts,
        saved: Saved,
    ) -> None:
        parts, settings = self._parts, self._settings
        doctor = Doctor(parts.engine, parts.clock)
        telemetry = Telemetry(
            self._http,
            ecs,
            registration,
            Measurements(surroundings.tasks, parts.usage, parts.clock, cpu_of(self._settings, facts) / 1024),
            doctor,
            Publishing(
                metrics=not settings.engine.metrics_disabled,
                health=not settings.engine.health_check_disabled,
                when_idle=parts.telemetry_when_idle,
            ),
        )
        reports = Reports(ecs.submit)
        supervisor = Supervisor(surroundings, reports, telemetry)
        asides = self._asides(doctor, ecs, registration, surroundings)
        control = Control(self._http, ecs, registration, supervisor, roles, asides)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._find_gateway(ecs, registration))
                group.create_task(supervisor.recover(saved))
            self.registered.set()
            asides.volumes.look_back()
            await surroundings.metadata_files.catch_up(surroundings.tasks.values(), parts.engine)
            async with asyncio.TaskGroup() as group:
                group.create_task(control.run())
                group.create_task(telemetry.run())
                group.create_task(asides.updates.wait())
                if not settings.engine.image_cleanup_disabled and parts.cleans_images:
                    group.create_task(clean_for_ever(surroundings))
                if settings.spot_draining and not settings.external:
                    group.create_task(drain_when_noticed(self._metadata, ecs, registration, settings.spot_interval))
        finally:
            await asides.close()
            await supervisor.close()
            await surroundings.inputs.close()
            await reports.close()

    def _asides(self, doctor: Doctor, ecs: ECS, registration: Registration, surroundings: Surroundings) -> Asides:
        services = AwsServices(self._http, self._environment, self._parts.clock)
        folder = folder_of(self._settings, self._environment)
        return Asides(
            doctor.heartbeat,
            ExecSessions(self._http, ecs, self._parts.engine, surroundings.tasks),
            InterfaceReports(ecs, registration.cluster),
            VolumeReports(ecs, registration.cluster, surroundings),
            Updates(self._http, services, self._own_credentials(), surroundings.place.region, folder),
        )

    @staticmethod
    async def _find_gateway(ecs: ECS, registration: Registration) -> None:
        """Find out where to connect while there is something else to do."""
        try:
            await ecs.discover_poll_endpoint(registration.cluster, registration.instance_arn, registration.zone_id)
        except APIError as error:
            LOG.warning("%s; the sessions ask again", error)

    async def _serve_containers(
        self, servers: Servers, ecs: ECS, facts: EngineFacts, store: Store, saved: Saved
    ) -> str:
        """The URL at which containers reach this agent, the same one for as long as there are any; empty for none."""
        if not (self._parts.serves_containers and facts.bridge_address):
            return ""
        kept_port = int(saved.facts.get(ENDPOINT_PORT_FACT, 0)) if saved.tasks else 0
        parts = self._parts
        port = await servers.serve_containers(ecs, parts.engine, parts.stats, facts.bridge_address, kept_port)
        if self._settings.task_roles and not self._settings.task_front:
            await self._route(facts.bridge_address, port)
        if not port:
            return ""
        store.save(Batch(facts={ENDPOINT_PORT_FACT: str(port)}))  # on the disk with the first task that is told of it
        return f"http://{facts.bridge_address}:{port}"

    async def _route(self, address: str, port: int) -> None:
        """Raises SettingError: an agent that cannot give tasks their roles is not to claim that it can."""
        try:
            if not port:
                raise NetworkError(f"nothing can listen on {address}")
            await route(address, port, on_host=self._settings.task_roles_on_host)
        except NetworkError as error:
            raise SettingError(
                f"ECS_ENABLE_TASK_IAM_ROLE is set, but containers cannot be led here: {error}"
            ) from error

    async def _metadata_files(self, about: Registration) -> MetadataFiles:
        if not self._settings.metadata_files:
            return MetadataFiles()
        public = None if self._settings.external else await self._metadata.get("meta-data/public-ipv4")
        host = HostFacts(
            cluster=about.cluster, instance_arn=about.instance_arn, private_ip=about.private_ip, public_ip=public or ""
        )
        folder = Path(self._settings.data_dir or ".").absolute() / METADATA_FOLDER
        return MetadataFiles(folder, host, private=self._settings.instance.selinux_capable)

    def _images(self, store: Store, saved: Saved) -> ImageStock:
        pulled = {name.removeprefix(PULLED_FACT) for name in saved.facts if name.startswith(PULLED_FACT)}

        def remember(image: str) -> None:
            try:
                store.save(Batch(facts={PULLED_FACT + image: "1"}))
            except StateFileError as error:
                LOG.warning("that %s was pulled is not stored: %s", image, error)

        return ImageStock(self._parts.engine, self._settings.engine, self._parts.clock, pulled, remember)

    def _host(self, facts: EngineFacts) -> Host:
        instance = self._settings.instance
        reserved = {(port, "tcp") for port in instance.reserved_ports}
        reserved |= {(port, "udp") for port in instance.reserved_ports_udp}
        return Host(cpu_of(self._settings, facts), memory_of(self._settings, facts), frozenset(reserved))

    def _ports(self) -> Ports:
        instance = self._settings.instance
        span = instance.dynamic_port_range or default_range()
        return Ports(instance.port_bind_address, span, self._parts.probe)
