"""Who may own a partition next: the one rule behind every store's leases. Pure; keeps nothing."""

from __future__ import annotations

from awsorch.engine.ports import Lease, LeaseLost


def next_lease(
    current: Lease | None, *, partition: str, owner: str, address: str, now: float, ttl: float, epoch: int = 0
) -> Lease:
    """The lease that ``owner`` gets: its own one renewed, or a free or expired one under a higher epoch.

    ``epoch`` is the highest ever given where there is no current lease. Raises LeaseLost while another's is
    good.
    """
    if current is None:
        granted = epoch + 1
    elif current.owner == owner:
        granted = current.epoch
    elif current.expires_at <= now:
        granted = current.epoch + 1
    else:
        raise LeaseLost(f"{partition} is owned by {current.owner} at {current.address}")
    return Lease(partition=partition, owner=owner, epoch=granted, address=address, expires_at=now + ttl)


def lost_epoch(partition: str, epoch: int, current: int) -> LeaseLost:
    """The error of a commit under an epoch that is not the current one."""
    return LeaseLost(f"{partition} is at epoch {current}; a commit under epoch {epoch} is too late")
