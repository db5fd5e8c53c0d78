"""How far a cluster's capacity providers have come: what ECS tells as ``attachmentsStatus``. Pure.

An Auto Scaling group's provider is attached once its group was seen and, where managed draining is on, has its
lifecycle hook. A Managed Instances provider, or one without managed scaling and draining, has nothing to wait for.
Source: ECS API, Cluster; PutClusterCapacityProviders.
"""

from __future__ import annotations

from collections.abc import Iterable

from awsorch.core.errors import Refusal
from awsorch.core.model_capacity import Provider

CREATED, PRECREATED, FAILED = "CREATED", "PRECREATED", "FAILED"


def attachment_status(provider: Provider) -> str:
    """Status of the provider's attachments: PRECREATED while they are made, then CREATED; FAILED where the group can't
    be found."""
    if not provider.is_group or not (provider.scaling.enabled or provider.draining):
        return CREATED
    if provider.seen_at is None:
        return PRECREATED if provider.failure is None else FAILED
    return CREATED if provider.hooked or not provider.draining else PRECREATED


def attachments_status(providers: Iterable[Provider]) -> str:
    """``attachmentsStatus`` of a cluster with these providers."""
    statuses = {attachment_status(provider) for provider in providers}
    if PRECREATED in statuses:
        return "UPDATE_IN_PROGRESS"
    return "UPDATE_FAILED" if FAILED in statuses else "UPDATE_COMPLETE"


def require_settled(providers: Iterable[Provider]) -> None:
    """Refuse changes while a group has yet to be seen. A hook that can't be made is no obstacle: to take its provider
    out may be what helps."""
    if any(provider.seen_at is None and attachment_status(provider) == PRECREATED for provider in providers):
        raise Refusal(
            "UpdateInProgressException",
            "The specified cluster is in a busy state. Cluster attachments must be in UPDATE_COMPLETE or "
            "UPDATE_FAILED state before they can be updated. Wait and try again.",
        )
