"""A template's sections, checked as far as they can be without knowing parameters.

Source: AWS CloudFormation user guide, "Template sections" (names and limits).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.local.stacks.documents import read_template
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.references import references_in

_SECTIONS = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Hooks",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
        "Transform",
    }
)
_RESOURCE_PARTS = frozenset(
    {
        "Condition",
        "CreationPolicy",
        "DeletionPolicy",
        "DependsOn",
        "Metadata",
        "Properties",
        "Type",
        "UpdatePolicy",
        "UpdateReplacePolicy",
    }
)
_POLICIES = {
    "DeletionPolicy": ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot"),
    "UpdateReplacePolicy": ("Delete", "Retain", "Snapshot"),
}
_LEAVE_SNAPSHOTS = frozenset(
    {
        "AWS::DocDB::DBCluster",
        "AWS::EC2::Volume",
        "AWS::ElastiCache::CacheCluster",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::Neptune::DBCluster",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::Redshift::Cluster",
    }
)
_IAM_NAMES = {
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
}
_IAM_TYPES = _IAM_NAMES.keys() | {
    "AWS::IAM::AccessKey",
    "AWS::IAM::GroupPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::UserPolicy",
    "AWS::IAM::UserToGroupAddition",
}
MOST_RESOURCES = 500
PSEUDO_PARAMETERS = frozenset(
    {
        "AWS::AccountId",
        "AWS::NotificationARNs",
        "AWS::NoValue",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template in its long form: logical id or name to what the template says of it. `original`: the text that
    transforms made it from, empty where there were none."""

    text: str
    description: str
    parameters: Mapping[str, Mapping[str, Any]]
    mappings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    conditions: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Any]
    metadata: Mapping[str, Any]
    transforms: tuple[str, ...]
    original: str = ""

    def types(self) -> list[str]:
        """The types of its resources, each once, in order of appearance."""
        every = (resource for resource in self.resources.values() if isinstance(resource, Mapping))
        return list(dict.fromkeys(str(resource["Type"]) for resource in every if "Type" in resource))

    def capabilities(self) -> tuple[str, str]:
        """What deploying it must acknowledge ("CAPABILITY_IAM"; "" for nothing), and why."""
        iam = [type for type in self.types() if type in _IAM_TYPES]
        if not iam:
            return "", ""
        named = [
            each
            for each in self.resources.values()
            if isinstance(each, Mapping) and _IAM_NAMES.get(each.get("Type", ""), "") in (each.get("Properties") or {})
        ]
        reason = f"The following resource(s) require capabilities: [{', '.join(iam)}]"
        return ("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"), reason


@functools.lru_cache(maxsize=64)
def parse(text: str) -> Template:
    """A template from its text. Raises TemplateError. Nobody changes what it answers: it is kept, since a large text
    takes a while."""
    template = outline(text)
    if template.transforms:
        raise StackRefused(f"No transform named {template.transforms[0]} found.")
    if not template.resources:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    if len(template.resources) > MOST_RESOURCES:
        raise TemplateError(
            f"Template format error: Number of resources, {len(template.resources)}, is greater than maximum allowed, "
            f"{MOST_RESOURCES}"
        )
    for check in (_check_resources, _check_references, _check_outputs):
        check(template)
    return template


def outline(text: str) -> Template:
    """The sections of a text that transforms may still change. Raises TemplateError."""
    document = read_template(text)
    transforms = declared_transforms(document)
    unknown = sorted(document.keys() - _SECTIONS)
    if unknown and not transforms:
        raise TemplateError(f"Invalid template property or properties [{', '.join(unknown)}]")
    for name in ("Parameters", "Mappings", "Conditions", "Resources", "Outputs", "Rules", "Metadata"):
        if not isinstance(document.get(name) or {}, Mapping):
            raise TemplateError(f"Template format error: {name} must be an object.")
    version = document.get("AWSTemplateFormatVersion", "2010-09-09")
    if str(version) != "2010-09-09":
        raise TemplateError(
            "Template format error: [2010-09-09] is the only allowed value of AWSTemplateFormatVersion."
        )
    template = Template(
        text=text,
        description=str(document.get("Description") or ""),
        parameters=document.get("Parameters") or {},
        mappings=document.get("Mappings") or {},
        conditions=document.get("Conditions") or {},
        resources=document.get("Resources") or {},
        outputs=document.get("Outputs") or {},
        rules=document.get("Rules") or {},
        metadata=document.get("Metadata") or {},
        transforms=tuple(declared["Name"] for declared in transforms),
    )
    _check_parameters(template)
    return template


def declared_transforms(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What Transform names, in its order: `Name` and `Parameters`. Raises TemplateError."""
    said = document.get("Transform") or []
    found = []
    for each in said if isinstance(said, list) else [said]:
        declared = {"Name": each} if isinstance(each, str) else each
        if not isinstance(declared, Mapping) or not isinstance(declared.get("Name"), str):
            raise TemplateError("Template format error: Transform should name transforms, or give Name and Parameters.")
        found.append({"Parameters": {}, **declared})
    return found


def dependencies(resource: Mapping[str, Any]) -> list[str]:
    """What DependsOn names."""
    named = resource.get("DependsOn") or []
    return [str(each) for each in (named if isinstance(named, list) else [named])]


def _check_parameters(template: Template) -> None:
    for name, parameter in template.parameters.items():
        _check_name(name, "Parameter")
        if not isinstance(parameter, Mapping) or "Type" not in parameter:
            raise TemplateError(
                f"Template format error: Every Parameters object must contain a Type member. [/Parameters/{name}]"
            )


def _check_resources(template: Template) -> None:
    for name, resource in template.resources.items():
        _check_name(name, "Resource")
        where = f"[/Resources/{name}]"
        if not isinstance(resource, Mapping):
            raise TemplateError(f"Template format error: {where} resource definition is malformed")
        if not isinstance(resource.get("Type"), str):
            raise TemplateError(f"Template format error: {where} Every Resources object must contain a Type member.")
        unknown = sorted(resource.keys() - _RESOURCE_PARTS)
        if unknown:
            raise TemplateError(f"Invalid template resource property '{unknown[0]}'")
        if not isinstance(resource.get("Properties") or {}, Mapping):
            raise TemplateError(f"Template format error: {where} Properties must be an object.")
        for policy, values in _POLICIES.items():
            if resource.get(policy, "Delete") not in values:
                raise TemplateError(
                    f"Template format error: Unrecognized {policy} {resource[policy]} for resource {name}"
                )
            if resource.get(policy) == "Snapshot" and resource["Type"] not in _LEAVE_SNAPSHOTS:
                raise TemplateError(
                    f"Template error: resource type {resource['Type']} does not support {policy} Snapshot ({name})"
                )


def _check_outputs(template: Template) -> None:
    for name, output in template.outputs.items():
        _check_name(name, "Output")
        if not isinstance(output, Mapping) or output.get("Value") is None:
            raise TemplateError(
                f"Template format error: Every Outputs member must contain a Value object. [/Outputs/{name}]"
            )


def _check_references(template: Template) -> None:
    """Everything that is referred to is there, whichever way conditions fall."""
    for section, things in (("Resources", template.resources), ("Outputs", template.outputs)):
        missing: dict[str, None] = {}
        for thing in things.values():
            missing |= dict.fromkeys(_missing(template, thing))
        if missing:
            raise TemplateError(
                f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the {section} "
                "block of the template"
            )
    for name, condition in template.conditions.items():
        for reference in references_in(condition):
            if reference.kind == "condition" and reference.name not in template.conditions:
                raise TemplateError(f"Template format error: Unresolved condition dependency {reference.name}")
            known = reference.name in template.parameters or reference.name in PSEUDO_PARAMETERS
            if reference.kind in ("ref", "attribute") and not known:
                raise TemplateError(
                    f"Template format error: Unresolved dependencies [{reference.name}]. Cannot reference resources in "
                    f"the Conditions block of the template ({name})"
                )


def _missing(template: Template, thing: Mapping[str, Any]) -> Iterator[str]:
    values = {key: value for key, value in thing.items() if key in ("Properties", "Value", "Export")}
    if "Condition" in thing and thing["Condition"] not in template.conditions:
        raise TemplateError(f"Template format error: Unresolved condition dependency {thing['Condition']}")
    for name in dependencies(thing):
        if name not in template.resources:
            yield name
    for reference in references_in(values):
        if reference.kind == "condition":
            if reference.name not in template.conditions:
                raise TemplateError(f"Template format error: Unresolved condition dependency {reference.name}")
        elif reference.kind == "attribute":
            if reference.name not in template.resources:
                raise TemplateError(
                    f"Template error: instance of Fn::GetAtt references undefined resource {reference.name}"
                )
        elif not _is_known(template, reference.name):
            yield reference.name


def _is_known(template: Template, name: str) -> bool:
    return name in template.parameters or name in template.resources or name in PSEUDO_PARAMETERS


def _check_name(name: str, what: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]{1,255}", name):
        raise TemplateError(f"Template format error: {what} name {name} is non alphanumeric.")
