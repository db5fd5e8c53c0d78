"""The instance types of the fake EC2 at a price: on-demand as listed, spot at a third."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.core.capacity.instance_types import CPU_PER_VCPU, visible_memory
from awsorch.core.model_capacity import Offer
from tests.support.fake_fleet import TYPES

PRICES = {"t3.medium": 0.0416, "m5.large": 0.096, "m5.xlarge": 0.192, "m6g.large": 0.077}


class FakeCatalogue:
    """Implements engine.ports.Catalogue and the prices of groups' types."""

    def price_of(self, instance_type: str, *, spot: bool) -> float:
        """US dollars an hour."""
        return PRICES[instance_type] / (3 if spot else 1)

    def interfaces_of(self, instance_type: str) -> int | None:
        """Three of every type."""
        return 3 if instance_type in TYPES else None

    def offers(self, managed: Mapping[str, Any]) -> tuple[Offer, ...]:
        """All types for x86_64, whatever is required of them."""
        template = managed.get("instanceLaunchTemplate", {})
        spot = template.get("capacityOptionType") == "SPOT"
        return tuple(
            Offer(
                instance_type=name,
                cpu=vcpus * CPU_PER_VCPU,
                memory=visible_memory(mib),
                architecture=architecture,
                spot=spot,
                price=self.price_of(name, spot=spot),
            )
            for name, (vcpus, mib, architecture) in TYPES.items()
            if architecture == "x86_64"
        )
