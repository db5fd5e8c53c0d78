"""A whole Availability Zone is lost at once: how soon is every service back at its count, and at what cost?

The core alone, in virtual time, with agents that obey (a task starts within a second): 5,000 instances in three zones,
1,000 services of 100 tasks. Every instance of one zone is terminated in the same moment, as EC2's notices would say.
Prints the virtual time until every service has all its tasks healthy elsewhere, the CPU time of every decision and
record on the way, and the longest single step. Ends with 1 where a service is not back within ten minutes, or where the
rate is below that at which ECS starts the tasks of one service (500 a minute).

    python benchmarks/zone_loss.py [--instances 5000] [--services 1000] [--tasks 100]
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from awsorch.core import events
from awsorch.core.events_capacity import MachineNotice
from awsorch.core.events_services import RevisionWish
from tests.support.builders import a_definition
from tests.support.service_world import ServiceWorld

LOST = "us-east-1a"
LIMIT_S = 600.0
ECS_RATE = 500 / 60


class Cluster(ServiceWorld):
    """Services spread over three zones; ``spent`` is the CPU time of all steps, ``longest`` that of the longest."""

    def __init__(self, instances: int, services: int, tasks: int) -> None:
        self.spent = self.longest = 0.0
        super().__init__(instances=instances, settle=1.0, checked=False)
        self.size = tasks
        self.names = [f"service-{number}" for number in range(services)]
        for name in self.names:
            self.create(name, tasks, family=name)
            self.run(0.01)
        self.wait()

    def act(self, event: events.Event) -> Any:
        began = time.process_time()
        reply = super().act(event)
        took = time.process_time() - began
        self.spent, self.longest = self.spent + took, max(self.longest, took)
        return reply

    def wish(self, family: str, revision: int, *, port: int = 0, balanced: bool = False) -> RevisionWish:
        return RevisionWish(definition=a_definition(family, revision, cpu=64, memory=64))

    def healthy(self) -> int:
        """Tasks that services count on."""
        return sum(
            len(phases.healthy) for name in self.names for phases in self.state.service_index.crews(name).values()
        )

    def wait(self) -> float:
        """Let time pass until every service has all its tasks; the seconds it took. Raises RuntimeError."""
        began = self.now
        while self.now < began + LIMIT_S:
            self.run(0.1)
            if self.healthy() == len(self.names) * self.size:
                return self.now - began
        raise RuntimeError(f"{self.healthy()} tasks of {len(self.names) * self.size} after {LIMIT_S} s")

    def lose(self, zone: str) -> tuple[int, int]:
        """Terminate every instance of a zone; how many, and how many tasks they had."""
        gone = list(self.state.instances_by_zone[zone])
        tasks = sum(len(self.state.fleet.tasks_on(instance_id)) for instance_id in gone)
        for instance_id in gone:
            machine = self.state.instances[instance_id].ec2_instance_id
            self.act(MachineNotice(machine=machine or "", kind="terminated", cause="EC2"))
        return len(gone), tasks


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=100)
    options = parser.parse_args()
    cluster = Cluster(options.instances, options.services, options.tasks)
    gc.collect()
    gc.freeze()
    print(f"{options.instances} instances, {options.services} services, {cluster.healthy()} tasks")
    cluster.spent = cluster.longest = 0.0
    instances, tasks = cluster.lose(LOST)
    try:
        took = cluster.wait()
    except RuntimeError as error:
        print(f"not back: {error}")
        return 1
    zones = Counter(task.zone for task in cluster.state.tasks.values() if task.last_status == "RUNNING")
    rate = tasks / took
    print(f"lost {instances} instances with {tasks} tasks in {LOST}")
    print(f"every service back at its count after {took:.1f} s of virtual time: {rate:.0f} tasks/s")
    print(
        f"CPU time of the core {cluster.spent:.1f} s, {cluster.spent / tasks * 1000:.2f} ms a lost task; "
        f"the longest step {cluster.longest * 1000:.1f} ms"
    )
    print(f"running now: {dict(sorted(zones.items(), key=str))}")
    return 0 if rate >= ECS_RATE and LOST not in zones else 1


if __name__ == "__main__":
    raise SystemExit(main())
