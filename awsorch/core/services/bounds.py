"""How many tasks a service may have and must keep. Source: ECS API, DeploymentConfiguration."""

from __future__ import annotations

from math import ceil, floor

from awsorch.core.model_services import Service


def lower_bound(service: Service, desired: int) -> int:
    """Healthy tasks that a deployment may not go below: minimumHealthyPercent of the desired count, rounded up."""
    default = 0 if service.is_daemon else 100
    return ceil(desired * int(service.configuration.get("minimumHealthyPercent", default)) / 100)


def upper_bound(service: Service, desired: int) -> int:
    """Tasks that there may be at once, stopping ones included: maximumPercent, rounded down."""
    default = 100 if service.is_daemon else 200
    return floor(desired * int(service.configuration.get("maximumPercent", default)) / 100)
