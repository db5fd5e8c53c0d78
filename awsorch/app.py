"""The composition root: puts the controller together from its parts and serves it. The only file that imports them all.

``python -m awsorch.app`` runs one controller until SIGTERM or SIGINT; settings come from the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from awsorch.adapters.everything import Adapters
from awsorch.api.activations import PATH as ACTIVATIONS
from awsorch.api.activations import Activations
from awsorch.api.auth import Authenticator
from awsorch.api.http import EcsEndpoint
from awsorch.api.metrics import PATH as METRICS
from awsorch.api.metrics import Metrics
from awsorch.api.sessions import Sessions
from awsorch.api.standby import stand_by
from awsorch.cfn.ecs import EcsProvider
from awsorch.core.arn import Scope
from awsorch.custom_resources.door import PATH as RESOURCES
from awsorch.custom_resources.door import ResourcesDoor
from awsorch.custom_resources.intake import CustomResources
from awsorch.engine.access_keys import AccessKeys
from awsorch.engine.controller import Controller
from awsorch.engine.outbox import Outbox
from awsorch.engine.ports import LeaseLost, Store, StoreFailure
from awsorch.engine.utilization import UtilizationMeter
from awsorch.gateway.connection import DoorServer
from awsorch.gateway.exec_sessions import PREFIX as COMMANDS
from awsorch.gateway.server import Gateway
from awsorch.gateway.task_credentials import TaskCredentials
from awsorch.local.door import Door
from awsorch.local.ebs_files import remove_volume
from awsorch.local.elb_watch import FactsUnknown
from awsorch.local.elsewhere import Elsewhere
from awsorch.local.moto_faults_door import PATH as FAULTS
from awsorch.local.moto_faults_door import FaultsDoor
from awsorch.local.notice import VARIABLE, notifier
from awsorch.local.outages_door import PATH as OUTAGES
from awsorch.local.outages_door import OutagesDoor
from awsorch.local.outages_line import Desk
from awsorch.local.session_calls import SessionCalls
from awsorch.local.session_keys import LocalKeys
from awsorch.local.signatures import ServiceVerifier
from awsorch.local.stacks.clients import AwsClients
from awsorch.local.stacks.mailbox import PREFIX as LETTERS
from awsorch.opening import (
    access_secret,
    open_custom_resources,
    open_elb,
    open_stacks,
    open_store,
    own_calls,
    owner_of,
    pace_of,
    user_data_of,
)
from awsorch.settings import BadSetting, Settings
from awsorch.wire.caller_proof import PATH as SESSION
from awsorch.wire.caller_proof import sts_url
from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import Verifier

logger = logging.getLogger("awsorch")

#: A client that keeps a connection without a request is let go after this long. Seconds.
KEEPALIVE_S = 75.0
#: Requests under way get this long to end at shutdown. Seconds.
SHUTDOWN_S = 2.0
EXIT_BAD_SETTING = 2
#: What ``GET /awsorch/balancers`` answers outside a local cloud.
NO_BALANCERS: dict[str, Any] = {"loadBalancers": [], "targetGroups": []}


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class App:
    """One controller with everything around it: ``start`` binds and serves, ``stop`` lets go of all of it."""

    # There when its API is, which they call.
    _own_calls: AwsClients | None = None
    _resources: ResourcesDoor | None = None
    _custom_resources: CustomResources | None = None

    def __init__(self, settings: Settings, *, store: Store | None = None) -> None:
        self.settings = settings
        outbox = Outbox()
        self._adapters = Adapters(
            region=settings.region,
            endpoint=settings.aws_endpoint or None,
            post=outbox.post,
            clusters=lambda: self.controller.clusters,
            user_data=user_data_of(settings),
            clock=time.time,
        )
        adapters = self._adapters
        self._store = store or open_store(settings, adapters.database_password(settings.database_secret))
        self.controller = Controller(
            self._store, outbox.send, time.time, pace_of(settings), adapters.catalogue, adapters.machines
        )
        self.controller.leases.owner = owner_of(settings)
        scope = Scope(region=settings.region, account=settings.account_id)
        secret = access_secret(settings)
        local_keys = LocalKeys(settings.access_keys, settings.session_secret)
        all_keys = AccessKeys(local_keys, secret, self.controller.registry, time.time)
        verifier = Verifier(all_keys, "ecs", clock=_utc_now) if settings.access_keys else None
        self.gateway = self._open_gateway(all_keys, TaskCredentials(adapters.task_roles, secret), scope, verifier)
        outbox.connect(agents=self.gateway)
        outbox.connect_aws(targets=adapters.load_balancing, alarms=adapters.alarms, inboxes=self.controller.clusters)
        outbox.connect_fleet(groups=adapters.groups, machines=adapters.machines, reservations=adapters.metrics)
        outbox.connect_attachments(adapters.attachments)
        self._authenticator = Authenticator(scope, verifier, all_keys.holder_of)
        self._activations = Activations(self.controller, scope, self._authenticator, all_keys)
        self._sessions = self._open_sessions(all_keys, scope)
        self._endpoint = EcsEndpoint(
            self.controller,
            scope,
            self._authenticator,
            load_balancers=adapters.load_balancing,
            auto_scaling=adapters.groups,
            task_roles=adapters.task_roles,
        )
        self._endpoint.commands, self._endpoint.agent_package = self.gateway.commands, settings.agent_package
        adapters.metrics.namespace = settings.metrics_namespace
        self._meter = UtilizationMeter(self.controller.clusters, self.gateway, adapters.metrics, time.time)
        self._metrics = self._open_metrics(outbox)
        self._elb = open_elb(settings)
        self._desk = Desk.open(settings.outages)
        self._outages = OutagesDoor(self._authenticator, self._desk)
        self._faults = FaultsDoor(self._authenticator, settings.upstream)
        self._stacks = open_stacks(settings)
        self.door = self._open_door(local_keys)
        self._runner: web.ServerRunner | None = None

    def _open_door(self, local_keys: LocalKeys) -> Door:
        settings = self.settings
        door = Door(
            upstream=settings.upstream or None,
            ecs=self._serve_own,
            verifier=ServiceVerifier(local_keys, clock=_utc_now) if settings.access_keys else None,
            changed=notifier({VARIABLE: settings.fleet_notify}),
            elb=self._elb.calls if self._elb is not None else None,
            rebooted=self._desk.reboot if self._desk is not None else None,
        )
        if settings.elsewhere:
            services = frozenset(settings.elsewhere_services)
            door.elsewhere = Elsewhere(url=settings.elsewhere, services=services, account_id=settings.account_id)
        door.own.append(SessionCalls(self.gateway.commands))
        if self._stacks is not None:
            door.own.append(self._stacks.calls)
        if settings.local_dir:
            door.volume_deleted = partial(remove_volume, Path(settings.local_dir))
        return door

    def _open_metrics(self, outbox: Outbox) -> Metrics:
        requests, token = self._endpoint.figures, self.settings.metrics_token
        return Metrics(self.controller, requests, outbox.figures, lambda: self.gateway.connections, token)

    def _open_gateway(
        self, keys: AccessKeys, credentials: TaskCredentials, scope: Scope, verifier: Verifier | None
    ) -> Gateway:
        gateway = Gateway(
            self.controller,
            scope=scope,
            verifier=verifier,
            clock=time.time,
            holder_of=keys.holder_of,
            credentials=credentials,
        )
        gateway.commands.audit, gateway.commands.keys = self._adapters.session_logs, self._adapters.channel_keys
        return gateway

    def _open_sessions(self, keys: AccessKeys, scope: Scope) -> Sessions:
        settings = self.settings
        # Past the door of a local cloud, which does not know the keys of instances' roles.
        elsewhere = settings.upstream or settings.aws_endpoint or None
        return Sessions(
            callers=self._adapters.callers(sts_url(settings.region), elsewhere),
            keys=keys,
            scope=scope,
            roles=settings.instance_roles,
            needed=bool(settings.access_keys),
            clock=time.time,
        )

    @property
    def port(self) -> int:
        """The port that is listened on (settings may say 0 for any)."""
        assert self._runner is not None, "the app is not serving"
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self) -> None:
        """Load the store, then serve. A controller of several waits until it leads, and says so to who asks.
        Raises OSError (the port is taken), StoreFailure, LeaseLost."""
        async with self._standing_by():
            await self.controller.start()
        if self.settings.notices_queue:
            self._adapters.read_notices(self.settings.notices_queue)
        await self.gateway.start()
        self._meter.start()
        if self._elb is not None:
            await self._elb.start()
        # No router: the door looks at each request anyway, and ten thousand agents come back faster without one.
        server = DoorServer(
            self.door.handle,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.settings.host, self.settings.port, backlog=1024).start()
        if self.settings.door_socket:
            await web.SockSite(self._runner, socket.socket(fileno=int(self.settings.door_socket))).start()
        if self._stacks is not None:
            self._stacks.start()
        self._own_calls = own_calls(self.settings, self.port)
        self._resources = ResourcesDoor(EcsProvider(self._own_calls), self._authenticator.caller_arn)
        self._custom_resources = await open_custom_resources(
            self.settings, self._store, self.controller.leases, self._adapters.aws, self.port
        )
        if self._custom_resources is not None:
            self._custom_resources.start()

    @contextlib.asynccontextmanager
    async def _standing_by(self) -> AsyncIterator[None]:
        if not self.controller.leases.owner.patient:
            yield
            return
        runner = web.ServerRunner(web.Server(stand_by, access_log=None), shutdown_timeout=0.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
            yield
        finally:
            await runner.cleanup()

    async def stop(self) -> None:
        """Stop serving; what was answered is stored."""
        if self._custom_resources is not None:
            await self._custom_resources.close()
        if self._own_calls is not None:
            await self._own_calls.close()
        if self._stacks is not None:
            await self._stacks.close()
        await self._adapters.stop_notices()  # in a local cloud they are read through the door
        if self._desk is not None:
            self._desk.close()
        await self._meter.close()
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.door.close()
        if self._elb is not None:
            await self._elb.close()
        await self.controller.stop()
        await self._adapters.close()
        await self._store.close()

    async def _serve_own(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/awsorch/health":
            return web.json_response({"status": "ok"})
        if request.path == METRICS:
            return await self._metrics.handle(request)
        if request.path == "/acs/ws":
            return await self.gateway.serve_acs(request)
        if request.path == "/tcs/ws":
            return await self.gateway.serve_tcs(request)
        if request.path.startswith(COMMANDS):
            return await self.gateway.commands.serve(request)
        if request.path.startswith(ACTIVATIONS):
            return await self._activations.handle(request)
        if request.path == SESSION:
            return await self._sessions.handle(request)
        if request.path == FAULTS:
            return await self._faults.handle(request)
        if request.path.startswith(OUTAGES):
            return await self._outages.handle(request)
        if request.path.startswith(LETTERS) and self._stacks is not None:
            return await self._stacks.letters.handle(request)
        if request.path == RESOURCES and self._resources is not None:
            return await self._signed(request, self._resources.handle)
        if request.path == "/awsorch/balancers":
            return await self._signed(request, self._describe_balancers)
        return await self._endpoint.handle(request)

    async def _signed(self, request: web.BaseRequest, handle: Handler) -> web.StreamResponse:
        """What answers a path of ours, or why its signature is not good."""
        try:
            return await handle(request)
        except WireError as refusal:
            return web.json_response({"__type": refusal.code, "message": refusal.message}, status=refusal.status)

    async def _describe_balancers(self, request: web.BaseRequest) -> web.StreamResponse:
        """``GET /awsorch/balancers``: what the local balancer does, beside what ELB's own API tells."""
        self._authenticator.caller_arn(request, await request.read())
        try:
            described = await self._elb.describe() if self._elb is not None else NO_BALANCERS
        except FactsUnknown:
            message = "What load balancers there are is not known yet."
            return web.json_response({"__type": "ServiceUnavailable", "message": message}, status=503)
        return web.json_response(described)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _collect_seldom() -> None:
    """Nearly all that a controller allocates lives long or has no cycles: looking for cycles at every 700 new objects
    costs a quarter of the time in which ten thousand agents come back."""
    gc.set_threshold(50_000, 50, 50)


def _allow_many_connections() -> None:
    """Use all the file descriptors that the system allows: every agent holds two connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(settings: Settings) -> None:
    """Run one controller until it is told to end."""
    app = App(settings)
    loop = asyncio.get_running_loop()
    ended, lost = loop.create_task(_told_to_end()), loop.create_task(app.controller.leases.lost.wait())
    starting = loop.create_task(app.start())
    try:
        await asyncio.wait((starting, ended), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            logger.info("serving ECS at http://%s:%d", settings.host, app.port)
            await asyncio.wait((ended, lost), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (starting, ended, lost):
            task.cancel()
        await asyncio.gather(starting, ended, lost, return_exceptions=True)
        await app.stop()
    if app.controller.leases.lost.is_set():
        raise LeaseLost("another controller leads, or may")


async def _told_to_end() -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def main() -> int:
    """Entry point of ``python -m awsorch.app``. Exit status 1 for a fault, 2 for a bad setting."""
    try:
        settings = Settings.read()
    except BadSetting as error:
        print(f"awsorch: {error}", file=sys.stderr)
        return EXIT_BAD_SETTING
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _allow_many_connections()
    _collect_seldom()
    try:
        asyncio.run(serve(settings))
    except BadSetting as error:
        logger.error("cannot serve: %s", error)
        return EXIT_BAD_SETTING
    except (OSError, StoreFailure, LeaseLost) as error:
        logger.error("cannot serve: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
