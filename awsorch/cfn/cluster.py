"""AWS::ECS::Cluster. Source: its page in the CloudFormation template reference; operations CreateCluster,
UpdateCluster, PutClusterCapacityProviders, DeleteCluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.cfn.contract import AwsCalls, CallRefused, Progress, Request, done, failed, waiting
from awsorch.cfn.shapes import fit_some
from awsorch.cfn.tags import all_tags, tag_list, update_tags

_SETTINGS = ("Configuration", "ServiceConnectDefaults")
_PROVIDERS = ("CapacityProviders", "DefaultCapacityProviderStrategy")


class EcsCluster:
    """Ref: the cluster's name. GetAtt: Arn."""

    type = "AWS::ECS::Cluster"
    replaced_by = frozenset({"ClusterName"})

    async def create(self, calls: AwsCalls, request: Request) -> Progress:
        """CreateCluster, then until its providers are attached."""
        if not request.physical_id:
            name = request.model.get("ClusterName") or request.name(form="{stack}-{logical}-{random}")
            members = fit_some("ecs", "CreateCluster", request.model, (*_SETTINGS, *_PROVIDERS))
            members |= _settings(request)
            tags = tag_list(all_tags(request.model, request.tags))
            await calls.call("ecs", "CreateCluster", {**members, "clusterName": name, "tags": tags})
            return await _settled(calls, name)
        return await _settled(calls, request.physical_id)

    async def update(self, calls: AwsCalls, request: Request) -> Progress:
        """Changes settings, providers and tags, each only where it differs."""
        name = request.physical_id
        if request.callback:
            return await _settled(calls, name)
        changed = request.changed()
        fresh = fit_some("ecs", "UpdateCluster", request.model, [each for each in _SETTINGS if each in changed])
        if "ClusterSettings" in changed:
            fresh |= _settings(request)
        if fresh:
            await calls.call("ecs", "UpdateCluster", {"cluster": name, **fresh})
        if changed & set(_PROVIDERS):
            await put_providers(calls, name, request.model)
        cluster = await find_cluster(calls, name)
        if cluster is None:
            return failed(f"The cluster {name} is not there any more.", "NotFound", name)
        await update_tags(calls, request, cluster["clusterArn"])
        return await _settled(calls, name)

    async def delete(self, calls: AwsCalls, request: Request) -> Progress:
        """DeleteCluster."""
        try:
            await calls.call("ecs", "DeleteCluster", {"cluster": request.physical_id})
        except CallRefused as error:
            if error.code != "ClusterNotFoundException":
                raise
        return done(request.physical_id)


async def put_providers(calls: AwsCalls, cluster: str, model: Mapping[str, Any]) -> None:
    """PutClusterCapacityProviders, with both lists as the operation wants them."""
    members = fit_some("ecs", "PutClusterCapacityProviders", model, _PROVIDERS)
    empty: dict[str, Any] = {"capacityProviders": [], "defaultCapacityProviderStrategy": []}
    await calls.call("ecs", "PutClusterCapacityProviders", {"cluster": cluster, **empty, **members})


async def find_cluster(calls: AwsCalls, name: str) -> Mapping[str, Any] | None:
    """The cluster that is ACTIVE under this name."""
    answer = await calls.call("ecs", "DescribeClusters", {"clusters": [name], "include": ["ATTACHMENTS"]})
    return next((each for each in answer["clusters"] if each["status"] == "ACTIVE"), None)


async def settled_providers(calls: AwsCalls, cluster: str) -> tuple[Mapping[str, Any] | None, str]:
    """The cluster, and how the change of its providers stands: "" for done, else ECS's word for it."""
    found = await find_cluster(calls, cluster)
    status = str((found or {}).get("attachmentsStatus", ""))
    return found, "" if status in ("", "UPDATE_COMPLETE") else status


async def _settled(calls: AwsCalls, name: str) -> Progress:
    cluster, status = await settled_providers(calls, name)
    if cluster is None:
        return failed(f"The cluster {name} is not there any more.", "NotFound", name)
    if status == "UPDATE_FAILED":
        return failed(f"The capacity providers of {name} could not be attached.", "NotStabilized", name)
    if status:
        return waiting(name, awaits="attachments")
    return done(name, Arn=cluster["clusterArn"])


def _settings(request: Request) -> dict[str, Any]:
    if "ClusterSettings" not in request.model:
        return {}
    named = {"settings": request.model["ClusterSettings"]}
    return fit_some("ecs", "UpdateCluster", named, ("settings",))
