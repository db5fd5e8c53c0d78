"""What placement promises, whatever the fleet and the order of events: the answers of the plain greedy, no instance
over-committed, and a fleet that is always the one its records make."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from awsorch.core.model import ContainerInstance, Task
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.place import Decision, Request, place
from tests.core import placement_records as records
from tests.core.placement_reference import Host, candidates_of, choices, hosts_of


def fleet_of(instances: dict[str, ContainerInstance], tasks: dict[str, Task]) -> Fleet:
    fleet = Fleet()
    for task in tasks.values():
        fleet.task_changed(None, task)
    for instance in instances.values():
        fleet.instance_changed(None, instance)
    return fleet


def check(decision: Decision, request: Request, hosts: dict[str, Host]) -> None:
    """The decision is one that the reference could make; ``hosts`` are used up."""
    assert decision.considered == (
        len(request.only) if request.only is not None else len(candidates_of(hosts, request))
    )
    left = Counter(decision.placed)
    assert len(decision.placed) == len(decision.gpus) <= request.count
    while left:
        allowed = [host for host in choices(hosts, request) if left[host.instance.id]]
        assert allowed, f"{dict(left)} are not the greedy's next choices"
        if len(allowed) > 1:  # random: any order that explains the answer will do
            allowed.sort(key=lambda host: (-left[host.instance.id], host.instance.id))
        chosen = allowed[0]
        chosen.give(request.demand, request.group)
        left -= Counter([chosen.instance.id])
    if len(decision.placed) < request.count:
        assert not choices(hosts, request)
        expected = {host.instance.id: host.refuses(request) for host in candidates_of(hosts, request)}
        unknown = {name: "MISSING" for name in request.only or () if name not in hosts}
        assert dict(decision.failures) == expected | unknown
        assert sum(refused.instances for refused in decision.refused) == decision.considered
        assert {refused.reason for refused in decision.refused} == set(dict(decision.failures).values())
    else:
        assert decision.failures == decision.refused == ()


by_id = st.lists(records.instances(), max_size=8).map(lambda all_: {i.id: i for i in all_})
tasks_by_id = st.lists(records.tasks(), max_size=10).map(lambda all_: {t.id: t for t in all_})


@settings(max_examples=600, deadline=None)
@given(by_id, tasks_by_id, st.lists(records.requests, min_size=1, max_size=3))
def test_place_gives_the_answer_of_the_sequential_greedy(
    instances: dict[str, ContainerInstance], tasks: dict[str, Task], requests: list[Request]
) -> None:
    fleet = fleet_of(instances, tasks)
    for request in requests:
        if any(strategy.type == "random" for strategy in request.strategies):
            continue  # the state machine below checks those one task at a time
        check(place(fleet, request), request, hosts_of(instances.values(), tasks.values()))


class FleetMachine(RuleBasedStateMachine):
    """Random records and placements; beside the fleet the records themselves."""

    @initialize()
    def start(self) -> None:
        self.fleet = Fleet()
        self.instances: dict[str, ContainerInstance] = {}
        self.tasks: dict[str, Task] = {}
        self.born = 0

    def put(self, table: dict[str, Any], key: str, new: Any) -> Any:
        old = table.pop(key, None)
        if new is not None:
            table[key] = new
        change = self.fleet.instance_changed if table is self.instances else self.fleet.task_changed
        change(old, new)
        return old

    @rule(instance=records.instances())
    def register(self, instance: ContainerInstance) -> None:
        self.put(self.instances, instance.id, instance)

    @rule(name=st.sampled_from(records.NAMES))
    def forget(self, name: str) -> None:
        self.put(self.instances, name, None)

    @rule(task=records.tasks())
    def report(self, task: Task) -> None:
        self.put(self.tasks, task.id, task)

    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        if self.tasks:
            self.put(self.tasks, data.draw(st.sampled_from(sorted(self.tasks))), None)

    @rule(instance=records.instances(), task=records.tasks())
    def undo(self, instance: ContainerInstance, task: Task) -> None:
        before = fleet_of(self.instances, self.tasks)
        old_instance, old_task = self.instances.get(instance.id), self.tasks.get(task.id)
        self.put(self.instances, instance.id, instance)
        self.put(self.tasks, task.id, task)
        self.put(self.tasks, task.id, old_task)
        self.put(self.instances, instance.id, old_instance)
        assert self.fleet == before

    @rule(request=records.requests)
    def run(self, request: Request) -> None:
        hosts = hosts_of(self.instances.values(), self.tasks.values())
        decision = place(self.fleet, request)
        if all(strategy.type != "random" for strategy in request.strategies):
            check(decision, request, hosts)
        for name, gpus in zip(decision.placed, decision.gpus, strict=True):
            host = hosts_of(self.instances.values(), self.tasks.values())[name]
            assert host.refuses(request) is None, "an instance is over-committed"
            assert set(gpus) <= set(self.fleet.free(name).gpu_ids)
            free = len(self.fleet.free(name).gpu_ids)
            assert len(set(gpus)) == (free if request.demand.all_gpus else request.demand.gpus)
            self.born += 1
            task = records.a_task(f"run-{self.born}", on=name, demand=request.demand, group=request.group, gpu_ids=gpus)
            self.put(self.tasks, task.id, task)
        if len(decision.placed) < request.count:
            assert place(self.fleet, request).placed == ()

    @rule(request=records.requests)
    def run_one_at_random(self, request: Request) -> None:
        asked = Request(
            request.demand, 1, request.group, request.constraints, request.strategies, request.seed, request.only
        )
        check(place(self.fleet, asked), asked, hosts_of(self.instances.values(), self.tasks.values()))

    @invariant()
    def the_fleet_is_what_its_records_make(self) -> None:
        assert self.fleet == fleet_of(self.instances, self.tasks)
        hosts = hosts_of(self.instances.values(), self.tasks.values())
        for name, host in hosts.items():
            free = self.fleet.free(name)
            assert (free.cpu, free.memory) == (host.cpu, host.memory)
            assert (set(free.used_tcp), set(free.used_udp)) == (host.tcp, host.udp)
            assert len(free.gpu_ids) == max(0, host.gpus)
            assert self.fleet.running_count(name) == host.running.total()
            assert set(self.fleet.groups_on(name)) == {group for group, n in host.running.items() if n}
            here = [task for task in self.tasks.values() if task.instance_id == name and task.holds_resources]
            assert set(self.fleet.tasks_on(name)) == {task.id for task in here}
            assert self.fleet.pending_count(name) == sum(task.last_status == "PENDING" for task in here)
        assert self.fleet.active() == sum(i.status == "ACTIVE" for i in self.instances.values())


TestFleet = FleetMachine.TestCase
TestFleet.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
