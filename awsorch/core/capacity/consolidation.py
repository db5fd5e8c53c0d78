"""What a fleet would cost less as: machines whose tasks fit where there is room, and machines that a cheaper one can
take the place of. Pure; it proposes, and moves nothing. Whether a task may move (healthy percents, protection) is told.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from awsorch.core.model import Demand
from awsorch.core.model_capacity import Offer

#: A machine takes the place of others only where that saves this part of their price.
SAVING = 0.15
#: So many machines at most are exchanged for one.
TOGETHER = 5
#: Rooms that are looked at in one call.
LOOKS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A task on a machine. ``movable``: it may be replaced elsewhere; ``zones``: where, () for anywhere; ``apart``: of
    tasks with the same one, a machine may have one (None: any number); ``architecture``: None where any will do."""

    task: str
    demand: Demand
    movable: bool = True
    zones: tuple[str, ...] = ()
    apart: str | None = None
    architecture: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A machine as it stands: what is left of it (CPU units, MiB, GPUs), how many GPUs it has in all, and its tasks but
    daemons' (whose room is not in what is left)."""

    id: str
    zone: str
    price: float
    cpu: int
    memory: int
    gpus: int = 0
    all_gpus: int = 0
    architecture: str = "x86_64"
    loads: tuple[Load, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """End these machines; before that, have ``offer`` in ``zone`` where there is one; replace each task on the machine
    named, None being the new one. ``saved``: US dollars an hour."""

    ends: tuple[str, ...]
    moves: tuple[tuple[str, str | None], ...] = ()
    offer: Offer | None = None
    zone: str = ""
    saved: float


@dataclass(slots=True)
class _Room:
    """What is left of a machine, as tasks are moved there."""

    id: str
    zone: str
    architecture: str
    cpu: int
    memory: int
    gpus: int
    all_gpus: int
    ports: set[tuple[str, int]] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)

    def fits(self, load: Load) -> bool:
        demand = load.demand
        return (
            demand.cpu <= self.cpu
            and demand.memory <= self.memory
            and (0 < self.gpus == self.all_gpus if demand.all_gpus else demand.gpus <= self.gpus)
            and (not load.zones or self.zone in load.zones)
            and load.architecture in (None, self.architecture)
            and (load.apart is None or load.apart not in self.apart)
            and self.ports.isdisjoint(_ports(demand))
        )

    def take(self, load: Load) -> None:
        demand = load.demand
        self.cpu -= demand.cpu
        self.memory -= demand.memory
        self.gpus -= self.gpus if demand.all_gpus else demand.gpus
        self.hold(load)

    def hold(self, load: Load) -> None:
        """Note what the load keeps others from; its size is not in what is left."""
        self.ports.update(_ports(load.demand))
        if load.apart is not None:
            self.apart.add(load.apart)

    def copy(self) -> _Room:
        left = (self.cpu, self.memory, self.gpus, self.all_gpus)
        return _Room(self.id, self.zone, self.architecture, *left, set(self.ports), set(self.apart))


def _ports(demand: Demand) -> set[tuple[str, int]]:
    return {("tcp", port) for port in demand.tcp_ports} | {("udp", port) for port in demand.udp_ports}


def consolidate(
    machines: Sequence[Standing],
    offers: Sequence[Offer],
    *,
    limit: int = 10,
    reserve_cpu: int = 0,
    reserve_memory: int = 0,
) -> list[Change]:
    """At most ``limit`` changes, any number of which can be made together: no machine ends in one that another counts
    on. Machines that can simply go come first, then those for which a cheaper one of ``offers`` (less the reserve of
    daemons) would do. Each step of the search is bounded; a large fleet is done over several calls."""
    search = _Search(machines)
    changes = search.removals(limit)
    sizes = [
        _Room("", "", o.architecture, o.cpu - reserve_cpu, o.memory - reserve_memory, o.gpus, o.gpus) for o in offers
    ]
    priced = sorted(zip(offers, sizes, strict=True), key=lambda pair: (pair[0].price, pair[0].key))
    return changes + search.exchanges(limit - len(changes), priced)


class _Search:
    """The rooms as they are after the changes found so far, and their order: those without GPUs first, the fullest
    first. ``_fixed``: machines that tasks were moved to."""

    def __init__(self, machines: Sequence[Standing]) -> None:
        self._rooms: dict[str, _Room] = {}
        self._fixed: set[str] = set()
        self._looks = LOOKS
        for one in machines:
            room = _Room(one.id, one.zone, one.architecture, one.cpu, one.memory, one.gpus, one.all_gpus)
            for load in one.loads:
                room.hold(load)
            self._rooms[one.id] = room
        self._order = sorted(_rank(room) for room in self._rooms.values())
        free = [one for one in machines if all(load.movable for load in one.loads)]
        #: Those that may go, the fewest tasks for the money first.
        self._free = sorted(free, key=lambda one: (len(one.loads) / max(one.price, 1e-9), -one.price, one.id))

    def removals(self, limit: int) -> list[Change]:
        """Machines whose tasks all fit elsewhere."""
        changes: list[Change] = []
        for one in self._free:
            if len(changes) >= limit or self._looks <= 0:
                break
            if one.id in self._fixed:
                continue
            moves, left = self._moves([one])
            if not left:
                self._accept([one], moves)
                changes.append(Change(ends=(one.id,), moves=_told(moves), saved=one.price))
        return changes

    def exchanges(self, limit: int, offers: Sequence[tuple[Offer, _Room]]) -> list[Change]:
        """One or several machines of a zone for one that costs less."""
        changes: list[Change] = []
        for place, one in enumerate(self._free):
            if len(changes) >= limit or self._looks <= 0:
                break
            if self._may_go(one):
                change = self._exchange(self._company(place), offers)
                changes += [change] if change else []
        return changes

    def _may_go(self, one: Standing) -> bool:
        return one.id in self._rooms and one.id not in self._fixed

    def _company(self, place: int) -> list[Standing]:
        """The one at that place, and those after it in its zone, of its architecture, that may go too."""
        one = self._free[place]
        alike = (
            other
            for other in islice(self._free, place, None)
            if (other.zone, other.architecture) == (one.zone, one.architecture) and self._may_go(other)
        )
        return list(islice(alike, TOGETHER))

    def _exchange(self, company: Sequence[Standing], offers: Sequence[tuple[Offer, _Room]]) -> Change | None:
        """The exchange of the first, or the first few, that saves most."""
        best: Change | None = None
        for size in range(1, len(company) + 1):
            group = company[:size]
            moves, left = self._moves(group)
            price = sum(one.price for one in group)
            offer = self._cheapest(left, group[0].zone, offers, price * (1 - SAVING))
            if offer is not None and (best is None or price - offer.price > best.saved + 1e-9):
                told = (*_told(moves), *((load.task, None) for load in left))
                ends = tuple(one.id for one in group)
                best = Change(ends=ends, moves=told, offer=offer, zone=group[0].zone, saved=price - offer.price)
                accepted = (group, moves)
        if best is not None:
            self._accept(*accepted)
        return best

    def _cheapest(
        self, loads: Sequence[Load], zone: str, offers: Sequence[tuple[Offer, _Room]], most: float
    ) -> Offer | None:
        """The cheapest offer that takes all the loads, at ``most`` that price."""
        for offer, size in offers:
            if offer.price > most + 1e-9:
                break
            self._looks -= len(loads)
            room = size.copy()
            room.zone = zone
            if _all_fit(room, loads):
                return offer
        return None

    def _moves(self, group: Sequence[Standing]) -> tuple[list[tuple[Load, _Room]], list[Load]]:
        """(load, where) of what the others have room for, the fullest that will do; and what they have none for."""
        leaving = {one.id for one in group}
        tried: dict[str, _Room] = {}
        moves: list[tuple[Load, _Room]] = []
        left: list[Load] = []
        for load in sorted((load for one in group for load in one.loads), key=_size, reverse=True):
            room = self._fullest(load, leaving, tried)
            if room is None:
                left.append(load)
            else:
                room.take(load)
                moves.append((load, room))
        return moves, left

    def _fullest(self, load: Load, leaving: set[str], tried: dict[str, _Room]) -> _Room | None:
        """The fullest room that takes the load, which is in ``tried`` from then on."""
        for room in sorted(tried.values(), key=_rank):
            if room.fits(load):
                return room
        demand = load.demand
        needs_gpus = bool(demand.gpus or demand.all_gpus)
        start = bisect_left(self._order, (needs_gpus, demand.cpu + demand.memory, ""))
        for _, _, id_ in islice(self._order, start, None):
            self._looks -= 1
            if id_ not in leaving and id_ not in tried and self._rooms[id_].fits(load):
                return tried.setdefault(id_, self._rooms[id_].copy())
        return None

    def _accept(self, group: Sequence[Standing], moves: Sequence[tuple[Load, _Room]]) -> None:
        for one in group:
            self._order.remove(_rank(self._rooms.pop(one.id)))
        for id_, room in {room.id: room for _, room in moves}.items():
            self._order.remove(_rank(self._rooms[id_]))
            insort(self._order, _rank(room))
            self._rooms[id_] = room
            self._fixed.add(id_)


def _rank(room: _Room) -> tuple[bool, int, str]:
    return room.all_gpus > 0, room.cpu + room.memory, room.id


def _all_fit(room: _Room, loads: Iterable[Load]) -> bool:
    for load in sorted(loads, key=_size, reverse=True):
        if not room.fits(load):
            return False
        room.take(load)
    return True


def _size(load: Load) -> tuple[int, int, int, str]:
    demand = load.demand
    return demand.gpus + demand.all_gpus, demand.memory + demand.cpu, demand.memory, load.task


def _told(moves: Sequence[tuple[Load, _Room]]) -> tuple[tuple[str, str | None], ...]:
    return tuple((load.task, room.id) for load, room in moves)
