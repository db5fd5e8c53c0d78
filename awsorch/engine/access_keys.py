"""Which access keys there are: the configured ones, and those of machines' agents.

The secret of a machine's key follows from the key's id and a secret of the controller's, so the store has nothing that
signs. External instances' keys are in the registry, which can revoke them; an EC2 instance's is good for an hour, and
its id says whose it is and until when. Who may do what with a key is not decided here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Protocol

from awsorch.core.model_access import KeyHolder
from awsorch.core.state import RegistryState
from awsorch.engine.partition import Partition

#: Characters of a secret access key, as AWS's have.
SECRET_LENGTH = 40
_SESSION_PREFIX = "ASIX"


class ConfiguredKeys(Protocol):
    """Secrets by access key id; a dict will do."""

    def get(self, access_key_id: str, /) -> str | None:
        """The secret; None for a key that is not configured."""


class AccessKeys:
    """``configured`` has secrets by access key id; those of machines are derived from ``secret``, of 32 bytes or
    more."""

    def __init__(
        self,
        configured: ConfiguredKeys,
        secret: bytes,
        registry: Partition[RegistryState],
        clock: Callable[[], float],
    ) -> None:
        self._configured = configured
        self._secret = secret
        self._registry = registry
        self._clock = clock

    def get(self, access_key_id: str, /) -> str | None:
        """The secret access key; None for a key that nobody has (any more). Raises Unavailable."""
        configured = self._configured.get(access_key_id)
        if configured is not None or self.holder_of(access_key_id) is None:
            return configured
        return self.secret_of(access_key_id)

    def holder_of(self, access_key_id: str) -> KeyHolder | None:
        """The machine that has this key; None for configured, unknown and expired ones. Raises Unavailable."""
        if access_key_id.startswith(_SESSION_PREFIX) and self._configured.get(access_key_id) is None:
            return self._holder_of_session(access_key_id)
        state = self._registry.state
        for instance_id in state.instances_by_access_key[access_key_id]:
            return KeyHolder(id=instance_id, cluster=state.external_instances[instance_id].cluster)
        return None

    def _holder_of_session(self, access_key_id: str) -> KeyHolder | None:
        text = access_key_id.removeprefix(_SESSION_PREFIX)
        try:
            instance_id, _, expires_at = base64.b32decode(text + "=" * (-len(text) % 8)).decode().partition(" ")
            good = self._clock() < int(expires_at)
        except ValueError:
            return None
        return KeyHolder(id=instance_id, cluster=None) if good else None

    def issue(self, instance_id: str, expires_at: int) -> str:
        """The id of a key for an EC2 instance's agent until then (seconds since 1970)."""
        return _SESSION_PREFIX + base64.b32encode(f"{instance_id} {expires_at}".encode()).decode().rstrip("=")

    def secret_of(self, access_key_id: str) -> str:
        """The secret access key of a machine's key."""
        derived = hmac.new(self._secret, b"access key " + access_key_id.encode(), hashlib.sha256).digest()
        return base64.b64encode(derived).decode()[:SECRET_LENGTH]
