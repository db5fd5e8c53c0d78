"""Attribute-based choice of instance types: which of them meet ECS's ``instanceRequirements``. Pure; reads no prices
but those that the types bring.

Source: ECS API, InstanceRequirementsRequest; EC2 API of the same name, for defaults and price protection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from awsorch.core.capacity.instance_types import InstanceType
from awsorch.core.errors import Refusal, client_error
from awsorch.core.model_capacity import Offer

Requirements = Mapping[str, Any]
Test = Callable[[InstanceType, Any], bool]

#: EC2's price protection where the caller sets none, in percent over the lowest price.
ON_DEMAND_OVER_LOWEST = 20
SPOT_OVER_LOWEST = 100

#: So many better offers make another one superfluous.
ALTERNATIVES = 3

_CHOICES = {
    "cpuManufacturers": ("intel", "amd", "amazon-web-services"),
    "instanceGenerations": ("current", "previous"),
    "bareMetal": ("included", "required", "excluded"),
    "burstablePerformance": ("included", "required", "excluded"),
    "localStorage": ("included", "required", "excluded"),
    "localStorageTypes": ("hdd", "ssd"),
    "acceleratorTypes": ("gpu", "fpga", "inference"),
    "acceleratorManufacturers": ("amazon-web-services", "amd", "nvidia", "xilinx", "habana"),
    "acceleratorNames": (
        *("a100", "inferentia", "k520", "k80", "m60", "radeon-pro-v520"),
        *("t4", "vu9p", "v100", "a10g", "h100", "t4g"),
    ),
}
_PRICES = (
    "onDemandMaxPricePercentageOverLowestPrice",
    "spotMaxPricePercentageOverLowestPrice",
    "maxSpotPriceAsPercentageOfOptimalOnDemandPrice",
)
_PATTERNS = ("allowedInstanceTypes", "excludedInstanceTypes")
_PATTERN = re.compile(r"[a-zA-Z0-9.*-]{1,30}")
MOST_PATTERNS = 400
_DEFAULTS: Requirements = {"bareMetal": "excluded", "burstablePerformance": "excluded"}


def _within(value: Callable[[InstanceType], float]) -> Test:
    """A test that a figure lies in {min, max}, either of which may be missing."""

    def test(kind: InstanceType, bounds: Mapping[str, float]) -> bool:
        return bounds.get("min", 0) <= value(kind) <= bounds.get("max", float("inf"))

    return test


def _chosen(value: Callable[[InstanceType], bool]) -> Test:
    """A test of something that is included, required or excluded."""
    return lambda kind, choice: choice == "included" or value(kind) == (choice == "required")


def _named(kind: InstanceType, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(kind.name, pattern) for pattern in patterns)


_TESTS: dict[str, Test] = {
    "vCpuCount": _within(lambda kind: kind.vcpus),
    "memoryMiB": _within(lambda kind: kind.memory),
    "memoryGiBPerVCpu": _within(lambda kind: kind.memory / 1024 / kind.vcpus),
    "networkInterfaceCount": _within(lambda kind: kind.interfaces),
    "networkBandwidthGbps": _within(lambda kind: kind.network_gbps),
    "baselineEbsBandwidthMbps": _within(lambda kind: kind.ebs_mbps),
    "totalLocalStorageGB": _within(lambda kind: kind.storage_gb),
    "acceleratorCount": _within(lambda kind: sum(a.count for a in kind.accelerators)),
    "acceleratorTotalMemoryMiB": _within(lambda kind: sum(a.count * a.memory for a in kind.accelerators)),
    "cpuManufacturers": lambda kind, names: kind.manufacturer in names,
    "instanceGenerations": lambda kind, names: ("current" if kind.current else "previous") in names,
    "bareMetal": _chosen(lambda kind: kind.bare_metal),
    "burstablePerformance": _chosen(lambda kind: kind.burstable),
    "localStorage": _chosen(lambda kind: bool(kind.storage)),
    "localStorageTypes": lambda kind, names: not kind.storage or kind.storage in names,
    "requireHibernateSupport": lambda kind, needed: kind.hibernates or not needed,
    "acceleratorTypes": lambda kind, names: any(a.kind in names for a in kind.accelerators),
    "acceleratorManufacturers": lambda kind, names: any(a.manufacturer in names for a in kind.accelerators),
    "acceleratorNames": lambda kind, names: any(a.name in names for a in kind.accelerators),
    "allowedInstanceTypes": _named,
    "excludedInstanceTypes": lambda kind, patterns: not _named(kind, patterns),
}


def check(requirements: Requirements) -> None:
    """Refuse what cannot be met by any type whatever there is. Raises Refusal (ClientException)."""
    unknown = [name for name in requirements if name not in _TESTS and name not in _PRICES]
    if unknown:
        raise _bad(unknown[0], "it is no member of InstanceRequirements")
    for name in ("vCpuCount", "memoryMiB"):
        if requirements.get(name, {}).get("min") is None:
            raise _bad(name, "a min is required")
    for name, value in requirements.items():
        if isinstance(value, Mapping):
            _check_range(name, value)
        elif name in _PATTERNS:
            _check_patterns(name, value)
        elif name in _CHOICES:
            _check_choices(name, [value] if isinstance(value, str) else value)
        elif name in _PRICES and value < (1 if name == _PRICES[2] else 0):
            raise _bad(name, f"{value} is no percentage of a price that could be paid")
    for one, other in (_PATTERNS, _PRICES[1:]):
        if one in requirements and other in requirements:
            raise _bad(one, f"it can't be combined with {other}; specify one of them")


def _check_range(name: str, bounds: Mapping[str, float]) -> None:
    least, most = bounds.get("min"), bounds.get("max")
    if (least or 0) < 0 or (most or 0) < 0:
        raise _bad(name, "min and max can't be negative")
    if least is not None and most is not None and least > most:
        raise _bad(name, f"min {least} is greater than max {most}")


def _check_choices(name: str, values: Iterable[str]) -> None:
    for value in values:
        if value not in _CHOICES[name]:
            raise _bad(name, f"{value} is none of {', '.join(_CHOICES[name])}")


def _check_patterns(name: str, patterns: Sequence[str]) -> None:
    if len(patterns) > MOST_PATTERNS:
        raise _bad(name, f"{len(patterns)} are too many; {MOST_PATTERNS} can be given")
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise _bad(name, f"{pattern} is no instance type, with * for any part of it")


def _bad(name: str, why: str) -> Refusal:
    return client_error(f"The instanceRequirements are not valid: {name}: {why}.")


def offers_meeting(
    types: Iterable[InstanceType], requirements: Requirements | None, *, spot: bool = False, gpus: bool = False
) -> tuple[Offer, ...]:
    """The types that meet ``requirements``, at their price, by name. Those without a known price are left out.

    Without requirements: the current C, M and R series, and where tasks need ``gpus`` the current types with GPUs.
    ``spot``: spot instances at spot prices. The requirements are taken to be checked.
    """
    priced = [kind for kind in types if kind.price_of(spot=spot) is not None]
    if requirements is None:
        met = [kind for kind in priced if kind.is_common or (gpus and _is_common_with_gpus(kind))]
    else:
        tests = {name: value for name, value in {**_DEFAULTS, **requirements}.items() if name in _TESTS}
        met = [kind for kind in priced if all(_TESTS[name](kind, value) for name, value in tests.items())]
        met = _protected(met, requirements, spot)
    found = (kind.offer(spot=spot) for kind in sorted(met, key=lambda kind: kind.name))
    return tuple(offer for offer in found if offer is not None)


def shortened(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """The offers but those of which ALTERNATIVES others of their architecture have as much of everything for no more:
    one that is out of stock still has others to fall back on. By name."""
    kept: list[Offer] = []
    for offer in sorted(offers, key=lambda offer: (offer.price, -offer.cpu, -offer.memory, -offer.gpus, offer.key)):
        better = 0
        for other in kept:
            more = other.cpu >= offer.cpu and other.memory >= offer.memory and other.gpus >= offer.gpus
            better += more and other.architecture == offer.architecture
        if better < ALTERNATIVES:
            kept.append(offer)
    return tuple(sorted(kept, key=lambda offer: offer.key))


def _is_common_with_gpus(kind: InstanceType) -> bool:
    return bool(kind.gpus) and kind.current and not kind.bare_metal


def _protected(met: list[InstanceType], requirements: Requirements, spot: bool) -> list[InstanceType]:
    """Those whose price EC2's price protection lets through.

    EC2 compares with the lowest price of a current C, M or R type that meets the requirements, failing that of any
    current type, failing that of any. Here types of all sizes stand side by side, so a type is compared with what its
    vCPUs and memory would cost in the cheapest of those, of its own architecture.
    """
    name, default, of_spot = _PRICES[0], ON_DEMAND_OVER_LOWEST, False
    if spot:
        name, default, of_spot = _PRICES[1], SPOT_OVER_LOWEST, _PRICES[2] not in requirements
    share = 1 + requirements.get(name, default) / 100
    if spot and not of_spot:
        share = requirements[_PRICES[2]] / 100
    let_through = []
    for architecture in sorted({kind.architecture for kind in met}):
        alike = [kind for kind in met if kind.architecture == architecture]
        standard = _standard(alike)
        for kind in alike:
            lowest = min((_worth(kind, other, of_spot) for other in standard), default=float("inf"))
            price = kind.price_of(spot=spot)
            if price is not None and price <= lowest * share + 1e-9:
                let_through.append(kind)
    return let_through


def _standard(alike: list[InstanceType]) -> list[InstanceType]:
    common = [kind for kind in alike if kind.is_common]
    return common or [kind for kind in alike if kind.current] or alike


def _worth(kind: InstanceType, other: InstanceType, spot: bool) -> float:
    """What the vCPUs and memory of ``kind`` cost in (parts of) ``other``."""
    price = other.price_of(spot=spot)
    size = max(kind.vcpus / other.vcpus, kind.memory / other.memory)
    return float("inf") if price is None else price * size
