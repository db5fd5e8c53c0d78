"""Stacks as the CloudFormation API shows them, in botocore's member names; times in seconds since 1970."""

from __future__ import annotations

from typing import Any

from awsorch.local.stacks.parameters import shown
from awsorch.local.stacks.records import Change, ChangeSet, Event, Resource, Stack
from awsorch.local.stacks.template import Template

_NO_DRIFT = {"StackDriftStatus": "NOT_CHECKED"}
_NO_RESOURCE_DRIFT = {"StackResourceDriftStatus": "NOT_CHECKED"}


def stack_view(stack: Stack, template: Template) -> dict[str, Any]:
    """A stack of DescribeStacks."""
    wanted = stack.operation.wanted if stack.operation and not stack.operation.turned_back else stack.wanted
    view = {
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set_id or None,
        "Description": template.description or None,
        "Parameters": shown(template, wanted.parameters, wanted.resolved),
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "DeletionTime": stack.deleted_at,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "DisableRollback": stack.disable_rollback,
        "TimeoutInMinutes": stack.timeout_minutes,
        "NotificationARNs": list(stack.notification_arns),
        "Capabilities": list(wanted.capabilities),
        "Outputs": [_output_view(each) for each in stack.outputs],
        "RoleARN": stack.role_arn or None,
        "Tags": [{"Key": key, "Value": value} for key, value in wanted.tags.items()],
        "EnableTerminationProtection": stack.protected,
        "DriftInformation": _NO_DRIFT,
    }
    return {name: value for name, value in view.items() if value is not None}


def summary_view(stack: Stack) -> dict[str, Any]:
    """A stack of ListStacks."""
    view = {
        "StackId": stack.id,
        "StackName": stack.name,
        "TemplateDescription": stack.description or None,
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "DeletionTime": stack.deleted_at,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "DriftInformation": _NO_DRIFT,
    }
    return {name: value for name, value in view.items() if value is not None}


def resource_view(stack: Stack, resource: Resource, time: str = "Timestamp") -> dict[str, Any]:
    """A resource of DescribeStackResources; elsewhere its time has another name."""
    return {
        "StackName": stack.name,
        "StackId": stack.id,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id or None,
        "ResourceType": resource.type,
        time: resource.updated_at,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason or None,
        "DriftInformation": _NO_RESOURCE_DRIFT,
    }


def event_view(event: Event) -> dict[str, Any]:
    """An event of DescribeStackEvents."""
    return {
        "StackId": event.stack_id,
        "EventId": event.id,
        "StackName": event.stack_name,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.type,
        "Timestamp": event.at,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason or None,
        "ResourceProperties": event.properties or None,
        "ClientRequestToken": event.token or None,
    }


def change_set_view(change_set: ChangeSet, stack: Stack, template: Template | None) -> dict[str, Any]:
    """DescribeChangeSet's answer."""
    wanted = change_set.wanted
    parameters = shown(template, wanted.parameters, wanted.resolved) if template is not None else []
    return {
        **change_set_summary(change_set, stack),
        "Parameters": parameters,
        "Capabilities": list(wanted.capabilities),
        "Tags": [{"Key": key, "Value": value} for key, value in wanted.tags.items()],
        "Changes": [{"Type": "Resource", "ResourceChange": _change_view(each)} for each in change_set.changes],
        "OnStackFailure": change_set.on_failure,
    }


def change_set_summary(change_set: ChangeSet, stack: Stack) -> dict[str, Any]:
    """A change set of ListChangeSets."""
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": change_set.id,
        "ChangeSetName": change_set.name,
        "ExecutionStatus": change_set.execution_status,
        "Status": change_set.status,
        "StatusReason": change_set.reason or None,
        "CreationTime": change_set.created_at,
        "Description": change_set.description or None,
    }


def template_summary(template: Template) -> dict[str, Any]:
    """GetTemplateSummary's answer; ValidateTemplate's has parts of it."""
    capability, reason = template.capabilities()
    capabilities = [each for each in (capability, "CAPABILITY_AUTO_EXPAND" if template.transforms else "") if each]
    return {
        "Parameters": [
            {
                "ParameterKey": name,
                "ParameterType": declared["Type"],
                "DefaultValue": declared.get("Default"),
                "NoEcho": str(declared.get("NoEcho", False)).lower() == "true",
                "Description": declared.get("Description"),
                "ParameterConstraints": {"AllowedValues": [str(each) for each in declared.get("AllowedValues") or []]},
            }
            for name, declared in template.parameters.items()
        ],
        "Description": template.description or None,
        "Capabilities": capabilities,
        "CapabilitiesReason": reason or None,
        "ResourceTypes": template.types(),
        "Version": "2010-09-09",
        "DeclaredTransforms": list(template.transforms),
    }


def _output_view(output: Any) -> dict[str, Any]:
    return {
        "OutputKey": output.key,
        "OutputValue": output.value,
        "Description": output.description or None,
        "ExportName": output.export or None,
    }


def _change_view(change: Change) -> dict[str, Any]:
    details = [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": name,
                "RequiresRecreation": "Always" if name in change.replacing else "Never",
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for name in change.names
    ]
    return {
        "Action": change.action,
        "LogicalResourceId": change.logical_id,
        "PhysicalResourceId": change.physical_id or None,
        "ResourceType": change.type,
        "Replacement": change.replacement or None,
        "Scope": ["Properties"] if details else [],
        "Details": details,
    }
