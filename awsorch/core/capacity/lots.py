"""What packing works on: lots of tasks that are alike to a packer, and the sizes of machine that they may go to.

Plain lists by lot, because the inner loops of filling.py read them hundreds of thousands of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from awsorch.core.model import Demand
from awsorch.core.model_capacity import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """``count`` tasks alike that need a machine. ``zones``: where they may run, () for any; ``spread``: evenly over
    those; ``apart``: one a machine (distinctInstance; tasks with a host port are so without saying); ``architecture``:
    None where any will do."""

    demand: Demand
    count: int
    zones: tuple[str, ...] = ()
    spread: bool = False
    apart: bool = False
    architecture: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """An offer as a packer sees it: what it has for tasks, and its architecture as a bit."""

    offer: Offer
    cpu: int
    memory: int
    gpus: int
    kind: int
    price: float


class Lots:
    """Tasks by lot: a need's, or its share of one zone where it is spread. ``zones`` and ``kinds`` are bit masks of
    where and on which architectures they may run; ``whole``: all of a machine's GPUs; ``single``: one a machine;
    ``ports``: the host ports as a bit mask that is the packer's own."""

    __slots__ = ("counts", "cpu", "gpus", "kinds", "memory", "need", "ports", "single", "whole", "zones")

    def __init__(self) -> None:
        self.need: list[int] = []
        self.counts: list[int] = []
        self.cpu: list[int] = []
        self.memory: list[int] = []
        self.gpus: list[int] = []
        self.whole: list[bool] = []
        self.single: list[bool] = []
        self.zones: list[int] = []
        self.kinds: list[int] = []
        self.ports: list[int] = []

    def add(self, index: int, need: Need, count: int, places: tuple[int, int, int]) -> None:
        """A lot of ``count``; ``places``: its masks of zones, architectures and ports."""
        demand = need.demand
        self.need.append(index)
        self.counts.append(count)
        self.cpu.append(demand.cpu)
        self.memory.append(demand.memory)
        self.gpus.append(1 if demand.all_gpus else demand.gpus)
        self.whole.append(demand.all_gpus)
        self.single.append(need.apart or bool(places[2]))
        self.zones.append(places[0])
        self.kinds.append(places[1])
        self.ports.append(places[2])

    def fits(self, lot: int, size: Size) -> bool:
        """Whether one of the lot fits an empty machine of this size."""
        return (
            bool(self.kinds[lot] & size.kind)
            and self.cpu[lot] <= size.cpu
            and self.memory[lot] <= size.memory
            and self.gpus[lot] <= size.gpus
        )


def lots_of(needs: Sequence[Need], zones: Sequence[str], kinds: dict[str, int]) -> Lots:
    """The needs as lots. What may run in none of ``zones``, or on no architecture of ``kinds``, is in no lot."""
    bits = {zone: 1 << number for number, zone in enumerate(zones)}
    ports: dict[tuple[str, int], int] = {}
    lots = Lots()
    extra = dict.fromkeys(zones, 0)
    for index, need in enumerate(needs):
        allowed = [zone for zone in zones if not need.zones or zone in need.zones]
        kind = sum(kinds.values()) if need.architecture is None else kinds.get(need.architecture, 0)
        if not allowed or not kind or need.count <= 0:
            continue
        held = 0
        for port in (*(("tcp", p) for p in need.demand.tcp_ports), *(("udp", p) for p in need.demand.udp_ports)):
            held |= ports.setdefault(port, 1 << len(ports))
        if need.spread:
            for zone, count in _spread(need.count, allowed, extra):
                lots.add(index, need, count, (bits[zone], kind, held))
        else:
            lots.add(index, need, need.count, (sum(bits[zone] for zone in allowed), kind, held))
    return lots


def _spread(count: int, zones: Sequence[str], extra: dict[str, int]) -> Iterable[tuple[str, int]]:
    """(zone, how many) with what doesn't divide in the zones that had least of it before, as ``extra`` says."""
    share, rest = divmod(count, len(zones))
    lucky = sorted(zones, key=lambda zone: extra[zone])[:rest]
    for zone in lucky:
        extra[zone] += 1
    return [(zone, share + (zone in lucky)) for zone in zones if share or zone in lucky]


def sizes_of(offers: Iterable[Offer], kinds: dict[str, int], reserve_cpu: int, reserve_memory: int) -> list[Size]:
    """The offers that are worth a look, cheapest first: those for which no other of their architecture has at least as
    much of everything for at most their price. Ties go to the first by name."""
    sizes: list[Size] = []
    for offer in sorted(offers, key=lambda offer: (offer.price, -offer.cpu, -offer.memory, -offer.gpus, offer.key)):
        size = Size(
            offer=offer,
            cpu=offer.cpu - reserve_cpu,
            memory=offer.memory - reserve_memory,
            gpus=offer.gpus,
            kind=kinds[offer.architecture],
            price=offer.price,
        )
        if size.cpu >= 0 and size.memory > 0 and not any(_covers(other, size) for other in sizes):
            sizes.append(size)
    return sizes


def _covers(one: Size, other: Size) -> bool:
    more = one.cpu >= other.cpu and one.memory >= other.memory and one.gpus >= other.gpus
    return more and one.kind == other.kind
