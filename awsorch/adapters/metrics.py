"""CloudWatch metrics: publishes what it is told. A value that is lost stays lost.

Source: CloudWatch API, PutMetricData; ECS developer guide, CapacityProviderReservation.
"""

from __future__ import annotations

import asyncio
import logging

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.core.commands import PublishReservation

logger = logging.getLogger(__name__)


class CloudWatchMetrics:
    """Implements engine.ports.Reservations."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws
        self._turns = Turns()
        self._running: set[asyncio.Task[None]] = set()
        self._failing = False

    def publish_reservation(self, cluster: str, command: PublishReservation) -> None:
        """PutMetricData of CapacityProviderReservation."""
        task = asyncio.get_running_loop().create_task(self._publish(cluster, command), name="publish reservation")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stop publishing."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _publish(self, cluster: str, command: PublishReservation) -> None:
        dimensions = {"CapacityProviderName": command.provider, "ClusterName": cluster}
        value = {
            "MetricName": "CapacityProviderReservation",
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Value": command.value,
        }
        try:
            async with self._turns.one():
                await self._aws.call(
                    "cloudwatch", "put_metric_data", Namespace="AWS/ECS/ManagedScaling", MetricData=[value]
                )
            self._failing = False
        except AwsError as error:
            if not self._failing:
                logger.warning("%s: CapacityProviderReservation can't be published: %s", cluster, error)
            self._failing = True
        except Exception:
            logger.exception("%s: CapacityProviderReservation can't be published", cluster)
