"""``GET /metrics``: what the controller has and does, for Prometheus. Everything is counted where it happens, or looked
up when somebody asks; each controller has a registry of its own, for several may live in one process.

Nothing that it tells is secret but names, so it is as open as ``/awsorch/health``, unless a token is set.
Source: Prometheus, "Exposition formats" and "Metric and label naming".
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from awsorch.api.request_figures import RequestFigures
from awsorch.core.state import ClusterState, RegistryState
from awsorch.engine.controller import Controller
from awsorch.engine.figures import OutboxFigures
from awsorch.engine.partition import Partition, Unavailable

PATH = "/metrics"


class Metrics(Collector):
    """Answers scrapes. ``connections`` tells how many agents are connected, by what for; without ``token`` anybody may
    look, with one whoever shows it as a bearer token."""

    def __init__(
        self,
        controller: Controller,
        requests: RequestFigures,
        outbox: OutboxFigures,
        connections: Callable[[], Mapping[str, int]],
        token: str = "",
    ) -> None:
        self._controller = controller
        self._requests = requests
        self._outbox = outbox
        self._connections = connections
        self._token = token
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one scrape."""
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text=f"{PATH} takes GET, not {request.method}.\n")
        shown = request.headers.get("Authorization", "").encode()
        if self._token and not hmac.compare_digest(shown, f"Bearer {self._token}".encode()):
            headers = {"WWW-Authenticate": "Bearer"}
            return web.Response(status=401, text="Show the token of AWSORCH_METRICS_TOKEN.\n", headers=headers)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def describe(self) -> Iterator[Metric]:
        """Nothing: who is registered is not asked before there is a state."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every figure as it is now."""
        yield from self._resources()
        yield from self._partitions()
        yield from self._commands()
        yield from self._calls()
        agents = GaugeMetricFamily("awsorch_connected_agents", "Open connections of agents.", labels=["connection"])
        for connection, number in self._connections().items():
            agents.add_metric([connection], number)
        yield agents

    def _resources(self) -> Iterator[Metric]:
        tasks = GaugeMetricFamily("awsorch_tasks", "Tasks by their last status.", labels=["cluster", "status"])
        instances = GaugeMetricFamily(
            "awsorch_container_instances", "Container instances by their status.", labels=["cluster", "status"]
        )
        services = GaugeMetricFamily("awsorch_services", "Services by their status.", labels=["cluster", "status"])
        for name, partition in sorted(self._controller.clusters.items()):
            state = _state_of(partition)
            if state is None:
                continue
            for family, statuses in (
                (tasks, Counter(each.last_status for each in state.tasks.values())),
                (instances, Counter(each.status for each in state.instances.values())),
                (services, Counter(each.status for each in state.services.values())),
            ):
                for status, number in sorted(statuses.items()):
                    family.add_metric([name, status], number)
        yield from (tasks, instances, services)

    def _partitions(self) -> Iterator[Metric]:
        label = ["partition"]
        waiting = GaugeMetricFamily("awsorch_partition_inbox", "Events that wait to be decided.", labels=label)
        bugs = CounterMetricFamily("awsorch_partition_bugs", "Events that ended in a bug.", labels=label)
        counts = {
            name: CounterMetricFamily(f"awsorch_partition_{name}", what, labels=label) for name, what in _WRITER.items()
        }
        partitions: list[Partition[RegistryState] | Partition[ClusterState]] = [self._controller.registry]
        partitions += self._controller.clusters.values()
        for each in partitions:
            waiting.add_metric([each.name], each.waiting)
            bugs.add_metric([each.name], each.bugs)
            for member, family in counts.items():
                family.add_metric([each.name], getattr(each.figures, member))
        yield from (waiting, bugs, *counts.values())

    def _commands(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "awsorch_commands", "Commands that went out, and what came of it.", labels=["command", "result"]
        )
        for result, counted in (("sent", self._outbox.sent), ("failed", self._outbox.failed)):
            for kind, number in sorted(counted.items()):
                family.add_metric([kind, result], number)
        yield family

    def _calls(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "awsorch_api_requests", "Calls of the API by operation and error code.", labels=["operation", "code"]
        )
        for (operation, code), number in sorted(self._requests.calls.items()):
            calls.add_metric([operation, code], number)
        latency = HistogramMetricFamily(
            "awsorch_api_request_seconds", "How long calls of the API took.", labels=["operation"]
        )
        for operation, upto, seconds in self._requests.latencies():
            latency.add_metric([operation], upto, seconds)
        yield from (calls, latency)


_WRITER = {
    "events": "Events that were decided.",
    "commits": "Groups of changes that were stored.",
    "failed_commits": "Groups of changes that the store did not take.",
    "step_seconds": "Time spent deciding.",
    "commit_seconds": "Time spent waiting for the store.",
}


def _state_of(partition: Partition[ClusterState]) -> ClusterState | None:
    try:
        return partition.state
    except Unavailable:
        return None
