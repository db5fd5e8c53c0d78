"""AWS as the stack engine calls it: through the door, as everybody does. Implements AwsCalls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from awsorch.cfn.contract import CallRefused

_CALLS_AT_ONCE = 16


class AwsClients:
    """One client a service, made when it is first called. `close` lets go of them."""

    def __init__(self, *, url: str, region: str, access_key_id: str, secret_access_key: str) -> None:
        self.url = url
        """Where the door is."""
        self._arguments = {
            "endpoint_url": url,
            "region_name": region,
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "config": AioConfig(
                connect_timeout=5,
                read_timeout=120,
                proxies={},
                retries={"total_max_attempts": 6, "mode": "standard"},
                max_pool_connections=_CALLS_AT_ONCE,
                inject_host_prefix=False,
                s3={"addressing_style": "path"},
            ),
        }
        self._open = AsyncExitStack()
        self._clients: dict[str, Any] = {}
        self._making = asyncio.Lock()

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        client = await self._client(service)
        try:
            answer: Mapping[str, Any] = await getattr(client, xform_name(operation))(**members)
        except ClientError as error:
            said = error.response.get("Error", {})
            raise CallRefused(
                service=service,
                operation=operation,
                code=said.get("Code", "Unknown"),
                message=said.get("Message") or str(error),
            ) from None
        except BotoCoreError as error:
            known = "ServiceUnavailable" if "onnect" in type(error).__name__ else "InvalidRequest"
            raise CallRefused(service=service, operation=operation, code=known, message=str(error)) from None
        return answer

    def environment(self) -> dict[str, str]:
        """The variables with which another process makes the same calls."""
        return {
            "AWS_ACCESS_KEY_ID": str(self._arguments["aws_access_key_id"]),
            "AWS_SECRET_ACCESS_KEY": str(self._arguments["aws_secret_access_key"]),
            "AWS_DEFAULT_REGION": str(self._arguments["region_name"]),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": str(self._arguments["region_name"]),
        }

    async def close(self) -> None:
        """No calls any more."""
        await self._open.aclose()
        self._clients.clear()

    async def _client(self, service: str) -> Any:
        async with self._making:
            if service not in self._clients:
                made = get_session().create_client(service, **self._arguments)
                self._clients[service] = await self._open.enter_async_context(made)
            return self._clients[service]
