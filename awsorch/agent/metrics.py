"""GET /metrics of an agent, for Prometheus: its tasks and what their containers use, looked up when somebody asks.

Each agent has a registry of its own, for several live in one process. It is served where introspection is.
Source: Prometheus, "Exposition formats" and "Metric and label naming".
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from awsorch.agent import AGENT_VERSION
from awsorch.agent.assignment import Assignment
from awsorch.agent.session import Registration
from awsorch.agent.states import Status
from awsorch.agent.usage import Usage, UsageSource

CONTENT_TYPE = CONTENT_TYPE_LATEST
_OF_CONTAINER = ("task", "family", "container")


class AgentMetrics(Collector):
    """The figures of one agent."""

    def __init__(self, registration: Registration, tasks: Mapping[str, Assignment], usage: UsageSource) -> None:
        self._registration = registration
        self._tasks = tasks
        self._usage = usage
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing: who is registered is not asked before there is anything to tell."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every figure as it is now."""
        about = {"version": AGENT_VERSION, "cluster": self._registration.cluster}
        about["container_instance"] = self._registration.instance_arn
        info = GaugeMetricFamily("awsorch_agent_info", "Which agent this is; always 1.", labels=tuple(about))
        info.add_metric(list(about.values()), 1)
        tasks = GaugeMetricFamily("awsorch_agent_tasks", "Tasks by their known status.", labels=["status"])
        for status, number in sorted(Counter(each.state.known.name for each in self._tasks.values()).items()):
            tasks.add_metric([status], number)
        yield from (info, tasks)
        yield from self._containers()

    def _containers(self) -> Iterator[Metric]:
        restarts = CounterMetricFamily(
            "awsorch_agent_container_restarts", "Restarts by restart policy.", labels=_OF_CONTAINER
        )
        memory = GaugeMetricFamily(
            "awsorch_agent_container_memory_bytes", "Memory in use without the page cache.", labels=_OF_CONTAINER
        )
        counters = {name: _counter(name, what) for name, what in _COUNTED.items()}
        for assignment in list(self._tasks.values()):
            for name, state in assignment.state.containers.items():
                if state.known is not Status.RUNNING or state.docker_id is None:
                    continue
                labels = [assignment.arn.rpartition("/")[2], assignment.task.family, name]
                restarts.add_metric(labels, state.restarts)
                used = self._usage.read(state.docker_id)
                if used is not None:
                    memory.add_metric(labels, used.memory)
                    for figure, value in _counts(used):
                        counters[figure].add_metric(labels, value)
        yield from (restarts, memory, *counters.values())


_COUNTED = {
    "cpu_seconds": "CPU time since the container's start.",
    "read_bytes": "Bytes read from disks.",
    "written_bytes": "Bytes written to disks.",
    "received_bytes": "Bytes that came in by its network.",
    "sent_bytes": "Bytes that went out by its network.",
}


def _counter(name: str, what: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"awsorch_agent_container_{name}", what, labels=_OF_CONTAINER)


def _counts(used: Usage) -> Iterator[tuple[str, float]]:
    yield "cpu_seconds", used.cpu
    yield "read_bytes", used.bytes_read
    yield "written_bytes", used.bytes_written
    if used.received is not None and used.sent is not None:
        yield "received_bytes", used.received.bytes
        yield "sent_bytes", used.sent.bytes
