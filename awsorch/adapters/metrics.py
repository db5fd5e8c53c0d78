"""CloudWatch metrics: publishes what it is told, as many values at once as wait. A value that is lost stays lost.

Source: CloudWatch API, PutMetricData; ECS developer guide, CapacityProviderReservation.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.core.commands import PublishReservation

logger = logging.getLogger(__name__)

NAMESPACE, RESERVATION = "AWS/ECS/ManagedScaling", "CapacityProviderReservation"
#: PutMetricData takes so many values.
BATCH = 1000


class CloudWatchMetrics:
    """Implements engine.ports.Reservations."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws
        self._turns = Turns()
        self._waiting: dict[tuple[str, str], float] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._failing = False

    def publish_reservation(self, cluster: str, command: PublishReservation) -> None:
        """PutMetricData of CapacityProviderReservation. A newer value takes the place of one that waits."""
        self._waiting[cluster, command.provider] = command.value
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.get_running_loop().create_task(self._publish(), name="publish reservations")

    async def close(self) -> None:
        """Stop publishing."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)

    async def _publish(self) -> None:
        """Put what waits until nothing does."""
        while self._waiting:
            try:
                async with self._turns.one():
                    names = list(self._waiting)[:BATCH]
                    data = [
                        _datum(cluster, provider, self._waiting.pop((cluster, provider))) for cluster, provider in names
                    ]
                    await self._aws.call("cloudwatch", "put_metric_data", Namespace=NAMESPACE, MetricData=data)
                self._failing = False
            except AwsError as error:
                if not self._failing:
                    logger.warning("%s can't be published: %s", RESERVATION, error)
                self._failing = True
            except Exception:
                logger.exception("%s can't be published", RESERVATION)


def _datum(cluster: str, provider: str, value: float) -> dict[str, Any]:
    dimensions = {"CapacityProviderName": provider, "ClusterName": cluster}
    return {
        "MetricName": RESERVATION,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Value": value,
        "Unit": "Percent",
    }
