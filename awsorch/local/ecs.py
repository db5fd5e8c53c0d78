"""The ECS API as the local cloud itself uses it, over the door like any client.

It makes the cluster that instances join and tells when their agents are connected.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

_PAGE = 100


class LocalEcs:
    """The ECS API at an endpoint. Calls raise one of ec2.Ec2Error where it does not answer or refuses."""

    def __init__(self, *, url: str, region: str, access_key_id: str, secret_access_key: str) -> None:
        self._arguments = {
            "endpoint_url": url,
            "region_name": region,
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "config": AioConfig(
                connect_timeout=5, read_timeout=30, proxies={}, retries={"total_max_attempts": 3, "mode": "standard"}
            ),
        }
        self._open = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> LocalEcs:
        self._client = await self._open.enter_async_context(get_session().create_client("ecs", **self._arguments))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def ensure_cluster(self, cluster: str) -> None:
        """Create a cluster, unless it is there."""
        await self._client.create_cluster(clusterName=cluster)

    async def connected_instances(self, cluster: str) -> set[str]:
        """The ids of the EC2 instances whose agents are connected in a cluster."""
        connected: set[str] = set()
        for arns in await self._container_instances(cluster):
            answer = await self._client.describe_container_instances(cluster=cluster, containerInstances=arns)
            connected |= {
                instance["ec2InstanceId"]
                for instance in answer["containerInstances"]
                if instance["agentConnected"] and "ec2InstanceId" in instance
            }
        return connected

    async def _container_instances(self, cluster: str) -> list[list[str]]:
        pages = self._client.get_paginator("list_container_instances").paginate(
            cluster=cluster, PaginationConfig={"PageSize": _PAGE}
        )
        return [page["containerInstanceArns"] async for page in pages if page["containerInstanceArns"]]
