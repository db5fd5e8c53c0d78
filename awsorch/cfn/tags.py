"""Tags of ECS resources: the stack's own and the resource's, and what an update changes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.cfn.contract import AwsCalls, Properties, Request, scalar_text


def all_tags(model: Properties, stack_tags: Mapping[str, str]) -> dict[str, str]:
    """What a resource is tagged with; the resource's own tags win."""
    own = {str(tag["Key"]): scalar_text(tag.get("Value")) or "" for tag in model.get("Tags") or []}
    return {**stack_tags, **own}


def changed_tags(request: Request) -> tuple[dict[str, str], list[str]]:
    """What an update sets, and the keys that it takes away; tags that others set stay."""
    before = all_tags(request.previous, request.previous_tags)
    after = all_tags(request.model, request.tags)
    fresh = {key: value for key, value in after.items() if before.get(key) != value}
    return fresh, sorted(before.keys() - after.keys())


def tag_list(tags: dict[str, str]) -> list[dict[str, Any]]:
    """Tags as the ECS API takes them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


async def update_tags(calls: AwsCalls, request: Request, arn: str) -> None:
    """Tag and untag an ECS resource so that it has what its template says."""
    fresh, gone = changed_tags(request)
    if fresh:
        await calls.call("ecs", "TagResource", {"resourceArn": arn, "tags": tag_list(fresh)})
    if gone:
        await calls.call("ecs", "UntagResource", {"resourceArn": arn, "tagKeys": gone})
