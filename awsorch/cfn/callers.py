"""Resources that would call Amazon ECS by themselves, whatever the template's ECS resources became."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from awsorch.cfn.fragments import texts_in

_MACHINES = frozenset({"AWS::EC2::Instance", "AWS::EC2::LaunchTemplate", "AWS::AutoScaling::LaunchConfiguration"})
_WORKFLOWS = frozenset({"AWS::StepFunctions::StateMachine", "AWS::Serverless::StateMachine"})
_HARMLESS_MACROS = ("AWS::LanguageExtensions", "AWS::SecretsManager-", "AWS::Serverless-", "Awsorch")
"""Macros that make no resources of Amazon ECS, by how their names begin."""
_PIPELINE_PROVIDERS = frozenset({"ECS", "CodeDeployToECS"})


def caller_of_ecs(resource: Mapping[str, Any]) -> str | None:
    """How this resource calls Amazon ECS, in words; None where it does not."""
    type, properties = resource["Type"], resource.get("Properties")
    if type in ("AWS::Events::Rule", "AWS::Scheduler::Schedule") and "EcsParameters" in set(texts_in(properties)):
        return "its target has EcsParameters, with which EventBridge runs tasks in Amazon ECS, not in awsorch."
    if type == "AWS::CodeDeploy::DeploymentGroup" and "ECSServices" in set(texts_in(properties)):
        return "CodeDeploy deploys ECSServices in Amazon ECS, not in awsorch; use a deployment of the service itself."
    if type in _WORKFLOWS and any("states:::ecs:" in text or ":aws-sdk:ecs:" in text for text in texts_in(properties)):
        return "its ecs: tasks run in Amazon ECS, not in awsorch."
    if type == "AWS::CodePipeline::Pipeline" and any(each in _PIPELINE_PROVIDERS for each in _providers(properties)):
        return "its deploy action calls Amazon ECS, not awsorch."
    return None


def macro_warnings(template: Mapping[str, Any]) -> Iterator[str]:
    """What to say of macros that are carried out later, and may put in resources that nobody has looked at."""
    stated = template.get("Transform")
    names = [_name_of(each) for each in (stated if isinstance(stated, list) else [stated])]
    names += _inline_macros([value for key, value in template.items() if key != "Transform"])
    for name in dict.fromkeys(names):
        if name and not name.startswith(_HARMLESS_MACROS):
            yield (
                f"What the macro {name} puts in is not seen here: ECS's resources in it would be made in Amazon ECS. "
                "Install the macro Awsorch in the account, which comes after it, in place of transforming beforehand."
            )


def user_data_warning(resource: Mapping[str, Any]) -> str | None:
    """What to say of a machine whose user data set up Amazon's agent; None for all others."""
    if resource["Type"] not in _MACHINES:
        return None
    text = "\n".join(_user_data(resource.get("Properties")))
    if "ECS_CLUSTER" not in text or "ECS_BACKEND_HOST" in text or "awsorch" in text.lower():
        return None
    return (
        "its user data writes ECS_CLUSTER for Amazon's agent, which would register with Amazon ECS. "
        "Use what `awsorch userdata` prints, or set the agent's ECS_BACKEND_HOST."
    )


def _name_of(macro: Any) -> str:
    name = macro.get("Name") if isinstance(macro, Mapping) else macro
    return name if isinstance(name, str) else ""


def _inline_macros(value: Any) -> Iterator[str]:
    """The name of every Fn::Transform."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == "Fn::Transform":
                yield from (_name_of(one) for one in (each if isinstance(each, list) else [each]))
            yield from _inline_macros(each)
    elif isinstance(value, list):
        for each in value:
            yield from _inline_macros(each)


def _providers(value: Any) -> Iterator[Any]:
    """The Provider of every ActionTypeId."""
    if isinstance(value, Mapping):
        kind = value.get("ActionTypeId")
        if isinstance(kind, Mapping) and isinstance(kind.get("Provider"), str):
            yield kind["Provider"]
        for each in value.values():
            yield from _providers(each)
    elif isinstance(value, list):
        for each in value:
            yield from _providers(each)


def _user_data(value: Any) -> Iterator[str]:
    """The texts of every UserData; those that are base64 already, decoded."""
    if isinstance(value, list):
        for each in value:
            yield from _user_data(each)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key == "UserData":
                yield from (_decoded(text) for text in texts_in(each))
            else:
                yield from _user_data(each)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text
