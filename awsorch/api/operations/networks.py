"""The network that tasks are launched in: ``networkConfiguration`` read, checked, and its subnets found.

Source: ECS API, NetworkConfiguration, AwsVpcConfiguration; developer guide, "Task networking with the awsvpc network
mode" (an instance's task has no public address of its own), "Using a VPC in dual-stack mode".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from awsorch.api.calls import Call
from awsorch.core.definitions.document import network_mode_of
from awsorch.core.errors import invalid_parameter, unsupported
from awsorch.core.model import TaskDefinition
from awsorch.core.model_attachments import TaskNetwork
from awsorch.core.rules.account_settings import DUAL_STACK, effective_value, principal_of
from awsorch.engine.ports import CloudFailure, Unanswered

MOST_SUBNETS, MOST_SECURITY_GROUPS = 16, 5
_UNKNOWN = "InvalidSubnet"


async def read_network(call: Call, members: Mapping[str, Any], definition: TaskDefinition) -> TaskNetwork | None:
    """What ``networkConfiguration`` among these members comes to, None where tasks have no network of their own.

    Raises InvalidParameterException where it does not fit the definition's network mode, or what it names is not there.
    """
    given = members.get("networkConfiguration") or {}
    if network_mode_of(definition.definition) != "awsvpc":
        if given:
            raise invalid_parameter(
                "Network Configuration is not valid for the given networkMode of this task definition."
            )
        return None
    network = given.get("awsvpcConfiguration")
    if not network:
        raise invalid_parameter("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    subnets, groups = network.get("subnets", ()), network.get("securityGroups", ())
    if not subnets:
        raise invalid_parameter("subnets can not be empty.")
    if len(subnets) > MOST_SUBNETS:
        raise invalid_parameter(f"subnets can have at most {MOST_SUBNETS} items.")
    if len(groups) > MOST_SECURITY_GROUPS:
        raise invalid_parameter(f"securityGroups can have at most {MOST_SECURITY_GROUPS} items.")
    if network.get("assignPublicIp", "DISABLED") == "ENABLED":
        raise invalid_parameter("Assign public IP is not supported for this launch type.")
    return TaskNetwork(
        subnets=await _zones(call, subnets), security_groups=tuple(groups), ipv6=await _is_dual_stack(call)
    )


async def _is_dual_stack(call: Call) -> bool:
    principal = principal_of(call.caller_arn)
    return await call.registry.read(
        lambda state: effective_value(state.settings, DUAL_STACK, principal, call.scope) == "enabled"
    )


async def _zones(call: Call, subnets: Sequence[str]) -> Mapping[str, str]:
    if call.controller.subnets is None:
        raise unsupported("networkMode awsvpc is not available: this controller has no EC2 to ask for interfaces.")
    try:
        return await call.controller.subnets.zones(subnets)
    except CloudFailure as failure:
        if failure.code.startswith(_UNKNOWN):
            raise invalid_parameter(
                f"Error retrieving subnet information for [{', '.join(subnets)}]: {failure.message} "
                f"(ErrorCode: {failure.code})"
            ) from failure
        raise Unanswered(f"The subnets could not be described: {failure}") from failure
