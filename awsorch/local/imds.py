"""The instance metadata service of every local instance: one HTTP server, one loopback address for each, or one address
for all where instances have networks of their own.

It exists so that agents, SDKs and programs on a local instance take the path that they take on EC2. Which
instance asks is told by the address it asks at, or asks from. What its Auto Scaling group has in mind for it is asked
of the group each time, so that it is never an old answer. Only what IMDS answers is here; it changes no instance.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from awsorch.local.ec2 import Ec2Error
from awsorch.local.instances import LocalInstance

_log = logging.getLogger(__name__)

PORT = 16925
"""On EC2 it is port 80 of 169.254.169.254; a local one needs no privilege and stays below the ephemeral
ports.
"""

_TOKEN_HEADER = "X-aws-ec2-metadata-token"
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_MAX_TTL_SECONDS = 21600
_ROLE_NAME = "awsorch-local-instance"
_CREDENTIALS_SECONDS = 6 * 3600
_LIFECYCLE = "meta-data/autoscaling/target-lifecycle-state"
_VERSIONS = ("latest", "2016-09-02", "2018-09-24", "2020-10-27", "2021-01-03", "2021-07-15")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the instances of one local cloud have in common. `secret` signs tokens and identity documents."""

    account_id: str
    region: str
    access_key_id: str
    secret_access_key: str
    secret: str


async def _no_group(_instance_id: str) -> str | None:
    return None


class MetadataService:
    """Serves the metadata of instances, each at `http://<its address>:<port>`, or all on the socket `shared`.

    `lifecycle_state` says in which state of its Auto Scaling group the instance with an id is, None for one of no
    group; it may raise one of Ec2Error.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        port: int = PORT,
        clock: Callable[[], float] = time.time,
        shared: socket.socket | None = None,
        lifecycle_state: Callable[[str], Awaitable[str | None]] = _no_group,
    ) -> None:
        self._identity = identity
        self._lifecycle_state = lifecycle_state
        self._shared = shared
        self._port = port
        self._clock = clock
        self._instances: dict[str, LocalInstance] = {}
        self._further: dict[str, str] = {}
        self._sites: dict[str, web.TCPSite] = {}
        self._runner: web.AppRunner | None = None

    def endpoint(self, instance: LocalInstance) -> str:
        """The value for AWS_EC2_METADATA_SERVICE_ENDPOINT."""
        return f"http://{instance.address}:{self._port}"

    async def serve(self, instance: LocalInstance) -> None:
        """Answer for an instance at its address, or answer differently where it was served before.

        Raises OSError where the address cannot be listened on.
        """
        self._instances[instance.address] = instance
        if self._runner is None:
            application = web.Application()
            application.router.add_put("/{version}/api/token", self._give_token)
            application.router.add_get("/{version}/{path:.*}", self._give)
            self._runner = web.AppRunner(application, access_log=None)
            await self._runner.setup()
            if self._shared is not None:
                await web.SockSite(self._runner, self._shared).start()
        if self._shared is not None or instance.address in self._sites:
            return
        site = web.TCPSite(self._runner, instance.address, self._port)
        await site.start()
        self._sites[instance.address] = site

    def answer_also(self, instance: LocalInstance, addresses: Iterable[str]) -> None:
        """Answer for an instance to who asks from further addresses, those of its network interfaces, and no longer to
        those of an earlier call."""
        kept = {address: own for address, own in self._further.items() if own != instance.address}
        self._further = kept | dict.fromkeys(addresses, instance.address)

    async def withdraw(self, address: str) -> None:
        """Stop answering at an address."""
        instance = self._instances.pop(address, None)
        if instance is not None:
            self.answer_also(instance, ())
        site = self._sites.pop(address, None)
        if site is not None:
            await site.stop()

    async def close(self) -> None:
        """Stop answering at all."""
        self._instances.clear()
        self._further.clear()
        self._sites.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _give_token(self, request: web.Request) -> web.Response:
        instance = self._asked(request)
        text = request.headers.get(_TTL_HEADER, "")
        if not text.isdecimal() or not 1 <= int(text) <= _MAX_TTL_SECONDS:
            raise web.HTTPBadRequest(text=f"{_TTL_HEADER} must be 1 to {_MAX_TTL_SECONDS} seconds\n")
        token = self._sign_token(instance, int(self._clock()) + int(text), secrets.token_hex(8))
        return web.Response(text=token, headers={_TTL_HEADER: text})

    async def _give(self, request: web.Request) -> web.Response:
        instance = self._asked(request)
        if request.match_info["version"] not in _VERSIONS:
            raise web.HTTPNotFound
        token = request.headers.get(_TOKEN_HEADER)
        if instance.tokens_required if token is None else not self._is_valid(instance, token):
            raise web.HTTPUnauthorized
        path = request.match_info["path"]
        answer = look_up(self._documents(instance) | await self._of_group(instance, path), path)
        if answer is None:
            raise web.HTTPNotFound
        return web.Response(text=answer, content_type="text/plain")

    async def _of_group(self, instance: LocalInstance, path: str) -> dict[str, str]:
        """What the instance's group has to say, where a path leads there."""
        if not f"{_LIFECYCLE}/".startswith(f"{path.rstrip('/')}/"):
            return {}
        try:
            state = await self._lifecycle_state(instance.id)
        except Ec2Error as error:
            _log.warning("the group of %s cannot be asked now: %s", instance.id, error)
            raise web.HTTPServiceUnavailable from error
        return {} if state is None else {_LIFECYCLE: target_of(state)}

    def _asked(self, request: web.Request) -> LocalInstance:
        transport = request.transport
        end = "sockname" if self._shared is None else "peername"
        address = transport.get_extra_info(end)[0] if transport is not None else ""
        instance = self._instances.get(self._further.get(address, address))
        if instance is None:
            raise web.HTTPNotFound
        return instance

    def _sign_token(self, instance: LocalInstance, expires: int, nonce: str) -> str:
        """A token says itself until when and for whom it holds, so none has to be remembered."""
        said = f"{expires}.{nonce}"
        return f"{said}.{self._sign(f'token {instance.id} {said}').hex()}"

    def _is_valid(self, instance: LocalInstance, token: str) -> bool:
        expires, _, rest = token.partition(".")
        nonce = rest.partition(".")[0]
        if not expires.isdecimal() or int(expires) <= self._clock():
            return False
        return hmac.compare_digest(token.encode(), self._sign_token(instance, int(expires), nonce).encode())

    def _sign(self, text: str) -> bytes:
        return hmac.digest(self._identity.secret.encode(), text.encode(), hashlib.sha256)

    def _documents(self, instance: LocalInstance) -> dict[str, str]:
        document = identity_document(self._identity, instance)
        return metadata(instance, self._identity.region) | {
            "user-data": instance.user_data,
            "dynamic/instance-identity/document": document,
            "dynamic/instance-identity/signature": base64.b64encode(self._sign(document)).decode(),
            f"meta-data/iam/security-credentials/{_ROLE_NAME}": self._credentials(),
            "meta-data/iam/info": json.dumps(
                {
                    "Code": "Success",
                    "LastUpdated": _timestamp(self._clock()),
                    "InstanceProfileArn": f"arn:aws:iam::{self._identity.account_id}:instance-profile/{_ROLE_NAME}",
                    "InstanceProfileId": "AIPA" + hashlib.sha256(_ROLE_NAME.encode()).hexdigest()[:17].upper(),
                }
            ),
        }

    def _credentials(self) -> str:
        now = self._clock()
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": _timestamp(now),
                "Type": "AWS-HMAC",
                "AccessKeyId": self._identity.access_key_id,
                "SecretAccessKey": self._identity.secret_access_key,
                "Token": "",
                "Expiration": _timestamp(now + _CREDENTIALS_SECONDS),
            }
        )


def look_up(documents: Mapping[str, str], path: str) -> str | None:
    """The document at a path; for a folder the names in it, one a line, folders with a slash; None for
    neither.
    """
    found = documents.get(path.rstrip("/"))
    if found:
        return found
    folder = path.rstrip("/") + "/" if path else ""
    names: dict[str, None] = {}
    for document in sorted(documents):
        if document.startswith(folder):
            name, slash, _ = document.removeprefix(folder).partition("/")
            names[name + slash] = None
    return "\n".join(names) or None


def metadata(instance: LocalInstance, region: str) -> dict[str, str]:
    """Path → text of what is under meta-data. What an instance has not got (a spot action) is not there:
    404.
    """
    host_name = f"ip-{instance.address.replace('.', '-')}.ec2.internal"
    interface = f"meta-data/network/interfaces/macs/{instance.mac}"
    documents = {
        "meta-data/ami-id": instance.image_id,
        "meta-data/hostname": host_name,
        "meta-data/instance-id": instance.id,
        "meta-data/instance-life-cycle": "spot" if instance.spot else "on-demand",
        "meta-data/instance-type": instance.instance_type,
        "meta-data/local-hostname": host_name,
        "meta-data/local-ipv4": instance.address,
        "meta-data/mac": instance.mac,
        "meta-data/placement/availability-zone": instance.zone,
        "meta-data/placement/availability-zone-id": instance.zone_id,
        "meta-data/placement/region": region,
        "meta-data/services/domain": "amazonaws.com",
        "meta-data/services/partition": "aws",
        f"{interface}/device-number": "0",
        f"{interface}/local-ipv4s": instance.address,
        f"{interface}/mac": instance.mac,
        f"{interface}/subnet-id": instance.subnet_id,
        f"{interface}/vpc-id": instance.vpc_id,
    }
    if instance.shows_tags:
        documents |= {f"meta-data/tags/instance/{key}": value for key, value in instance.tags.items() if "/" not in key}
    if instance.ends_at is not None:
        time_of_end = _timestamp(instance.ends_at)
        documents["meta-data/spot/instance-action"] = json.dumps({"action": "terminate", "time": time_of_end})
        documents["meta-data/spot/termination-time"] = time_of_end
    return documents


def target_of(lifecycle_state: str) -> str:
    """The state that an instance goes to from a lifecycle state of its group.

    Source: EC2 Auto Scaling user guide, "Retrieve the target lifecycle state through instance metadata".
    """
    if lifecycle_state.startswith("Terminat"):
        return "Terminated"
    return _TARGETS.get(lifecycle_state, "InService")


_TARGETS = {
    "Detaching": "Detached",
    "Detached": "Detached",
    "EnteringStandby": "Standby",
    "Standby": "Standby",
}


def identity_document(identity: Identity, instance: LocalInstance) -> str:
    """The instance identity document, the members and layout as EC2's."""
    return json.dumps(
        {
            "accountId": identity.account_id,
            "architecture": _architecture(instance.instance_type),
            "availabilityZone": instance.zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "kernelId": None,
            "pendingTime": _timestamp(instance.launched_at),
            "privateIp": instance.address,
            "ramdiskId": None,
            "region": identity.region,
            "version": "2017-09-30",
        },
        indent=2,
    )


def _architecture(instance_type: str) -> str:
    """Graviton families carry a g after the generation (m7g, c7gn, t4g); a1 is the one without."""
    family = instance_type.partition(".")[0]
    generation = next((place for place, letter in enumerate(family) if letter.isdigit()), len(family))
    return "arm64" if family == "a1" or "g" in family[generation:] else "x86_64"


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
