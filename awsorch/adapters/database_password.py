"""The password of the store's database, from Secrets Manager whenever a connection is made: it may be rotated.

Source: Secrets Manager API, GetSecretValue; Amazon RDS User Guide, "Password management with Amazon RDS and AWS Secrets
Manager" (a JSON object with ``username`` and ``password``).
"""

from __future__ import annotations

import json

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.engine.ports import StoreFailure


class DatabasePassword:
    """Called, it answers the password in the secret with this ARN or name. Raises StoreFailure."""

    def __init__(self, aws: AwsCalls, secret_id: str) -> None:
        self._aws = aws
        self._secret_id = secret_id

    async def __call__(self) -> str:
        try:
            answer = await self._aws.call("secretsmanager", "get_secret_value", SecretId=self._secret_id)
            password = json.loads(answer["SecretString"])["password"]
        except AwsError as error:
            raise StoreFailure(f"the secret {self._secret_id} with the database's password: {error}") from error
        except (ValueError, KeyError, TypeError):
            password = None
        if not isinstance(password, str):
            raise StoreFailure(f"the secret {self._secret_id} should be a JSON object with a password")
        return password
