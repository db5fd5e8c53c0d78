"""The client's half of an encrypted data channel: AES-GCM under a data key of KMS's, its nonce before what it encrypts.

Source: session-manager-plugin, encryption package; KMS API, GenerateDataKey.
"""

from __future__ import annotations

import secrets

KEY_BYTES = 64
"""The first half is for what comes, the second for what goes."""
_NONCE_BYTES = 12


class NotEncrypted(Exception):
    """What came was not said by the session's other end."""


class SessionCipher:
    """What encrypts a session's frames."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._theirs, self._ours = AESGCM(key[: KEY_BYTES // 2]), AESGCM(key[KEY_BYTES // 2 :])

    def encrypt(self, data: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ours.encrypt(nonce, data, None)

    def decrypt(self, data: bytes) -> bytes:
        """Raises NotEncrypted."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._theirs.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError):
            raise NotEncrypted("what came is not encrypted with the session's key") from None
