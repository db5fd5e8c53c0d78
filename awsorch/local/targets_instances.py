"""Which EC2 instances there are, and where what runs on them is reached from this machine.

The upstream's EC2 says which there are and how they are. The fleet's file says where an instance of the local cloud
listens: its private IP address, or for one that was run in another network than the cloud's own a loopback address in
its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from awsorch.local.ec2 import Ec2Error
from awsorch.local.elb_reader import SeenInstance
from awsorch.local.instances import FleetRecord

OVER = frozenset({"shutting-down", "terminated"})
"""The states from which no instance comes back."""


class Ec2Reader(Protocol):
    """`elb_reader.ElbReader`, as this file uses it."""

    async def describe_instances(self, ids: Iterable[str]) -> Mapping[str, SeenInstance]:
        """Those of the EC2 instances that there are. Raises one of ec2.Ec2Error."""


class Instances:
    """Instances by id. What runs is remembered until `forget`."""

    def __init__(self, ec2: Ec2Reader, fleet_file: Path) -> None:
        self._ec2 = ec2
        self._fleet_file = fleet_file
        self._seen: dict[str, SeenInstance] = {}
        self._read_at = 0

    async def find(self, ids: Collection[str]) -> Mapping[str, SeenInstance]:
        """Those of the instances that there are, with the addresses where they are reached.

        The fleet's own are known even while EC2, which forgets them when it restarts, is not. Raises one of
        ec2.Ec2Error where EC2 does not answer and there are others.
        """
        self.have_moved()
        unknown = {each for each in ids if each not in self._seen}
        if unknown:
            fleet = self._read_fleet()
            try:
                found = dict(await self._ec2.describe_instances(unknown))
            except Ec2Error:
                if not unknown <= fleet.keys():
                    raise
                found = {}
            for each in unknown & fleet.keys():
                state = found[each].state if each in found else fleet[each].state
                found[each] = replace(fleet[each], state=state)
            self._seen |= {key: seen for key, seen in found.items() if key in unknown}
        return {each: self._seen[each] for each in ids if each in self._seen}

    def state(self, instance_id: str) -> str:
        """The state of an instance when it was last found; "" where it was not."""
        seen = self._seen.get(instance_id)
        return seen.state if seen is not None else ""

    def forget(self) -> None:
        """Instances may have changed: find them anew."""
        self._seen.clear()

    def have_moved(self) -> bool:
        """Whether the fleet has written its file since it was last read; then everything is found anew."""
        if self._modified() == self._read_at:
            return False
        self.forget()
        return True

    def _read_fleet(self) -> dict[str, SeenInstance]:
        """The fleet's instances; none where there is no file, or none that can be read."""
        self._read_at = self._modified()
        try:
            record = msgspec.json.decode(self._fleet_file.read_bytes(), type=FleetRecord)
        except (OSError, msgspec.DecodeError):
            return {}
        return {each.id: SeenInstance(address=each.address, state=each.state.value) for each in record.instances}

    def _modified(self) -> int:
        try:
            return self._fleet_file.stat().st_mtime_ns
        except OSError:
            return 0
