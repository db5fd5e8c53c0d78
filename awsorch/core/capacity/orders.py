"""Machines of managed providers: the cheapest mix for the tasks that wait, ordered one by one and never twice.

Source: ECS developer guide, "Amazon ECS Managed Instances"; which machines to choose: ``packing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from awsorch.core.capacity.coming import Imagination, Line, has_connected, lines_of
from awsorch.core.capacity.lots import Need
from awsorch.core.capacity.packing import choose
from awsorch.core.commands import LaunchMachines
from awsorch.core.model import ContainerInstance, Task
from awsorch.core.model_capacity import Launch, Offer, Provider
from awsorch.core.placement.strategies import ZONE
from awsorch.core.services.deployments import primary_of
from awsorch.core.services.tasks import template_of
from awsorch.core.state import ClusterState, Transaction

#: So many machines are ordered in one look.
BATCH = 50
#: An order that nothing was heard of is sent again after this long. Seconds.
ASK_AGAIN_S = 15.0


def order_machines(tx: Transaction[ClusterState], provider: Provider, waiting: list[Task]) -> None:
    """Order what the waiting tasks need beyond the machines that are on their way."""
    _send_again(tx, provider)
    if not waiting:
        return
    orders = [
        _order(tx, provider, offer, zone)
        for offer, zone in machines_missing(tx.state, provider, lines_of(waiting), tx.now)[:BATCH]
    ]
    for order in orders:
        tx.put(order)
    if orders:
        _send(tx, provider, orders)


def order_instead(
    tx: Transaction[ClusterState], provider: Provider, offer: Offer, zone: str, replaces: tuple[str, ...]
) -> None:
    """Order a machine that is to take the place of others, which go when it is there."""
    order = _order(tx, provider, offer, zone, replaces)
    tx.put(order)
    _send(tx, provider, [order])


def _order(
    tx: Transaction[ClusterState], provider: Provider, offer: Offer, zone: str, replaces: tuple[str, ...] = ()
) -> Launch:
    propagates = (provider.managed or {}).get("propagateTags") == "CAPACITY_PROVIDER"
    return Launch(
        id=tx.new_uuid(),
        provider=provider.name,
        offer=offer,
        zone=zone,
        ordered_at=tx.now,
        replaces=replaces,
        tags=provider.tags if propagates else {},
    )


def machines_missing(
    state: ClusterState, provider: Provider, lines: Sequence[Line], now: float
) -> list[tuple[Offer, str]]:
    """What to launch, and where, for those of the tasks that the machines on their way have no room for."""
    thought = Imagination(state, provider)
    coming = on_the_way(state, provider, thought)
    left = thought.left_over(coming, lines)
    missing = [
        # Whether the tasks may run on such a machine at all, one will tell.
        replace(line, count=count if thought.knows(line) else int(not coming))
        for line, count in zip(lines, left, strict=True)
        if count
    ]
    bought = machines_for(state, provider, missing, now)
    made = [thought.machine(offer, number, zone) for number, (offer, zone) in enumerate(bought, len(coming))]
    # Whatever the reason: machines on which nothing more would find room are not bought, now or at the next look.
    helps = sum(thought.left_over([*coming, *made], lines)) < sum(left)
    return bought if helps else []


def on_the_way(state: ClusterState, provider: Provider, thought: Imagination) -> list[ContainerInstance]:
    """The machines that were ordered or launched and take no tasks yet, as they will be."""
    offers = {offer.key: offer for offer in provider.offers}
    coming = [(order.offer, order.zone) for order in _orders(state, provider)]
    for machine_id in state.capacity_index.machines(provider.name):
        machine = state.machines[machine_id]
        offer = offers.get(f"{machine.instance_type}/spot" if machine.spot else machine.instance_type)
        if offer is not None and not machine.is_leaving and not has_connected(state, machine):
            coming.append((offer, machine.zone))
    return [thought.machine(offer, number, zone) for number, (offer, zone) in enumerate(coming)]


def machines_for(state: ClusterState, provider: Provider, lines: Sequence[Line], now: float) -> list[tuple[Offer, str]]:
    """What to launch for these tasks, and where: types that a zone was out of are not asked for there for a while."""
    zones = list(provider.zones)
    refused = {name for name, until in provider.refused.items() if now < until}

    def free(offer: Offer) -> list[str]:
        return [zone for zone in zones if f"{offer.key}@{zone}" not in refused]

    thought = Imagination(state, provider)
    offers = [thought.known(offer) for offer in provider.offers if free(offer)]
    if not offers or not zones:
        return []
    cpu, memory = reserve_for_daemons(state)
    # Images are built for x86-64 unless their task definition says otherwise (ECS: runtimePlatform's default).
    usual = "x86_64" if any(offer.architecture == "x86_64" for offer in offers) else None
    places = {(offer.key, zone): thought.machine(offer, 0, zone) for offer in offers for zone in free(offer)}
    needs: dict[tuple[str, ...], list[Need]] = {}
    for line in lines:
        kinds, allowed = thought.allowed(line, places)
        if kinds:
            narrow = () if len(allowed) == len(zones) else allowed
            needs.setdefault(kinds, []).append(replace(_need(line, usual), zones=narrow))
    bought = [
        purchase
        for kinds, some in needs.items()
        for purchase in choose(
            some, [o for o in offers if o.key in kinds], zones, reserve_cpu=cpu, reserve_memory=memory
        )
    ]
    return [
        (purchase.offer, purchase.zone if purchase.zone in free(purchase.offer) else free(purchase.offer)[0])
        for purchase in bought
    ]


def reserve_for_daemons(state: ClusterState) -> tuple[int, int]:
    """CPU and memory that the daemon services' tasks will take of every machine."""
    cpu = memory = 0
    for name in state.service_index.daemons:
        service = state.services[name]
        demand = template_of(state, service, primary_of(state, service)).demand
        cpu, memory = cpu + demand.cpu, memory + demand.memory
    return cpu, memory


def _need(line: Line, usual: str | None) -> Need:
    apart = bool(line.demand.tcp_ports or line.demand.udp_ports) or any(
        constraint.type == "distinctInstance" for constraint in line.constraints
    )
    first = line.strategies[0] if line.strategies else None
    spread = line.group.startswith("service:") if first is None else (first.field or "").endswith(ZONE)
    architecture = next((value for name, value in line.demand.attributes if name == "ecs.cpu-architecture"), usual)
    return Need(demand=line.demand, count=line.count, spread=spread, apart=apart, architecture=architecture)


def _orders(state: ClusterState, provider: Provider) -> list[Launch]:
    return [state.launches[launch_id] for launch_id in state.capacity_index.launches(provider.name)]


def _send_again(tx: Transaction[ClusterState], provider: Provider) -> None:
    late = []
    for order in _orders(tx.state, provider):
        due = order.ordered_at + ASK_AGAIN_S * order.attempts
        if due <= tx.now:
            late.append(replace(order, attempts=order.attempts + 1))
        else:
            tx.wake(("size_groups", provider.name), due)
    for order in late[:BATCH]:
        tx.put(order)
    if late:
        _send(tx, provider, late[:BATCH])


def _send(tx: Transaction[ClusterState], provider: Provider, orders: Sequence[Launch]) -> None:
    command = LaunchMachines(
        provider=provider.name, launches=tuple(orders), settings=provider.managed or {}, subnets=provider.zones
    )
    tx.send(command)
    tx.wake(("size_groups", provider.name), tx.now + ASK_AGAIN_S)
