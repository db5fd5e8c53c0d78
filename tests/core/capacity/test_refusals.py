"""What a refused launch says of other types and zones."""

from __future__ import annotations

import pytest

from awsorch.core.capacity.refusals import REFUSED_S, barred, class_of, free_at
from awsorch.core.model_capacity import MANAGED, Provider
from tests.support.builders import an_offer

LARGE = an_offer(instance_type="m5.large", cpu=2048)
TWICE = an_offer(instance_type="c6i.xlarge", cpu=4096)
FOURFOLD = an_offer(instance_type="r5.2xlarge", cpu=8192)
GPU = an_offer(instance_type="g5.xlarge", cpu=4096)
SPOT = an_offer(instance_type="c6i.xlarge", cpu=4096, spot=True)


def a_provider(refused: dict[str, float] | None = None) -> Provider:
    return Provider(
        name="cp",
        arn="arn",
        cluster="default",
        type=MANAGED,
        offers=(LARGE, TWICE, FOURFOLD, GPU, SPOT),
        zones={"a": "subnet-a", "b": "subnet-b"},
        refused=refused or {},
    )


@pytest.mark.parametrize(
    ("code", "refused", "expected"),
    [
        ("InsufficientInstanceCapacity", TWICE, {"c6i.xlarge@a"}),
        (
            "InsufficientFreeAddressesInSubnet",
            TWICE,
            {"m5.large@a", "c6i.xlarge@a", "r5.2xlarge@a", "g5.xlarge@a", "c6i.xlarge/spot@a"},
        ),
        ("VcpuLimitExceeded", TWICE, {f"{each}@{zone}" for each in ("c6i.xlarge", "r5.2xlarge") for zone in "ab"}),
        ("VcpuLimitExceeded", GPU, {"g5.xlarge@a", "g5.xlarge@b"}),
        ("MaxSpotInstanceCountExceeded", SPOT, {"c6i.xlarge/spot@a", "c6i.xlarge/spot@b"}),
        ("UnauthorizedOperation", TWICE, set()),
    ],
)
def test_what_the_reason_holds_for_is_not_asked_for(code: str, refused: object, expected: set[str]) -> None:
    assert barred(a_provider(), code, refused, "a", 50.0) == dict.fromkeys(expected, 50.0 + REFUSED_S)  # type: ignore[arg-type]


def test_what_is_past_is_forgotten() -> None:
    provider = a_provider({"m5.large@b": 40.0, "m5.large@a": 60.0})
    assert set(barred(provider, "InsufficientInstanceCapacity", TWICE, "a", 50.0)) == {"m5.large@a", "c6i.xlarge@a"}


def test_a_provider_is_free_as_long_as_anything_is() -> None:
    every = {f"{offer.key}@{zone}": 100.0 for offer in a_provider().offers for zone in "ab"}
    assert free_at(a_provider(every), 50.0) == 100.0
    assert free_at(a_provider(every | {"g5.xlarge@b": 70.0}), 50.0) == 70.0
    assert free_at(a_provider({name: until for name, until in every.items() if name != "m5.large@b"}), 50.0) == 50.0


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("m5.large", "t4g.nano", True),
        ("im4gn.large", "c7i-flex.large", True),
        ("g6.xlarge", "vt1.3xlarge", True),
        ("p5.48xlarge", "g6.xlarge", False),
        ("u-6tb1.metal", "u7i-12tb.224xlarge", True),
        ("x2idn.16xlarge", "m5.large", False),
        ("inf2.xlarge", "i4i.large", False),
    ],
)
def test_quotas_are_of_classes_of_types(one: str, other: str, together: bool) -> None:
    classes = {class_of(an_offer(instance_type=each)) for each in (one, other)}
    assert (len(classes) == 1) is together
