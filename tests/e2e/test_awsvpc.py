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
from dataclasses import dataclass
from typing import Any

import boto3
import docker
import pytest

from tests.e2e.conftest import Cloud, logs_of, run_awsorch, until
from tests.support.images import ensure_test_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

WEB = "mkdir -p /w; echo VERSION > /w/index.html; trap 'exit 0' TERM; httpd -f -p 8080 -h /w & wait"
ASK = '(printf "GET {path} HTTP/1.0\\r\\n\\r\\n"; sleep 0.3) | nc -w 2 {host} {port} || true'


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    """A cloud whose instances are hosts of their own, its VPC, and an image that its engines can have."""

    cloud: Cloud
    ec2: Any
    elbv2: Any
    subnets: list[str]
    vpc_id: str
    image: str

    def register(self, family: str, *containers: dict[str, Any]) -> None:
        plain = {"image": self.image, "memory": 32, "stopTimeout": 2}
        self.cloud.ecs.register_task_definition(
            family=family, networkMode="awsvpc", containerDefinitions=[{**plain, **each} for each in containers]
        )

    def network(self, *groups: str, subnets: list[str] | None = None) -> dict[str, Any]:
        chosen = {"securityGroups": list(groups)} if groups else {}
        return {"awsvpcConfiguration": {"subnets": subnets or self.subnets, **chosen}}

    def run(self, family: str, *groups: str, count: int = 1) -> list[dict[str, Any]]:
        """Tasks that run."""
        answer = self.cloud.ecs.run_task(
            taskDefinition=family,
            count=count,
            enableExecuteCommand=True,
            networkConfiguration=self.network(*groups),
        )
        assert answer["failures"] == []
        assert {task["lastStatus"] for task in answer["tasks"]} == {"PROVISIONING"}
        arns = [task["taskArn"] for task in answer["tasks"]]
        until("the tasks run", lambda: {self.cloud.describe(arn)["lastStatus"] for arn in arns} == {"RUNNING"})
        return [self.cloud.describe(arn) for arn in arns]

    def stop(self, *tasks: dict[str, Any]) -> None:
        arns = [task["taskArn"] for task in tasks]
        for arn in arns:
            self.cloud.ecs.stop_task(task=arn)
        until("the tasks are gone", lambda: {self.cloud.describe(arn)["lastStatus"] for arn in arns} == {"STOPPED"})

    def inside(self, task: dict[str, Any], container: str, command: str) -> str:
        """What a command in a container prints."""
        name = task["taskArn"].rpartition("/")[2]
        return self.cloud.awsorch("exec", name, "-c", container, "--", "sh", "-c", command).stdout

    def interfaces(self) -> list[dict[str, Any]]:
        """What EC2 has for tasks."""
        tagged = [{"Name": "tag-key", "Values": ["awsorch:attachment"]}]
        found: list[dict[str, Any]] = self.ec2.describe_network_interfaces(Filters=tagged)["NetworkInterfaces"]
        return found

    def group(self, name: str) -> str:
        made: str = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc_id)["GroupId"]
        return made


@pytest.fixture(scope="module")
def vpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpc]:
    machine = docker.APIClient(version="auto")
    image = ensure_test_image(machine)
    machine.close()
    data = tmp_path_factory.mktemp("cloud")
    settings = ("--hosts", "netns", "--instances", "3", "--port", "0", "--data", str(data))
    try:
        started = run_awsorch("up", "--detach", "--json", *settings)
        assert started.returncode == 0, started.stderr + logs_of(data)
        endpoint = json.loads(started.stdout)["endpoint"]
        ecs, ec2, elbv2 = (_client(name, endpoint) for name in ("ecs", "ec2", "elbv2"))
        found = [each for each in ec2.describe_subnets()["Subnets"] if each["CidrBlock"].startswith("10.")]
        yield Vpc(
            cloud=Cloud(data=data, endpoint=endpoint, ecs=ecs),
            ec2=ec2,
            elbv2=elbv2,
            subnets=[each["SubnetId"] for each in found],
            vpc_id=found[0]["VpcId"],
            image=image,
        )
    finally:
        stopped = run_awsorch("down", "--remove", "--data", str(data))
    assert stopped.returncode == 0, stopped.stderr


def _client(name: str, endpoint: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(name, endpoint_url=endpoint, region_name="us-east-1", **keys)


def address_of(task: dict[str, Any]) -> str:
    (interface,) = task["containers"][0]["networkInterfaces"]
    return str(interface["privateIpv4Address"])


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
