"""AWS::ECS::CapacityProvider and AWS::ECS::ClusterCapacityProviderAssociations. Source: their pages in the
CloudFormation template reference; operations CreateCapacityProvider, UpdateCapacityProvider, DeleteCapacityProvider,
PutClusterCapacityProviders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.cfn.cluster import put_providers, settled_providers
from awsorch.cfn.contract import AwsCalls, CallRefused, Progress, Request, done, failed, waiting
from awsorch.cfn.shapes import fit_some
from awsorch.cfn.tags import all_tags, tag_list, update_tags

_KINDS = ("AutoScalingGroupProvider", "ManagedInstancesProvider")


class EcsCapacityProvider:
    """Ref: its name. GetAtt: Arn."""

    type = "AWS::ECS::CapacityProvider"
    replaced_by = frozenset({"Name", "ClusterName", "AutoScalingGroupProvider/AutoScalingGroupArn"})

    async def create(self, calls: AwsCalls, request: Request) -> Progress:
        """CreateCapacityProvider, then until it is ACTIVE."""
        if not request.physical_id:
            name = str(request.model.get("Name") or request.name())
            if not (request.retried and await _find(calls, name)):
                members = fit_some("ecs", "CreateCapacityProvider", request.model, _KINDS)
                members |= {"cluster": request.model["ClusterName"]} if "ClusterName" in request.model else {}
                tags = tag_list(all_tags(request.model, request.tags))
                await calls.call("ecs", "CreateCapacityProvider", {**members, "name": name, "tags": tags})
            return await _settled(calls, name)
        return await _settled(calls, request.physical_id)

    async def update(self, calls: AwsCalls, request: Request) -> Progress:
        """UpdateCapacityProvider with what changed."""
        name = request.physical_id
        provider = await _find(calls, name)
        if provider is None:
            return failed(f"The capacity provider {name} is not there any more.", "NotFound", name)
        if not request.callback:
            changed = sorted(request.changed() & set(_KINDS))
            group = request.model.get("AutoScalingGroupProvider") or {}
            model = {**request.model, "AutoScalingGroupProvider": _without_group(group)}
            members = fit_some("ecs", "UpdateCapacityProvider", model, changed)
            if members:
                named = {"name": name} | ({"cluster": model["ClusterName"]} if "ClusterName" in model else {})
                await calls.call("ecs", "UpdateCapacityProvider", {**named, **members})
            await update_tags(calls, request, provider["capacityProviderArn"])
        return await _settled(calls, name)

    async def delete(self, calls: AwsCalls, request: Request) -> Progress:
        """DeleteCapacityProvider, then until it is gone."""
        if await _find(calls, request.physical_id) is None:
            return done(request.physical_id)
        if not request.callback:
            named = {"cluster": request.model["ClusterName"]} if "ClusterName" in request.model else {}
            members = {"capacityProvider": request.physical_id, **named}
            await calls.call("ecs", "DeleteCapacityProvider", members)
        return waiting(request.physical_id, deleting=True)


class CapacityProviderAssociations:
    """Which providers a cluster has. Ref: the cluster's name. Removing it leaves the cluster none."""

    type = "AWS::ECS::ClusterCapacityProviderAssociations"
    replaced_by = frozenset({"Cluster"})

    async def create(self, calls: AwsCalls, request: Request) -> Progress:
        """PutClusterCapacityProviders, then until they are attached."""
        return await self._put(calls, request, request.model)

    async def update(self, calls: AwsCalls, request: Request) -> Progress:
        """The same as making it."""
        return await self._put(calls, request, request.model)

    async def delete(self, calls: AwsCalls, request: Request) -> Progress:
        """PutClusterCapacityProviders with none."""
        try:
            progress = await self._put(calls, request, {})
        except CallRefused as error:
            if error.code != "ClusterNotFoundException":
                raise
            return done(request.physical_id)
        return done(request.physical_id) if progress.code == "NotFound" else progress

    async def _put(self, calls: AwsCalls, request: Request, model: Mapping[str, Any]) -> Progress:
        cluster = request.physical_id or str(request.model.get("Cluster") or "default")
        if not request.callback:
            await put_providers(calls, cluster, model)
        found, status = await settled_providers(calls, cluster)
        if found is None:
            return failed(f"The cluster {cluster} is not there.", "NotFound", cluster)
        if status == "UPDATE_FAILED":
            return failed(f"The capacity providers of {cluster} could not be attached.", "NotStabilized", cluster)
        return waiting(cluster, attaching=True) if status else done(cluster)


async def _find(calls: AwsCalls, name: str) -> Mapping[str, Any] | None:
    answer = await calls.call("ecs", "DescribeCapacityProviders", {"capacityProviders": [name]})
    return next((each for each in answer["capacityProviders"] if each.get("status") != "INACTIVE"), None)


async def _settled(calls: AwsCalls, name: str) -> Progress:
    provider = await _find(calls, name)
    if provider is None:
        return failed(f"The capacity provider {name} is not there any more.", "NotFound", name)
    status = str(provider.get("updateStatus", ""))
    if status.endswith("_FAILED"):
        why = provider.get("updateStatusReason") or status
        return failed(str(why), "NotStabilized", name)
    if provider.get("status") != "ACTIVE" or status.endswith("_IN_PROGRESS"):
        return waiting(name, settling=True)
    return done(name, Arn=provider["capacityProviderArn"])


def _without_group(provider: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in provider.items() if name != "AutoScalingGroupArn"}
