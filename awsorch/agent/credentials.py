"""Whose name the agent signs with: keys from the environment, or the instance role's from the metadata service.

Only AWS can verify a role's keys. A controller of awsorch that verifies signatures is shown with them which instance
this is, and gives a key of its own for an hour.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import msgspec

from awsorch.agent.identity import InstanceMetadata
from awsorch.wire.caller_proof import PATH, InstanceSession, prove
from awsorch.wire.sigv4 import Credentials

LOG = logging.getLogger(__name__)

REFRESH_AHEAD = 300.0
"""Seconds before their expiry at which temporary credentials are fetched anew."""
NOT_NEEDED, NOT_KNOWN = 60.0, 3600.0
"""Seconds for which a controller that verifies no signatures, or what is no controller of ours, is not asked again."""
TIMEOUT = aiohttp.ClientTimeout(total=20)


class NoCredentialsError(Exception):
    """There is nothing to sign with."""


class CredentialSource(Protocol):
    async def get(self) -> Credentials:
        """Credentials that are good now. Raises NoCredentialsError."""


class FixedCredentials:
    """Keys that do not change while the process lives."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def get(self) -> Credentials:
        return self._credentials


class RoleCredentials:
    """The instance role's credentials, fetched when they are needed and again before they expire."""

    def __init__(self, metadata: InstanceMetadata, clock: Callable[[], float]) -> None:
        self._metadata = metadata
        self.clock = clock
        self._credentials: Credentials | None = None
        self._expires = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Credentials:
        async with self._lock:
            if self._credentials is None or self.clock() > self._expires - REFRESH_AHEAD:
                await self._fetch()
            assert self._credentials is not None
            return self._credentials

    async def _fetch(self) -> None:
        found = _read(await self._metadata.role_credentials() or {})
        if found is None:
            if self._credentials is None:
                raise NoCredentialsError(
                    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the instance a role"
                )
            return
        self._credentials, self._expires = found


class SessionCredentials:
    """Credentials that the controller at `endpoint` gives for the role's. Where it verifies no signatures, or is no
    controller of awsorch, they are the role's own.
    """

    def __init__(
        self,
        role: RoleCredentials,
        http: aiohttp.ClientSession,
        *,
        endpoint: str,
        region: str,
        clock: Callable[[], float],
    ) -> None:
        self._role = role
        self._http = http
        self._endpoint = endpoint.rstrip("/")
        self._region = region
        self._clock = clock
        self._credentials: Credentials | None = None
        self._expires = 0.0
        self._ask_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Credentials:
        """Raises NoCredentialsError, also where the controller does not let this instance in."""
        async with self._lock:
            now = self._clock()
            if now >= self._ask_at and now > self._expires - REFRESH_AHEAD:
                await self._begin(await self._role.get(), now)
            if self._credentials is not None and now < self._expires:
                return self._credentials
        return await self._role.get()

    async def _begin(self, role: Credentials, now: float) -> None:
        proof = prove(role, self._region, urlsplit(self._endpoint).netloc, datetime.fromtimestamp(now, UTC))
        try:
            async with self._http.post(
                self._endpoint + PATH,
                data=msgspec.json.encode(proof),
                headers={"Content-Type": "application/json"},
                timeout=TIMEOUT,
                raise_for_status=False,
                allow_redirects=False,
            ) as response:
                status, answer = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            LOG.warning("no session: no answer from %s: %s", self._endpoint, error or type(error).__name__)
            return  # the call that is to be signed will fail as well, and be tried again
        self._take(status, answer, now)

    def _take(self, status: int, answer: bytes, now: float) -> None:
        try:
            session = msgspec.json.decode(answer, type=InstanceSession)
        except msgspec.MsgspecError:
            session = None
        if status == 200 and session is not None and session.needed:
            self._credentials = Credentials(
                access_key_id=session.access_key_id, secret_access_key=session.secret_access_key
            )
            self._expires = session.expiration
            LOG.info("%s knows this instance as %s", self._endpoint, session.instance_id)
            return
        said = answer[:500].decode("utf-8", "replace")
        if status == 400 and "AccessDeniedException" in said:
            raise NoCredentialsError(f"{self._endpoint} does not let this instance in: {said}")
        if status < 500:
            self._ask_at = now + (NOT_NEEDED if status == 200 and session is not None else NOT_KNOWN)
        if status != 200 or session is None:
            LOG.warning("%s gives no session: HTTP %d %s", self._endpoint, status, said)


def _read(said: Mapping[str, Any]) -> tuple[Credentials, float] | None:
    """Credentials and when they expire; None where the metadata service has none, as while it fetches the first."""
    try:
        credentials = Credentials(
            access_key_id=said["AccessKeyId"],
            secret_access_key=said["SecretAccessKey"],
            session_token=said.get("Token") or None,
        )
        return credentials, datetime.fromisoformat(said["Expiration"].replace("Z", "+00:00")).timestamp()
    except (KeyError, ValueError, AttributeError):
        return None


def from_environment(environment: Mapping[str, str]) -> Credentials | None:
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    token = environment.get("AWS_SESSION_TOKEN") or None
    return Credentials(access_key_id=key, secret_access_key=secret, session_token=token)


def own_credentials(
    environment: Mapping[str, str], metadata: InstanceMetadata, clock: Callable[[], float]
) -> FixedCredentials | RoleCredentials:
    """The instance's, as AWS knows them."""
    fixed = from_environment(environment)
    return FixedCredentials(fixed) if fixed is not None else RoleCredentials(metadata, clock)


def signing_credentials(
    own: FixedCredentials | RoleCredentials, http: aiohttp.ClientSession, backend_host: str, region: str
) -> CredentialSource:
    """What calls of ECS are signed with; `backend_host` is empty for AWS's own."""
    if isinstance(own, FixedCredentials) or not backend_host:
        return own  # keys of the controller's, or ECS itself
    return SessionCredentials(own, http, endpoint=backend_host, region=region, clock=own.clock)
