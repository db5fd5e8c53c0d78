"""Instance types and offers that the tests of capacity choose from: the shape of EC2's, with round figures."""

from __future__ import annotations

from awsorch.core.model_capacity import Offer

#: (series, GiB a vCPU, US dollars an hour of a vCPU)
SERIES = (("c1", 2, 0.04), ("m1", 4, 0.05), ("r1", 8, 0.065))
VCPUS = (1, 2, 4, 8, 16)


def a_fleet_of_offers(architecture: str = "x86_64", cheaper: float = 1.0) -> list[Offer]:
    """Three series of five sizes."""
    return [
        Offer(
            instance_type=f"{series}{architecture[0]}.{vcpus}",
            cpu=1024 * vcpus,
            memory=1024 * vcpus * gib,
            architecture=architecture,
            price=round(vcpus * price * cheaper, 6),
        )
        for series, gib, price in SERIES
        for vcpus in VCPUS
    ]


OFFERS = a_fleet_of_offers()
WITH_ARM = OFFERS + a_fleet_of_offers("arm64", 0.8)
GPU = Offer(instance_type="g1.4", cpu=4096, memory=16384, gpus=1, price=1.0)
GPUS = Offer(instance_type="g1.16", cpu=16384, memory=65536, gpus=4, price=3.0)
ZONES = ("a", "b", "c")
