"""Which calls of AWS may change what instances the local fleet has, or what they are attached to."""

from __future__ import annotations

from awsorch.local.service_call import ServiceCall

_FLEET_CALLS = frozenset(
    {
        "AttachNetworkInterface",
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "DeleteNetworkInterface",
        "DetachNetworkInterface",
        "CreateFleet",
        "DeleteFleets",
        "ModifyFleet",
        "ModifyNetworkInterfaceAttribute",
        "ModifySecurityGroupRules",
        "RequestSpotFleet",
        "RequestSpotInstances",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
        "RunInstances",
        "StartInstances",
        "StopInstances",
        "TerminateInstances",
    }
)
_READING_VERBS = ("Describe", "Get", "List")


def may_change_instances(call: ServiceCall) -> bool:
    """Whether the fleet is to look."""
    if call.service == "ec2":
        return call.operation in _FLEET_CALLS
    return call.service in {"autoscaling", "cloudformation"} and not call.operation.startswith(_READING_VERBS)
