"""``loadBalancers`` of a service: what may be said of them, and whether the target groups are fit for it.

Source: ECS API, LoadBalancer; developer guide, "Use load balancing to distribute Amazon ECS service traffic".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from awsorch.api.calls import Call
from awsorch.core.arn import Scope
from awsorch.core.definitions.document import Document, containers_of, name_of, network_mode_of
from awsorch.core.errors import Refusal, invalid_parameter, unsupported
from awsorch.core.model import LoadBalancer
from awsorch.engine.ports import LoadBalancerFailure

MOST_GROUPS = 5
_GROUP_ARN = re.compile(r"arn:[a-z-]+:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]+/[A-Za-z0-9]+")
_CLASSIC_NAME = re.compile(r"[A-Za-z0-9-]{1,32}")


def read_load_balancers(items: Sequence[Mapping[str, Any]], definition: Document) -> tuple[LoadBalancer, ...]:
    """The entries of ``loadBalancers``; each names a container port of the task definition.

    Raises InvalidParameterException, UnsupportedFeatureException for advancedConfiguration.
    """
    balancers = tuple(_read(item, definition) for item in items)
    classic = sum(balancer.load_balancer_name is not None for balancer in balancers)
    if classic > 1 or (classic and classic < len(balancers)):
        raise invalid_parameter(
            f"A service can use one Classic Load Balancer, or up to {MOST_GROUPS} target groups, but not both."
        )
    if len(balancers) > MOST_GROUPS:
        raise invalid_parameter(f"Load balancers can have at most {MOST_GROUPS} items.")
    return balancers


def _read(item: Mapping[str, Any], definition: Document) -> LoadBalancer:
    if item.get("advancedConfiguration"):
        raise unsupported("advancedConfiguration of load balancers is not supported by this version of awsorch.")
    group, classic = item.get("targetGroupArn"), item.get("loadBalancerName")
    if group and classic:
        raise invalid_parameter("loadBalancerName and targetGroupArn cannot both be specified.")
    if not group and not classic:
        raise invalid_parameter("Either targetGroupArn or loadBalancerName must be specified for a load balancer.")
    if group and not _GROUP_ARN.fullmatch(group):
        raise _unknown_group()
    if classic and not _CLASSIC_NAME.fullmatch(classic):
        raise invalid_parameter("loadBalancerName must have 1 to 32 letters, digits and hyphens.")
    name, port = item.get("containerName"), item.get("containerPort")
    if not name or port is None:
        raise invalid_parameter("containerName and containerPort must be specified for a load balancer.")
    _check_port(name, port, definition, fixed=classic is not None)
    return LoadBalancer(
        target_group_arn=group or None, load_balancer_name=classic or None, container_name=name, container_port=port
    )


def _check_port(name: str, port: int, definition: Document, *, fixed: bool) -> None:
    """``fixed``: it must be the same port of every instance, as a Classic Load Balancer asks one port of all."""
    container = next((c for c in containers_of(definition) if name_of(c) == name), None)
    if container is None:
        raise invalid_parameter(f"The container {name} does not exist in the task definition.")
    mappings = [m for m in container.get("portMappings") or () if m.get("containerPort") == port]
    if not mappings:
        raise invalid_parameter(f"The container {name} did not have a container port {port} defined.")
    if fixed and network_mode_of(definition) != "host" and not any(mapping.get("hostPort") for mapping in mappings):
        raise invalid_parameter(f"A host port mapping for the container port {port} is required.")


async def check_target_groups(call: Call, balancers: Iterable[LoadBalancer], definition: Document) -> None:
    """Refuses target groups that don't exist, serve no load balancer, or take other targets than the tasks are."""
    arns = list(dict.fromkeys(b.target_group_arn for b in balancers if b.target_group_arn is not None))
    if not arns or call.load_balancers is None:
        return
    try:
        groups = await call.load_balancers.describe_groups(arns)
    except LoadBalancerFailure as failure:
        raise _unknown_group(f" ({failure})") from failure
    mode = network_mode_of(definition)
    for arn in arns:
        facts = groups.get(arn)
        if facts is None:
            raise _unknown_group()
        if facts.target_type != ("ip" if mode == "awsvpc" else "instance"):
            raise invalid_parameter(
                f"The provided target group {arn} has target type {facts.target_type}, which is incompatible with the "
                f"{mode} network mode specified in the task definition."
            )
        if not facts.load_balancer_arns:
            raise invalid_parameter(
                f"The target group with targetGroupArn {arn} does not have an associated load balancer."
            )


def read_role(text: str | None, balancers: Sequence[LoadBalancer], scope: Scope) -> str | None:
    """ARN of the role that ``role`` names, by ARN or name with its path; None where none is named.

    Raises InvalidParameterException where ECS acts in its service-linked role.
    """
    if not text:
        return None
    if len(balancers) != 1:
        raise invalid_parameter("You cannot specify an IAM role for services that require a service linked role.")
    if text.startswith("arn:"):
        return text
    return f"arn:{scope.partition}:iam::{scope.account}:role/{text.lstrip('/')}"


def _unknown_group(detail: str = "") -> Refusal:
    return invalid_parameter(
        "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role "
        f"being passed has the proper permissions.{detail}"
    )
