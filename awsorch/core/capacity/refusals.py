"""What a refused launch says of others: which types, in which zones, EC2 would refuse for the same reason. Pure.

Sources: EC2 API, "Error codes"; EC2 user guide, "Amazon EC2 On-Demand Instance quotas", "Spot Instance quotas".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from awsorch.core.model_capacity import Offer, Provider

#: A type that was refused in a zone is not asked for there again for this long. Seconds.
REFUSED_S = 180.0
#: EC2 has none of this type in this zone, or not at this price.
_NO_TYPE = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "SpotMaxPriceTooLow",
        "Unsupported",
        "UnfulfillableCapacity",
    }
)
#: The zone's subnet takes no instance of any type.
_NO_ADDRESS = frozenset({"InsufficientFreeAddressesInSubnet"})
#: The account has as many instances as it may have in the region, or as many vCPUs of a class of types.
_NO_INSTANCE = frozenset({"InstanceLimitExceeded", "MaxSpotInstanceCountExceeded"})
_NO_VCPU = frozenset({"VcpuLimitExceeded"})
#: Types whose vCPUs are not counted with those of all the usual ones; those of a line are counted together.
_OWN_CLASS = (
    frozenset({"g", "gr", "vt"}),
    *(frozenset({family}) for family in ("dl", "f", "hpc", "inf", "p", "trn")),
    frozenset({"u", "u-"}),
    frozenset({"x"}),
)


def barred(provider: Provider, code: str, offer: Offer, zone: str, now: float) -> dict[str, float]:
    """The provider's ``refused`` once EC2 has refused ``offer`` in ``zone`` with this code, without what is past."""
    known = {place: until for place, until in provider.refused.items() if now < until}
    places = {f"{other.key}@{where}" for other, where in _alike(provider, code, offer, zone)}
    return known | dict.fromkeys(sorted(places), now + REFUSED_S)


def free_at(provider: Provider, now: float) -> float:
    """When the provider may ask for something again: now, where there is anything that EC2 has not refused lately."""
    places = _places(provider.offers, provider.zones)
    return max(now, min((provider.refused.get(f"{offer.key}@{zone}", now) for offer, zone in places), default=now))


def _alike(provider: Provider, code: str, offer: Offer, zone: str) -> Iterator[tuple[Offer, str]]:
    if code in _NO_TYPE:
        yield offer, zone
    elif code in _NO_ADDRESS:
        yield from _places((offer, *provider.offers), (zone,))
    elif code in _NO_INSTANCE | _NO_VCPU:
        alike = [offer, *(other for other in provider.offers if other.spot == offer.spot)]
        if code in _NO_VCPU:  # a smaller one may still do
            alike = [one for one in alike if class_of(one) == class_of(offer) and one.cpu >= offer.cpu]
        yield from _places(alike, (zone, *provider.zones))


def _places(offers: Iterable[Offer], zones: Iterable[str]) -> Iterator[tuple[Offer, str]]:
    zones = tuple(zones)
    return ((offer, zone) for offer in offers for zone in zones)


def class_of(offer: Offer) -> frozenset[str]:
    """The families of types with which the quota counts this one's vCPUs; none for the usual ones (A, C, D, H, I, M, R,
    T, Z)."""
    letters = re.match(r"[a-z]*-?", offer.instance_type)
    family = letters.group() if letters else ""
    return next((families for families in _OWN_CLASS if family in families), frozenset())
