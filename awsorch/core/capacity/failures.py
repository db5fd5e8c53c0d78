"""Launches that AWS refuses: remembered, said, tried again later and later."""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.capacity.refusals import barred, free_at
from awsorch.core.model_capacity import LaunchFailure, Offer, Provider
from awsorch.core.services.speech import clear, complain
from awsorch.core.state import ClusterState, Transaction

#: After the first failure the next attempt waits so long, doubled by each further one up to the limit. Seconds.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0


def failed(
    tx: Transaction[ClusterState],
    provider: Provider,
    code: str,
    message: str,
    *,
    activity: str = "",
    offer: Offer | None = None,
    zone: str = "",
) -> Provider:
    """The provider with one failure more, which the services that wait for it say. The same activity counts once.
    ``offer`` and ``zone``: what was ordered; others, for which the reason does not hold, may be had at once."""
    known, asked = provider.failure, provider.refused
    if offer is not None:
        provider = replace(provider, refused=barred(provider, code, offer, zone, tx.now))
    if known is not None and activity and known.activity == activity:
        return provider
    if known is not None and known.until > tx.now and not activity:
        return replace(provider, failure=replace(known, code=code, message=message))  # of the same attempt
    count = known.count + 1 if known is not None else 1
    pause = min(FIRST_PAUSE_S * 2 ** (count - 1), LONGEST_PAUSE_S)
    if provider.refused != asked:
        pause = free_at(provider, tx.now) - tx.now
    failure = LaunchFailure(
        activity=activity,
        code=code,
        message=message,
        since=known.since if known is not None else tx.now,
        count=count,
        until=tx.now + pause,
    )
    for name in _waiting_services(tx.state, provider.name):
        what = f"was unable to launch instances for capacity provider {provider.name}"
        complain(tx, name, f"capacity {provider.name}", f"{what}. Reason: {code}: {message}")
    return replace(provider, failure=failure)


def worked(tx: Transaction[ClusterState], provider: Provider) -> Provider:
    """The provider launches again."""
    if provider.failure is None:
        return provider
    for name in tx.state.services:
        clear(tx, name, f"capacity {provider.name}")
    return replace(provider, failure=None)


def is_failing(provider: Provider, now: float) -> bool:
    """Whether it is not worth asking now."""
    return provider.failure is not None and now < provider.failure.until


def _waiting_services(state: ClusterState, provider: str) -> list[str]:
    names: dict[str, None] = {}
    for task_id in state.capacity_index.waiting(provider):
        service = state.tasks[task_id].service
        if service is not None and service.name in state.services:
            names[service.name] = None
    return list(names)
