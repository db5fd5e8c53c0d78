"""The ECS API as the local cloud itself uses it, over the door like any client.

It makes the cluster that instances join, tells when their agents are connected, and deregisters the
instances that EC2 has terminated (on AWS, ECS learns that from EC2).
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

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

    async def deregister(self, cluster: str, instance_id: str) -> None:
        """Deregister the container instance that an EC2 instance was; none is no error."""
        try:
            for arns in await self._container_instances(cluster, filter=f"ec2InstanceId == {instance_id}"):
                for arn in arns:
                    await self._client.deregister_container_instance(cluster=cluster, containerInstance=arn, force=True)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"ClusterNotFoundException", "ClusterNotFound"}:
                raise

    async def _container_instances(self, cluster: str, **arguments: str) -> list[list[str]]:
        pages = self._client.get_paginator("list_container_instances").paginate(
            cluster=cluster, PaginationConfig={"PageSize": _PAGE}, **arguments
        )
        return [page["containerInstanceArns"] async for page in pages if page["containerInstanceArns"]]
