"""EC2 and EC2 Auto Scaling for a served API: groups and subnets that there are, and commands that are carried out at
once. Enough to see what the API makes of them; how groups behave over time is for other tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from awsorch.core.commands import Command, EndMachines, LaunchMachines, WatchGroup, WatchMachines
from awsorch.core.events import Event
from awsorch.core.events_capacity import GroupFailed, GroupSeen, MachinesLaunched, MachinesSeen, SeenMachine
from awsorch.core.model_capacity import Offer
from awsorch.engine.ports import AutoScalingGroup, CloudFailure
from tests.support.builders import ACCOUNT, REGION, an_offer
from tests.support.served import ServedApi

ZONES = {"subnet-a": "us-east-1a", "subnet-b": "us-east-1b"}


def group_arn(name: str) -> str:
    """The ARN of an Auto Scaling group."""
    return f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:0c1d:autoScalingGroupName/{name}"


class Cloud:
    """What there is: ``groups`` by name, whether their new instances are protected; ``machines`` by id. ``failure`` is
    raised by every question; while ``paused`` no command is carried out."""

    def __init__(self) -> None:
        self.groups: dict[str, bool] = {}
        self.machines: dict[str, SeenMachine] = {}
        self.failure: CloudFailure | None = None
        self.paused = False
        self._api: ServedApi | None = None
        self._carried_out = threading.Condition()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what carrying commands out brings about."""
        with self._carried_out:
            assert self._carried_out.wait_for(condition, 10), "it did not come to pass"

    def carry_out_for(self, api: ServedApi) -> None:
        """Carry out the commands of this API's clusters."""
        self._api = api
        api.carry_out = self._carry_out

    async def find_group(self, arn_or_name: str) -> AutoScalingGroup | None:
        """AutoScaling."""
        self._fail()
        name = arn_or_name.rpartition("/")[2]
        if name not in self.groups:
            return None
        return AutoScalingGroup(arn=group_arn(name), name=name, protected=self.groups[name])

    async def zones(self, subnets: Sequence[str]) -> Mapping[str, str]:
        """Subnets."""
        self._fail()
        for subnet in subnets:
            if subnet not in ZONES:
                raise CloudFailure("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist")
        return {ZONES[subnet]: subnet for subnet in reversed(subnets)}

    def interfaces_of(self, instance_type: str) -> int | None:
        """Catalogue: two of any type."""
        return 2

    def offers(self, managed: Mapping[str, Any]) -> tuple[Offer, ...]:
        """Catalogue: one type with two vCPUs, which is too small for who wants more."""
        requirements = managed["instanceLaunchTemplate"].get("instanceRequirements", {})
        too_small = requirements.get("vCpuCount", {}).get("min", 0) > 2
        return () if too_small else (an_offer(),)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _carry_out(self, partition: str, command: Command) -> None:
        assert self._api is not None
        event = None if self.paused else self._outcome(command)
        if event is None:
            return
        self._api.controller.clusters[partition.removeprefix("cluster/")].post(event)
        with self._carried_out:
            self._carried_out.notify_all()

    def _outcome(self, command: Command) -> Event | None:
        if isinstance(command, WatchGroup):
            return self._watch(command)
        if isinstance(command, LaunchMachines):
            return self._launch(command)
        if isinstance(command, EndMachines):
            ended = tuple(replace(self.machines.pop(each), state="terminated") for each in command.machines)
            return MachinesSeen(provider=command.provider, machines=ended)
        if isinstance(command, WatchMachines):
            seen = tuple(self.machines[each] for each in command.machines if each in self.machines)
            return MachinesSeen(provider=command.provider, machines=seen)
        return None

    def _watch(self, command: WatchGroup) -> Event:
        if command.group.rpartition("/")[2] not in self.groups:
            return GroupFailed(
                provider=command.provider,
                operation="WatchGroup",
                code="ValidationError",
                message="no such group",
                refused=True,
            )
        return GroupSeen(
            provider=command.provider,
            minimum=0,
            maximum=10,
            desired=0,
            zones={"us-east-1a": "subnet-a"},
            offers=(an_offer(),),
            machines=(),
            hooked=command.hook,
        )

    def _launch(self, command: LaunchMachines) -> Event:
        launched = []
        for order in command.launches:
            machine_id = f"i-{order.id[:17]}"
            self.machines[machine_id] = SeenMachine(
                id=machine_id, zone=order.zone, instance_type=order.offer.instance_type, state="running"
            )
            launched.append((order.id, machine_id))
        return MachinesLaunched(provider=command.provider, launched=tuple(launched))
