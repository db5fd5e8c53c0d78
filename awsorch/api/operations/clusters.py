"""CreateCluster, DescribeClusters, ListClusters, UpdateCluster, UpdateClusterSettings, DeleteCluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from awsorch.api.calls import Answer, Call, cluster_name, operation
from awsorch.api.operations.strategies import parse_strategy, provider_name
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views import cluster_view, failure_view
from awsorch.core.capacity.attachments import require_settled
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.events import CloseGate, CreateCluster, DeleteCluster, OpenGate, UpdateCluster
from awsorch.core.model import Cluster
from awsorch.core.rules.account_settings import RULES, effective_value, principal_of
from awsorch.core.state import ClusterState, RegistryState
from awsorch.core.tags import parse_tags

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
_INSIGHTS = "containerInsights"
_EVERYTHING = frozenset(("SETTINGS", "TAGS", "CONFIGURATIONS"))


@operation("CreateCluster")
async def create_cluster(call: Call) -> Answer:
    """Record the cluster, then open its partition."""
    name = call.request.get("clusterName") or "default"
    if not _NAME.match(name):
        raise invalid_parameter(
            "Invalid cluster name. Up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens "
            "are allowed."
        )
    providers = call.request.get("capacityProviders", ())
    cluster = await call.registry.submit(
        CreateCluster(
            cause=call.cause,
            name=name,
            arn=call.scope.cluster(name),
            settings=_settings(call.request.get("settings", ())),
            defaults={_INSIGHTS: await call.registry.read(_insights_of(call))},
            configuration=_configuration(call.request),
            service_connect_defaults=call.request.get("serviceConnectDefaults", {}),
            capacity_providers=tuple(dict.fromkeys(provider_name(text, call.scope) for text in providers)),
            default_strategy=parse_strategy(call.request.get("defaultCapacityProviderStrategy", ()), call.scope),
            tags=parse_tags(call.request.get("tags", ())),
        )
    )
    partition = await call.controller.open_cluster(name)
    await partition.submit(OpenGate(cause=call.cause, pace=call.controller.pace))
    await call.controller.attachments.attach(name)
    return {"cluster": cluster_view(cluster, partition.state, _EVERYTHING)}


@operation("DescribeClusters")
async def describe_clusters(call: Call) -> Answer:
    """Clusters by name or ARN; unknown ones are failures."""
    names = call.request.get("clusters") or ["default"]
    if len(names) > 100:
        raise invalid_parameter("Cannot describe more than 100 clusters at once.")
    include = frozenset(call.request.get("include", ()))
    found, failures = [], []
    for name in dict.fromkeys(cluster_name(text, call.scope) for text in names):
        cluster = await call.registry.read(_finder(name))
        if cluster is None:
            failures.append(failure_view(call.scope.cluster(name), "MISSING"))
        else:
            found.append(await _view(call, cluster, include))
    return {"clusters": found, "failures": failures}


@operation("ListClusters")
async def list_clusters(call: Call) -> Answer:
    """ARNs of ACTIVE clusters, by name."""
    size, after = page_size(call.request), start_after(call.request)
    clusters = await call.registry.read(lambda state: dict(state.clusters))
    names = sorted(n for n, c in clusters.items() if c.status == "ACTIVE" and (after is None or n > after))
    page, token = take_page(names, size)
    return {"clusterArns": [clusters[name].arn for name in page], "nextToken": token}


@operation("UpdateCluster")
async def update_cluster(call: Call) -> Answer:
    """Settings, configuration and Service Connect defaults; what is not named stays."""
    request = call.request
    if not any(member in request for member in ("settings", "configuration", "serviceConnectDefaults")):
        raise invalid_parameter("At least one of settings, configuration or serviceConnectDefaults must be specified.")
    cluster = await call.registry.submit(
        UpdateCluster(
            cause=call.cause,
            name=cluster_name(request["cluster"], call.scope),
            settings=_settings(request["settings"]) if "settings" in request else None,
            configuration=_configuration(request) if "configuration" in request else None,
            service_connect_defaults=request.get("serviceConnectDefaults"),
        )
    )
    return {"cluster": await _view(call, cluster, _EVERYTHING)}


@operation("UpdateClusterSettings")
async def update_cluster_settings(call: Call) -> Answer:
    """Settings only."""
    cluster = await call.registry.submit(
        UpdateCluster(
            cause=call.cause,
            name=cluster_name(call.request["cluster"], call.scope),
            settings=_settings(call.request["settings"]),
        )
    )
    return {"cluster": await _view(call, cluster, _EVERYTHING)}


@operation("DeleteCluster")
async def delete_cluster(call: Call) -> Answer:
    """Close the partition (refused while something is in it), then mark the cluster INACTIVE."""
    cluster, partition = await call.cluster_partition()
    if cluster.status == "ACTIVE":
        await partition.read(lambda state: require_settled(state.providers.values()))
        await partition.submit(CloseGate(cause=call.cause))
        try:
            cluster = await call.registry.submit(DeleteCluster(cause=call.cause, name=cluster.name))
        except Refusal:
            await partition.submit(OpenGate(cause=call.cause, pace=call.controller.pace))
            raise
        await call.controller.attachments.attach(cluster.name)
    return {"cluster": cluster_view(cluster, partition.state, _EVERYTHING)}


def _insights_of(call: Call) -> Callable[[RegistryState], str]:
    """The account setting that new clusters of this caller follow."""
    principal = principal_of(call.caller_arn)
    return lambda state: effective_value(state.settings, _INSIGHTS, principal, call.scope)


def _finder(name: str) -> Any:
    return lambda state: state.clusters.get(name)


async def _view(call: Call, cluster: Cluster, include: frozenset[str]) -> Mapping[str, Any]:
    partition = await call.controller.open_cluster(cluster.name)

    def look(state: ClusterState) -> Mapping[str, Any]:
        return cluster_view(cluster, state, include)

    return await partition.read(look)


def _settings(items: Sequence[Mapping[str, str]]) -> dict[str, str]:
    settings = {}
    for item in items:
        if item.get("name") != _INSIGHTS:
            raise invalid_parameter("Invalid setting 'name'")
        if item.get("value") not in RULES[_INSIGHTS].values:
            raise invalid_parameter("Invalid setting 'value'")
        settings[item["name"]] = item["value"]
    return settings


def _configuration(request: Mapping[str, Any]) -> Mapping[str, Any]:
    configuration: Mapping[str, Any] = request.get("configuration", {})
    execute = configuration.get("executeCommandConfiguration", {})
    logs = execute.get("logConfiguration", {})
    if execute.get("logging") == "OVERRIDE" and not (logs.get("cloudWatchLogGroupName") or logs.get("s3BucketName")):
        raise invalid_parameter(
            "A CloudWatch log group name or S3 bucket name must be specified when overriding the default log "
            "configuration"
        )
    return configuration
