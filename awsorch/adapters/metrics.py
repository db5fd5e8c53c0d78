"""CloudWatch metrics: publishes what it is told, as many values at once as wait. A value that is lost stays lost.

Source: CloudWatch API, PutMetricData; ECS developer guide, "CloudWatch metrics", CapacityProviderReservation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.core.commands import PublishReservation
from awsorch.core.utilization import Figure

logger = logging.getLogger(__name__)

#: ECS's own namespace, and the part of it for managed scaling.
NAMESPACE, MANAGED_SCALING = "AWS/ECS", "ManagedScaling"
RESERVATION = "CapacityProviderReservation"
#: What may help where AWS keeps its names to itself.
HINT = "; AWSORCH_METRICS_NAMESPACE may name a namespace that does not begin with AWS/"
#: PutMetricData takes so many values.
BATCH = 1000
#: Values that may wait while CloudWatch does not take any; the oldest are let go.
WAITING_LIMIT = 100_000

_Key = tuple[str, str, tuple[tuple[str, str], ...]]


class CloudWatchMetrics:
    """Implements engine.ports.Reservations and Utilizations. ``namespace`` is that of all metrics; with an empty one
    nothing is published."""

    def __init__(self, aws: AwsCalls, namespace: str = NAMESPACE) -> None:
        self._aws = aws
        self.namespace = namespace
        self._turns = Turns()
        self._waiting: dict[_Key, Mapping[str, Any]] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._failing = False

    def publish_reservation(self, cluster: str, command: PublishReservation) -> None:
        """PutMetricData of CapacityProviderReservation. A newer value takes the place of one that waits."""
        dimensions = {"CapacityProviderName": command.provider, "ClusterName": cluster}
        self._put(f"{self.namespace}/{MANAGED_SCALING}", RESERVATION, dimensions, {"Value": command.value})
        self._go()

    def publish_figures(self, minute: float, figures: Sequence[Figure]) -> None:
        """PutMetricData of what clusters and services use, as statistic sets. A newer one takes the place of one that
        waits."""
        at = datetime.fromtimestamp(minute, UTC)
        for figure in figures:
            dimensions = {"ClusterName": figure.cluster}
            if figure.service is not None:
                dimensions["ServiceName"] = figure.service
            statistics = {
                "SampleCount": float(len(figure.values)),
                "Sum": sum(figure.values),
                "Minimum": min(figure.values),
                "Maximum": max(figure.values),
            }
            self._put(self.namespace, figure.name, dimensions, {"StatisticValues": statistics, "Timestamp": at})
        self._go()

    async def settle(self) -> None:
        """Wait until nothing waits to be published."""
        if self._publishing is not None:
            await asyncio.gather(self._publishing)

    async def close(self) -> None:
        """Stop publishing."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)

    def _put(self, namespace: str, name: str, dimensions: Mapping[str, str], value: Mapping[str, Any]) -> None:
        if not self.namespace:
            return
        if len(self._waiting) >= WAITING_LIMIT:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[namespace, name, tuple(dimensions.items())] = {
            "MetricName": name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Unit": "Percent",
            **value,
        }

    def _go(self) -> None:
        if self._waiting and (self._publishing is None or self._publishing.done()):
            self._publishing = asyncio.get_running_loop().create_task(self._publish(), name="publish metrics")

    async def _publish(self) -> None:
        """Put what waits until nothing does."""
        while self._waiting:
            namespace = next(iter(self._waiting))[0]
            try:
                async with self._turns.one():
                    keys = [key for key in self._waiting if key[0] == namespace][:BATCH]
                    data = [self._waiting.pop(key) for key in keys]
                    await self._aws.call("cloudwatch", "put_metric_data", Namespace=namespace, MetricData=data)
                self._failing = False
            except AwsError as error:
                if not self._failing:
                    mend = HINT if error.refused and namespace.startswith("AWS/") else ""
                    logger.warning("metrics can't be published in %s: %s%s", namespace, error, mend)
                self._failing = True
            except Exception:
                logger.exception("metrics can't be published in %s", namespace)
