"""EC2 and hosts in memory, with knobs for failure; the EC2 fake keeps the contract of test_ec2.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from awsorch.local.ec2 import InstanceSize, SeenInstance
from awsorch.local.instances import ZONE_STEP, LocalInstance, LocalNetwork
from awsorch.local.interfaces import SeenInterface
from awsorch.local.refusal import Refused


def an_instance(**changes: Any) -> LocalInstance:
    """An instance as `awsorch up` runs it."""
    usual: dict[str, Any] = {
        "id": "i-11111111111111111",
        "index": 0,
        "address": "127.201.1.1",
        "zone": "us-east-1a",
        "zone_id": "use1-az6",
        "instance_type": "t3.medium",
        "cpu": 2048,
        "memory": 3883,
        "image_id": "ami-11111111111111111",
        "vpc_id": "vpc-1",
        "subnet_id": "subnet-1",
        "user_data": "#!/bin/bash\necho ECS_CLUSTER=default >> /etc/ecs/ecs.config\n",
        "cluster": "default",
        "launched_at": 1_800_000_000.0,
        "own": True,
    }
    return LocalInstance(**(usual | changes))


class FakeEc2:
    """EC2 that can forget everything, be down, or choose ids itself."""

    def __init__(self, *, chooses_ids: bool = False) -> None:
        self.chooses_ids = chooses_ids
        self.down = False
        self._made = 0
        self.forget()

    def forget(self) -> None:
        """What the end of moto's process does."""
        self.instances: dict[str, SeenInstance] = {}
        self.user_data: dict[str, str] = {}
        self.lifecycle_states: dict[str, str] = {}
        self.network: LocalNetwork | None = None

    def run_by_hand(self, user_data: str, zone: str = "us-east-1b", private_ip: str = "10.0.0.9") -> str:
        """An instance that somebody else ran, outside our network."""
        self._made += 1
        instance_id = f"i-{self._made:017x}"
        self.user_data[instance_id] = user_data
        self.instances[instance_id] = SeenInstance(
            id=instance_id,
            state="running",
            zone=zone,
            instance_type="m5.large",
            image_id="ami-2",
            vpc_id="vpc-2",
            subnet_id="subnet-2",
            private_ip=private_ip,
            launched_at=1_800_000_001.0,
        )
        return instance_id

    def set_state(self, instance_id: str, state: str) -> None:
        self.instances[instance_id] = replace(self.instances[instance_id], state=state)

    def _answer(self) -> None:
        if self.down:
            raise TimeoutError("EC2 is down")

    async def ensure_network(self, prefix: str) -> LocalNetwork:
        self._answer()
        zones = {f"us-east-1{letter}": f"use1-az{number}" for number, letter in enumerate("abc")}
        self.network = LocalNetwork(
            prefix=prefix,
            vpc_id="vpc-1",
            subnets={zone: f"subnet-{zone[-1]}" for zone in zones},
            zone_ids=zones,
            image_id="ami-1",
        )
        return self.network

    async def describe_instances(self) -> list[SeenInstance]:
        self._answer()
        return list(self.instances.values())

    async def describe_user_data(self, instance_id: str) -> str:
        self._answer()
        return self.user_data[instance_id]

    async def describe_lifecycle_state(self, instance_id: str) -> str | None:
        self._answer()
        return self.lifecycle_states.get(instance_id)

    async def describe_size(self, instance_type: str) -> InstanceSize:
        self._answer()
        return {
            "t3.medium": InstanceSize(cpu=2048, memory=3883),
            "m5.large": InstanceSize(cpu=2048, memory=7766),
        }[instance_type]

    async def run_instance(self, instance: LocalInstance) -> str:
        self._answer()
        if self.network is None or instance.subnet_id not in self.network.subnets.values():
            raise TimeoutError(f"no such subnet: {instance.subnet_id}")
        zone_number = list(self.network.subnets.values()).index(instance.subnet_id)
        third = int(instance.address.split(".")[2])
        if not zone_number * ZONE_STEP <= third < (zone_number + 1) * ZONE_STEP:
            raise TimeoutError(f"{instance.address} is not in the subnet")
        self._made += 1
        instance_id = f"i-{self._made:017x}" if self.chooses_ids else instance.id
        self.user_data[instance_id] = instance.user_data
        self.instances[instance_id] = SeenInstance(
            id=instance_id,
            state="running",
            zone=instance.zone,
            instance_type=instance.instance_type,
            image_id=instance.image_id,
            vpc_id=instance.vpc_id,
            subnet_id=instance.subnet_id,
            private_ip=instance.address,
            launched_at=1_800_000_002.0,
            tags={key: value for key, value in instance.tags.items() if not key.startswith("aws:")},
            tokens_required=instance.tokens_required,
            shows_tags=instance.shows_tags,
        )
        return instance_id

    async def stop_instance(self, instance_id: str) -> None:
        self._answer()
        self.set_state(instance_id, "stopped")

    async def terminate_instance(self, instance_id: str) -> None:
        self._answer()
        self.set_state(instance_id, "terminated")


@dataclass
class FakeHosts:
    """Which instances have an agent, and what was done; `failing` ids cannot be switched on or disposed of, those in
    `no_cut` not cut off."""

    on: dict[str, LocalInstance] = field(default_factory=dict)
    disposed: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    crashed: list[str] = field(default_factory=list)
    cut_off: set[str] = field(default_factory=set)
    no_cut: set[str] = field(default_factory=set)
    interfaces: dict[str, tuple[SeenInterface, ...]] = field(default_factory=dict)
    settled: int = 0

    def _try(self, instance: LocalInstance) -> None:
        if instance.id in self.failing:
            raise OSError(f"{instance.address} is in use")

    async def switch_on(self, instance: LocalInstance) -> None:
        self._try(instance)
        self.on[instance.id] = instance

    async def switch_off(self, instance: LocalInstance) -> None:
        self.on.pop(instance.id, None)

    async def crash(self, instance: LocalInstance) -> None:
        self._try(instance)
        self.on.pop(instance.id, None)
        self.cut_off.discard(instance.id)
        self.crashed.append(instance.id)

    async def cut(self, instance: LocalInstance) -> None:
        if instance.id in self.no_cut:
            raise Refused("IncorrectInstanceState", f"The agent of {instance.id} does not run now.")
        self.cut_off.add(instance.id)

    async def uncut(self, instance: LocalInstance) -> None:
        self._try(instance)
        self.cut_off.discard(instance.id)

    async def dispose(self, instance: LocalInstance) -> None:
        self._try(instance)
        self.on.pop(instance.id, None)
        self.disposed.append(instance.id)

    async def settle(self) -> None:
        self.settled += 1

    async def attach(self, instance: LocalInstance, interfaces: Sequence[SeenInterface]) -> None:
        self.interfaces[instance.id] = tuple(interfaces)


@dataclass
class FakeEvents:
    """What EC2 has told EventBridge: (instance, state or action), in order."""

    told: list[tuple[str, str]] = field(default_factory=list)

    async def state(self, instance_id: str, *states: str) -> None:
        self.told += [(instance_id, state) for state in states]

    async def interruption(self, instance_id: str, action: str) -> None:
        self.told.append((instance_id, f"interruption: {action}"))
