"""One suite for those who publish metrics: on the fake and on moto; and what they do when calls fail, on the fake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from awsorch.adapters.aws import AwsError
from awsorch.adapters.metrics import BATCH, MANAGED_SCALING, NAMESPACE, RESERVATION, CloudWatchMetrics
from awsorch.core.commands import PublishReservation
from awsorch.core.utilization import Figure
from tests.contract.fleets import FakeOutside, Outside, Recorder, run_with

Make = Callable[[], Outside]


@dataclass(slots=True)
class Stage:
    """The adapter, and what is behind it."""

    outside: Outside
    aws: Recorder
    metrics: CloudWatchMetrics

    def publish(self, provider: str, value: float, cluster: str = "default") -> None:
        self.metrics.publish_reservation(cluster, PublishReservation(provider=provider, value=value))

    async def values(self, cluster: str, provider: str) -> list[float]:
        """What was published for a provider."""
        dimensions = [{"Name": "CapacityProviderName", "Value": provider}, {"Name": "ClusterName", "Value": cluster}]
        if isinstance(self.outside, FakeOutside):
            data = [each for each in self.outside.fleet.metrics if each["Dimensions"] == dimensions]
            assert all((each["MetricName"], each["Unit"]) == (RESERVATION, "Percent") for each in data)
            return [each["Value"] for each in data]
        now = datetime.now(UTC)
        answer = await self.outside.calls.call(
            "cloudwatch",
            "get_metric_statistics",
            Namespace=f"{NAMESPACE}/{MANAGED_SCALING}",
            MetricName=RESERVATION,
            Dimensions=dimensions,
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=600,
            Statistics=["Maximum"],
            Unit="Percent",
        )
        return [point["Maximum"] for point in answer["Datapoints"]]

    async def eventually(self, cluster: str, provider: str, values: list[float]) -> None:
        """Wait until these are published."""
        async with asyncio.timeout(20):
            while True:
                if await self.values(cluster, provider) == values:
                    return
                await asyncio.sleep(0.05)


def play(make: Make, scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def staged(outside: Outside) -> None:
        aws = Recorder(outside.calls)
        metrics = CloudWatchMetrics(aws)
        await scene(Stage(outside, aws, metrics))
        await metrics.close()

    run_with(make, staged)


def test_reservations_of_many_providers_are_one_call(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        for number in range(40):
            stage.publish(f"cp-{number}", 100.0 + number)
        stage.publish("cp-0", 50.0, cluster="other")
        await stage.eventually("default", "cp-39", [139.0])
        assert await stage.values("default", "cp-0") == [100.0]
        assert await stage.values("other", "cp-0") == [50.0]
        assert stage.aws.operations.count("put_metric_data") == 1

    play(fleet, scene)


def test_what_services_use_is_a_statistic_set_of_the_minute(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        minute = datetime.now(UTC).timestamp() // 60 * 60 - 60
        figures = [Figure(name="CPUUtilization", cluster="default", service="web", values=(10.0, 20.0, 60.0))]
        stage.metrics.publish_figures(minute, figures)
        dimensions = [{"Name": "ClusterName", "Value": "default"}, {"Name": "ServiceName", "Value": "web"}]
        statistics = {"SampleCount": 3.0, "Sum": 90.0, "Minimum": 10.0, "Maximum": 60.0}
        await stage.metrics.settle()
        if isinstance(stage.outside, FakeOutside):
            (datum,) = stage.outside.fleet.metrics
            assert (datum["MetricName"], datum["Unit"], datum["Dimensions"]) == (
                "CPUUtilization",
                "Percent",
                dimensions,
            )
            assert datum["StatisticValues"] == statistics
            assert datum["Timestamp"].timestamp() == minute
            return
        answer = await stage.outside.calls.call(
            "cloudwatch",
            "get_metric_statistics",
            Namespace=NAMESPACE,
            MetricName="CPUUtilization",
            Dimensions=dimensions,
            StartTime=datetime.fromtimestamp(minute, UTC),
            EndTime=datetime.fromtimestamp(minute + 60, UTC),
            Period=60,
            Statistics=list(statistics),
        )
        (point,) = answer["Datapoints"]
        assert {name: point[name] for name in statistics} == statistics

    play(fleet, scene)


def test_without_a_namespace_nothing_is_published() -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.namespace = ""
        stage.publish("cp", 1.0)
        stage.metrics.publish_figures(0.0, [Figure(name="CPUUtilization", cluster="default", values=(1.0,))])
        await asyncio.sleep(60)
        assert not stage.aws.operations

    play(FakeOutside, scene)


# --- faults ----------------------------------------------------------------------------------------------------------


def fake(stage: Stage) -> Any:
    assert isinstance(stage.outside, FakeOutside)
    return stage.outside.fleet


def test_a_newer_value_takes_the_place_of_one_that_waits() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 10.0
        stage.publish("cp", 1.0)
        await asyncio.sleep(1)
        for value in (2.0, 3.0):
            stage.publish("cp", value)
        await asyncio.sleep(60)
        assert await stage.values("default", "cp") == [1.0, 3.0]

    play(FakeOutside, scene)


def test_more_than_a_call_takes_are_several_calls() -> None:
    async def scene(stage: Stage) -> None:
        for number in range(BATCH + 1):
            stage.publish(f"cp-{number}", 100.0)
        await asyncio.sleep(1)
        assert [len(call["MetricData"]) for call in fake(stage).called("put_metric_data")] == [BATCH, 1]

    play(FakeOutside, scene)


def test_a_failure_is_logged_once_until_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stage: Stage) -> None:
        for failing in (True, True, False, True):
            error = AwsError("InternalServiceFault", "why") if failing else None
            fake(stage).fault = lambda operation, error=error: error
            stage.publish("cp", 100.0)
            await asyncio.sleep(60)
        assert await stage.values("default", "cp") == [100.0]

    with caplog.at_level(logging.WARNING):
        play(FakeOutside, scene)
    assert caplog.text.count("InternalServiceFault: why") == 2


@pytest.mark.parametrize(("namespace", "is_told"), [("AWS/ECS", True), ("mine", False)])
def test_where_aws_keeps_its_namespace_to_itself_another_one_is_proposed(
    namespace: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.namespace = namespace
        fake(stage).fault = lambda operation: AwsError("InvalidParameterValue", "reserved", refused=True)
        stage.publish("cp", 100.0)
        await stage.metrics.settle()

    with caplog.at_level(logging.WARNING):
        play(FakeOutside, scene)
    assert "InvalidParameterValue: reserved" in caplog.text
    assert ("AWSORCH_METRICS_NAMESPACE" in caplog.text) is is_told


def test_closing_leaves_nothing_running() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 100.0
        stage.publish("cp", 100.0)
        await asyncio.sleep(1)
        await stage.metrics.close()
        assert len(asyncio.all_tasks()) == 1

    play(FakeOutside, scene)
