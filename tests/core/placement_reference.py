"""Placement as one would explain it on a blackboard: the yardstick for the real one.

It works on the records alone, task after task, instance after instance, strategy after strategy, and shares no code
with the fleet or its indexes; only the cluster query language and the hash that breaks ties are the real ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from awsorch.core.model import ContainerInstance, Demand, Strategy, Task
from awsorch.core.placement.expression import compile_expression
from awsorch.core.placement.place import Request
from awsorch.core.placement.slot import Slot


@dataclass
class Host:
    """An instance with what is left of it."""

    instance: ContainerInstance
    cpu: int
    memory: int
    tcp: set[int]
    udp: set[int]
    gpus: int
    running: Counter[str] = field(default_factory=Counter)

    def give(self, demand: Demand, group: str | None) -> None:
        self.cpu -= demand.cpu
        self.memory -= demand.memory
        self.tcp |= set(demand.tcp_ports)
        self.udp |= set(demand.udp_ports)
        self.gpus -= self.gpus if demand.all_gpus else demand.gpus
        if group is not None:
            self.running[group] += 1

    def refuses(self, request: Request) -> str | None:
        """ECS's reason why one more task cannot be here."""
        demand = request.demand
        own = self.instance.attributes
        if self.instance.status != "ACTIVE":
            return "INACTIVE"
        if not self.instance.agent_connected:
            return "AGENT"
        if demand.cpu > self.cpu:
            return "RESOURCE:CPU"
        if demand.memory > self.memory:
            return "RESOURCE:MEMORY"
        if demand.gpus and demand.gpus > self.gpus:
            return "RESOURCE:GPU"
        if demand.all_gpus and not 0 < self.gpus == len(self.instance.resources.gpu_ids):
            return "RESOURCE:GPU"
        if self.tcp & set(demand.tcp_ports) or self.udp & set(demand.udp_ports):
            return "RESOURCE:PORTS"
        for name, value in demand.attributes:
            if name not in own or (value is not None and own[name] != value):
                return "ATTRIBUTE"
        for constraint in request.constraints:
            if constraint.type == "distinctInstance":
                if self.running[request.group]:
                    return "DistinctInstance placement constraint unsatisfied."
                continue
            expression = compile_expression(constraint.expression or "")
            groups = [group for group, count in self.running.items() if count]
            if not expression.holds(self.instance, self.running.total(), groups):
                return "MemberOf placement constraint unsatisfied."
        return None


def hosts_of(instances: Iterable[ContainerInstance], tasks: Iterable[Task]) -> dict[str, Host]:
    """The instances with their tasks counted."""
    hosts = {
        i.id: Host(
            i,
            i.resources.cpu,
            i.resources.memory,
            set(i.resources.reserved_tcp),
            set(i.resources.reserved_udp),
            len(i.resources.gpu_ids),
        )
        for i in instances
    }
    for task in tasks:
        if task.holds_resources and task.instance_id in hosts:
            host = hosts[task.instance_id]
            host.give(task.demand, task.group if task.desired_status == "RUNNING" else None)
            for container in task.containers:
                for binding in container.network_bindings:
                    (host.udp if binding.protocol == "udp" else host.tcp).add(binding.host_port or 0)
    return hosts


def candidates_of(hosts: dict[str, Host], request: Request) -> list[Host]:
    """The instances that the request is about."""
    if request.only is not None:
        return [hosts[name] for name in request.only if name in hosts]
    return [
        host
        for host in hosts.values()
        if host.instance.status == "ACTIVE" and request.capacity_provider in (None, host.instance.capacity_provider)
    ]


def choices(hosts: dict[str, Host], request: Request) -> list[Host]:
    """The instances that the next task may go to: one, unless the strategies end in random."""
    fit = [host for host in candidates_of(hosts, request) if host.refuses(request) is None]
    strategies = list(request.strategies) or [
        Strategy(type="spread", field="attribute:ecs.availability-zone"),
        Strategy(type="spread", field="instanceId"),
    ]
    for strategy in strategies:
        if strategy.type == "random" or not fit:
            return fit
        fit = _least(fit, _measure(strategy, hosts, request.group))
    if all(strategy.type != "binpack" for strategy in strategies):
        fit = _least(fit, lambda host: host.running[request.group])
        fit = _least(fit, lambda host: -host.memory)
        return _least(fit, lambda host: -Slot(host.instance.id).order)
    return _least(fit, lambda host: Slot(host.instance.id).order)


def _least(hosts: list[Host], measure: Callable[[Host], int]) -> list[Host]:
    best = min(map(measure, hosts), default=0)
    return [host for host in hosts if measure(host) == best]


def _measure(strategy: Strategy, hosts: dict[str, Host], group: str) -> Callable[[Host], int]:
    field_name = strategy.field or ""
    if strategy.type == "binpack":
        return (lambda host: host.cpu) if field_name.lower() == "cpu" else (lambda host: host.memory)
    if field_name in ("instanceId", "host"):
        return lambda host: host.running[group]
    attribute = field_name.removeprefix("attribute:")
    counts: Counter[str | None] = Counter()
    for host in hosts.values():
        counts[host.instance.attributes.get(attribute)] += host.running[group]
    return lambda host: counts[host.instance.attributes.get(attribute)]
