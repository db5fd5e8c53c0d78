"""Whose name the agent signs with: keys from the environment, or the instance role's from the metadata service."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from awsorch.agent.identity import InstanceMetadata
from awsorch.wire.sigv4 import Credentials

REFRESH_AHEAD = 300.0
"""Seconds before their expiry at which role credentials are fetched anew."""


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
        self._clock = clock
        self._credentials: Credentials | None = None
        self._expires = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Credentials:
        async with self._lock:
            if self._credentials is None or self._clock() > self._expires - REFRESH_AHEAD:
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
