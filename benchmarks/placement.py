"""How fast is placement beside the loop that anybody writes first?

10,000 instances in three zones (three sizes, each up to 90 % used, 5 % draining); 200 groups of 500 tasks. The base is
one numpy mask and argmin over all instances a task. All contestants answer the same requests in the same run, and for
each request the counts by instance are compared: the answer must be that of the sequential greedy. "Slots" is the
decision and the fleet told of it; "Task records" is the decision, a record made for each task, and the fleet following
those.

Only the ratios mean anything elsewhere. Run: python -m benchmarks.placement [--instances N] [--tasks N] [--repeats N]
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import numpy.typing as npt

from awsorch.core.model import ContainerInstance, Demand, Resources, Strategy, Task
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.place import Request, place
from awsorch.core.placement.slot import Slot

ZONE = "ecs.availability-zone"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
SIZES = ((4096, 15744), (8192, 31748), (16384, 63488))  # m5.xlarge, 2xlarge and 4xlarge
SPREAD = (Strategy(type="spread", field=f"attribute:{ZONE}"), Strategy(type="binpack", field="memory"))
PACK = (Strategy(type="binpack", field="memory"),)
GROUPS = 200
CAPABILITIES: dict[str, str | None] = {
    f"com.amazonaws.ecs.capability.docker-remote-api.1.{v}": None for v in range(17, 26)
}
NEEDED = tuple((name, None) for name in list(CAPABILITIES)[:3])

SLICES = 10
BASE, SLOTS, RECORDS = "numpy, task by task (base)", "fleet, slots", "fleet, Task records"

Placements = list[tuple[str, ...]]


def instances_of(count: int) -> list[tuple[ContainerInstance, int, int]]:
    """Instances, each with the CPU and memory that earlier tasks use."""
    dice = random.Random(1)
    made = []
    for number in range(count):
        cpu, memory = dice.choice(SIZES)
        used = dice.random() * 0.9
        instance = ContainerInstance(
            id=f"{dice.getrandbits(128):032x}",
            arn="",
            status="DRAINING" if dice.random() < 0.05 else "ACTIVE",
            resources=Resources(cpu=cpu, memory=memory),
            attributes={ZONE: ZONES[number % 3], **CAPABILITIES},
            agent_connected=True,
            registered_at=0.0,
        )
        made.append((instance, int(cpu * used), int(memory * used)))
    made.sort(key=lambda one: Slot(one[0].id).order)  # numpy's argmin takes the first of equals; so does the fleet
    return made


def requests_of(
    tasks: int, batch: int, strategies: tuple[Strategy, ...], different: bool = False, ported: bool = False
) -> list[Request]:
    """What is asked: each group's tasks in batches, the groups in turn; or every task unlike the others."""
    dice = random.Random(2)

    def demand(group: int) -> Demand:
        port = (10_000 + group,) if ported else ()
        cpu, memory = dice.choice((32, 64, 128)), dice.choice((64, 128, 256))
        if different:
            cpu, memory = dice.randrange(16, 129), dice.randrange(32, 257)
        return Demand(cpu=cpu, memory=memory, tcp_ports=port, attributes=NEEDED)

    groups = [(f"service:{n}", demand(n)) for n in range(GROUPS)]
    requests = []
    for number in range(tasks // batch):
        group, same = groups[number % GROUPS]
        asked = demand(number % GROUPS) if different else same
        requests.append(Request(asked, batch, group, (), strategies))
    return requests


class Obvious:
    """The base: for each task a mask over all instances and the argmin of what it leaves."""

    def __init__(self, made: list[tuple[ContainerInstance, int, int]]) -> None:
        self.ids = [instance.id for instance, _, _ in made]
        self.cpu = np.array([i.resources.cpu - used for i, used, _ in made], dtype=np.int64)
        self.memory = np.array([i.resources.memory - used for i, _, used in made], dtype=np.int64)
        self.open = np.array([i.status == "ACTIVE" for i, _, _ in made])
        self.zone = np.array([ZONES.index(str(i.zone)) for i, _, _ in made])
        self.in_zone = [self.zone == number for number in range(len(ZONES))]
        self.ports: dict[int, npt.NDArray[np.bool_]] = {}
        self.counts: dict[str, list[int]] = {}

    def place(self, request: Request) -> tuple[str, ...]:
        spread = len(request.strategies) == 2
        chosen = [self._one(request, spread) for _ in range(request.count)]
        return tuple([self.ids[i] for i in chosen if i >= 0])

    def _one(self, request: Request, spread: bool) -> int:
        demand = request.demand
        mask = self.open & (self.cpu >= demand.cpu) & (self.memory >= demand.memory)
        for port in demand.tcp_ports:
            mask &= ~self.ports.setdefault(port, np.zeros(len(self.ids), dtype=bool))
        counts = self.counts.setdefault(request.group, [0] * len(ZONES))
        if spread:
            mask = self._in_best_zones(mask, counts)
        chosen = int(np.argmin(np.where(mask, self.memory, np.iinfo(np.int64).max)))
        if not mask[chosen]:
            return -1
        self.cpu[chosen] -= demand.cpu
        self.memory[chosen] -= demand.memory
        for port in demand.tcp_ports:
            self.ports[port][chosen] = True
        counts[self.zone[chosen]] += 1
        return chosen

    def _in_best_zones(self, mask: npt.NDArray[np.bool_], counts: list[int]) -> npt.NDArray[np.bool_]:
        for level in sorted(set(counts)):
            zones = [self.in_zone[zone] for zone, count in enumerate(counts) if count == level]
            best: npt.NDArray[np.bool_] = mask & reduce(np.logical_or, zones)
            if best.any():
                return best
        return mask


Contestant = Callable[[Request], tuple[str, ...]]


@dataclass
class Run:
    """What a contestant placed, request by request, and the CPU time it took."""

    contestant: Contestant
    placed: Placements = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return sum(map(len, self.placed)) / self.seconds


def race(requests: list[Request], runs: Iterable[Run]) -> None:
    """Let all answer the same requests, a slice each in turn: what else the machine does meets all alike."""
    gc.collect()
    gc.freeze()  # as a controller does once it has loaded: what exists is not looked through again and again
    size = max(1, len(requests) // SLICES)
    for start in range(0, len(requests), size):
        for run in runs:
            began = time.process_time()
            answers = [run.contestant(request) for request in requests[start : start + size]]
            run.seconds += time.process_time() - began
            run.placed += answers
    gc.unfreeze()


def fleet_of(made: list[tuple[ContainerInstance, int, int]]) -> Fleet:
    fleet = Fleet()
    for instance, cpu, memory in made:
        fleet.instance_changed(None, instance)
        fleet.assume(Demand(cpu=cpu, memory=memory), "earlier", (instance.id,))
    return fleet


def warmed(fleet: Fleet, request: Request) -> Fleet:
    """The fleet with its index built, as it is in a controller that has placed anything before."""
    place(fleet, request)
    return fleet


def by_slots(made: list[tuple[ContainerInstance, int, int]], first: Request) -> Contestant:
    """The kernel: the decision, then the fleet told of it without records."""
    fleet = warmed(fleet_of(made), first)

    def answer(request: Request) -> tuple[str, ...]:
        decision = place(fleet, request)
        fleet.assume(request.demand, request.group, decision.placed)
        return decision.placed

    return answer


def by_records(made: list[tuple[ContainerInstance, int, int]], first: Request) -> Contestant:
    """The decision, then a Task record for each task, which the fleet follows."""
    fleet = warmed(fleet_of(made), first)
    numbers: Iterator[int] = iter(range(1 << 62))

    def answer(request: Request) -> tuple[str, ...]:
        decision = place(fleet, request)
        for instance_id in decision.placed:
            task = a_task(next(numbers), instance_id, request.demand, request.group)
            fleet.task_changed(None, task)
        return decision.placed

    return answer


def following_cost(made: list[tuple[ContainerInstance, int, int]]) -> float:
    """Microseconds that a fleet with an index takes to follow one Task record, the index's own update included."""
    fleet = warmed(fleet_of(made), Request(Demand(cpu=1, memory=1), 1, "web", (), PACK))
    tasks = [a_task(number, made[number % len(made)][0].id, Demand(cpu=1, memory=1), "web") for number in range(10_000)]
    began = time.process_time()
    for task in tasks:
        fleet.task_changed(None, task)
    fleet.question((), (), PACK, None)
    return (time.process_time() - began) / len(tasks) * 1e6


def a_task(number: int, instance_id: str, demand: Demand, group: str) -> Task:
    return Task(
        id=f"task-{number}",
        arn="",
        definition="web:1",
        definition_arn="",
        instance_id=instance_id,
        group=group,
        containers=(),
        demand=demand,
        cpu="0",
        memory="0",
        created_at=0.0,
    )


def agree(ours: Placements, base: Placements) -> bool:
    return len(ours) == len(base) and all(Counter(a) == Counter(b) for a, b in zip(ours, base, strict=True))


def contest(instances: int, tasks: int, repeats: int) -> bool:
    """Run everything, print the table; whether all answers agree and the ratios are what they should be."""
    made = instances_of(instances)
    fine = True
    print(f"{instances} instances, {tasks} tasks; placements/s, median (least - greatest) of {repeats}, and the ratio")
    print(f"{'question':<44}{'contestant':<28}{'placements/s':>36}{'ratio':>8}  answer")
    for title, batch, different, ported, target in (
        ("identical, batches of 100", 100, False, False, 30.0),
        ("identical, batches of 10", 10, False, False, 1.0),
        ("identical, a fixed port", 100, False, True, 1.0),
        ("all different", 1, True, False, 3.0),
    ):
        for name, strategies in (("spread, binpack", SPREAD), ("binpack", PACK)):
            requests = requests_of(tasks, batch, strategies, different, ported)
            fine &= one_question(f"{name}; {title}", made, requests, repeats, target)
    print(f"the fleet follows a Task record in {following_cost(made):.1f} µs")
    return fine


def one_question(
    title: str,
    made: list[tuple[ContainerInstance, int, int]],
    requests: list[Request],
    repeats: int,
    target: float,
) -> bool:
    rates: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    same: dict[str, bool] = {}
    for _ in range(repeats):
        base = Run(Obvious(made).place)
        runs = {BASE: base, SLOTS: Run(by_slots(made, requests[0])), RECORDS: Run(by_records(made, requests[0]))}
        race(requests, (base, runs[SLOTS]))
        race(requests, (runs[RECORDS],))  # apart: its records are not to be in the others' way
        for name, run in runs.items():
            rates.setdefault(name, []).append(run.rate)
            ratios.setdefault(name, []).append(run.rate / base.rate)
            same[name] = same.get(name, True) and agree(run.placed, base.placed)
    for name in rates:
        span = f"{statistics.median(rates[name]):,.0f} ({min(rates[name]):,.0f} - {max(rates[name]):,.0f})"
        answer = "same" if same[name] else "DIFFERENT"
        print(f"{title:<44}{name:<28}{span:>36}{statistics.median(ratios[name]):>8.1f}  {answer}", flush=True)
    return all(same.values()) and statistics.median(ratios[SLOTS]) >= target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    return 0 if contest(chosen.instances, chosen.tasks, chosen.repeats) else 1


if __name__ == "__main__":
    raise SystemExit(main())
