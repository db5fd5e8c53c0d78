"""The life of a target, in time that the test makes, with a balancer and an EC2 in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from awsorch.local.balancer.model import HealthCheck, ServerHealth, TrafficReport, Wish
from awsorch.local.balancer.runtime import BalancerDown
from awsorch.local.elb_facts import Facts, LoadBalancer, TargetGroup, classic_key
from awsorch.local.elb_reader import SeenInstance
from awsorch.local.front_ends import FrontEnds, Kept
from awsorch.local.front_ends_addresses import AddressBook
from awsorch.local.query_protocol import QueryRefused
from awsorch.local.targets import Targets
from awsorch.local.targets_classic import ClassicTargets
from awsorch.local.targets_db import Registrations, open_db
from awsorch.local.targets_instances import Instances
from tests.local.test_front_ends_wish import a_group, a_listener, forward

ONE, TWO = "i-11111111111111111", "i-22222222222222222"
HEALTHY = ServerHealth(state="healthy")
UNHEALTHY = ServerHealth(state="unhealthy", reason="Target.Timeout", description="Request timed out")


class FakeBalancer:
    """Carries what it is told; `health` of a pool's servers is what the test says, by target."""

    def __init__(self) -> None:
        self.wish = Wish()
        self.applied = asyncio.Condition()
        self.seen: dict[str, ServerHealth] = {}
        self.down = False

    async def apply(self, wish: Wish) -> Mapping[str, str]:
        if self.down:
            raise BalancerDown("HAProxy is away")
        async with self.applied:
            self.wish = wish
            self.applied.notify_all()
        return {}

    async def keep(self) -> None:
        await asyncio.Event().wait()

    async def health(self, pool: str) -> Mapping[str, ServerHealth]:
        carried = {each.key for each in self.wish.pools[pool].servers} if pool in self.wish.pools else set()
        return {key: health for key, health in self.seen.items() if key in carried}

    async def traffic(self) -> TrafficReport:
        return TrafficReport(front_ends={}, pools={})

    async def has(self, *servers: str, draining: bool = False) -> None:
        """Wait until exactly these servers are carried (or drain) in the one pool."""

        def are_there() -> bool:
            found = {
                each.key for pool in self.wish.pools.values() for each in pool.servers if each.draining == draining
            }
            return found == set(servers)

        async with self.applied:
            await self.applied.wait_for(are_there)


class FakeEc2:
    """Instances that the test has run; `down` as moto is while it restarts."""

    def __init__(self) -> None:
        self.instances = {each: SeenInstance(address=f"127.9.0.{each[2]}", state="running") for each in (ONE, TWO)}
        self.down = False

    async def describe_instances(self, ids: Iterable[str]) -> Mapping[str, SeenInstance]:
        if self.down:
            raise OSError("EC2 is down")
        return {each: self.instances[each] for each in ids if each in self.instances}


@dataclass
class Stage:
    """All parts on one data folder, with the upstream's facts and the clock in the test's hands."""

    folder: Path
    facts: Facts
    balancer: FakeBalancer = field(default_factory=FakeBalancer)
    ec2: FakeEc2 = field(default_factory=FakeEc2)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.connection = open_db(self.folder / "targets.db")
        self.kept = Kept(registrations=Registrations(self.connection), addresses=AddressBook(self.connection, "127.9"))
        instances = Instances(self.ec2, self.folder / "fleet.json")
        self.front_ends = FrontEnds(
            reader=self, kept=self.kept, instances=instances, balancer=self.balancer, clock=lambda: self.now
        )
        self.targets = Targets(
            front_ends=self.front_ends,
            kept=self.kept,
            instances=instances,
            balancer=self.balancer,
            clock=lambda: self.now,
        )
        self.classic = ClassicTargets(self.targets, self.kept.registrations)

    async def read(self) -> Facts:
        return self.facts

    def learn(self, facts: Facts) -> None:
        """ELB's API has changed."""
        self.facts = facts
        self.front_ends.elb_changed()

    async def states(self, *targets: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """(state, reason) by target's id and port."""
        return {
            f"{each['Target']['Id']}:{each['Target']['Port']}": (
                each["TargetHealth"]["State"],
                each["TargetHealth"].get("Reason", ""),
            )
            for each in await self.targets.describe("group", targets)
        }


DELAY = {"deregistration_delay.timeout_seconds": "30"}


def facts_with(*groups: TargetGroup, listening: bool = True) -> Facts:
    groups = groups or (a_group(attributes=DELAY),)
    listeners = (a_listener(forward(groups[0].key)),) if listening else ()
    balancer = LoadBalancer(key="web", name="web", kind="application", idle_timeout_seconds=60, listeners=listeners)
    return Facts(load_balancers={"web": balancer}, target_groups={each.key: each for each in groups})


Scene = Callable[[Stage], Coroutine[Any, Any, None]]


def play(folder: Path, scene: Scene, facts: Facts | None = None) -> None:
    async def run() -> None:
        stage = Stage(folder=folder, facts=facts or facts_with())
        running = asyncio.create_task(stage.front_ends.run())
        try:
            async with asyncio.timeout(10):
                await scene(stage)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(run())


def refused(code: str, words: str) -> Any:
    class Raises:
        def __enter__(self) -> None:
            self._raises = pytest.raises(QueryRefused, match=words)
            self._info = self._raises.__enter__()

        def __exit__(self, *details: Any) -> bool | None:
            outcome = self._raises.__exit__(*details)
            assert self._info.value.error.code == code
            return outcome

    return Raises()


def test_the_whole_life_of_a_target(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        targets, key = [{"Id": ONE, "Port": 8001}], f"{ONE}:8001"
        await stage.targets.register("group", targets)
        assert await stage.states() == {key: ("initial", "Elb.RegistrationInProgress")}
        await stage.balancer.has(key)
        stage.balancer.seen[key] = ServerHealth(state="initial", reason="Elb.InitialHealthChecking", description="…")
        assert await stage.states() == {key: ("initial", "Elb.InitialHealthChecking")}
        stage.balancer.seen[key] = HEALTHY
        assert await stage.states() == {key: ("healthy", "")}
        stage.balancer.seen[key] = UNHEALTHY
        assert await stage.states() == {key: ("unhealthy", "Target.Timeout")}
        await stage.targets.deregister("group", targets)
        await stage.balancer.has(key, draining=True)
        stage.now += 29.9
        assert await stage.states() == {key: ("draining", "Target.DeregistrationInProgress")}
        stage.now += 0.2
        assert await stage.states() == {}
        assert await stage.states(*targets) == {key: ("unused", "Target.NotRegistered")}
        await stage.balancer.has(draining=True)

    play(tmp_path, scene)


def test_two_ports_of_one_instance_are_two_targets(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.targets.register("group", [{"Id": ONE, "Port": 8001}, {"Id": ONE, "Port": 8002}, {"Id": TWO}])
        await stage.balancer.has(f"{ONE}:8001", f"{ONE}:8002", f"{TWO}:80")
        stage.balancer.seen = {f"{ONE}:8001": HEALTHY, f"{ONE}:8002": UNHEALTHY}
        assert await stage.states({"Id": ONE, "Port": 8002}, {"Id": ONE, "Port": 8001}) == {
            f"{ONE}:8002": ("unhealthy", "Target.Timeout"),
            f"{ONE}:8001": ("healthy", ""),
        }
        await stage.targets.deregister("group", [{"Id": ONE, "Port": 8001}, {"Id": ONE, "Port": 9999}])
        await stage.balancer.has(f"{ONE}:8002", f"{TWO}:80")

    play(tmp_path, scene)


def test_a_target_may_come_back_while_it_drains(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        targets = [{"Id": ONE, "Port": 8001}]
        await stage.targets.register("group", targets)
        await stage.targets.deregister("group", targets)
        stage.now += 10
        await stage.targets.deregister("group", targets)
        await stage.targets.register("group", targets)
        await stage.balancer.has(f"{ONE}:8001")
        stage.now += 100
        assert set(await stage.states()) == {f"{ONE}:8001"}

    play(tmp_path, scene)


def test_a_target_group_without_a_listener_is_not_used(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        targets = [{"Id": ONE, "Port": 8001}]
        await stage.targets.register("group", targets)
        assert await stage.states() == {f"{ONE}:8001": ("unused", "Target.NotInUse")}
        stage.learn(facts_with())
        assert await stage.states() == {f"{ONE}:8001": ("initial", "Elb.RegistrationInProgress")}
        stage.learn(facts_with(listening=False))
        await stage.targets.deregister("group", targets)
        assert await stage.states() == {}, "nothing comes to it, so there is nothing to wait for"

    play(tmp_path, scene, facts_with(listening=False))


def test_deleting_a_target_group_forgets_its_targets(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.targets.register("group", [{"Id": ONE}])
        stage.learn(Facts())
        with refused("TargetGroupNotFound", "Target groups 'group' not found"):
            await stage.targets.describe("group", [])
        stage.learn(facts_with())
        assert await stage.states() == {}

    play(tmp_path, scene)


def test_registrations_outlive_the_controller_and_drain_on(tmp_path: Path) -> None:
    async def first(stage: Stage) -> None:
        await stage.targets.register("group", [{"Id": ONE}, {"Id": TWO}])
        await stage.targets.deregister("group", [{"Id": TWO}])

    async def second(stage: Stage) -> None:
        stage.ec2.down = True
        await stage.balancer.has(f"{ONE}:80")
        assert (await stage.states())[f"{TWO}:80"][0] == "draining"
        stage.now += 31
        assert set(await stage.states()) == {f"{ONE}:80"}

    play(tmp_path, first)
    play(tmp_path, second)


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("group", {"Id": "i-99999999999999999"}, "InvalidTarget", "Instance ID 'i-99999999999999999' is not valid"),
    ("group", {"Id": "web-1"}, "InvalidTarget", "Instance ID 'web-1' is not valid"),
    ("group", {"Port": 80}, "ValidationError", "must have an Id"),
    ("group", {"Id": ONE, "Port": 0}, "ValidationError", "from 1 to 65535"),
    ("group", {"Id": ONE, "Port": 65536}, "ValidationError", "from 1 to 65535"),
    ("ip", {"Id": "300.1.1.1"}, "ValidationError", "not a valid IP address"),
    ("none", {"Id": ONE}, "TargetGroupNotFound", "Target groups 'none' not found"),
    (classic_key("old"), {"Id": ONE}, "TargetGroupNotFound", "not found"),
]


@pytest.mark.parametrize(("group", "target", "code", "words"), BAD)
def test_bad_targets_are_refused_in_elbs_words(
    tmp_path: Path, group: str, target: dict[str, Any], code: str, words: str
) -> None:
    async def scene(stage: Stage) -> None:
        with refused(code, words):
            await stage.targets.register(group, [{"Id": TWO}, target] if group == "group" else [target])
        assert stage.kept.registrations.everything() == (), "all or none"

    play(tmp_path, scene, facts_with(a_group(), a_group("ip", target_type="ip")))


def test_faults_around_are_said_and_outlived(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.ec2.down = stage.balancer.down = True
        with refused("ServiceUnavailable", "EC2 does not answer"):
            await stage.targets.register("group", [{"Id": ONE}])
        stage.ec2.down = False
        await stage.targets.register("group", [{"Id": ONE}])
        assert await stage.states() == {f"{ONE}:80": ("initial", "Elb.RegistrationInProgress")}
        stage.balancer.down = False
        await stage.balancer.has(f"{ONE}:80")

    play(tmp_path, scene)


def test_instances_that_stop_or_go(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.targets.register("group", [{"Id": ONE}, {"Id": TWO}])
        await stage.balancer.has(f"{ONE}:80", f"{TWO}:80")
        stage.ec2.instances[ONE] = SeenInstance(address="", state="stopped")
        stage.ec2.instances[TWO] = SeenInstance(address="", state="terminated")
        stage.front_ends.instances_changed()
        await stage.balancer.has(f"{TWO}:80", draining=True)
        assert await stage.states() == {
            f"{ONE}:80": ("unused", "Target.InvalidState"),
            f"{TWO}:80": ("draining", "Target.DeregistrationInProgress"),
        }
        for each in (ONE, TWO):
            with refused("InvalidTarget", f"not in a running state and cannot be registered: '{each}'"):
                await stage.targets.register("group", [{"Id": each}])
        stage.ec2.instances[ONE] = SeenInstance(address="127.9.0.77", state="running")
        stage.front_ends.instances_changed()
        await stage.balancer.has(f"{ONE}:80")
        while stage.balancer.wish.pools["group"].servers[0].address != "127.9.0.77":  # noqa: ASYNC110
            await asyncio.sleep(0)

    play(tmp_path, scene)


def test_ip_targets_are_where_they_say(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.targets.register("group", [{"Id": "127.9.3.3", "Port": 9000, "AvailabilityZone": "all"}])
        await stage.balancer.has("127.9.3.3:9000@all")
        (server,) = stage.balancer.wish.pools["group"].servers
        assert (server.address, server.port) == ("127.9.3.3", 9000)
        (described,) = await stage.targets.describe("group", [])
        assert described["Target"] == {"Id": "127.9.3.3", "Port": 9000, "AvailabilityZone": "all"}
        await stage.targets.deregister("group", [{"Id": "127.9.3.3", "Port": 9000}])
        await stage.balancer.has()

    play(tmp_path, scene, facts_with(a_group(target_type="ip")))


def classic_facts() -> Facts:
    key = classic_key("old")
    group = a_group(f"{key}/80", owner=key, port=8080, check=HealthCheck(protocol="TCP"), attributes=DELAY)
    listener = a_listener(forward(group.key), key=f"{key}/80/listener")
    balancer = LoadBalancer(key=key, name="old", kind="classic", idle_timeout_seconds=60, listeners=(listener,))
    return Facts(load_balancers={key: balancer}, target_groups={group.key: group})


def test_instances_of_a_classic_load_balancer(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        both = [{"InstanceId": ONE}, {"InstanceId": TWO}]
        assert await stage.classic.register("old", both) == both
        assert await stage.classic.register("old", both[:1]) == both, "once is enough"
        await stage.balancer.has(f"{ONE}:0", f"{TWO}:0")
        assert {each.port for pool in stage.balancer.wish.pools.values() for each in pool.servers} == {8080}
        stage.balancer.seen = {f"{ONE}:0": HEALTHY}
        assert [(each["State"], each["ReasonCode"]) for each in await stage.classic.describe("old", [])] == [
            ("InService", "N/A"),
            ("OutOfService", "ELB"),
        ]
        assert await stage.classic.deregister("old", both[1:]) == both[:1]
        states = await stage.classic.describe("old", both[1:])
        assert [(each["State"], each["Description"]) for each in states] == [
            ("InService", "Instance deregistration currently in progress.")
        ]
        stage.now += 31
        (state,) = await stage.classic.describe("old", both[1:])
        assert state["Description"] == "Instance is not currently registered with the LoadBalancer."
        with refused("LoadBalancerNotFound", "There is no ACTIVE Load Balancer named 'none'"):
            await stage.classic.describe("none", [])
        with refused("InvalidInstance", "is not valid"):
            await stage.classic.register("old", [{"InstanceId": "i-99999999999999999"}])

    play(tmp_path, scene, classic_facts())
