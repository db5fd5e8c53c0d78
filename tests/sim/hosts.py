"""Makes the fake EC2's instances machines that boot agents: some late, some never, some for a moment only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from awsorch.core.capacity.instance_types import CPU_PER_VCPU, visible_memory
from awsorch.core.model import Resources
from tests.sim.machine import Machine
from tests.support.fake_fleet import TYPES, FakeInstance

if TYPE_CHECKING:
    from tests.support.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of an instance once EC2 runs it: seconds until its agent starts and until it dies; None: never."""

    starts_after: float | None = 1.0
    dies_after: float | None = None


class Hosts:
    """``fate`` draws that of each new instance."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.fate: Callable[[], Fate] = Fate
        ec2 = world.fleet.ec2
        ec2.running, ec2.over = self._power_on, self._power_off

    def _power_on(self, instance: FakeInstance) -> None:
        world, fate = self._world, self.fate()
        vcpus, mib, _ = TYPES[instance.instance_type]
        resources = Resources(cpu=vcpus * CPU_PER_VCPU, memory=visible_memory(mib), reserved_tcp=(22,))
        machine = Machine(world, instance.id, resources, instance.zone, instance.instance_type)
        world.machines[machine.name] = machine
        world.say(f"EC2 runs {machine.name}, {instance.instance_type} in {instance.zone}: {fate}")
        if fate.dies_after is not None:
            world.later(fate.dies_after, lambda: world.fleet.ec2.end(instance))
        if fate.starts_after is None:
            machine.retired = True
        else:
            world.later(fate.starts_after, machine.start_agent)

    def _power_off(self, instance: FakeInstance) -> None:
        machine = self._world.machines.get(instance.id)
        self._world.say(f"EC2 ends {instance.id}")
        if machine is not None and machine.alive:
            machine.die()
