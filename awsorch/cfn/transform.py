"""A template of Amazon ECS as one of awsorch: its ECS resources become custom resources under their own logical ids.

Whoever handles them answers with ECS's own ids and attributes, so Ref, Fn::GetAtt, Fn::Sub, outputs and exports stay as
they are. Pure: the same template and settings give the same text, and what is transformed already is left alone, or
every deployment would change something. Source: AWS CloudFormation user guide, "Custom resource reference".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.cfn.callers import caller_of_ecs, macro_warnings, user_data_warning
from awsorch.cfn.fragments import TransformError, resources_of, texts_in
from awsorch.cfn.renaming import renamed
from awsorch.cfn.trust import trusting

MACRO = "Awsorch"
INLINE_BYTES = 51_200
"""A larger template must come from S3."""
LARGEST_BYTES = 1_048_576

TYPES = frozenset(
    f"AWS::ECS::{name}"
    for name in ("CapacityProvider", "Cluster", "ClusterCapacityProviderAssociations", "Service", "TaskDefinition")
)
_TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
_POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSettings:
    """Where custom resources go (an SNS topic's or a Lambda function's ARN), and who takes the roles of tasks.

    `role` is the ARN of the control plane's role; `strict` fails other callers of Amazon ECS instead of warning of
    them; `suffix` is for stacks that have ECS resources of Amazon's: letters and digits behind the new logical ids.
    """

    service_token: str | Mapping[str, Any]
    service_timeout: int = 3600
    role: str | None = None
    strict: bool = False
    suffix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformed:
    """The template, in its long form, and what its author should know."""

    template: dict[str, Any]
    warnings: tuple[str, ...] = ()


def transform(template: Mapping[str, Any], settings: TransformSettings) -> Transformed:
    """The template for awsorch; the one given stays as it is. Raises TransformError, which names the logical id."""
    if not 1 <= settings.service_timeout <= 3600:
        raise TransformError(f"ServiceTimeout is {settings.service_timeout}; it must be from 1 to 3600 seconds.")
    if settings.suffix and not (settings.suffix.isascii() and settings.suffix.isalnum()):
        raise TransformError(f"The suffix {settings.suffix!r} must have letters and digits only, as logical ids do.")
    found: dict[str, Any] = json.loads(json.dumps(template))  # a copy, of what JSON has
    if not isinstance(found.get("Resources"), dict):
        raise TransformError("The template has no Resources section; Awsorch transforms whole templates.")
    _drop_macro(found)
    warnings = list(macro_warnings(found))
    if warnings and settings.strict:
        raise TransformError(warnings[0])
    ours = frozenset(_ours(found))
    for logical, resource in resources_of(found):
        complaint = caller_of_ecs(resource)
        if complaint and settings.strict:
            raise TransformError(f"Resource {logical}: {complaint}")
        warnings += [f"Resource {logical}: {said}" for said in (complaint, user_data_warning(resource)) if said]
        if resource["Type"] == "AWS::IAM::Role":
            warnings += trusting(logical, resource, settings.role)
        elif logical in ours:
            if settings.suffix and resource["Type"] == "AWS::ECS::Service" and _names(resource):
                warnings.append(f"Resource {logical}: it has a ServiceName, which the service in Amazon ECS has too.")
            _replace(resource, settings)
    if settings.suffix:
        found = renamed(found, ours, settings.suffix)
    return Transformed(template=found, warnings=tuple(warnings))


def written(template: Mapping[str, Any]) -> str:
    """A template as JSON. Raises TransformError where it is larger than CloudFormation takes from S3."""
    text = json.dumps(template, separators=(",", ":"), ensure_ascii=False)
    size = len(text.encode())
    if size > LARGEST_BYTES:
        raise TransformError(
            f"The transformed template has {size} bytes; CloudFormation takes {LARGEST_BYTES} at most. "
            "Split it into nested stacks."
        )
    return text


def custom_type(type: str) -> str:
    """`AWS::ECS::Service` as `Custom::AwsorchEcsService`; other services keep their name's capitals."""
    _, service, name = type.split("::")
    return f"Custom::Awsorch{'Ecs' if service == 'ECS' else service}{name}"


def _replace(resource: dict[str, Any], settings: TransformSettings) -> None:
    """Everything but type and properties stays: Condition, DependsOn, the policies, Metadata."""
    type = resource["Type"]
    token = settings.service_token
    resource["Type"] = custom_type(type)
    resource["Properties"] = {
        "ServiceToken": token if isinstance(token, str) else dict(token),
        "ServiceTimeout": settings.service_timeout,
        "AwsorchType": type,
        "Model": resource.get("Properties", {}),
    }


def _names(resource: Mapping[str, Any]) -> bool:
    properties = resource.get("Properties")
    return isinstance(properties, Mapping) and "ServiceName" in properties


def _drop_macro(template: dict[str, Any]) -> None:
    """Without our own macro's line: it is done, and the account may not have the macro."""
    stated = template.get("Transform")
    listed = stated if isinstance(stated, list) else [stated]
    rest = [each for each in listed if (each.get("Name") if isinstance(each, dict) else each) != MACRO]
    if len(rest) == len(listed):
        return
    if rest:
        template["Transform"] = rest if len(rest) > 1 else rest[0]
    else:
        del template["Transform"]


def _ours(template: Mapping[str, Any]) -> Iterator[str]:
    """The logical ids of what awsorch is to have. Raises TransformError for ECS types that it has not."""
    targets = set()
    for logical, resource in resources_of(template):
        type = resource["Type"]
        if type in TYPES:
            yield logical
        elif type.startswith("AWS::ECS::"):
            raise TransformError(
                f"Resource {logical}: awsorch does not support {type}; it supports {', '.join(sorted(TYPES))}."
            )
        elif type == _TARGET and _scales_ecs(logical, resource):
            targets.add(logical)
            yield logical
        elif type == custom_type(_TARGET):
            targets.add(logical)
    for logical, resource in resources_of(template):
        if resource["Type"] == _POLICY:
            properties = resource.get("Properties")
            target = properties.get("ScalingTargetId") if isinstance(properties, Mapping) else None
            if _refers_to(target, targets) if target is not None else _scales_ecs(logical, resource):
                yield logical


def _scales_ecs(logical: str, resource: Mapping[str, Any]) -> bool:
    """Whether a target or policy is of ECS: its namespace says so, or else its dimension."""
    properties = resource.get("Properties")
    if not isinstance(properties, Mapping):
        return False
    namespace, dimension = properties.get("ServiceNamespace"), properties.get("ScalableDimension")
    if isinstance(namespace, str):
        return namespace == "ecs"
    if isinstance(dimension, str):
        return dimension.startswith("ecs:")
    if namespace is None and dimension is None:
        return False  # CloudFormation says itself what is missing
    raise TransformError(
        f"Resource {logical}: whether it scales an ECS service can't be told, since neither ServiceNamespace nor "
        "ScalableDimension is written as text. Write ServiceNamespace as text."
    )


def _refers_to(value: Any, targets: set[str]) -> bool:
    if isinstance(value, Mapping) and isinstance(value.get("Ref"), str):
        return value["Ref"] in targets
    if isinstance(value, Mapping) and "Fn::GetAtt" in value:
        argument = value["Fn::GetAtt"]
        named = argument.split(".")[0] if isinstance(argument, str) else argument[0]
        return named in targets
    if isinstance(value, str):
        return "|ecs:" in value or "|ecs|" in value  # the id of a target made elsewhere
    return any(f"${{{target}}}" in text for text in texts_in(value) for target in targets)
