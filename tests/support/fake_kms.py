"""KMS as adapters and clients call it, in memory: data keys that only their context opens. It fails when told to."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from awsorch.adapters.aws import AwsError
from tests.support.unreliable import Unreliable


class FakeKms(Unreliable):
    """``keys`` are the ids that it knows."""

    def __init__(self, *keys: str) -> None:
        super().__init__()
        self.keys = set(keys)
        self._made: dict[bytes, tuple[str, Mapping[str, str], bytes]] = {}

    def _generate_data_key(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._require(asked["KeyId"])
        key, ciphertext = secrets.token_bytes(asked["NumberOfBytes"]), secrets.token_bytes(80)
        self._made[ciphertext] = (asked["KeyId"], asked["EncryptionContext"], key)
        return {"KeyId": asked["KeyId"], "CiphertextBlob": ciphertext, "Plaintext": key}

    def _decrypt(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._require(asked["KeyId"])
        key_id, context, key = self._made.get(asked["CiphertextBlob"], ("", {}, b""))
        if not key or context != asked["EncryptionContext"]:
            raise AwsError("InvalidCiphertextException", "", refused=True)
        if key_id != asked["KeyId"]:
            raise AwsError("IncorrectKeyException", "The key ID in the request does not identify a CMK.", refused=True)
        return {"KeyId": key_id, "Plaintext": key}

    def _require(self, key_id: str) -> None:
        if key_id not in self.keys:
            raise AwsError("NotFoundException", f"Key '{key_id}' does not exist", refused=True)
