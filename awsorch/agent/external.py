"""How a machine that is no EC2 instance becomes one of a cluster's: it shows an activation's code once, and keeps the
identity and the access key that it is answered with in its data folder.

The rest of the agent takes what it is from its settings, so the identity is given to it as settings. The key is never
logged, and its file is its owner's alone.
"""

import asyncio
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from awsorch.agent.api import ROUND_TRIP, USER_AGENT, APIError, TerminalError, read_answer
from awsorch.agent.settings import SettingError, Settings

LOG = logging.getLogger(__name__)

IDENTITY_FILE = "external-instance.json"
FINGERPRINT_FILE = "fingerprint"
MACHINE_ID = Path("/etc/machine-id")
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries to join while nobody answers, or not as a controller does."""


class ExternalIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this machine is, as it is stored. `endpoint` is where it joined."""

    managed_instance_id: str
    activation_id: str
    access_key_id: str
    secret_access_key: str
    cluster: str
    region: str
    endpoint: str
    attributes: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<{self.managed_instance_id} of {self.cluster}>"


class _Joined(msgspec.Struct, rename="camel"):
    """What the controller answers."""

    managed_instance_id: str
    access_key_id: str
    secret_access_key: str
    cluster: str
    region: str
    attributes: dict[str, str] = {}


class IdentityFileError(Exception):
    """The identity cannot be read or stored; the text says which file and why."""


def read_identity(folder: Path) -> ExternalIdentity | None:
    """The identity in a data folder; None where none joined. Raises IdentityFileError."""
    path = folder / IDENTITY_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExternalIdentity)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise IdentityFileError(f"{path}: {error}; remove it and join anew") from error


def settings_of(identity: ExternalIdentity, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with what the identity settles. The operator's endpoint and attributes win; raises SettingError
    for another cluster."""
    cluster = environment.get("ECS_CLUSTER", "").strip() or identity.cluster
    if cluster.rpartition("/")[2] != identity.cluster:
        raise SettingError(
            f"ECS_CLUSTER is {cluster}, but this machine joined cluster {identity.cluster} as "
            f"{identity.managed_instance_id}: leave it out, or join with an activation of {cluster}"
        )
    own = environment.get("ECS_INSTANCE_ATTRIBUTES", "").strip() or "{}"
    try:
        attributes = json.dumps(identity.attributes | json.loads(own))
    except (ValueError, TypeError):
        attributes = own  # reading the settings says what is wrong with it
    kept = {name: value for name, value in environment.items() if name != "AWS_SESSION_TOKEN"}
    return {
        **kept,
        "ECS_EXTERNAL": "true",
        "ECS_CLUSTER": identity.cluster,
        "ECS_BACKEND_HOST": environment.get("ECS_BACKEND_HOST", "").strip() or identity.endpoint,
        "ECS_INSTANCE_ATTRIBUTES": attributes,
        "AWS_DEFAULT_REGION": identity.region,
        "AWS_ACCESS_KEY_ID": identity.access_key_id,
        "AWS_SECRET_ACCESS_KEY": identity.secret_access_key,
        "AWSORCH_MANAGED_INSTANCE_ID": identity.managed_instance_id,
    }


async def join(http: aiohttp.ClientSession, settings: Settings) -> ExternalIdentity:
    """Join by the activation in the settings and store the identity. To join again is no harm: a machine that is known
    stays the same instance.

    Raises TerminalError where the activation is refused, APIError where nobody answers, SettingError and
    IdentityFileError.
    """
    endpoint = settings.backend_host.rstrip("/")
    if not endpoint:
        raise SettingError("ECS_BACKEND_HOST is not set: joining needs the URL of the controller")
    if not settings.activation_code:
        raise SettingError("AWSORCH_ACTIVATION_CODE is not set: joining needs it beside the activation's id")
    if not settings.data_dir:
        raise SettingError("ECS_DATADIR is not set: joining needs a folder that keeps what it is answered")
    where = urlsplit(endpoint)
    if where.scheme == "http" and not (where.hostname or "").startswith(("127.", "localhost", "[::1]")):
        LOG.warning("%s is not encrypted: whoever listens gets this machine's key", endpoint)
    folder = Path(settings.data_dir)
    shown = {"activationCode": settings.activation_code, "fingerprint": fingerprint(folder)}
    url = f"{endpoint}/awsorch/activations/{quote(settings.activation_id, safe='')}/join"
    answer = await _post_until_answered(http, url, json.dumps(shown).encode())
    try:
        joined = msgspec.convert(answer, _Joined)
    except msgspec.ValidationError as error:
        raise APIError("", f"{url} does not answer as a controller of awsorch does: {error}") from error
    identity = ExternalIdentity(
        managed_instance_id=joined.managed_instance_id,
        activation_id=settings.activation_id,
        access_key_id=joined.access_key_id,
        secret_access_key=joined.secret_access_key,
        cluster=joined.cluster,
        region=joined.region,
        endpoint=endpoint,
        attributes=joined.attributes,
    )
    _write(folder / IDENTITY_FILE, msgspec.json.format(msgspec.json.encode(identity)))
    LOG.info("joined cluster %s as %s", identity.cluster, identity.managed_instance_id)
    return identity


def fingerprint(folder: Path) -> str:
    """What this machine and data folder are known by, 64 hex digits: the machine's id, hashed so that it stays secret.

    A machine without an id (a bare container) gets one that its data folder keeps.
    """
    try:
        machine = MACHINE_ID.read_text().strip()
    except OSError:
        machine = ""
    if not machine:
        path = folder / FINGERPRINT_FILE
        if not path.exists():
            _write(path, secrets.token_hex(32).encode())
        machine = path.read_text().strip()
    return hashlib.sha256(f"awsorch external instance {machine} {folder.resolve()}".encode()).hexdigest()


async def _post_until_answered(http: aiohttp.ClientSession, url: str, body: bytes) -> dict[str, Any]:
    for delay in (*RETRY_DELAYS, None):
        try:
            return await _post(http, url, body)
        except APIError as error:
            if not error.is_transient:
                raise TerminalError(str(error)) from error
            if delay is None:
                raise
            LOG.warning("%s; trying again in %g s", error, delay)
        await asyncio.sleep(delay)
    raise AssertionError("unreachable")


async def _post(http: aiohttp.ClientSession, url: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    try:
        async with http.post(
            url, data=body, headers=headers, timeout=ROUND_TRIP, raise_for_status=False, allow_redirects=False
        ) as response:
            return read_answer("join", response.status, await response.read(), "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise APIError("", f"join: no answer from {url}: {error or type(error).__name__}") from error


def _write(path: Path, content: bytes) -> None:
    """Write a file whole, on the disk when it returns, for its owner's eyes only. Raises IdentityFileError."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise IdentityFileError(f"{path} cannot be written: {error}") from error
