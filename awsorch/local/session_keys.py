"""Secret access keys of sessions that the local cloud's STS gives: each follows from its access key id and a secret of
the cloud's, so that the door can check signatures of tasks' roles without being told of every session.

Sessions do not expire at the door: a container whose credentials are too old is told so in AWS only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

VARIABLE = "AWSORCH_SESSION_SECRET"
_PREFIX = "ASIA"
_LENGTH = 40


def secret_of(secret: str, access_key_id: str) -> str | None:
    """The secret access key; None for the id of what is no session, and where there is no secret."""
    if not secret or not access_key_id.startswith(_PREFIX):
        return None
    derived = hmac.new(secret.encode(), f"session {access_key_id}".encode(), hashlib.sha256).digest()
    return base64.b64encode(derived).decode()[:_LENGTH]


class LocalKeys:
    """The keys that open the door to all but ECS: the configured ones, and those of sessions. Implements Secrets."""

    def __init__(self, configured: Mapping[str, str], secret: str) -> None:
        self._configured = dict(configured)
        self._secret = secret

    def get(self, access_key_id: str, /) -> str | None:
        return self._configured.get(access_key_id) or secret_of(self._secret, access_key_id)
