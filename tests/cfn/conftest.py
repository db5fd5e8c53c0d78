from __future__ import annotations

from tests.api.conftest import agents, api, ecs, register_instance

__all__ = ["agents", "api", "ecs", "register_instance"]
