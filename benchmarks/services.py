"""How long does a look at a service take in a large cluster, and does a change cost more where more did not change?

The core alone, in virtual time, with agents and load balancers that obey: 1,000 services of 20 tasks on 1,000
instances, every other one behind a target group of its own. A look should take under 20 ms in 99 of 100 cases, at rest
and while a tenth of the services is rolled out; and a change (a task that crashes, one task more and less, an unhealthy
target, a rollout) should cost at most 1.5 times of what it costs among 100 services on 100 instances. Ends with 1 if
not.

    python benchmarks/services.py [--services 1000] [--few 100] [--repeats 7]
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from awsorch.core import events
from awsorch.core.commands import SyncTargets
from awsorch.core.events_services import RevisionWish, SeenTarget, TargetsSeen
from awsorch.core.model import LoadBalancer
from awsorch.core.wakes import all_keys
from tests.support.builders import ACCOUNT, a_definition
from tests.support.service_world import ServiceWorld

TASKS = 20
LOOK_LIMIT_MS = 20.0
GROWTH_LIMIT = 1.5
#: A rollout within these keeps placement, draining and counting busy at once.
CONFIGURATION = {"maximumPercent": 125, "minimumHealthyPercent": 90}


class Cluster(ServiceWorld):
    """Times every step: ``timed`` are the seconds of looks at services and targets, ``spent`` is all together."""

    def __init__(self, services: int) -> None:
        self.timed: list[float] = []
        self.spent = 0.0
        self.members: dict[str, dict[tuple[str, int], str]] = {}
        super().__init__(instances=services, settle=1.0, checked=False)
        self.names = [f"service-{number}" for number in range(services)]
        for number, name in enumerate(self.names):
            self.create(
                name,
                TASKS,
                family=name,
                balanced=bool(number % 2),
                configuration=CONFIGURATION,
                zone_rebalancing="ENABLED",
            )
            self.run(0.01)
        self.settle()

    def act(self, event: events.Event) -> Any:
        began = time.process_time()
        reply = super().act(event)
        self.spent += time.process_time() - began
        return reply

    def _look(self, key: tuple[str, str]) -> None:
        began = time.process_time()
        self.act(events.Look(planner=key[0], subject=key[1], cause="look"))
        if key[0] in ("keep_services", "sync_targets"):
            self.timed.append(time.process_time() - began)

    def wish(self, family: str, revision: int, *, port: int = 0, balanced: bool = False) -> RevisionWish:
        group = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/{family}/1"
        balancer = LoadBalancer(target_group_arn=group, container_name="app", container_port=80)
        definition = a_definition(family, revision, cpu=64, memory=64)
        return RevisionWish(definition=definition, load_balancers=(balancer,) if balanced else ())

    def _sync(self, command: SyncTargets) -> None:
        group = self.members.setdefault(command.group, {})
        for target in command.deregister:
            group.pop(target, None)
        group |= {target: "healthy" for target in command.register if target not in group}
        seen = tuple(SeenTarget(target_id=i, port=p, state=state) for (i, p), state in group.items())
        registered, deregistered = frozenset(command.register), frozenset(command.deregister)
        self.act(
            TargetsSeen(
                group=command.group,
                revision=command.revision,
                targets=seen,
                registered=registered,
                deregistered=deregistered,
            )
        )

    def settle(self) -> None:
        """Let time pass until every service is steady."""
        for _ in range(600):
            self.run(1.0)
            if all(self.state.services[name].steady_at is not None for name in self.names):
                return
        raise RuntimeError("the services did not become steady")

    def forget_timers(self) -> None:
        """Nothing is due any more: what is looked at from here on follows from what happens from here on."""
        self._due.clear()
        self._heap.clear()

    def sweep(self) -> list[float]:
        """Seconds of a look at each service and each target group, at rest."""
        self.forget_timers()
        self.timed.clear()
        for key in all_keys(self.state):
            if key[0] in ("keep_services", "sync_targets"):
                self._look(key)
        return list(self.timed)

    def roll_out(self, revision: int) -> list[float]:
        """Seconds of each look while a tenth of the services is rolled out at once."""
        self.timed.clear()
        for name in self.names[::10] + self.names[5::10]:
            self.deploy(name, revision, family=name)
        self.settle()
        return list(self.timed)

    def cost(self, name: str, change: Callable[[Cluster, str], None]) -> float:
        """CPU seconds of everything that follows from one change of one service within two minutes."""
        self.forget_timers()
        self.spent = 0.0
        change(self, name)
        self.run(120.0)
        assert self.state.services[name].steady_at is not None, name
        return self.spent


def crash(cluster: Cluster, name: str) -> None:
    """A container ends by itself: its task is replaced."""
    phases = cluster.state.service_index.phases(name, cluster.service(name).deployment)
    cluster.crash(next(iter(phases.healthy)))


def scale(cluster: Cluster, name: str) -> None:
    """One task more, or one less."""
    cluster.update(name, desired_count=TASKS + (cluster.service(name).desired_count == TASKS))


def sicken(cluster: Cluster, name: str) -> None:
    """A target fails its checks: it is drained, and its task replaced."""
    group, members = next((group, members) for group, members in cluster.members.items() if f"/{name}/" in group)
    members[next(iter(members))] = "unhealthy"
    cluster.later(0.0, events.Look(planner="sync_targets", subject=group, cause="the next poll"))


def replace_all(cluster: Cluster, name: str) -> None:
    """A rollout."""
    running = next(iter(cluster.tasks(name))).definition
    cluster.deploy(name, int(running.rpartition(":")[2]) + 1, family=name)


CHANGES: tuple[Callable[[Cluster, str], None], ...] = (crash, scale, sicken, replace_all)


def percentile(seconds: list[float], share: float) -> float:
    """Milliseconds that so many of the looks stay under."""
    return sorted(seconds)[int(len(seconds) * share)] * 1000


def looks(cluster: Cluster) -> bool:
    """Print how long looks take; whether that is little enough."""
    fine = True
    for title, seconds in (("at rest", cluster.sweep()), ("a tenth is rolled out", cluster.roll_out(2))):
        p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
        print(
            f"{title:<24}{len(seconds):>8} looks   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms, "
            f"{p99 / LOOK_LIMIT_MS:.2f} of the limit"
        )
        fine &= p99 < LOOK_LIMIT_MS
    return fine


def growth(few: Cluster, many: Cluster, repeats: int) -> bool:
    """Print what changes cost among few services and among many; whether that is about the same."""
    fine = True
    for change in CHANGES:
        costs: dict[str, list[float]] = {"few": [], "many": []}
        for attempt in range(repeats + 1):
            # Odd ones have a target group. Taken in turns, so that a busy machine disturbs both alike.
            for which, cluster in (("few", few), ("many", many)):
                spent = cluster.cost(cluster.names[2 * attempt + 1], change)
                if attempt:  # the first one warms up
                    costs[which].append(spent)
        # Whatever else the machine did only adds to it: the least is nearest to what the change itself costs.
        small, large = (min(costs[which]) * 1000 for which in ("few", "many"))
        print(f"{change.__name__:<24}{small:8.2f} ms among few {large:8.2f} ms among many   ratio {large / small:.2f}")
        fine &= large <= GROWTH_LIMIT * small
    return fine


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    few, many = Cluster(options.few), Cluster(options.services)
    gc.collect()
    gc.freeze()
    print(f"{options.services} services, {len(many.state.tasks)} tasks, {len(many.state.instances)} instances")
    fine = looks(many)
    gc.collect()
    gc.freeze()  # what was made to get here is nothing that a change made
    print(f"CPU time of all that follows from one change, among {options.few} services and among {options.services}")
    fine &= growth(few, many, options.repeats)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
