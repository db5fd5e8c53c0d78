"""What starting tasks has in common, alone or for a service: which revision, where, and what is said of each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from awsorch.api.calls import Call
from awsorch.core.definitions.compatibilities import ONLY_ON_FARGATE
from awsorch.core.definitions.overrides import prepare_overrides
from awsorch.core.definitions.references import parse_reference
from awsorch.core.definitions.roles import roles_of
from awsorch.core.errors import Refusal, client_error, invalid_parameter
from awsorch.core.events import TaskTemplate
from awsorch.core.model import Cluster, Constraint, Strategy, StrategyItem, TaskDefinition
from awsorch.core.placement.filters import validate_constraints
from awsorch.core.placement.strategies import validate_strategies
from awsorch.core.resources import demand_of
from awsorch.core.tags import MAX_TAGS, parse_tags
from awsorch.engine.ports import Unanswered

#: The name of the session in which a role is tried.
ROLE_SESSION = "awsorch-check"
#: For so long a caller waits for STS, in seconds: it has better things to do than to repeat a call that was too slow.
ROLES_S = 3.0
_LAUNCH_TYPES = ("EC2", "EXTERNAL")
_STARTED_BY = re.compile(r"[A-Za-z0-9_/-]*\Z")


async def find_definition(
    call: Call, name: str, inactive: Callable[[str], Refusal] = invalid_parameter
) -> TaskDefinition:
    """The revision of this name (family, family:revision or ARN), if tasks may be started from it.

    Raises ClientException for an unknown one, what ``inactive`` makes for one that was deregistered.
    """
    reference = parse_reference(name, call.scope)
    definition = await call.registry.read(lambda state: state.find_revision(reference))
    if definition is None or definition.status == "DELETE_IN_PROGRESS":
        raise client_error("TaskDefinition not found.")
    if definition.status != "ACTIVE":
        raise inactive("TaskDefinition is inactive")
    return definition


def read_constraints(request: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """The request's ``placementConstraints``, validated."""
    constraints = tuple(
        Constraint(type=item.get("type", ""), expression=item.get("expression"))
        for item in request.get("placementConstraints", ())
    )
    validate_constraints(constraints)
    return constraints


def read_strategies(request: Mapping[str, Any]) -> tuple[Strategy, ...]:
    """The request's ``placementStrategy``, validated."""
    strategies = tuple(
        Strategy(type=item.get("type", ""), field=item.get("field")) for item in request.get("placementStrategy", ())
    )
    validate_strategies(strategies)
    return strategies


def read_template(
    call: Call, cluster: Cluster, definition: TaskDefinition, strategy: tuple[StrategyItem, ...] = ()
) -> TaskTemplate:
    """Everything but the network that the request says of each of its tasks, which follow this capacity provider
    strategy. Raises ECS's refusals for what can't be."""
    request = call.request
    launch_type = read_launch_type(request, definition, strategy)
    overrides = prepare_overrides(
        definition.definition, request.get("overrides", {}), region=call.scope.region, account=call.scope.account
    )
    if overrides.get("ephemeralStorage"):
        raise client_error(ONLY_ON_FARGATE)
    return TaskTemplate(
        definition=definition,
        demand=demand_of(
            definition.definition,
            overrides,
            launch_type,
            execute_command=request.get("enableExecuteCommand", False),
        ),
        group=_group(request, definition),
        overrides=overrides,
        started_by=_started_by(request, 36 if call.operation == "StartTask" else 128),
        launch_type=launch_type,
        tags=_tags(request, cluster, definition),
        enable_execute_command=request.get("enableExecuteCommand", False),
        reference_id=request.get("referenceId"),
    )


async def check_roles(call: Call, template: TaskTemplate) -> None:
    """Raises ClientException for a role that can't be assumed. Where that is not known now, tasks wait for it."""
    if call.task_roles is None:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(ROLES_S):
            for role_arn in roles_of(template.definition.definition, template.overrides).values():
                with suppress(Unanswered):
                    await call.task_roles.assume(role_arn, ROLE_SESSION)


def read_launch_type(
    request: Mapping[str, Any], definition: TaskDefinition, strategy: tuple[StrategyItem, ...] = ()
) -> str:
    """EC2 or EXTERNAL; refuses what the definition or this version does not support. With a strategy it is EC2: all
    capacity providers that run tasks have EC2 instances."""
    launch_type: str = "EC2" if strategy else request.get("launchType") or "EC2"
    if launch_type not in definition.definition.get("compatibilities", ()):
        raise invalid_parameter(f"Task definition does not support launch_type {launch_type}.")
    if launch_type not in _LAUNCH_TYPES:
        raise client_error(
            f"Launch type {launch_type} is not available: awsorch runs tasks on its own container instances. Use EC2."
        )
    if request.get("platformVersion"):
        raise invalid_parameter(f"The platform version must be null when specifying an {launch_type} launch type")
    return launch_type


def _group(request: Mapping[str, Any], definition: TaskDefinition) -> str:
    group: str = request.get("group") or f"family:{definition.family}"
    if len(group) > 255:
        raise invalid_parameter("group can have at most 255 characters.")
    if group.startswith("service:"):
        raise invalid_parameter("Invalid group: the prefix service: is reserved for services.")
    return group


def _started_by(request: Mapping[str, Any], limit: int) -> str | None:
    text: str | None = request.get("startedBy")
    if text is not None and (len(text) > limit or not _STARTED_BY.match(text)):
        raise invalid_parameter(
            f"startedBy can have at most {limit} letters (uppercase and lowercase), numbers, hyphens, slashes and "
            "underscores."
        )
    return text or None


def _tags(request: Mapping[str, Any], cluster: Cluster, definition: TaskDefinition) -> dict[str, str]:
    given = parse_tags(request.get("tags", ()))
    propagate = request.get("propagateTags")
    if propagate == "SERVICE":
        raise invalid_parameter("propagateTags SERVICE is for tasks of services. Use TASK_DEFINITION or NONE.")
    inherited = dict(definition.tags) if propagate == "TASK_DEFINITION" else {}
    tags = {**inherited, **given}
    if len(tags) > MAX_TAGS:
        raise invalid_parameter(f"Number of tags exceeds the limit of {MAX_TAGS}.")
    if request.get("enableECSManagedTags"):
        tags["aws:ecs:clusterName"] = cluster.name
    return tags
