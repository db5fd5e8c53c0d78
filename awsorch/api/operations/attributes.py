"""PutAttributes, DeleteAttributes, ListAttributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.core.errors import invalid_parameter
from awsorch.core.events import DeleteAttributes, PutAttributes
from awsorch.core.model import Cluster
from awsorch.core.state import ClusterState

_NAME = re.compile(r"[A-Za-z0-9_./\\-]{1,128}\Z")
_VALUE = re.compile(r"[A-Za-z0-9_./@:\\ -]{1,128}\Z")
_TARGET = "container-instance"


@operation("PutAttributes")
async def put_attributes(call: Call) -> Answer:
    """Create or overwrite custom attributes; all or none."""
    cluster, partition = await call.cluster_partition()
    attributes = _attributes(call, cluster)
    await partition.submit(PutAttributes(cause=call.cause, attributes=attributes))
    return {"attributes": call.request["attributes"]}


@operation("DeleteAttributes")
async def delete_attributes(call: Call) -> Answer:
    """Delete custom attributes; the answer has the ones that were there."""
    cluster, partition = await call.cluster_partition()
    attributes = _attributes(call, cluster)
    deleted = await partition.submit(DeleteAttributes(cause=call.cause, attributes=attributes))
    return {"attributes": [_view(*item, arn=call.scope.container_instance(cluster.name, item[0])) for item in deleted]}


@operation("ListAttributes")
async def list_attributes(call: Call) -> Answer:
    """One entry an attribute and instance."""
    _, partition = await call.cluster_partition()
    request = call.request
    if request.get("targetType") != _TARGET:
        raise invalid_parameter("targetType must be container-instance")
    name, value = request.get("attributeName"), request.get("attributeValue")
    if value is not None and name is None:
        raise invalid_parameter("attributeName must be specified when attributeValue is specified.")
    size, after = page_size(request), start_after(request)

    def keys(state: ClusterState) -> Iterator[str]:
        first, count = (after or "").partition("|")[0], len(state.instances)
        for instance_id in (first, *state.instance_keys.after(first, count)):
            instance = state.instances.get(instance_id)
            if instance is None:
                continue
            for attribute, its in sorted(instance.attributes.items()) if instance.status != "INACTIVE" else ():
                key = f"{instance_id}|{attribute}"
                if (after is None or key > after) and (name in (None, attribute)) and (value in (None, its)):
                    yield key

    def look(state: ClusterState) -> Answer:
        page, token = take_page(keys(state), size)
        views = []
        for key in page:
            instance_id, _, attribute = key.partition("|")
            instance = state.instances[instance_id]
            views.append(_view(instance_id, attribute, instance.attributes[attribute], arn=instance.arn))
        return {"attributes": views, "nextToken": token}

    return await partition.read(look)


def _view(instance_id: str, name: str, value: str | None, *, arn: str) -> Mapping[str, Any]:
    return {"name": name, "value": value, "targetType": _TARGET, "targetId": arn}


def _attributes(call: Call, cluster: Cluster) -> tuple[tuple[str, str, str | None], ...]:
    items: Sequence[Mapping[str, str]] = call.request.get("attributes", ())
    if not items:
        raise invalid_parameter("attributes can not be empty")
    if len(items) > 10:
        raise invalid_parameter("attributes can have at most 10 items.")
    return tuple(_attribute(call, item, cluster) for item in items)


def _attribute(call: Call, item: Mapping[str, str], cluster: Cluster) -> tuple[str, str, str | None]:
    name, value, target = item["name"], item.get("value"), item.get("targetId")
    if not target:
        raise invalid_parameter(f"targetId must be specified for attribute {name}.")
    if item.get("targetType", _TARGET) != _TARGET:
        raise invalid_parameter("targetType must be container-instance")
    if not _NAME.match(name):
        raise invalid_parameter(
            f"Invalid attribute name {name!r}: 1 to 128 letters, numbers, hyphens, underscores, slashes and periods."
        )
    if value is not None and (not _VALUE.match(value) or value != value.strip()):
        raise invalid_parameter(
            f"Invalid attribute value {value!r}: 1 to 128 letters, numbers, hyphens, underscores, periods, at signs, "
            "slashes, colons and spaces, with no space at either end."
        )
    return call.resource_id(target, _TARGET, cluster), name, value
