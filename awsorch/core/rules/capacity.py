"""Capacity in a cluster's partition: which providers it has, and what was seen of their groups and machines.

The registry is the truth of what a provider is; here are copies, replaced as a whole. What is seen is recorded, never
acted upon: that is for ``planners/size_groups`` and ``planners/end_machines``.
Source: ECS API, PutClusterCapacityProviders; developer guide, "Amazon ECS capacity providers for EC2 workloads".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from awsorch.core.capacity.failures import failed, worked
from awsorch.core.capacity.losses import lose_machine
from awsorch.core.errors import Refusal
from awsorch.core.events_capacity import (
    Attached,
    AttachProviders,
    GroupFailed,
    GroupSeen,
    MachineNotice,
    MachinesLaunched,
    MachinesSeen,
    SeenMachine,
)
from awsorch.core.model_capacity import GOING, LaunchFailure, Machine, Offer, Provider
from awsorch.core.rules.clusters import require_open
from awsorch.core.rules.instances import set_status
from awsorch.core.state import ClusterState, Transaction

IN_USE = "The specified capacity provider is in use and cannot be removed."
#: EC2's states of instances that will not come back.
_OVER = ("shutting-down", "terminated")


def attach_providers(tx: Transaction[ClusterState], event: AttachProviders) -> tuple[Provider, ...]:
    """Take over what the cluster's providers are now; what was seen of those that stay is kept."""
    if not event.force:
        require_open(tx.state)
    names = {each.provider.name for each in event.attached}
    dropped = [provider for name, provider in tx.state.providers.items() if name not in names]
    if not event.force and any(is_needed(tx.state, provider.name) for provider in dropped):
        raise Refusal("ResourceInUseException", IN_USE)
    for provider in dropped:
        _drop(tx, provider)
    return tuple(_take(tx, event.cluster, each) for each in event.attached)


def _take(tx: Transaction[ClusterState], cluster: str, attached: Attached) -> Provider:
    given = attached.provider
    known = tx.state.providers.get(given.name)
    if known is None:
        known = Provider(name=given.name, arn=given.arn, cluster=cluster, type=given.type)
    provider = replace(
        known,
        group=given.group,
        scaling=given.scaling,
        termination_protection=given.termination_protection,
        draining=given.draining,
        managed=given.managed,
        tags=given.tags,
    )
    if not provider.is_group:
        provider = replace(provider, offers=attached.offers, zones=attached.zones)
    if tx.state.providers.get(given.name) != provider:
        tx.put(provider)
    return provider


def is_needed(state: ClusterState, name: str) -> bool:
    """Whether a task that has not stopped, or a service, is this provider's."""
    if state.capacity_index.has_tasks(name):
        return True
    return any(
        item.provider == name
        for service in state.services.values()
        if service.status != "INACTIVE"
        for key in state.service_index.deployments(service.name)
        for item in state.service_revisions[
            f"{service.name}/{state.deployments[key].revision}"
        ].capacity_provider_strategy
    )


def _drop(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Its machines go on as instances of no provider; orders that are under way are forgotten (and so not repeated)."""
    for machine_id in tx.state.capacity_index.machines(provider.name):
        _belong(tx, machine_id, None)
        tx.remove(tx.state.machines[machine_id])
    for launch_id in tx.state.capacity_index.launches(provider.name):
        tx.remove(tx.state.launches[launch_id])
    tx.remove(provider)
    tx.wake(("place_tasks", provider.name))


def group_seen(tx: Transaction[ClusterState], event: GroupSeen) -> None:
    """Record how the group is, which machines it has, and whether its last launch failed."""
    provider = tx.state.providers.get(event.provider)
    if provider is None:
        return
    seen = {machine.id for machine in event.machines}
    known = set(tx.state.capacity_index.machines(provider.name))
    _record_machines(tx, provider, event.machines, event.offers)
    for machine_id in tx.state.capacity_index.machines(provider.name):
        machine = tx.state.machines[machine_id]
        if machine_id not in seen and machine.state != "Detached":
            # It may have been terminated or only taken out of the group: EC2 is asked.
            tx.put(replace(machine, state="Detached"))
    provider = replace(
        provider,
        minimum=event.minimum,
        maximum=event.maximum,
        desired=event.desired,
        zones=event.zones,
        offers=event.offers,
        hooked=event.hooked,
        seen_at=tx.now,
        wanted=None if provider.wanted == event.desired else provider.wanted,
    )
    if event.problem is not None:
        problem = event.problem
        provider = failed(tx, provider, problem.code, problem.message, activity=problem.activity)
    elif provider.failure is not None and (seen - known or _is_stale(provider.failure, tx.now)):
        provider = worked(tx, provider)
    tx.put(provider)


def group_failed(tx: Transaction[ClusterState], event: GroupFailed) -> None:
    """A call about a group came to nothing: it is tried again, more and more seldom. What else is asked of a group
    follows from the state again at the next look."""
    provider = tx.state.providers.get(event.provider)
    if provider is not None and (event.operation == "SetGroupSize" or (event.refused and provider.seen_at is None)):
        tx.put(replace(failed(tx, provider, event.code, event.message), wanted=None))


def _is_stale(failure: LaunchFailure, now: float) -> bool:
    """Whether a failed call is past: the group has been seen since. A failed launch is past when another works."""
    return not failure.activity and failure.until <= now


def machines_launched(tx: Transaction[ClusterState], event: MachinesLaunched) -> None:
    """Orders became machines, or were refused."""
    provider = tx.state.providers.get(event.provider)
    if provider is None:
        return
    for launch_id, machine_id in event.launched:
        order = tx.state.launches.get(launch_id)
        if order is None:
            continue
        tx.remove(order)
        machine = Machine(
            id=machine_id,
            provider=provider.name,
            zone=order.zone,
            instance_type=order.offer.instance_type,
            state="pending",
            spot=order.offer.spot,
            price=order.offer.price,
            since=tx.now,
            replaces=order.replaces,
        )
        tx.put(machine)
        _belong(tx, machine_id, provider.name)
    if event.launched:
        provider = worked(tx, provider)
    for refusal in event.refused:
        order = tx.state.launches.get(refusal.launch)
        if order is not None:
            tx.remove(order)
            provider = failed(tx, provider, refusal.code, refusal.message, offer=order.offer, zone=order.zone)
    tx.put(provider)


def machines_seen(tx: Transaction[ClusterState], event: MachinesSeen) -> None:
    """How EC2 instances are: those that are over take their container instances with them."""
    for seen in event.machines:
        machine = tx.state.machines.get(seen.id)
        if seen.state in _OVER:
            lose_machine(tx, seen.id, "terminated")
        elif seen.state in ("stopping", "stopped"):
            lose_machine(tx, seen.id, "stopped")
        elif machine is not None and machine.state == "Detached":
            _belong(tx, seen.id, None)
            tx.remove(machine)
        elif machine is not None and not _is_group(tx.state, machine) and machine.state != seen.state:
            tx.put(replace(machine, state=seen.state))
    for machine_id in event.missing:
        machine = tx.state.machines.get(machine_id)
        # A machine that was launched a moment ago may not be listed yet.
        if machine is None or machine.since + UNLISTED_S <= tx.now:
            lose_machine(tx, machine_id, "terminated")


#: EC2 lists a new instance within this time. Seconds.
UNLISTED_S = 60.0


def machine_notice(tx: Transaction[ClusterState], event: MachineNotice) -> None:
    """EC2's own word about an instance that may be one of this cluster's."""
    if event.kind in ("terminated", "stopped"):
        lose_machine(tx, event.machine, event.kind)
        return
    if event.kind == "rebalance":
        return  # a risk, no fact: as in ECS nothing moves for it
    machine = tx.state.machines.get(event.machine)
    if machine is not None:
        tx.wake(("size_groups", machine.provider))
    if machine is not None and machine.interrupted_at is None and event.kind == "interruption":
        tx.put(replace(machine, interrupted_at=tx.now, ending=machine.ending or "spot interruption"))
    drain(tx, event.machine)


def drain(tx: Transaction[ClusterState], machine_id: str) -> None:
    """Have no more tasks on a machine; services replace theirs."""
    for instance_id in list(tx.state.instances_by_ec2_id[machine_id]):
        instance = tx.state.instances[instance_id]
        if instance.status == "ACTIVE":
            set_status(tx, instance, "DRAINING")


def _record_machines(
    tx: Transaction[ClusterState], provider: Provider, seen: Iterable[SeenMachine], offers: Collection[Offer]
) -> None:
    prices = {offer.key: offer for offer in offers}
    for each in seen:
        known = tx.state.machines.get(each.id)
        offer = prices.get(f"{each.instance_type}/spot" if each.spot else each.instance_type)
        machine = known or Machine(
            id=each.id,
            provider=provider.name,
            zone=each.zone,
            instance_type=each.instance_type,
            state=each.state,
            spot=each.spot,
            price=offer.price if offer is not None else 0.0,
            since=tx.now,
        )
        machine = replace(machine, provider=provider.name, state=each.state, protected=each.protected)
        if machine != known:
            tx.put(machine)
            _belong(tx, each.id, provider.name)
            if machine.state.startswith(GOING):
                drain(tx, each.id)


def _belong(tx: Transaction[ClusterState], machine_id: str, provider: str | None) -> None:
    """Note with the container instance whose machine it is."""
    for instance_id in list(tx.state.instances_by_ec2_id[machine_id]):
        instance = tx.state.instances[instance_id]
        if instance.capacity_provider != provider:
            tx.put(replace(instance, capacity_provider=provider, version=instance.version + 1))


def _is_group(state: ClusterState, machine: Machine) -> bool:
    provider = state.providers.get(machine.provider)
    return provider is not None and provider.is_group
