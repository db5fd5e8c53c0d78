"""Load balancers of a whole local cloud, through boto3 and with real requests: processes killed, nothing lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from awsorch.cli.main import main
from awsorch.local import up
from tests.local.elb_world import Cloud, get, load, wait

pytestmark = pytest.mark.timeout(300)
KEYS = {"AKIDLOCAL": "a-secret"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    ready = up.start_detached(up.Options(data=data, engine="simulated", port=0, access_keys=KEYS))
    try:
        yield Cloud(ready)
    finally:
        up.stop(data, remove=False)


@pytest.fixture
def cloud(running: Cloud) -> Iterator[Cloud]:
    yield running
    for server in running.servers:
        server.shutdown()
        server.server_close()
    running.servers.clear()


def test_two_ports_of_one_instance_live_and_drain(cloud: Cloud) -> None:
    balancer, address = cloud.balancer("life")
    group = cloud.group("life")
    (one, first), (_, second) = cloud.web("one"), cloud.web("two")
    cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[first, second])
    assert cloud.reason(group, one.server_port) == {
        "State": "unused",
        "Reason": "Target.NotInUse",
        "Description": "Target group is not configured to receive traffic from the load balancer",
    }
    cloud.listen(balancer, group)
    assert set(cloud.states(group).values()) <= {"initial", "healthy"}
    cloud.until_all_are("healthy", group, 2)
    assert {get(address) for _ in range(10)} == {(200, "one"), (200, "two")}

    answers: list[tuple[int, str]] = []
    slow = [threading.Thread(target=lambda: answers.append(get(address, "/slow"))) for _ in range(2)]
    for each in slow:
        each.start()
    assert one.arrived.wait(10)
    cloud.elbv2.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}]
    )
    cloud.elbv2.deregister_targets(TargetGroupArn=group, Targets=[first])
    assert cloud.reason(group, one.server_port)["Reason"] == "Target.DeregistrationInProgress"
    wait(lambda: {get(address) for _ in range(10)} == {(200, "two")})
    for server in cloud.servers:
        server.let_go.set()
    for each in slow:
        each.join()
    assert sorted(answers) == [(200, "one"), (200, "two")], "what had begun ended well"
    wait(lambda: list(cloud.states(group)) == [second["Port"]])
    assert cloud.reason(group, one.server_port)["Reason"] == "Target.NotRegistered"


def test_a_wrong_health_path_is_said(cloud: Cloud) -> None:
    balancer, address = cloud.balancer("ill")
    group = cloud.group("ill", HealthCheckPath="/missing", Matcher={"HttpCode": "200-299"}, HealthyThresholdCount=2)
    server, target = cloud.web("ill")
    cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[target])
    cloud.listen(balancer, group)
    wait(lambda: cloud.reason(group, server.server_port)["State"] == "unhealthy")
    found = cloud.reason(group, server.server_port)
    assert (found["Reason"], found["Description"]) == (
        "Target.ResponseCodeMismatch",
        "Health checks failed with these codes: [404]",
    )
    cloud.elbv2.modify_target_group(TargetGroupArn=group, HealthCheckPath="/")
    cloud.until_all_are("healthy", group, 1)
    assert get(address) == (200, "ill")


def test_rules_choose_target_groups(cloud: Cloud) -> None:
    balancer, address = cloud.balancer("rules")
    groups = {name: cloud.group(f"rules-{name}") for name in ("main", "api")}
    for name, group in groups.items():
        _, target = cloud.web(name)
        cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[target])
    listener = cloud.listen(balancer, groups["main"], port=18081)
    conditions = {"path": {"Field": "path-pattern", "Values": ["/api/*"]}}
    rules: list[dict[str, Any]] = [
        {"Type": "forward", "TargetGroupArn": groups["api"]},
        {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418", "MessageBody": "teapot"}},
    ]
    who = {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Who", "Values": ["me"]}}
    cloud.elbv2.create_rule(ListenerArn=listener, Priority=2, Conditions=[conditions["path"]], Actions=rules[:1])
    cloud.elbv2.create_rule(ListenerArn=listener, Priority=1, Conditions=[who], Actions=rules[1:])
    for group in groups.values():
        cloud.until_all_are("healthy", group, 1)
    wait(lambda: get(address, "/api/x", 18081) == (200, "api"))
    assert get(address, "/x", 18081) == (200, "main")
    assert get(address, "/api/x", 18081, **{"X-Who": "ME"}) == (418, "teapot")
    with pytest.raises(ClientError, match="currently in use"):
        cloud.elbv2.delete_target_group(TargetGroupArn=groups["api"])


def test_a_network_load_balancer_carries_connections(cloud: Cloud) -> None:
    balancer, address = cloud.balancer("network", "network")
    group = cloud.group("network", Protocol="TCP")
    _, target = cloud.web("tcp")
    cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[target])
    cloud.listen(balancer, group, 18082, "TCP")
    cloud.until_all_are("healthy", group, 1)
    assert get(address, "/", 18082) == (200, "tcp")


def test_a_classic_load_balancer_carries_too(cloud: Cloud) -> None:
    server, target = cloud.web("classic")
    instances = [{"InstanceId": target["Id"]}]
    ports = [{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": server.server_port}]
    made = cloud.elb.create_load_balancer(LoadBalancerName="old", Listeners=ports, AvailabilityZones=["us-east-1a"])
    check = {"Target": f"HTTP:{server.server_port}/", "Interval": 5, "Timeout": 2}
    cloud.elb.configure_health_check(
        LoadBalancerName="old", HealthCheck=check | {"UnhealthyThreshold": 2, "HealthyThreshold": 2}
    )
    cloud.elb.register_instances_with_load_balancer(LoadBalancerName="old", Instances=instances)
    (described,) = cloud.elb.describe_load_balancers(LoadBalancerNames=["old"])["LoadBalancerDescriptions"]
    assert described["Instances"] == instances
    assert described["DNSName"] == made["DNSName"]

    def state() -> str:
        (found,) = cloud.elb.describe_instance_health(LoadBalancerName="old")["InstanceStates"]
        return str(found["State"])

    wait(lambda: state() == "InService")
    assert get(described["DNSName"]) == (200, "classic")
    cloud.elb.deregister_instances_from_load_balancer(LoadBalancerName="old", Instances=instances)
    wait(lambda: get(described["DNSName"])[0] == 503)
    cloud.elb.register_instances_with_load_balancer(LoadBalancerName="old", Instances=instances)
    cloud.elb.delete_load_balancer(LoadBalancerName="old")
    cloud.elb.create_load_balancer(LoadBalancerName="old", Listeners=ports, AvailabilityZones=["us-east-1a"])
    assert cloud.elb.describe_instance_health(LoadBalancerName="old")["InstanceStates"] == [], "a new one begins empty"
    cloud.elb.delete_load_balancer(LoadBalancerName="old")


def test_nothing_is_lost_while_targets_are_replaced_and_processes_killed(cloud: Cloud) -> None:
    balancer, address = cloud.balancer("steady")
    group = cloud.group("steady")
    _, old = cloud.web("old")
    cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[old])
    listener = cloud.listen(balancer, group)
    cloud.until_all_are("healthy", group, 1)
    with load(address) as seen:
        for number in range(3):
            _, fresh = cloud.web(f"fresh {number}", instance=number % 2)
            cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[fresh])
            cloud.until_all_are("healthy", group, 2)
            cloud.elbv2.deregister_targets(TargetGroupArn=group, Targets=[old])
            cloud.until_all_are("healthy", group, 1)
            old = fresh
        for module in ("awsorch.app", "awsorch.local.moto_child"):
            cloud.kill(module)
            wait(partial(cloud.is_served_by, group, old))
            shown = cloud.elbv2.describe_load_balancers(LoadBalancerArns=[balancer])["LoadBalancers"]
            assert [each["DNSName"] for each in shown] == [address]
            assert cloud.elbv2.describe_listeners(ListenerArns=[listener])["Listeners"][0]["Port"] == 80
            _, fresh = cloud.web(f"after {module}")
            cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[fresh])
            cloud.until_all_are("healthy", group, 2)
            cloud.elbv2.deregister_targets(TargetGroupArn=group, Targets=[old])
            cloud.until_all_are("healthy", group, 1)
            old = fresh
    assert set(seen) == {"200"}, seen
    assert seen["200"] > 100
    cloud.kill("haproxy.cfg")
    wait(lambda: get(address)[0] == 200)
    cloud.until_all_are("healthy", group, 1)


@pytest.mark.parametrize("instance_id", ["i-99999999999999999", "not-an-instance"])
def test_unknown_instances_are_refused(cloud: Cloud, instance_id: str) -> None:
    group = cloud.group(f"refusing-{len(instance_id)}")
    with pytest.raises(cloud.elbv2.exceptions.InvalidTargetException, match=f"'{instance_id}' is not valid"):
        cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": instance_id}])
    cloud.elbv2.delete_target_group(TargetGroupArn=group)
    with pytest.raises(cloud.elbv2.exceptions.TargetGroupNotFoundException):
        cloud.elbv2.describe_target_health(TargetGroupArn=group)


def test_the_command_line_shows_where_it_is(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    balancer, address = cloud.balancer("shown")
    group = cloud.group("shown")
    server, target = cloud.web("shown")
    cloud.elbv2.register_targets(TargetGroupArn=group, Targets=[target])
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen(1)
        taken = everywhere.getsockname()[1]
        cloud.listen(balancer, group, taken)
        cloud.until_all_are("healthy", group, 1)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLOCAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    result = CliRunner().invoke(main, ["balancers", "--endpoint", cloud.ready.endpoint])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    start = lines.index(f"shown (application) at {address}")
    text = "\n".join(lines[start : start + 7])
    url = text.split(f"http://{address}:")[1].split()[0]
    assert int(url) != taken
    assert f"port {taken} may not be used on this machine: listens on {url}" in text
    assert f"{target['Id']}:{server.server_port}   healthy" in text
    assert get(address, "/", int(url)) == (200, "shown")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-guess")
    refused = CliRunner().invoke(main, ["balancers", "--endpoint", cloud.ready.endpoint])
    assert refused.exit_code == 1
    assert "SignatureDoesNotMatch" in refused.output or "InvalidSignatureException" in refused.output
