"""ARNs of load balancers in moto that say of which type they are.

moto writes `loadbalancer/app/…` into every one. ELB writes net or gwy for network and gateway load balancers,
listeners and rules take it from there, and tools read the type out of it. Only the making of the ARN is changed.
"""

from __future__ import annotations

import threading
from typing import Any

_PARTS = {"network": "net", "gateway": "gwy"}


def name_types() -> None:
    """Have moto name the type. Raises AttributeError where moto no longer makes ARNs the way this was written for."""
    from moto.elbv2 import models

    call = threading.local()
    make_arn = models.make_arn_for_load_balancer
    create = models.ELBv2Backend.create_load_balancer

    def make_typed_arn(**names: str) -> str:
        part = _PARTS.get(getattr(call, "type", None) or "", "app")
        arn: str = make_arn(**names)
        return arn.replace(":loadbalancer/app/", f":loadbalancer/{part}/")

    def create_typed(self: Any, *given: Any, loadbalancer_type: str | None = None, **named: Any) -> Any:
        call.type = loadbalancer_type
        try:
            return create(self, *given, loadbalancer_type=loadbalancer_type, **named)
        finally:
            call.type = None

    models.make_arn_for_load_balancer = make_typed_arn
    models.ELBv2Backend.create_load_balancer = create_typed
