"""Capacity provider strategies as requests give them: names or ARNs with a base and a weight, and the cluster's default
where a request says neither a strategy nor a launch type.

Source: ECS API, CapacityProviderStrategyItem, RunTask, CreateService; developer guide, "Amazon ECS capacity providers".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from awsorch.api.calls import Call
from awsorch.core.arn import Scope, parse_arn, require_here
from awsorch.core.capacity.associations import FARGATE, MOST_PROVIDERS, check_strategy
from awsorch.core.errors import client_error, invalid_parameter
from awsorch.core.model import Cluster, StrategyItem


def provider_name(text: str, scope: Scope) -> str:
    """A capacity provider's name from a name or an ARN. Raises InvalidParameterException for other ARNs."""
    if not text.startswith("arn:"):
        return text
    arn = parse_arn(text)
    if arn is None or arn.kind != "capacity-provider" or len(arn.path) != 1:
        raise invalid_parameter(f"Invalid identifier: {text} is not the ARN of a capacity provider.")
    require_here(arn, scope)
    return arn.path[0]


def parse_strategy(items: Sequence[Mapping[str, Any]], scope: Scope) -> tuple[StrategyItem, ...]:
    """The items of a strategy, every default filled in. Raises InvalidParameterException for one that contradicts
    itself; whether there are such providers is not asked."""
    strategy = tuple(
        StrategyItem(
            provider=provider_name(item["capacityProvider"], scope),
            base=item.get("base", 0),
            weight=item.get("weight", 0),
        )
        for item in items
    )
    if len(strategy) > MOST_PROVIDERS:
        raise invalid_parameter(f"A capacity provider strategy can contain at most {MOST_PROVIDERS} items.")
    if len({item.provider for item in strategy}) < len(strategy):
        raise invalid_parameter(
            "The specified capacity provider strategy contains a capacity provider more than once. Specify each "
            "capacity provider once and try again."
        )
    if sum(item.base > 0 for item in strategy) > 1:
        raise invalid_parameter(
            "There are multiple capacity providers in the specified capacity provider strategy with a base value "
            "defined. Only one capacity provider in a capacity provider strategy can have a base value defined. "
            "Specify one base value and try again."
        )
    return strategy


async def read_strategy(call: Call, cluster: Cluster) -> tuple[StrategyItem, ...]:
    """The strategy of the request's tasks: its own, the cluster's default where it names no launch type either, or ().

    Raises InvalidParameterException for one that the cluster can't use, ClientException for Fargate's providers.
    """
    items, launch_type = call.request.get("capacityProviderStrategy", ()), call.request.get("launchType")
    if items and launch_type:
        raise invalid_parameter(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
        )
    strategy = parse_strategy(items, call.scope)
    if not strategy and not launch_type:
        strategy = cluster.default_strategy
    await check_usable(call, cluster, strategy)
    return strategy


async def check_usable(call: Call, cluster: Cluster, strategy: tuple[StrategyItem, ...]) -> None:
    """Refuse a strategy that tasks in this cluster can't follow."""
    if not strategy:
        return
    await call.registry.read(lambda state: check_strategy(state, cluster.capacity_providers, strategy))
    if not any(item.weight for item in strategy):
        raise invalid_parameter(
            "There are no capacity providers in the capacity provider strategy with a weight value greater than zero. "
            "Specify at least one capacity provider with a weight value greater than zero and try again."
        )
    fargate = next((item.provider for item in strategy if item.provider in FARGATE), None)
    if fargate is not None:
        raise client_error(
            f"Capacity provider {fargate} is not available: awsorch runs tasks on its own container instances. Use "
            "capacity providers with Auto Scaling groups or Managed Instances."
        )
