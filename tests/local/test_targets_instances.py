"""Where instances are reached: EC2's word on which there are, the fleet's on where they listen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from awsorch.local.elb_reader import SeenInstance
from awsorch.local.instances import FleetFile, FleetRecord, LocalInstance
from awsorch.local.targets_instances import Instances
from tests.local.fakes import an_instance

OURS = an_instance(id="i-0000000000000000a", address="127.9.0.5")


class FakeEc2:
    """EC2 that knows what it is told, counts its calls, or is down."""

    def __init__(self, **instances: SeenInstance) -> None:
        self.instances = {key.replace("_", "-"): each for key, each in instances.items()}
        self.calls = 0
        self.down = False

    async def describe_instances(self, ids: Iterable[str]) -> Mapping[str, SeenInstance]:
        self.calls += 1
        if self.down:
            raise OSError("EC2 is down")
        return {each: self.instances[each] for each in ids if each in self.instances}


def write_fleet(path: Path, *instances: LocalInstance) -> None:
    """As the fleet does it; at another time than before, however coarse the file system's clock is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    FleetFile(path).save(FleetRecord(network=None, instances=instances, next_index=1, secret="s"))
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def test_the_fleets_address_counts_and_ec2s_state(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet.json", OURS)
    ec2 = FakeEc2(
        i_0000000000000000a=SeenInstance(address="10.0.0.7", state="stopped"),
        i_0000000000000000b=SeenInstance(address="10.0.0.8", state="running"),
    )
    instances = Instances(ec2, tmp_path / "fleet.json")
    found = asyncio.run(instances.find(["i-0000000000000000a", "i-0000000000000000b", "i-0000000000000000c"]))
    assert found == {
        "i-0000000000000000a": SeenInstance(address="127.9.0.5", state="stopped"),
        "i-0000000000000000b": SeenInstance(address="10.0.0.8", state="running"),
    }


def test_it_asks_once_until_something_has_changed(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet.json", OURS)
    ec2 = FakeEc2()
    instances = Instances(ec2, tmp_path / "fleet.json")
    for _ in range(3):
        assert asyncio.run(instances.find([OURS.id]))[OURS.id].address == "127.9.0.5"
    assert (ec2.calls, instances.have_moved()) == (1, False)
    write_fleet(tmp_path / "fleet.json", replace(OURS, address="127.9.0.6"))
    assert asyncio.run(instances.find([OURS.id]))[OURS.id].address == "127.9.0.6"
    instances.forget()
    assert instances.state(OURS.id) == ""


def test_the_fleets_own_are_known_while_ec2_is_not(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet.json", OURS)
    ec2 = FakeEc2()
    ec2.down = True
    instances = Instances(ec2, tmp_path / "fleet.json")
    assert asyncio.run(instances.find([OURS.id]))[OURS.id].state == "running"
    with pytest.raises(OSError, match="EC2 is down"):
        asyncio.run(instances.find(["i-0000000000000000b"]))


@pytest.mark.parametrize("text", [None, "", "{}", "no JSON"])
def test_a_fleet_that_cannot_be_read_has_nobody(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "fleet.json").write_text(text)
    instances = Instances(FakeEc2(), tmp_path / "fleet.json")
    assert asyncio.run(instances.find([OURS.id])) == {}
