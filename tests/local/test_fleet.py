from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from awsorch.local.fleet import Fleet
from awsorch.local.instances import FleetFile, LocalInstance, PowerState
from awsorch.local.user_data import cluster_user_data
from tests.local.fakes import FakeEc2, FakeEvents, FakeHosts
from tests.local.serving import until


class World:
    """A fleet on a folder, its EC2 and its hosts; `restart` is what the end of the process does."""

    def __init__(self, folder: Path, *, chooses_ids: bool = False) -> None:
        self.file = FleetFile(folder / "fleet.json")
        self.ec2 = FakeEc2(chooses_ids=chooses_ids)
        self.restart()

    def restart(self) -> None:
        self.hosts, self.events = FakeHosts(), FakeEvents()
        self.fleet = Fleet(file=self.file, ec2=self.ec2, hosts=self.hosts, events=self.events, prefix="127.44")

    def up(self, count: int = 3) -> None:
        run(self.fleet.bring_back())
        run(self.fleet.grow(count, "t3.medium", "default"))

    def look(self) -> None:
        run(self.fleet.look())

    def by_id(self) -> dict[str, LocalInstance]:
        return {each.id: each for each in self.fleet.instances}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_instances_are_spread_over_zones_with_addresses_of_their_own(world: World) -> None:
    world.up(7)
    zones = Counter(each.zone for each in world.fleet.instances)
    assert sorted(zones.values()) == [2, 2, 3]
    addresses = {each.address for each in world.fleet.instances}
    assert len(addresses) == 7
    assert all(address.startswith("127.") for address in addresses)
    assert {each.private_ip for each in world.ec2.instances.values()} == addresses
    first = world.fleet.instances[0]
    assert (first.cpu, first.memory) == (2048, 3883)
    assert first.user_data == cluster_user_data("default")
    assert world.hosts.on == world.by_id()


def test_what_callers_of_ec2_change_of_an_instance_is_kept(world: World) -> None:
    world.up(1)
    (instance,) = world.fleet.instances
    run(world.fleet.look())
    world.fleet.put(replace(instance, tags=instance.tags | {"aws:autoscaling:groupName": "web"}))
    changes: dict[str, Any] = {"tags": {"Name": "renamed"}, "tokens_required": True, "shows_tags": True}
    world.ec2.instances[instance.id] = replace(world.ec2.instances[instance.id], **changes)
    world.look()

    wanted = replace(instance, **changes | {"tags": {"aws:autoscaling:groupName": "web", "Name": "renamed"}})
    assert world.by_id() == world.hosts.on == {instance.id: wanted}
    world.ec2.forget()
    world.restart()
    world.up(1)
    assert world.by_id() == world.hosts.on == {instance.id: wanted}, "and outlives EC2"


def test_growing_again_runs_only_what_is_missing(world: World) -> None:
    world.up(2)
    before = world.by_id()
    world.up(3)
    assert before.items() <= world.by_id().items()
    assert len(world.by_id()) == 3
    world.up(1)
    assert len(world.by_id()) == 3


def test_after_the_end_of_everything_the_same_instances_are_there_again(world: World) -> None:
    world.up(3)
    before = world.by_id()
    world.ec2.forget()
    world.restart()
    world.up(3)
    assert world.by_id() == before == world.hosts.on
    assert set(world.ec2.instances) == set(before)


def test_a_moto_that_forgot_gets_its_instances_back(world: World) -> None:
    world.up(2)
    before = world.by_id()
    world.ec2.forget()
    world.look()
    assert world.by_id() == before
    assert set(world.ec2.instances) == set(before)
    assert world.hosts.disposed == []


def test_a_terminated_instance_goes_with_all_that_it_had(world: World) -> None:
    world.up(2)
    gone = world.fleet.instances[0]
    world.ec2.set_state(gone.id, "terminated")
    world.look()
    assert world.hosts.disposed == [gone.id]
    assert gone.id not in world.by_id()
    world.ec2.forget()
    world.restart()
    world.up(0)
    assert gone.id not in world.by_id()
    assert len(world.by_id()) == 1


def test_what_could_not_be_disposed_of_is_tried_again_even_after_a_restart(world: World) -> None:
    world.up(2)
    gone = world.fleet.instances[0]
    world.ec2.set_state(gone.id, "terminated")
    world.hosts.failing = {gone.id}
    with pytest.raises(OSError, match="in use"):
        world.look()
    assert gone.id not in world.by_id(), "it does not count any more"
    world.ec2.forget()
    world.restart()
    run(world.fleet.bring_back())
    assert world.hosts.disposed == [gone.id]
    assert gone.id not in world.ec2.instances, "and is not run again"


def test_a_freed_address_is_not_given_to_another_instance(world: World) -> None:
    world.up(3)
    gone = world.fleet.instances[2]
    world.ec2.set_state(gone.id, "terminated")
    world.look()
    run(world.fleet.grow(3, "t3.medium", "default"))
    assert gone.address not in {each.address for each in world.fleet.instances}


def test_one_that_fails_does_not_keep_the_others_waiting(world: World) -> None:
    world.up(3)
    first, second, third = world.fleet.instances
    world.hosts.on.clear()
    world.hosts.failing = {second.id}
    with pytest.raises(OSError, match=second.address):
        world.look()
    assert set(world.hosts.on) == {first.id, third.id}
    world.hosts.failing = set()
    world.look()
    assert set(world.hosts.on) == {first.id, second.id, third.id}


def test_a_stopped_instance_has_no_agent_until_it_is_started(world: World) -> None:
    world.up(2)
    one = world.fleet.instances[0]
    world.ec2.set_state(one.id, "stopped")
    world.look()
    assert one.id not in world.hosts.on
    assert world.by_id()[one.id].state is PowerState.STOPPED
    world.ec2.forget()
    world.restart()
    run(world.fleet.bring_back())
    assert world.ec2.instances[one.id].state == "stopped"
    assert one.id not in world.hosts.on
    world.ec2.set_state(one.id, "running")
    world.look()
    assert one.id in world.hosts.on


def test_an_instance_that_somebody_ran_for_a_cluster_is_taken_in_and_comes_back(world: World) -> None:
    world.up(1)
    theirs = world.ec2.run_by_hand(cluster_user_data("prod"))
    other = world.ec2.run_by_hand("#!/bin/bash\nyum update")
    world.look()
    taken = world.by_id()[theirs]
    assert (taken.cluster, taken.cpu, taken.memory, taken.zone) == ("prod", 2048, 7766, "us-east-1b")
    assert taken.address.startswith("127.")
    assert other not in world.by_id()
    world.ec2.forget()
    world.restart()
    run(world.fleet.bring_back())
    back = world.by_id()[theirs]
    assert (back.address, back.cluster, back.zone) == (taken.address, "prod", "us-east-1b")
    assert back.subnet_id == "subnet-b", "its own subnet is forgotten; ours of the zone takes it"
    run(world.fleet.grow(2, "t3.medium", "default"))
    assert len(world.by_id()) == 3, "it does not count as one of awsorch up's own"


def test_an_instance_in_our_network_keeps_the_address_that_ec2_gave_it(world: World) -> None:
    world.up(1)
    assert world.ec2.network is not None
    private_ip = f"{world.ec2.network.prefix}.64.4"
    theirs = world.ec2.run_by_hand(cluster_user_data("default"), private_ip=private_ip)
    world.look()
    assert world.by_id()[theirs].address == private_ip


def test_where_ec2_chooses_ids_what_was_under_the_old_id_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, chooses_ids=True)
    world.up(2)
    assert set(world.by_id()) == set(world.ec2.instances) == set(world.hosts.on)
    before = set(world.by_id())
    world.ec2.forget()
    world.restart()
    world.up(2)
    assert set(world.by_id()) == set(world.ec2.instances) == set(world.hosts.on)
    assert not before & set(world.by_id())
    assert set(world.hosts.disposed) == before


def test_a_fleet_that_is_cut_off_while_it_grows_carries_on(world: World) -> None:
    run(world.fleet.bring_back())
    world.ec2.down = True
    with pytest.raises(TimeoutError):
        run(world.fleet.grow(3, "t3.medium", "default"))
    world.ec2.down = False
    real, ran = world.ec2.run_instance, 0

    async def run_one(instance: LocalInstance) -> str:
        nonlocal ran
        ran += 1
        if ran == 2:
            raise TimeoutError("cut off")
        return await real(instance)

    world.ec2.run_instance = run_one  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        run(world.fleet.grow(3, "t3.medium", "default"))
    planned = set(world.by_id())
    assert len(planned) == 3
    world.restart()
    world.up(3)
    assert set(world.by_id()) == planned == set(world.ec2.instances)


def test_watching_looks_when_told_and_lives_through_failures(world: World) -> None:
    world.up(2)

    async def scene() -> None:
        changed = asyncio.Event()
        watch = asyncio.create_task(world.fleet.watch(changed))
        world.ec2.down = True
        changed.set()
        await until(lambda: not changed.is_set())
        world.ec2.down = False
        gone = world.fleet.instances[0]
        world.ec2.set_state(gone.id, "terminated")
        settled = world.hosts.settled
        changed.set()
        await until(lambda: world.hosts.settled > settled)
        assert world.hosts.disposed == [gone.id]
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    run(asyncio.wait_for(scene(), 10))


def test_a_file_that_is_no_fleet_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text('{"instances": 3}')
    with pytest.raises(ValueError, match=r"fleet\.json is not a fleet file"):
        FleetFile(path).load_or_begin()


def test_the_file_is_private_and_keeps_its_secret(world: World, tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    assert path.stat().st_mode & 0o077 == 0
    secret = json.loads(path.read_text())["secret"]
    world.up(1)
    assert json.loads(path.read_text())["secret"] == secret
    assert world.file.load_or_begin().secret == secret


def test_what_becomes_of_instances_is_told_as_ec2_tells_it(world: World) -> None:
    world.up(1)
    assert world.events.told == [], "nobody can listen yet"
    theirs = world.ec2.run_by_hand(cluster_user_data("prod"))
    for state in ("running", "stopped", "running", "terminated"):
        world.ec2.set_state(theirs, state)
        world.look()
        world.look()
    states = ("pending", "running", "stopping", "stopped", "pending", "running", "shutting-down", "terminated")
    assert world.events.told == [(theirs, state) for state in states]


def test_ec2_knows_all_instances_again_before_any_host_is_on(world: World) -> None:
    world.up(2)
    one, two = world.fleet.instances
    world.ec2.set_state(two.id, "stopped")
    world.look()
    world.ec2.forget()
    world.restart()
    run(world.fleet.restore())
    assert {each.id: each.state for each in world.ec2.instances.values()} == {one.id: "running", two.id: "stopped"}
    assert world.hosts.on == {}
    run(world.fleet.bring_back())
    assert set(world.hosts.on) == {one.id}
