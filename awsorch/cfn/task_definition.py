"""AWS::ECS::TaskDefinition. Source: its page in the CloudFormation template reference; operations
RegisterTaskDefinition, DeregisterTaskDefinition.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from awsorch.cfn.contract import AwsCalls, CallRefused, Progress, Request, done
from awsorch.cfn.shapes import fit, input_shape
from awsorch.cfn.tags import all_tags, tag_list, update_tags

_RENAMED = {"ProxyConfigurationProperties": "properties"}


class EcsTaskDefinition:
    """Ref: the ARN with its revision. GetAtt: TaskDefinitionArn. Every change but of tags is a new revision."""

    type = "AWS::ECS::TaskDefinition"
    replaced_by: frozenset[str] | None = None

    async def create(self, calls: AwsCalls, request: Request) -> Progress:
        """RegisterTaskDefinition; not a second time where the answer to the first was lost."""
        family = str(request.model.get("Family") or request.name(form="{stack}{logical}{random}"))
        if request.retried:
            known = await _registered_since(calls, family, request.since)
            if known:
                return done(known, TaskDefinitionArn=known)
        properties = {name: value for name, value in request.model.items() if name != "Tags"}
        members = fit(input_shape("ecs", "RegisterTaskDefinition"), _renamed(properties))
        tags = tag_list(all_tags(request.model, request.tags))
        wanted = {**members, "family": family, **({"tags": tags} if tags else {})}
        answer = await calls.call("ecs", "RegisterTaskDefinition", wanted)
        arn = str(answer["taskDefinition"]["taskDefinitionArn"])
        return done(arn, TaskDefinitionArn=arn)

    async def update(self, calls: AwsCalls, request: Request) -> Progress:
        """Tags are all that changes."""
        await update_tags(calls, request, request.physical_id)
        return done(request.physical_id, TaskDefinitionArn=request.physical_id)

    async def delete(self, calls: AwsCalls, request: Request) -> Progress:
        """DeregisterTaskDefinition."""
        try:
            await calls.call("ecs", "DeregisterTaskDefinition", {"taskDefinition": request.physical_id})
        except CallRefused as error:
            if error.code != "ClientException":  # it is INACTIVE, or was deleted
                raise
        return done(request.physical_id)


async def _registered_since(calls: AwsCalls, family: str, since: float) -> str | None:
    try:
        answer = await calls.call("ecs", "DescribeTaskDefinition", {"taskDefinition": family})
    except CallRefused as error:
        if error.code != "ClientException":
            raise
        return None
    definition = answer["taskDefinition"]
    registered: datetime = definition["registeredAt"]
    return str(definition["taskDefinitionArn"]) if registered.timestamp() >= since else None


def _renamed(value: Any) -> Any:
    """The few names that differ in more than their capitals."""
    if isinstance(value, Mapping):
        return {_RENAMED.get(name, name): _renamed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    return value
