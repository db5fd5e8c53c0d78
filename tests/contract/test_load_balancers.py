"""One suite for those who carry SyncTargets and WatchAlarms out: on the fake, on moto, and on a whole local cloud,
whose load balancers carry requests and check health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from awsorch.adapters.alarms import CloudWatchAlarms
from awsorch.adapters.aws import Aws, AwsCalls
from awsorch.adapters.load_balancers import ElasticLoadBalancing
from awsorch.core.commands import SyncTargets, WatchAlarms
from awsorch.core.events import Event
from awsorch.core.events_services import AlarmsSeen, TargetsFailed, TargetsSeen
from awsorch.engine.ports import LoadBalancerFailure
from awsorch.local import up
from awsorch.local.moto_child import listen
from tests.local.elb_world import Cloud
from tests.support.fake_aws import FakeAws

ABSENT = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/none/0123456789abcdef"
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
WAIT_S = 20.0
#: moto keeps one target an instance, whatever its port.
KEEPS_PORTS = ["fake", "local"]
#: The local cloud's Classic Load Balancers have tests of their own: their instances listen on one port for all.
HAS_CLASSIC = ["fake", "moto"]
QUICK = {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2, "HealthyThresholdCount": 2}
Address = tuple[str, int]


@dataclass(slots=True)
class Outside:
    """What stands for AWS: how it is called, and things in it that are as good as new. ``serve`` makes targets that
    answer, on the instances with these numbers."""

    make: Callable[[], AwsCalls]
    group: str = ABSENT
    bare_group: str = ABSENT
    elb: str = "none"
    serve: Callable[..., list[Address]] = lambda *numbers: []


@dataclass(slots=True)
class Posts:
    """Events that were posted, and those who wait for them."""

    events: list[tuple[str, Event]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def post(self, cluster: str, event: Event) -> None:
        self.events.append((cluster, event))
        self.news.set()

    async def after(self, count: int) -> Event:
        """The event that is the ``count``-th."""
        async with asyncio.timeout(WAIT_S):
            while len(self.events) < count:
                self.news.clear()
                await self.news.wait()
        return self.events[count - 1][1]


@pytest.fixture(scope="module")
def moto(moto_url: str) -> ServedAws:
    ec2 = boto3.client("ec2", endpoint_url=moto_url, **KEYS)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    run = ec2.run_instances(ImageId=image, MinCount=3, MaxCount=3)["Instances"]
    instances = [instance["InstanceId"] for instance in run]
    return ServedAws(moto_url, lambda *numbers: [(instances[n], 8000 + at) for at, n in enumerate(numbers)])


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAws]:
    """A cloud of three instances; targets are web servers on their addresses."""
    data = tmp_path_factory.mktemp("cloud") / "data"
    cloud = Cloud(up.start_detached(up.Options(data=data, engine="simulated", port=0, instances=3)))

    def serve(*numbers: int) -> list[Address]:
        made = [cloud.web(f"{at}", number)[1] for at, number in enumerate(numbers)]
        return [(target["Id"], target["Port"]) for target in made]

    try:
        yield ServedAws(cloud.ready.endpoint, serve)
    finally:
        for server in cloud.servers:
            server.shutdown()
            server.server_close()
        up.stop(data, remove=False)


@pytest.fixture(params=["fake", "moto", "local"])
def outside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Outside:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    if request.param == "fake":
        return fake_outside()
    served: ServedAws = request.getfixturevalue(request.param)
    return served.fresh()


def fake_outside() -> Outside:
    aws = FakeAws()
    names = [f"arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{n}/1" for n in ("web", "bare")]
    aws.add_group(names[0], initial_seconds=0.1, drain_seconds=0.3)
    aws.add_group(names[1], listeners=())
    aws.add_elb("classic", initial_seconds=0.1, drain_seconds=0.3)
    aws.alarms = {"loud": "ALARM", "calm": "OK"}
    return Outside(
        lambda: aws, *names, "classic", lambda *numbers: [(f"i-{n}", 8000 + at) for at, n in enumerate(numbers)]
    )


class ServedAws:
    """What answers AWS's API at a URL, with a load balancer and two alarms."""

    def __init__(self, url: str, serve: Callable[..., list[Address]]) -> None:
        ec2, self._elbv2, self._elb, cloudwatch = (
            boto3.client(name, endpoint_url=url, **KEYS) for name in ("ec2", "elbv2", "elb", "cloudwatch")
        )
        self._url = url
        self._serve = serve
        self._made = 0
        subnets = ec2.describe_subnets()["Subnets"]
        self._vpc = subnets[0]["VpcId"]
        balancers = self._elbv2.create_load_balancer(Name="web", Subnets=[s["SubnetId"] for s in subnets[:2]])
        self._balancer = balancers["LoadBalancers"][0]["LoadBalancerArn"]
        for name, state in (("loud", "ALARM"), ("calm", "OK")):
            cloudwatch.put_metric_alarm(
                AlarmName=name,
                ComparisonOperator="GreaterThanThreshold",
                EvaluationPeriods=1,
                MetricName="m",
                Namespace="n",
                Period=60,
                Statistic="Sum",
                Threshold=1.0,
            )
            cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")

    def fresh(self) -> Outside:
        """A target group with a listener, one without, and a Classic Load Balancer that nobody has used yet."""
        self._made += 1
        group, bare = (self._group(f"{name}-{self._made}") for name in ("web", "bare"))
        forward = {"Type": "forward", "TargetGroupArn": group}
        self._elbv2.create_listener(
            LoadBalancerArn=self._balancer, Protocol="HTTP", Port=self._made, DefaultActions=[forward]
        )
        classic = f"classic-{self._made}"
        listener = {"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 80}
        self._elb.create_load_balancer(LoadBalancerName=classic, Listeners=[listener], AvailabilityZones=["us-east-1a"])
        return Outside(self._calls, group, bare, classic, self._serve)

    def _group(self, name: str) -> str:
        made = self._elbv2.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=self._vpc, **QUICK)
        arn: str = made["TargetGroups"][0]["TargetGroupArn"]
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "1"}
        self._elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delay])
        return arn

    def _calls(self) -> AwsCalls:
        return Aws(region="us-east-1", endpoint=self._url)


def play(outside: Outside, scene: Callable[[ElasticLoadBalancing, Posts], Awaitable[Any]]) -> Any:
    """Run a scene with an adapter, and let go of everything."""

    async def run() -> Any:
        aws, posts = outside.make(), Posts()
        adapter = ElasticLoadBalancing(aws, posts.post)
        try:
            return await scene(adapter, posts)
        finally:
            await adapter.close()
            if isinstance(aws, Aws):
                await aws.close()

    return asyncio.run(run())


async def settle(
    adapter: ElasticLoadBalancing, posts: Posts, command: SyncTargets, expected: dict[Address, str]
) -> TargetsSeen:
    """Send the command until the group is as expected: real load balancers check health and drain first."""
    async with asyncio.timeout(WAIT_S):
        while True:
            adapter.sync_targets("default", command)
            seen = await posts.after(len(posts.events) + 1)
            assert isinstance(seen, TargetsSeen), seen
            if {(target.target_id, target.port): target.state for target in seen.targets} == expected:
                return seen
            await asyncio.sleep(0.05)


def test_targets_come_and_go(outside: Outside) -> None:
    one, two, three = outside.serve(0, 1, 2)

    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        command = SyncTargets(group=outside.group, revision=7, register=(one, two))
        seen = await settle(adapter, posts, command, {one: "healthy", two: "healthy"})
        assert (seen.group, seen.revision) == (outside.group, 7)
        assert (seen.registered, seen.deregistered) == ({one, two}, set())
        command = SyncTargets(group=outside.group, revision=8, register=(three,), deregister=(one,))
        seen = await settle(adapter, posts, command, {two: "healthy", three: "healthy"})
        assert (seen.revision, seen.registered, seen.deregistered) == (8, {three}, {one})
        assert {cluster for cluster, _ in posts.events} == {"default"}

    play(outside, scene)


def test_registering_again_and_deregistering_what_is_not_there_are_no_failures(outside: Outside) -> None:
    one, two = outside.serve(0, 1)

    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        command = SyncTargets(group=outside.group, revision=1, register=(one,), deregister=(two,))
        for _ in range(2):
            seen = await settle(adapter, posts, command, {one: "healthy"})
            assert (seen.registered, seen.deregistered) == ({one}, {two})

    play(outside, scene)


@pytest.mark.parametrize("outside", KEEPS_PORTS, indirect=True)
def test_two_ports_of_one_instance_are_two_targets(outside: Outside) -> None:
    first, second = outside.serve(0, 0)

    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        command = SyncTargets(group=outside.group, revision=1, register=(first, second))
        await settle(adapter, posts, command, {first: "healthy", second: "healthy"})
        command = SyncTargets(group=outside.group, revision=1, deregister=(first,))
        await settle(adapter, posts, command, {second: "healthy"})

    play(outside, scene)


@pytest.mark.parametrize("outside", KEEPS_PORTS, indirect=True)
def test_what_leaves_drains_and_what_nobody_listens_for_is_unused(outside: Outside) -> None:
    (one,) = outside.serve(0)

    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        command = SyncTargets(group=outside.bare_group, revision=1, register=(one,))
        await settle(adapter, posts, command, {one: "unused"})
        await settle(adapter, posts, SyncTargets(group=outside.group, revision=1, register=(one,)), {one: "healthy"})
        command = SyncTargets(group=outside.group, revision=1, deregister=(one,))
        await settle(adapter, posts, command, {one: "draining"})
        await settle(adapter, posts, command, {})

    play(outside, scene)


def test_a_group_that_does_not_exist_is_gone(outside: Outside) -> None:
    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        for count, group in enumerate((ABSENT, "elb/none"), 1):
            adapter.sync_targets("default", SyncTargets(group=group, revision=1))
            failed = await posts.after(count)
            assert isinstance(failed, TargetsFailed), failed
            assert (failed.group, failed.action, failed.gone, failed.throttled) == (group, "describe", True, False)
            assert failed.message

    play(outside, scene)


@pytest.mark.parametrize("outside", HAS_CLASSIC, indirect=True)
def test_instances_of_a_classic_load_balancer(outside: Outside) -> None:
    group = f"elb/{outside.elb}"
    one, two = ((instance, 0) for instance, _ in outside.serve(0, 1))

    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        command = SyncTargets(group=group, revision=1, register=(one, two))
        await settle(adapter, posts, command, {one: "healthy", two: "healthy"})
        await settle(adapter, posts, SyncTargets(group=group, revision=1, deregister=(one,)), {two: "healthy"})

    play(outside, scene)


def test_target_groups_are_described(outside: Outside) -> None:
    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        asked = [outside.group, ABSENT, outside.bare_group, "no ARN at all"]
        found = await adapter.describe_groups(asked)
        assert set(found) == {outside.group, outside.bare_group}
        facts = found[outside.group]
        assert (facts.arn, facts.target_type, facts.port, facts.protocol) == (outside.group, "instance", 80, "HTTP")
        assert len(facts.load_balancer_arns) == 1
        assert found[outside.bare_group].load_balancer_arns == ()

    play(outside, scene)


def test_alarms_that_are_on(outside: Outside) -> None:
    async def scene(_: ElasticLoadBalancing, posts: Posts) -> None:
        aws = outside.make()
        alarms = CloudWatchAlarms(aws, posts.post)
        command = WatchAlarms(service="web", deployment="1", names=("calm", "loud", "unknown"))
        alarms.watch_alarms("default", command)
        alarms.watch_alarms("default", command)
        seen = await posts.after(1)
        assert seen == AlarmsSeen(cause="DescribeAlarms", service="web", deployment="1", on=("loud",))
        await alarms.close()
        assert len(posts.events) == 1
        if isinstance(aws, Aws):
            await aws.close()

    play(outside, scene)


def test_nobody_listens_at_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    outside = Outside(lambda: Aws(region="us-east-1", endpoint=f"http://127.0.0.1:{port}"))

    async def scene(adapter: ElasticLoadBalancing, posts: Posts) -> None:
        adapter.sync_targets("default", SyncTargets(group=ABSENT, revision=1))
        failed = await posts.after(1)
        assert isinstance(failed, TargetsFailed)
        assert (failed.code, failed.gone, failed.throttled) == ("EndpointConnectionError", False, False)
        with pytest.raises(LoadBalancerFailure, match="EndpointConnectionError"):
            await adapter.describe_groups([ABSENT])

    play(outside, scene)
