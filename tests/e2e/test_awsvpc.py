"""Tasks with networks of their own on local hosts of their own: reached at their own addresses, by load balancers too;
apart from each other as their security groups say; and nothing is left of them, whoever is killed meanwhile.

Source: ECS developer guide, "Task networking with the awsvpc network mode".
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from awsorch.agent.network_commands import has_ipv6
from tests.e2e.conftest import until
from tests.e2e.vpcs import BLOCK_6, Vpc, a_vpc, address_of

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

WEB = "mkdir -p /w; echo VERSION > /w/index.html; trap 'exit 0' TERM; httpd -f -p 8080 -h /w & wait"
IDLE = "trap 'exit 0' TERM; sleep 600 & wait"
ASK = '(printf "GET {path} HTTP/1.0\\r\\n\\r\\n"; sleep 0.3) | nc -w 2 {host} {port} || true'


@pytest.fixture(scope="module")
def vpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpc]:
    with a_vpc(tmp_path_factory.mktemp("cloud")) as made:
        yield made


def get(host: str, port: int = 8080) -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
        return str(answer.read().decode())


def asking(host: str, port: int = 8080, path: str = "/") -> str:
    return ASK.format(host=host, port=port, path=path)


def test_a_task_is_reached_at_its_own_address(vpc: Vpc) -> None:
    server = {"name": "web", "command": ["sh", "-c", WEB], "portMappings": [{"containerPort": 8080}]}
    vpc.register("pair", server, {"name": "side", "command": ["sleep", "600"], "essential": False})
    one, other = vpc.run("pair", count=2)
    address = address_of(one)
    (attachment,) = one["attachments"]
    details = {each["name"]: each["value"] for each in attachment["details"]}
    assert (attachment["type"], attachment["status"]) == ("ElasticNetworkInterface", "ATTACHED")
    assert details["privateIPv4Address"] == address
    assert details["subnetId"] in vpc.subnets
    assert [each["name"] for each in one["containers"]] == ["web", "side"], "the pause container is nobody's business"
    assert get(address) == "VERSION\n"
    assert "VERSION" in vpc.inside(one, "side", asking("127.0.0.1")), "containers of a task share its loopback"
    assert "VERSION" in vpc.inside(other, "side", asking(address))
    assert vpc.inside(one, "side", "hostname -i").split() == [address]
    path = "${ECS_CONTAINER_METADATA_URI_V4#http://169.254.170.2}/task"
    told = vpc.inside(one, "side", asking("169.254.170.2", 80, path))
    view = json.loads(told[told.index("{") :])
    assert [each["Name"] for each in view["Containers"]] == ["web", "side"]
    (network,) = view["Containers"][0]["Networks"]
    assert (network["NetworkMode"], network["IPv4Addresses"]) == ("awsvpc", [address])
    assert network["MACAddress"] == details["macAddress"]
    told = vpc.inside(other, "side", asking("169.254.170.2", 80, "/v2/metadata"))
    assert json.loads(told[told.index("{") :])["TaskARN"] == other["taskArn"], (
        "version 2 knows callers by their address"
    )
    vpc.stop(one, other)
    assert vpc.interfaces() == []
    assert {each["status"] for each in vpc.cloud.describe(one["taskArn"])["attachments"]} == {"DELETED"}


def test_a_load_balancer_follows_tasks_addresses_without_a_lost_request(vpc: Vpc) -> None:
    group = vpc.elbv2.create_target_group(
        Name="ips", Protocol="HTTP", Port=8080, VpcId=vpc.vpc_id, TargetType="ip", HealthCheckIntervalSeconds=5
    )["TargetGroups"][0]["TargetGroupArn"]
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "2"}]
    vpc.elbv2.modify_target_group_attributes(TargetGroupArn=group, Attributes=delay)
    made = vpc.elbv2.create_load_balancer(Name="web", Subnets=vpc.subnets)["LoadBalancers"][0]
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    vpc.elbv2.create_listener(LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward)
    host = vpc.elbv2.describe_load_balancers(Names=["web"])["LoadBalancers"][0]["DNSName"]
    ecs = vpc.cloud.ecs

    def version(number: int) -> None:
        command = WEB.replace("VERSION", f"v{number}")
        ports = [{"containerPort": 8080}]
        vpc.register("web", {"name": "web", "command": ["sh", "-c", command], "portMappings": ports})

    def is_steady() -> bool:
        (service,) = ecs.describe_services(services=["web"])["services"]
        (first, *rest) = service["deployments"]
        return not rest and first["rolloutState"] == "COMPLETED" and service["runningCount"] == 3

    version(1)
    ecs.create_service(
        serviceName="web",
        taskDefinition="web",
        desiredCount=3,
        networkConfiguration=vpc.network(),
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
    )
    until("the service is steady", is_steady, 90)
    health = vpc.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    tasks = ecs.describe_tasks(tasks=ecs.list_tasks(serviceName="web")["taskArns"])["tasks"]
    assert {each["Target"]["Id"] for each in health} == {address_of(task) for task in tasks}
    answers: Counter[str] = Counter()
    over = threading.Event()

    def ask_on() -> None:
        while not over.wait(0.02):
            try:
                answers[get(host, 80).strip()] += 1
            except (OSError, urllib.error.URLError) as error:
                answers[f"failed: {error}"] += 1

    asker = threading.Thread(target=ask_on)
    asker.start()
    try:
        version(2)
        ecs.update_service(service="web", taskDefinition="web")
        until("the new version is steady", is_steady, 90)
        until("the new version answers", lambda: answers["v2"] > 50)
    finally:
        over.set()
        asker.join()
    assert set(answers) == {"v1", "v2"}, answers
    ecs.delete_service(service="web", force=True)
    until("no interface is left", lambda: vpc.interfaces() == [])


def test_security_groups_decide_who_gets_through(vpc: Vpc) -> None:
    inner, outer = vpc.group("inner"), vpc.group("outer")
    allowed = [{"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": outer}]}]
    vpc.ec2.authorize_security_group_ingress(GroupId=inner, IpPermissions=allowed)
    vpc.register("guarded", {"name": "web", "command": ["sh", "-c", f"{WEB.replace('8080', '8081')} & {WEB}"]})
    (served,), (friend,), (stranger,) = vpc.run("guarded", inner), vpc.run("guarded", outer), vpc.run("guarded", inner)
    at = address_of(served)
    assert "VERSION" in vpc.inside(friend, "web", asking(at))
    assert "VERSION" not in vpc.inside(friend, "web", asking(at, 8081)), "another port"
    assert "VERSION" not in vpc.inside(stranger, "web", asking(at)), "not in the group that may"
    open_to_all = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    vpc.ec2.authorize_security_group_ingress(GroupId=inner, IpPermissions=open_to_all)
    until("the new rule counts", lambda: "VERSION" in vpc.inside(stranger, "web", asking(at, 8081)))
    vpc.ec2.revoke_security_group_egress(GroupId=outer, IpPermissions=open_to_all)
    until("nothing goes out", lambda: "VERSION" not in vpc.inside(friend, "web", asking(at)))
    vpc.stop(served, friend, stranger)


BLOCKED = "attribute:ecs.capability.task-eni-block-instance-metadata exists"


def test_instance_metadata_is_out_of_reach_where_the_instance_says_so(vpc: Vpc) -> None:
    """ECS_AWSVPC_BLOCK_IMDS is for tasks with networks of their own; others keep reaching it, as on EC2."""
    ecs, ec2 = vpc.cloud.ecs, vpc.ec2
    settings = "#!/bin/bash\necho ECS_CLUSTER=default >> /etc/ecs/ecs.config\n"
    settings += "echo ECS_AWSVPC_BLOCK_IMDS=true >> /etc/ecs/ecs.config\n"
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.run_instances(
        ImageId=image, InstanceType="m5.large", SubnetId=vpc.subnets[0], UserData=settings, MinCount=1, MaxCount=1
    )
    (strict,) = (each["InstanceId"] for each in made["Instances"])
    joined = f"{BLOCKED} and agentConnected == true"
    until("it has joined", lambda: bool(ecs.list_container_instances(filter=joined)["containerInstanceArns"]))
    question = asking("169.254.169.254", 80, "/latest/meta-data/instance-id")
    there = {"type": "memberOf", "expression": BLOCKED}
    elsewhere = {"type": "memberOf", "expression": f"not({BLOCKED})"}

    started = []
    for mode, place in (("awsvpc", there), ("bridge", there), ("host", there), ("awsvpc", elsewhere)):
        vpc.register(f"asks-{mode}", {"name": "app", "command": ["sh", "-c", IDLE]}, mode=mode)
        started += vpc.start(f"asks-{mode}", placementConstraints=[place])
    tasks = vpc.running(started)
    other = vpc.machine_of(tasks[-1])
    assert other != strict
    heard = [vpc.inside(task, "app", question).rpartition("\n")[2] for task in tasks]
    assert heard == ["", strict, strict, other]
    vpc.stop(*tasks)
    ec2.terminate_instances(InstanceIds=[strict])


def test_a_task_is_reached_by_ipv6_as_its_security_groups_say(vpc: Vpc) -> None:
    group = vpc.group("newer")
    web = {"name": "web", "command": ["sh", "-c", f"{WEB.replace('8080', '8081')} & {WEB}"]}
    vpc.register("six", web)
    allowed = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "Ipv6Ranges": [{"CidrIpv6": BLOCK_6}]}
    vpc.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[allowed])
    first, second = vpc.run("six", group, count=2, subnets=vpc.subnets[:1])
    address = first["containers"][0]["networkInterfaces"][0]["ipv6Address"]
    assert IPv6Address(address) in IPv6Network(BLOCK_6)
    path = "${ECS_CONTAINER_METADATA_URI_V4#http://169.254.170.2}"
    told = vpc.inside(first, "web", asking("169.254.170.2", 80, path))
    (network,) = json.loads(told[told.index("{") :])["Networks"]
    assert (network["IPv6Addresses"], network["IPv6SubnetCIDRBlock"]) == ([address], BLOCK_6)
    if has_ipv6():  # what is shown has to be right where the kernel has none, too
        assert "VERSION" in vpc.inside(second, "web", asking(address))
        assert "VERSION" not in vpc.inside(second, "web", asking(address, 8081)), "another port"
        assert get(f"[{address}]", 8081) == "VERSION\n", "this machine may connect to all"
    vpc.stop(first, second)


def test_no_interface_is_left_whoever_is_killed(vpc: Vpc) -> None:
    """Agents die again and again while tasks start and stop, an instance for good."""
    vpc.register("short", {"name": "web", "command": ["sh", "-c", WEB]})
    ecs, started = vpc.cloud.ecs, []
    for step in ("PROVISIONING", "interface", "PENDING", "RUNNING"):
        fresh = vpc.cloud.run(2, taskDefinition="short", networkConfiguration=vpc.network())
        started += fresh
        if step == "interface":
            until("EC2 has an interface", lambda: bool(vpc.interfaces()))
        else:
            until(f"one is {step}", lambda step=step, fresh=fresh: _has_come_to(vpc, fresh, step))  # type: ignore[misc]
        vpc.cloud.kill_agents()
        if step != "PENDING":
            for arn in fresh:
                ecs.stop_task(task=arn)

    def as_wished() -> bool:
        return all(task["lastStatus"] == task["desiredStatus"] for task in map(vpc.cloud.describe, started))

    until("all run or have stopped as they should", as_wished, 90)
    alive = [task for task in map(vpc.cloud.describe, started) if task["lastStatus"] == "RUNNING"]
    assert len(alive) == 2
    assert {address_of(task) for task in alive} == {each["PrivateIpAddress"] for each in vpc.interfaces()}
    for task in alive:
        until("it answers", lambda task=task: _answers(task))  # type: ignore[misc]
    instances = ecs.describe_container_instances(
        containerInstances=ecs.list_container_instances()["containerInstanceArns"]
    )
    vpc.ec2.terminate_instances(InstanceIds=[instances["containerInstances"][0]["ec2InstanceId"]])
    for arn in started:
        ecs.stop_task(task=arn)
    until("all have stopped", lambda: {vpc.cloud.describe(arn)["lastStatus"] for arn in started} == {"STOPPED"}, 90)
    assert vpc.interfaces() == []


def _answers(task: dict[str, Any]) -> bool:
    try:
        return get(address_of(task)) == "VERSION\n"
    except OSError:
        return False


_ORDER = ("PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED")


def _has_come_to(vpc: Vpc, arns: list[str], status: str) -> bool:
    """Whether one of the tasks is so far, or further."""
    return any(
        _ORDER.index(task["lastStatus"]) >= _ORDER.index(status)
        for task in vpc.cloud.ecs.describe_tasks(tasks=arns)["tasks"]
        if task["lastStatus"] in _ORDER
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (None, "Network Configuration must be provided when networkMode 'awsvpc' is specified."),
        ({"subnets": []}, "subnets can not be empty."),
        ({"subnets": ["subnet-0123456789abcdef0"]}, "Error retrieving subnet information for"),
        ({"subnets": ["s"] * 17}, "subnets can have at most 16 items."),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(vpc: Vpc, network: Any, message: str) -> None:
    vpc.register("refused", {"name": "web", "command": ["sh", "-c", WEB]})
    given = {"networkConfiguration": {"awsvpcConfiguration": network}} if network is not None else {}
    with pytest.raises(vpc.cloud.ecs.exceptions.InvalidParameterException, match=message.split("'")[0]):
        vpc.cloud.ecs.run_task(taskDefinition="refused", **given)


def test_a_task_on_a_host_of_its_own_has_a_volume(vpc: Vpc) -> None:
    """The agent mounts where its host's engine sees it."""
    role = "arn:aws:iam::123456789012:role/infrastructure"
    mount = {"mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}]}
    container = {"name": "app", "image": vpc.image, "memory": 32, "stopTimeout": 2, **mount}
    vpc.cloud.ecs.register_task_definition(
        family="disk",
        networkMode="awsvpc",
        volumes=[{"name": "data", "configuredAtLaunch": True}],
        containerDefinitions=[
            {**container, "command": ["sh", "-c", "echo kept > /data/word; exec sleep 600"]},
        ],
    )
    answer = vpc.cloud.ecs.run_task(
        taskDefinition="disk",
        networkConfiguration=vpc.network(),
        enableExecuteCommand=True,
        volumeConfigurations=[{"name": "data", "managedEBSVolume": {"roleArn": role, "sizeInGiB": 1}}],
    )
    (started,) = answer["tasks"]
    until("it runs", lambda: vpc.cloud.describe(started["taskArn"])["lastStatus"] == "RUNNING")
    task = vpc.cloud.describe(started["taskArn"])
    assert {each["type"] for each in task["attachments"]} == {"ElasticNetworkInterface", "AmazonElasticBlockStorage"}
    assert " /data xfs " in vpc.inside(task, "app", "cat /proc/mounts")
    assert "kept" in vpc.inside(task, "app", "cat /data/word")
    vpc.stop(task)
    managed = [{"Name": "tag:AmazonECSManaged", "Values": ["true"]}]
    assert vpc.ec2.describe_volumes(Filters=managed)["Volumes"] == []
    with open("/proc/self/mounts") as mounts:
        assert not [line for line in mounts if str(vpc.cloud.data) in line and "/ebs/vol-" in line]
    assert vpc.interfaces() == []
