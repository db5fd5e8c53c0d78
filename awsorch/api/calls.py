"""A call as an operation sees it, and the table of operations.

An operation is ``async def name(call: Call) -> dict``: it reads ``call.request`` (decoded and validated against
botocore's model), reads or submits to partitions, and answers in the model's shape (``None`` members are left out).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.core.arn import Scope, parse_arn
from awsorch.core.errors import cluster_not_found, invalid_parameter
from awsorch.core.model import Cluster
from awsorch.core.state import ClusterState, RegistryState
from awsorch.engine.controller import Controller
from awsorch.engine.partition import Partition

Answer = Mapping[str, Any]
Operation = Callable[["Call"], Awaitable[Answer]]

#: Every operation that is built, by its name in the model. Importing ``awsorch.api.operations`` fills it.
OPERATIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    """Enter a function in the table of operations."""

    def enter(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return enter


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``caller_arn`` is who signed it; ``base_url`` is how the client addressed us."""

    operation: str
    request: Mapping[str, Any]
    request_id: str
    caller_arn: str
    base_url: str
    scope: Scope
    controller: Controller

    @property
    def cause(self) -> str:
        """What stories name as the cause of this call's changes."""
        return f"{self.operation} {self.request_id}"

    @property
    def registry(self) -> Partition[RegistryState]:
        """The account's and region's registry."""
        return self.controller.registry

    async def find_cluster(self) -> Cluster:
        """The cluster that the request's ``cluster`` names (name or ARN; "default" where it has none).

        Raises ClusterNotFoundException.
        """
        name = cluster_name(self.request.get("cluster"))
        cluster = await self.registry.read(lambda state: state.clusters.get(name))
        if cluster is None:
            raise cluster_not_found()
        return cluster

    async def cluster_partition(self) -> tuple[Cluster, Partition[ClusterState]]:
        """The request's cluster and its partition."""
        cluster = await self.find_cluster()
        partition = self.controller.clusters.get(cluster.name)
        return cluster, partition or await self.controller.open_cluster(cluster.name)


def cluster_name(text: str | None) -> str:
    """A cluster's name from a name or an ARN; "default" where nothing was given."""
    if not text:
        return "default"
    if not text.startswith("arn:"):
        return text
    arn = parse_arn(text)
    if arn is None or arn.kind != "cluster" or len(arn.path) != 1:
        raise invalid_parameter(f"Invalid identifier: {text} is not the name or the ARN of a cluster.")
    return arn.path[0]


def resource_id(text: str, kind: str, cluster: str) -> str:
    """An id from an id or an ARN (long or short form) of this kind in this cluster.

    Raises InvalidParameterException for another kind of ARN or another cluster's.
    """
    if not text.startswith("arn:"):
        return text
    arn = parse_arn(text)
    if arn is None or arn.kind != kind or len(arn.path) > 2:
        raise invalid_parameter(f"Invalid identifier: {text} is not the id or the ARN of a {kind.replace('-', ' ')}.")
    if len(arn.path) == 2 and arn.path[0] != cluster:
        raise invalid_parameter(f"Identifier is for {arn.path[0]}. Your cluster is {cluster}")
    return arn.path[-1]
