"""moto's Application Auto Scaling, which looks for ECS's services in moto's own ECS: taken at its word instead, for the
services are awsorch's. Targets and policies are kept and described; nothing follows from them yet.

Source: Application Auto Scaling API, RegisterScalableTarget.
"""

from __future__ import annotations

from typing import Any


def mend_targets() -> None:
    """Have moto do so. Raises AttributeError where it no longer has what this was written for."""
    from moto.applicationautoscaling.models import ApplicationAutoscalingBackend as Backend

    assert callable(Backend._ecs_service_exists_for_target)

    def _ecs_service_exists_for_target(self: Any, r_id: str) -> bool:
        return True

    Backend._ecs_service_exists_for_target = _ecs_service_exists_for_target
