"""ACS: the websocket over which the controller gives this instance its work.

Messages are taken one after the other. A payload is acknowledged when it is stored, which must not hold up the
heartbeats behind it, so acknowledgements are sent when they are due.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from awsorch.agent import AGENT_HASH, AGENT_VERSION
from awsorch.agent.api import ECS
from awsorch.agent.exec_sessions import ExecSessions
from awsorch.agent.interface_reports import InterfaceReports
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.session import Backoff, Ending, Registration, open_websocket, read, stay_connected, websocket_url
from awsorch.agent.state_file import StateFileError, without_secrets
from awsorch.agent.supervisor import Supervisor
from awsorch.agent.updates import UpdateError, Updates
from awsorch.agent.volume_reports import VolumeReports
from awsorch.wire import acs
from awsorch.wire.errors import WireError

LOG = logging.getLogger(__name__)

BACKOFF = Backoff(first=0.25, last=120.0, growth=1.5)


@dataclass(frozen=True, slots=True)
class Asides:
    """What messages concern besides tasks: `heartbeat` is called for each of the controller's."""

    heartbeat: Callable[[], None]
    commands: ExecSessions
    interfaces: InterfaceReports
    volumes: VolumeReports
    updates: Updates

    async def close(self) -> None:
        """The agent stops."""
        for each in (self.commands, self.interfaces, self.volumes):
            await each.close()


class Control:
    """One agent's control sessions, one after the other."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        ecs: ECS,
        registration: Registration,
        supervisor: Supervisor,
        roles: RoleCredentialsStore,
        asides: Asides,
    ) -> None:
        self._http = http
        self._ecs = ecs
        self._registration = registration
        self._supervisor = supervisor
        self._roles = roles
        self._asides = asides
        self._base = ""
        self._was_connected = False
        self._manifest_id = ""
        self._answers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        try:
            await stay_connected("ACS", self._session, BACKOFF)
        finally:
            for answer in self._answers:
                answer.cancel()

    async def _session(self) -> Ending:
        about = self._registration
        endpoint = await self._ecs.discover_poll_endpoint(about.cluster, about.instance_arn, about.zone_id)
        url = websocket_url(
            endpoint.control,
            {
                "agentHash": AGENT_HASH,
                "agentVersion": AGENT_VERSION,
                "awsorchExec": "true",
                "clusterArn": about.cluster,
                "containerInstanceArn": about.instance_arn,
                "dockerVersion": f"DockerVersion: {about.docker_version}",
                "protocolVersion": "2",
                "seqNum": "1",
                "sendCredentials": "false" if self._was_connected and not self._roles.are_wanted() else "true",
            },
        )
        socket = await open_websocket(self._http, self._ecs, url)
        self._base = endpoint.control.rstrip("/").removesuffix("/acs")
        LOG.info("ACS: connected to %s", endpoint.control)
        self._was_connected = True
        self._asides.updates.confirm()
        try:
            return await read(socket, lambda text: self._take(socket, text))
        finally:
            await socket.close()

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> bool:
        try:
            message = acs.decode_acs(text)
        except WireError as error:
            LOG.warning("ACS: a message was dropped: %s", error)
            return False
        match message:
            case None:
                LOG.warning("ACS: a message of an unknown type was dropped")
                return False
            case acs.HeartbeatMessage():
                await self._send(socket, acs.HeartbeatAckRequest(message_id=message.message_id))
                self._asides.heartbeat()
            case acs.PayloadMessage():
                self._answer(self._take_payload(socket, message))
            case acs.TaskManifestMessage():
                await self._take_manifest(socket, message)
            case acs.TaskStopVerificationAck():
                if message.message_id == self._manifest_id:
                    self._manifest_id = ""
                    self._supervisor.stop(each.task_arn for each in message.stop_tasks)
            case acs.IAMRoleCredentialsMessage():
                await self._take_credentials(socket, message)
            case acs.AwsorchExecuteCommandMessage():
                self._asides.commands.begin(message, self._base)
            case acs.AttachTaskNetworkInterfacesMessage():
                await self._send(socket, _ack(message))
                self._asides.interfaces.begin(message)
            case acs.ConfirmAttachmentMessage():
                await self._send(socket, _ack(message))
                self._asides.volumes.begin(message)
            case acs.StageUpdateMessage() | acs.PerformUpdateMessage():
                self._answer(self._take_update(socket, message))
            case _:
                LOG.warning("ACS: %s was ignored", message)
        return True

    async def _take_payload(self, socket: aiohttp.ClientWebSocketResponse, message: acs.PayloadMessage) -> None:
        if not (message.cluster_arn and message.container_instance_arn and message.message_id):
            LOG.warning("ACS: a payload without clusterArn, containerInstanceArn or messageId was dropped")
            return
        understood = await self._supervisor.accept([without_secrets(each) for each in message.tasks], message.seq_num)
        for task in message.tasks:
            self._roles.take_task(task)
        if not understood:
            return
        await self._send(socket, _ack(message))
        for task in message.tasks:
            for credentials in (task.role_credentials, task.execution_role_credentials):
                if credentials is not None:
                    await self._send(socket, _credentials_ack(message.message_id, credentials))

    async def _take_manifest(self, socket: aiohttp.ClientWebSocketResponse, message: acs.TaskManifestMessage) -> None:
        try:
            candidates = self._supervisor.compare(message)
        except StateFileError as error:
            LOG.error("ACS: a task manifest could not be stored and is not acknowledged: %s", error)
            return
        if candidates is None:
            return
        await self._send(socket, _ack(message))
        if candidates:
            self._manifest_id = message.message_id
            verification = acs.TaskStopVerificationMessage(message_id=message.message_id, stop_candidates=candidates)
            await self._send(socket, verification)

    async def _take_update(
        self, socket: aiohttp.ClientWebSocketResponse, message: acs.StageUpdateMessage | acs.PerformUpdateMessage
    ) -> None:
        updates, perform = self._asides.updates, isinstance(message, acs.PerformUpdateMessage)
        try:
            await (updates.perform if perform else updates.stage)(message.update_info)
        except UpdateError as error:
            LOG.error("the agent is not updated: %s", error)
            nack = acs.NackRequest(
                cluster=message.cluster_arn,
                container_instance=message.container_instance_arn,
                message_id=message.message_id,
                reason=str(error),
            )
            await self._send(socket, nack)
            return
        await self._send(socket, _ack(message))
        if perform:
            updates.end()

    async def _take_credentials(
        self, socket: aiohttp.ClientWebSocketResponse, message: acs.IAMRoleCredentialsMessage
    ) -> None:
        credentials = message.role_credentials
        complete = message.message_id and message.role_type and credentials is not None and credentials.credentials_id
        if credentials is None or not complete or not self._supervisor.knows(message.task_arn):
            LOG.warning("ACS: credentials that are incomplete or of an unknown task were dropped")
            return
        self._roles.take(message.task_arn, message.role_type, credentials)
        await self._send(socket, _credentials_ack(message.message_id, credentials))

    def _answer(self, work: Coroutine[Any, Any, None]) -> None:
        answer = asyncio.create_task(work)
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    @staticmethod
    async def _send(socket: aiohttp.ClientWebSocketResponse, message: acs.ACSMessage) -> None:
        if socket.closed:
            return  # the controller will send again what is not acknowledged
        try:
            await socket.send_str(acs.encode_acs(message))
        except (ConnectionError, aiohttp.ClientError) as error:
            LOG.info("ACS: an answer was not sent: %s", error)


def _ack(
    message: acs.PayloadMessage
    | acs.TaskManifestMessage
    | acs.AttachTaskNetworkInterfacesMessage
    | acs.ConfirmAttachmentMessage
    | acs.StageUpdateMessage
    | acs.PerformUpdateMessage,
) -> acs.AckRequest:
    return acs.AckRequest(
        cluster=message.cluster_arn,
        container_instance=message.container_instance_arn,
        message_id=message.message_id,
    )


def _credentials_ack(message_id: str, credentials: acs.IAMRoleCredentials) -> acs.IAMRoleCredentialsAckRequest:
    return acs.IAMRoleCredentialsAckRequest(
        message_id=message_id, credentials_id=credentials.credentials_id, expiration=credentials.expiration
    )
