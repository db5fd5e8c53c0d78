"""The keys of encrypted data channels: KMS opens what a client had it make, for the key of the cluster's configuration.

Both ends know one data key of 64 bytes; what the controller says is under its first half, what the client says under
its second: AES-GCM, with the nonce before what it encrypts.
Source: session-manager-plugin, encryption package; KMS API, Decrypt.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.engine.ports import ChannelCipher, Unanswered

KEY_BYTES = 64
NONCE_BYTES = 12


class ChannelKeys:
    """Implements engine.ports.ChannelKeys."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws

    async def open(self, key_id: str, ciphertext: bytes, context: Mapping[str, str]) -> ChannelCipher:
        """Decrypt. Raises Unanswered."""
        try:
            answer = await self._aws.call(
                "kms", "decrypt", KeyId=key_id, CiphertextBlob=ciphertext, EncryptionContext=dict(context)
            )
        except AwsError as error:
            raise Unanswered(f"KMS: {error}") from error
        key: bytes = answer["Plaintext"]
        if len(key) != KEY_BYTES:
            raise Unanswered(f"the client's data key has {len(key)} bytes, not {KEY_BYTES}")
        return _AesGcm(key)


class _AesGcm:
    """Implements engine.ports.ChannelCipher."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # most controllers never need it

        self._ours, self._theirs = AESGCM(key[: KEY_BYTES // 2]), AESGCM(key[KEY_BYTES // 2 :])

    def encrypt(self, data: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._ours.encrypt(nonce, data, None)

    def decrypt(self, data: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        if len(data) < NONCE_BYTES:
            raise ValueError("too short to be encrypted")
        try:
            return self._theirs.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None)
        except InvalidTag:
            raise ValueError("not encrypted with the client's key") from None
