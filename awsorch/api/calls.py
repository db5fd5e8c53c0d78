"""A call as an operation sees it, and the table of operations.

An operation is ``async def name(call: Call) -> dict``: it reads ``call.request`` (decoded and validated against
botocore's model), reads or submits to partitions, and answers in the model's shape (``None`` members are left out).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.core.arn import Arn, Scope, parse_arn, require_here
from awsorch.core.errors import cluster_not_found, invalid_parameter
from awsorch.core.model import AgentPackage, Cluster
from awsorch.core.model_access import KeyHolder
from awsorch.core.state import ClusterState, RegistryState
from awsorch.engine.controller import Controller
from awsorch.engine.partition import Partition
from awsorch.engine.ports import AutoScaling, CommandSessions, LoadBalancers, TaskRoles

Answer = Mapping[str, Any]
Operation = Callable[["Call"], Awaitable[Answer]]

_CLUSTER = re.compile(r"[a-zA-Z0-9\-_]{1,255}\Z")

#: Every operation that is built, by its name in the model. Importing ``awsorch.api.operations`` fills it.
OPERATIONS: dict[str, Operation] = {}
#: awsorch's own operations beside ECS's, by name. Their requests are JSON that no model has looked at.
EXTENSIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    """Enter a function in the table of operations."""

    def enter(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return enter


def extension(name: str) -> Callable[[Operation], Operation]:
    """Enter a function in the table of awsorch's own operations."""

    def enter(function: Operation) -> Operation:
        EXTENSIONS[name] = function
        return function

    return enter


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``caller_arn`` is who signed it; ``base_url`` is how the client addressed us. ``load_balancers``,
    ``auto_scaling`` and ``task_roles`` are None where the controller has no AWS to ask. ``holder``: the machine whose
    agent calls. ``agent_package``: what UpdateContainerAgent updates to."""

    operation: str
    request: Mapping[str, Any]
    request_id: str
    caller_arn: str
    base_url: str
    scope: Scope
    controller: Controller
    load_balancers: LoadBalancers | None = None
    auto_scaling: AutoScaling | None = None
    task_roles: TaskRoles | None = None
    holder: KeyHolder | None = None
    commands: CommandSessions | None = None
    agent_package: AgentPackage | None = None

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
        return await self._cluster_named(cluster_name(self.request.get("cluster"), self.scope))

    async def cluster_partition(self) -> tuple[Cluster, Partition[ClusterState]]:
        """The request's cluster and its partition."""
        return await self._with_partition(await self.find_cluster())

    async def partition_named(self, name: str) -> tuple[Cluster, Partition[ClusterState]]:
        """The cluster of this name and its partition. Raises ClusterNotFoundException."""
        return await self._with_partition(await self._cluster_named(name))

    async def _cluster_named(self, name: str) -> Cluster:
        cluster = await self.registry.read(lambda state: state.clusters.get(name))
        if cluster is None:
            raise cluster_not_found()
        return cluster

    async def _with_partition(self, cluster: Cluster) -> tuple[Cluster, Partition[ClusterState]]:
        partition = self.controller.clusters.get(cluster.name)
        return cluster, partition or await self.controller.open_cluster(cluster.name)

    def resource_id(self, text: str, kind: str, cluster: Cluster) -> str:
        """An id from an id or an ARN (long or short form) of this kind ("task") in this cluster.

        Raises InvalidParameterException for an ARN of another kind, region, account or cluster.
        """
        arn = self._resource_arn(text, kind)
        if arn is None:
            return text
        if _is_elsewhere(arn, cluster):
            raise invalid_parameter(
                f"Invalid identifier: Identifier is for cluster {arn.path[0]}. Your cluster is {cluster.name}"
            )
        return arn.path[-1]

    def resource_ids(self, texts: Iterable[str], kind: str, cluster: Cluster) -> dict[str, str | None]:
        """What a batch names, each thing once: ids by ARN, with None for what another cluster has.

        Raises InvalidParameterException for an ARN of another kind, region or account.
        """
        ids: dict[str, str | None] = {}
        for text in texts:
            arn = self._resource_arn(text, kind)
            if arn is not None and _is_elsewhere(arn, cluster):
                ids[text] = None
            else:
                found = text if arn is None else arn.path[-1]
                ids[self.scope.arn(f"{kind}/{cluster.name}/{found}")] = found
        return ids

    def _resource_arn(self, text: str, kind: str) -> Arn | None:
        """The ARN that ``text`` is, or None for an id."""
        if not text.startswith("arn:"):
            return None
        arn = parse_arn(text)
        if arn is None or arn.kind != kind or len(arn.path) > 2:
            raise invalid_parameter(f"{kind.replace('-', ' ').title()} Identifier is invalid")
        require_here(arn, self.scope)
        return arn


def cluster_name(text: str | None, scope: Scope) -> str:
    """A cluster's name from a name or an ARN; "default" where nothing was given.

    Raises InvalidParameterException for what can be no cluster here.
    """
    if not text:
        return "default"
    name = text
    if text.startswith("arn:"):
        arn = parse_arn(text)
        if arn is None or arn.kind != "cluster" or len(arn.path) != 1:
            raise invalid_parameter(f"Invalid identifier: {text} is not the ARN of a cluster.")
        require_here(arn, scope)
        name = arn.path[0]
    if not _CLUSTER.match(name):
        raise invalid_parameter(rf"Cluster must match ^[a-zA-Z0-9\-_]{{1,255}}$, but was {name}")
    return name


def _is_elsewhere(arn: Arn, cluster: Cluster) -> bool:
    """Whether the ARN's long form names another cluster; the short one names none."""
    return len(arn.path) == 2 and arn.path[0] != cluster.name
