"""``/awsorch/activations``: operators make, list and revoke activations, and machines join by them.

ECS has no such operations (its external instances are Systems Manager's), so this is a path of awsorch's own, with
Systems Manager's words. A machine that joins has no key yet: its activation's code is what lets it in, over a
connection that is to be encrypted. Secrets are told once, in the answer that makes them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web

from awsorch.api.auth import Authenticator
from awsorch.api.calls import cluster_name
from awsorch.api.faults import fault_of
from awsorch.api.http import read_body
from awsorch.core.arn import Scope
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.events import InstanceGone
from awsorch.core.events_registry import CreateActivation, JoinInstance, RevokeAccess
from awsorch.core.model_access import EXTERNAL_PREFIX, Activation, ExternalInstance
from awsorch.core.state import RegistryState
from awsorch.engine.access_keys import AccessKeys
from awsorch.engine.controller import Controller

PATH = "/awsorch/activations"
#: How long and for how many machines an activation may be good; Systems Manager's limits.
DAY_S = 86400
LONGEST_S = 30 * DAY_S
MOST_INSTANCES = 1000
REVOKED = "The access of the external instance was revoked."

_ATTRIBUTE_NAME = r"^(?!(com\.amazonaws\.)?ecs\.)[A-Za-z0-9_./\\-]{1,128}$"
_ATTRIBUTE_VALUE = r"^[A-Za-z0-9_./@:\\ -]{1,128}$"
Attributes = dict[
    Annotated[str, msgspec.Meta(pattern=_ATTRIBUTE_NAME)], Annotated[str, msgspec.Meta(pattern=_ATTRIBUTE_VALUE)]
]


class NewActivation(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What an operator asks for; ``expires_after`` in seconds."""

    cluster: str = "default"
    registration_limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_INSTANCES)] = 1
    expires_after: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_S)] = DAY_S
    attributes: Annotated[Attributes, msgspec.Meta(max_length=10)] = {}


class Joining(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a machine shows; ``fingerprint`` is the same whenever it is the same machine."""

    activation_code: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{16,128}$")]


B = TypeVar("B", bound=msgspec.Struct)


class Activations:
    """Answers requests under the path."""

    def __init__(self, controller: Controller, scope: Scope, authenticator: Authenticator, keys: AccessKeys) -> None:
        self._controller = controller
        self._scope = scope
        self._authenticator = authenticator
        self._keys = keys

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for the connection itself."""
        try:
            return web.json_response(await self._answer(request))
        except Exception as error:
            fault = fault_of(error)
            return web.json_response(fault.body, status=fault.status)

    async def _answer(self, request: web.BaseRequest) -> Mapping[str, Any]:
        body = await read_body(request)
        match request.method, request.path.removeprefix(PATH).split("/"):
            case "POST", [_, activation, "join"]:
                return await self._join(activation, _read(body, Joining))
            case "POST", [""]:
                caller = self._authenticator.caller_arn(request, body)
                return await self._create(_read(body, NewActivation), caller)
            case "GET", [""]:
                self._authenticator.caller_arn(request, body)
                return await self._list(request.query.get("cluster"))
            case "DELETE", [_, name]:
                self._authenticator.caller_arn(request, body)
                return await self._revoke(name)
        raise Refusal("UnknownOperationException", f"Nothing takes {request.method} {request.path}.")

    async def _create(self, asked: NewActivation, caller: str) -> Mapping[str, Any]:
        code = secrets.token_hex(20)
        activation = await self._controller.registry.submit(
            CreateActivation(
                cause="CreateActivation",
                id=str(uuid.uuid4()),
                cluster=cluster_name(asked.cluster, self._scope),
                code_digest=_digest(code),
                limit=asked.registration_limit,
                lifetime_seconds=asked.expires_after,
                attributes=asked.attributes,
                created_by=caller,
            )
        )
        return {**_activation_view(activation, self._controller.now), "activationCode": code}

    async def _join(self, activation: str, shown: Joining) -> Mapping[str, Any]:
        """The machine's id, its access key, and where it belongs."""
        registry = self._controller.registry
        instance: ExternalInstance = await registry.submit(
            JoinInstance(
                cause="JoinInstance",
                activation=activation,
                code_digest=_digest(shown.activation_code),
                fingerprint=shown.fingerprint,
                instance_id=EXTERNAL_PREFIX + secrets.token_hex(9)[:17],
                access_key_id="AKEX" + base64.b32encode(secrets.token_bytes(10)).decode(),
            )
        )
        attributes = await registry.read(lambda state: state.activations[activation].attributes)
        return {
            "managedInstanceId": instance.id,
            "accessKeyId": instance.access_key_id,
            "secretAccessKey": self._keys.secret_of(instance.access_key_id),
            "cluster": instance.cluster,
            "region": self._scope.region,
            "attributes": attributes,
        }

    async def _list(self, cluster: str | None) -> Mapping[str, Any]:
        name = cluster_name(cluster, self._scope) if cluster else None
        now = self._controller.now

        def look(state: RegistryState) -> Mapping[str, Any]:
            listed = [each for each in state.activations.values() if name in (None, each.cluster)]
            listed.sort(key=lambda each: each.created_at)
            return {
                "activations": [
                    {**_activation_view(each, now), "instances": _instance_views(state, each)} for each in listed
                ]
            }

        return await self._controller.registry.read(look)

    async def _revoke(self, name: str) -> Mapping[str, Any]:
        """Two events, as for a deleted cluster: no key first, then no container instance. Again does what is left."""
        record = await self._controller.registry.submit(RevokeAccess(cause="RevokeAccess", id=name))
        if isinstance(record, Activation):
            return _activation_view(record, self._controller.now)
        partition = self._controller.clusters.get(record.cluster)
        if partition is not None:
            for instance_id in await partition.read(lambda state: sorted(state.instances_by_ec2_id[record.id])):
                await partition.submit(InstanceGone(cause="RevokeAccess", instance_id=instance_id, reason=REVOKED))
        return _instance_view(record)


def _read(body: bytes, kind: type[B]) -> B:
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise invalid_parameter(str(error)) from None


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _activation_view(activation: Activation, now: float) -> dict[str, Any]:
    return {
        "activationId": activation.id,
        "cluster": activation.cluster,
        "status": activation.status(now),
        "registrationLimit": activation.limit,
        "registrationsCount": activation.joined,
        "createdDate": activation.created_at,
        "createdBy": activation.created_by,
        "expirationDate": activation.expires_at,
        "attributes": activation.attributes,
    }


def _instance_views(state: RegistryState, activation: Activation) -> list[dict[str, Any]]:
    joined = (state.external_instances[each] for each in state.instances_by_activation[activation.id])
    return [_instance_view(each) for each in sorted(joined, key=lambda each: (each.joined_at, each.id))]


def _instance_view(instance: ExternalInstance) -> dict[str, Any]:
    return {
        "managedInstanceId": instance.id,
        "cluster": instance.cluster,
        "status": "ACTIVE" if instance.revoked_at is None else "REVOKED",
        "joinedDate": instance.joined_at,
    }
