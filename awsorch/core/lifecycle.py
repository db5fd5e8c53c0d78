"""Statuses, their order, and which moves are allowed. Reports that would go backwards are dropped here, in one place.

Source: ECS developer guide, "Amazon ECS task lifecycle".
"""

from __future__ import annotations

TASK_STATUSES = (
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
    "DELETED",
)
CONTAINER_STATUSES = ("PENDING", "RUNNING", "STOPPED")

_TASK_RANK = {status: rank for rank, status in enumerate(TASK_STATUSES)}
_CONTAINER_RANK = {status: rank for rank, status in enumerate(CONTAINER_STATUSES)}

#: What an agent may say of a task, and of a container. Older agents also send the states between.
REPORTED_TASK = {
    "PENDING": "PENDING",
    "MANIFEST_PULLED": "PENDING",
    "PULLED": "PENDING",
    "CREATED": "PENDING",
    "RUNNING": "RUNNING",
    "STOPPED": "STOPPED",
}
REPORTED_CONTAINER = {**REPORTED_TASK, "RESOURCES_PROVISIONED": "RUNNING"}


def task_moves_forward(old: str, new: str) -> bool:
    """Whether a task may go from ``old`` to ``new``: only forward, and STOPPED is final for reports."""
    return _TASK_RANK[new] > _TASK_RANK[old]


def container_moves_forward(old: str, new: str) -> bool:
    """Whether a container may go from ``old`` to ``new``: only forward."""
    return _CONTAINER_RANK[new] > _CONTAINER_RANK[old]


def is_final(status: str) -> bool:
    """Whether the containers of a task in this status have ended for good: no report changes it any more."""
    return status in ("DEPROVISIONING", "STOPPED", "DELETED")
