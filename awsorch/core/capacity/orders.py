"""Machines for managed providers."""

from __future__ import annotations

from awsorch.core.model import Task
from awsorch.core.model_capacity import Provider
from awsorch.core.state import ClusterState, Transaction


def order_machines(tx: Transaction[ClusterState], provider: Provider, waiting: list[Task]) -> None:
    """placeholder until packing is there"""
