"""Which access keys there are: the configured ones, and those of external instances.

The secret of an external instance's key follows from the key's id and a secret of the controller's, so the store has
nothing that signs. Who may do what with a key is not decided here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from awsorch.core.model_access import ExternalInstance
from awsorch.core.state import RegistryState
from awsorch.engine.partition import Partition

#: Characters of a secret access key, as AWS's have.
SECRET_LENGTH = 40


class AccessKeys:
    """``configured`` has secrets by access key id; all others are derived from ``secret``, of 32 bytes or more."""

    def __init__(self, configured: Mapping[str, str], secret: bytes, registry: Partition[RegistryState]) -> None:
        self._configured = dict(configured)
        self._secret = secret
        self._registry = registry

    def get(self, access_key_id: str, /) -> str | None:
        """The secret access key; None for a key that nobody has (any more). Raises Unavailable."""
        configured = self._configured.get(access_key_id)
        if configured is not None or self.holder_of(access_key_id) is None:
            return configured
        return self.secret_of(access_key_id)

    def holder_of(self, access_key_id: str) -> ExternalInstance | None:
        """The external instance that has this key; None for configured and unknown ones. Raises Unavailable."""
        state = self._registry.state
        for instance_id in state.instances_by_access_key[access_key_id]:
            return state.external_instances[instance_id]
        return None

    def secret_of(self, access_key_id: str) -> str:
        """The secret access key of an external instance's key."""
        derived = hmac.new(self._secret, b"access key " + access_key_id.encode(), hashlib.sha256).digest()
        return base64.b64encode(derived).decode()[:SECRET_LENGTH]
