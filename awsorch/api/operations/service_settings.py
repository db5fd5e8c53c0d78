"""What a service is told that makes no deployment: how it deploys, how patient it is, which zones. Read and checked
here for CreateService and UpdateService alike; nothing here looks at partitions.

Source: ECS API, CreateService, UpdateService, DeploymentConfiguration; developer guide, "Balancing an Amazon ECS
service across Availability Zones".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from awsorch.core.errors import Refusal, invalid_parameter, unsupported
from awsorch.core.model import Constraint, LoadBalancer, Strategy
from awsorch.core.placement.strategies import ZONE

Members = Mapping[str, Any]

#: ECS's quota of tasks per service. Daemons have as many as there are instances.
MOST_TASKS = 5000
_STRATEGIES = ("REPLICA", "DAEMON")
#: CloudWatch answers for so many alarms at once.
MOST_ALARMS = 100
#: A day. Minutes.
LONGEST_BAKE = 1440
_BREAKER = {
    "enable": False,
    "rollback": False,
    "resetOnHealthyTask": True,
    "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
}
_ALARMS = {"alarmNames": [], "rollback": False, "enable": False}
_REPLICA = {"maximumPercent": 200, "minimumHealthyPercent": 100}
_DAEMON = {"maximumPercent": 100, "minimumHealthyPercent": 0}
#: What only strategies other than ROLLING have: (member, strategy).
_OF_OTHERS = (("linearConfiguration", "LINEAR"), ("canaryConfiguration", "CANARY"))


def read_scheduling(request: Members) -> str | None:
    """``schedulingStrategy``; None where the request does not say."""
    strategy: str | None = request.get("schedulingStrategy")
    if strategy is not None and strategy not in _STRATEGIES:
        raise invalid_parameter(f"Scheduling strategy should be one of [{','.join(_STRATEGIES)}]")
    return strategy


def read_count(request: Members, negative: str) -> int | None:
    """``desiredCount``, within the quota; None where the request does not say. ``negative``: what is said of one below
    zero."""
    count: int | None = request.get("desiredCount")
    if count is not None and count < 0:
        raise invalid_parameter(negative)
    if count is not None and count > MOST_TASKS:
        raise invalid_parameter("Desired count exceeds limit.")
    return count


def default_configuration(*, daemon: bool) -> dict[str, Any]:
    """The deploymentConfiguration of a service that says nothing about it."""
    percents = _DAEMON if daemon else _REPLICA
    return {
        "deploymentCircuitBreaker": _BREAKER,
        **percents,
        "alarms": _ALARMS,
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    }


def read_configuration(given: Members, known: Members, *, daemon: bool) -> dict[str, Any]:
    """``known`` with the given members in their place, every default filled in.

    Raises InvalidParameterException for percents, thresholds and times out of bounds, UnsupportedFeatureException for
    strategies other than ROLLING and what belongs to them.
    """
    _refuse_other_strategies(given)
    configuration = {name: given.get(name, value) for name, value in known.items()}
    if "deploymentCircuitBreaker" in given:
        configuration["deploymentCircuitBreaker"] = {**_BREAKER, **given["deploymentCircuitBreaker"]}
    _check_percents(configuration, daemon=daemon)
    _check_threshold(configuration["deploymentCircuitBreaker"]["thresholdConfiguration"])
    _check_alarms(configuration["alarms"])
    if not 0 <= configuration["bakeTimeInMinutes"] <= LONGEST_BAKE:
        raise invalid_parameter(f"bakeTimeInMinutes must be between 0 and {LONGEST_BAKE}")
    return configuration


def _refuse_other_strategies(given: Members) -> None:
    strategy = given.get("strategy", "ROLLING")
    if strategy != "ROLLING":
        raise unsupported(
            f"Deployment strategy {strategy} is not supported by this version of awsorch. Use ROLLING and try again."
        )
    for member, other in _OF_OTHERS:
        if given.get(member):
            raise invalid_parameter(f"{member} is for deployment strategy {other}. Remove it and try again.")
    if given.get("lifecycleHooks"):
        raise unsupported("Deployment lifecycle hooks are not supported by this version of awsorch.")
    if given.get("earlySuccessCriteria", {}).get("enable"):
        raise unsupported("Early success criteria are not supported by this version of awsorch.")


def _check_percents(configuration: Members, *, daemon: bool) -> None:
    most, least = configuration["maximumPercent"], configuration["minimumHealthyPercent"]
    if daemon and most > 100:
        raise invalid_parameter(
            "The daemon scheduling strategy does not support values above 100 for maximumPercent. "
            "Change the value and try again"
        )
    if least < 0:
        raise invalid_parameter("minimumHealthyPercent must be at least 0")
    if least > 100:
        raise invalid_parameter("minimumHealthyPercent must be at most 100")
    if most < 100:
        raise invalid_parameter("maximumPercent must be at least 100")
    if most == least:
        raise invalid_parameter(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments."
        )


def _check_threshold(threshold: Members) -> None:
    kind, value = threshold["type"], threshold["value"]
    if value < 1:
        raise invalid_parameter(f"The value of thresholdConfiguration must be at least 1, but was {value}")
    if kind != "COUNT" and value > 100:
        raise invalid_parameter(f"The value of thresholdConfiguration {kind} must be at most 100, but was {value}")


def _check_alarms(alarms: Members) -> None:
    names = alarms["alarmNames"]
    if alarms["enable"] and not names:
        raise invalid_parameter("alarmNames can not be empty when deployment alarms are enabled.")
    if len(names) > MOST_ALARMS:
        raise invalid_parameter(f"alarmNames can have at most {MOST_ALARMS} items.")
    if not all(1 <= len(name) <= 255 for name in names):
        raise invalid_parameter("The name of an alarm must have 1 to 255 characters.")


def check_controller(request: Members) -> None:
    """Refuses deployment controllers other than ECS."""
    controller = request.get("deploymentController", {}).get("type", "ECS")
    if controller != "ECS":
        raise unsupported(
            f"Deployment controller {controller} is not supported by this version of awsorch. Use ECS and try again."
        )


def daemon_strategy() -> Refusal:
    """DAEMON services follow no capacity provider strategy, not even their cluster's default."""
    return invalid_parameter(
        "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON "
        "scheduling strategy."
    )


def check_daemon(request: Members) -> None:
    """Refuses what services with the scheduling strategy DAEMON may not say."""
    if "desiredCount" in request:
        raise invalid_parameter(
            "The daemon scheduling strategy does not support a desired count for services. "
            "Remove the desired count value and try again"
        )
    if request.get("placementStrategy"):
        raise invalid_parameter(
            "The daemon scheduling strategy does not support placement strategies. "
            "Remove the placement strategies and try again"
        )
    if request.get("volumeConfigurations"):
        raise invalid_parameter(
            "The daemon scheduling strategy does not support volume configurations. "
            "Remove the volume configurations and try again"
        )
    if request.get("launchType") == "FARGATE":
        raise invalid_parameter(
            "The daemon scheduling strategy does not support the FARGATE launch type. "
            "Change the launch type and try again"
        )


def read_grace(request: Members) -> int | None:
    """healthCheckGracePeriodSeconds, None where it is not said."""
    grace: int | None = request.get("healthCheckGracePeriodSeconds")
    if grace is not None and grace < 0:
        raise invalid_parameter("healthCheckGracePeriodSeconds must be between 0 and 2147483647")
    return grace


def zone_obstacle(
    *,
    daemon: bool,
    launch_type: str | None,
    configuration: Members,
    load_balancers: Sequence[LoadBalancer],
    constraints: Sequence[Constraint],
    strategies: Sequence[Strategy],
) -> str | None:
    """Why a service can't be rebalanced across Availability Zones, None where it can."""
    zone = f"attribute:{ZONE}"
    if daemon:
        what = "DAEMON services"
    elif launch_type == "EXTERNAL":
        what = "the EXTERNAL launch type"
    elif configuration["maximumPercent"] <= 100:
        what = "maximumPercent <= 100 % as deployment configuration"
    elif any(balancer.load_balancer_name for balancer in load_balancers):
        what = "Classic Load Balancers"
    elif any(zone in (constraint.expression or "") for constraint in constraints):
        what = f"placement constraints on {zone}"
    elif strategies and (strategies[0].type, (strategies[0].field or "").strip()) != ("spread", zone):
        what = f"a placement strategy that does not begin with spread over {zone}"
    else:
        return None
    return f"Availability Zone Rebalancing does not support {what}."
