"""What is published about containers, from samples of what they use."""

from dataclasses import replace

import pytest
from docker import APIClient

from awsorch.agent.assignment import Assignment, fresh_life
from awsorch.agent.measurements import Measurements
from awsorch.agent.plan import names_for
from awsorch.agent.settings import Settings
from awsorch.agent.states import Status
from awsorch.agent.usage import KernelUsage, Traffic, Usage
from awsorch.wire import acs, tcs
from tests.agent.tasks import a_container, a_task

MEBIBYTE = 1024 * 1024
FIRST = Usage(
    cpu=1.0,
    memory=MEBIBYTE,
    bytes_read=4096,
    bytes_written=0,
    received=Traffic(bytes=100, packets=1),
    sent=Traffic(bytes=10, packets=1),
)
SECOND = Usage(
    cpu=2.0,
    memory=2 * MEBIBYTE,
    bytes_read=8192,
    bytes_written=512,
    received=Traffic(bytes=300, packets=3, errors=1, dropped=2),
    sent=Traffic(bytes=110, packets=2, errors=3, dropped=4),
)


class Samples:
    """Usage of one container, and the clock: a sample every ten seconds."""

    def __init__(self, *usages: Usage | None) -> None:
        self.now = 1000.0
        self._usages = list(usages)

    def read(self, docker_id: str) -> Usage | None:
        self.now += 10.0
        return self._usages.pop(0)


def running(container: acs.Container) -> Assignment:
    task = a_task(container)
    assignment = Assignment(task, fresh_life(task, names_for(task, lambda: "0f"), Settings()), Settings())
    state = assignment.state
    states = {name: replace(each, known=Status.RUNNING, docker_id="x") for name, each in state.containers.items()}
    assignment.state = replace(state, known=Status.RUNNING, containers=states)
    return assignment


def published(container: acs.Container, *usages: Usage | None) -> tcs.ContainerMetric | None:
    """What the last of these samples makes to publish."""
    source, assignment = Samples(*usages), running(container)
    measurements = Measurements({assignment.arn: assignment}, source, lambda: source.now, cpus=2)
    rounds = [measurements.metrics() for _ in usages]
    return rounds[-1][0].container_metrics[0] if rounds[-1] else None


def long(value: int) -> tcs.LongStats:
    return tcs.LongStats(min=value, max=value, sample_count=1, sum=value)


def double(value: float) -> tcs.DoubleStats:
    return tcs.DoubleStats(min=value, max=value, sample_count=1, sum=value)


def test_counters_are_published_as_they_are_and_rates_since_the_sample_before() -> None:
    metric = published(a_container(), FIRST, SECOND)
    assert metric is not None
    assert metric.cpu_stats_set == double(5.0)
    assert metric.memory_stats_set == double(2.0)
    assert metric.storage_stats_set == tcs.StorageStats(read_size_bytes=long(8192), write_size_bytes=long(512))
    assert metric.network_stats_set == tcs.NetworkStats(
        rx_bytes=long(300),
        rx_bytes_per_second=double(20.0),
        rx_dropped=long(2),
        rx_errors=long(1),
        rx_packets=long(3),
        tx_bytes=long(110),
        tx_bytes_per_second=double(10.0),
        tx_dropped=long(4),
        tx_errors=long(3),
        tx_packets=long(2),
    )


@pytest.mark.parametrize("mode", ["host", "none"])
def test_only_a_bridge_has_traffic(mode: str) -> None:
    metric = published(a_container(host_config={"NetworkMode": mode}), FIRST, SECOND)
    assert metric is not None
    assert metric.network_stats_set is None
    assert metric.storage_stats_set is not None


@pytest.mark.parametrize("before", [replace(FIRST, received=None, sent=None), FIRST])
def test_traffic_that_is_not_known_is_left_out(before: Usage) -> None:
    after = SECOND if before.received is None else replace(SECOND, received=None, sent=None)
    metric = published(a_container(), before, after)
    assert metric is not None
    assert metric.network_stats_set is None


def test_one_sample_is_not_enough() -> None:
    assert published(a_container(), FIRST) is None
    assert published(a_container(), FIRST, None) is None
    assert published(a_container(), FIRST, None, SECOND) is None


@pytest.mark.docker
def test_a_real_container_s_usage(docker: APIClient, image: str) -> None:
    made = docker.create_container(image, ["sleep", "3600"], stop_signal="SIGKILL")
    try:
        docker.start(made["Id"])
        ping = docker.exec_create(made["Id"], ["ping", "-c", "1", "-W", "1", _gateway_of(docker, made["Id"])])
        docker.exec_start(ping["Id"])
        usage = KernelUsage().read(made["Id"])
        assert usage is not None
        assert usage.received is not None
        assert usage.sent is not None
        assert usage.cpu > 0 < usage.memory
        assert usage.sent.bytes > 0 < usage.sent.packets
        assert usage.received.errors == usage.sent.errors == 0
    finally:
        docker.remove_container(made["Id"], force=True)


def _gateway_of(docker: APIClient, container: str) -> str:
    return str(docker.inspect_container(container)["NetworkSettings"]["Gateway"])
