"""Tasks whose containers share a network: the hidden container that holds it, its image, what Docker is asked for."""

from __future__ import annotations

import io
import json
import struct
import tarfile

import msgspec
import pytest

from awsorch.agent import plan
from awsorch.agent.assignment import Assignment, fresh_life
from awsorch.agent.environment import Placement
from awsorch.agent.events import Created, Pulled, Report, Started
from awsorch.agent.host import Needs
from awsorch.agent.metadata import container_view
from awsorch.agent.pause import IMAGE, PAUSE, image_archive, is_internal, with_pause
from awsorch.agent.settings import load
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.agent.states import Condition, Dependency
from awsorch.agent.task_networks import TaskNetworks, _renamed
from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task

PLACE = Placement(instance_arn="arn:instance", cluster="c1", region="eu-west-1")
INTERFACE = acs.ElasticNetworkInterface(
    attachment_arn="arn:attachment",
    ec2_id="eni-1",
    mac_address="0a:00:00:00:00:01",
    ipv4_addresses=(acs.IPv4Address(primary=True, private_address="10.0.64.7"),),
    private_dns_name="ip-10-0-64-7.ec2.internal",
    subnet_gateway_ipv4_address="10.0.64.1/18",
)


def in_vpc(*containers: acs.Container) -> acs.Task:
    task = a_task(*containers, network_mode="awsvpc", elastic_network_interfaces=(INTERFACE,))
    return with_pause(task)


def test_only_what_shares_a_network_has_a_pause_container() -> None:
    plain = a_task(a_container())
    assert with_pause(plain) == plain
    task = in_vpc(a_container("app"), a_container("side"))
    assert [each.name for each in task.containers] == [PAUSE, "app", "side"]
    assert with_pause(task) == task, "a payload that comes again is the same task"
    rules = plan.rules_of(task, load({}))
    assert [rule.depends_on for rule in rules[1:]] == [(Dependency(on=PAUSE, condition=Condition.START),)] * 2
    assert rules[0].essential
    assert is_internal(PAUSE)


def test_the_others_are_in_its_network_and_publish_nothing() -> None:
    port = acs.PortMapping(container_port=80, host_port=80)
    task = in_vpc(a_container("app", port_mappings=(port,)))
    names = plan.names_for(task, lambda: "0f")
    bodies = {
        each.name: plan.create_arguments(task, each, names=names, bindings=(), place=PLACE).body
        for each in task.containers
    }
    assert bodies[PAUSE]["HostConfig"]["NetworkMode"] == "bridge"
    assert bodies[PAUSE]["Hostname"] == INTERFACE.private_dns_name
    assert bodies["app"]["HostConfig"]["NetworkMode"] == f"container:{names.containers[PAUSE]}"
    assert bodies["app"]["ExposedPorts"] == bodies["app"]["HostConfig"]["PortBindings"] == {}
    assert not plan.is_bridged(task, task.containers[1])
    assert plan.needs_of(task) == Needs(cpu=task.containers[1].cpu, memory=task.containers[1].memory)


def test_a_task_may_share_its_processes_and_their_memory_only() -> None:
    task = with_pause(a_task(a_container("app"), network_mode="bridge", pid_mode="task", ipc_mode="task"))
    names = plan.names_for(task, lambda: "0f")
    pause, app = (
        plan.create_arguments(task, each, names=names, bindings=(), place=PLACE).body["HostConfig"]
        for each in task.containers
    )
    assert (pause["NetworkMode"], pause["PidMode"], pause["IpcMode"]) == ("none", "", "shareable")
    shared = f"container:{names.containers[PAUSE]}"
    assert (app["NetworkMode"], app["PidMode"], app["IpcMode"]) == ("bridge", shared, shared)
    host = a_task(a_container("app"), network_mode="bridge", pid_mode="host", ipc_mode="host")
    assert with_pause(host) == host


def test_nobody_hears_of_it() -> None:
    task = in_vpc(a_container("app"))
    assignment = Assignment(task, fresh_life(task, plan.names_for(task, lambda: "0f"), load({})), load({}))
    reports = []
    for name in (PAUSE, "app"):
        for event in (
            Pulled(container=name, image_digest=""),
            Created(container=name, docker_id=f"id-{name}"),
            Started(container=name, at=5.0),
        ):
            reports += [each for each in assignment.advance(event, 1.0).actions if isinstance(each, Report)]
    told = [change.name for report in reports for change in report.changes]
    assert PAUSE not in told


def test_containers_know_their_network() -> None:
    task = in_vpc(a_container("app"))
    assignment = Assignment(task, fresh_life(task, plan.names_for(task, lambda: "0f"), load({})), load({}))
    assert container_view(assignment, "app", {}, version=3)["Networks"] == [
        {"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.64.7"]}
    ]
    (network,) = container_view(assignment, "app", {}, version=4)["Networks"]
    assert network == {
        "NetworkMode": "awsvpc",
        "IPv4Addresses": ["10.0.64.7"],
        "AttachmentIndex": 0,
        "MACAddress": "0a:00:00:00:00:01",
        "IPv4SubnetCIDRBlock": "10.0.64.0/18",
        "PrivateDNSName": "ip-10-0-64-7.ec2.internal",
        "SubnetGatewayIpv4Address": "10.0.64.1/18",
    }
    assert container_view(assignment, PAUSE, {}, version=4)["Type"] == "CNI_PAUSE"


@pytest.mark.parametrize(("machine", "number", "architecture"), [("x86_64", 62, "amd64"), ("aarch64", 183, "arm64")])
def test_the_image_is_one_program(machine: str, number: int, architecture: str) -> None:
    assert image_archive(machine) == image_archive(machine)
    with tarfile.open(fileobj=io.BytesIO(image_archive(machine))) as archive:
        files = {each: archive.extractfile(each).read() for each in archive.getnames()}  # type: ignore[union-attr]
    (manifest,) = json.loads(files["manifest.json"])
    config = json.loads(files[manifest["Config"]])
    assert manifest["RepoTags"] == [IMAGE]
    assert (config["architecture"], config["config"]["StopSignal"]) == (architecture, "SIGKILL")
    with tarfile.open(fileobj=io.BytesIO(files["layer.tar"])) as layer:
        program = layer.extractfile("pause").read()  # type: ignore[union-attr]
    assert program[:4] == b"\x7fELF"
    assert struct.unpack_from("<HH", program, 16) == (2, number)
    (size,) = struct.unpack_from("<Q", program, 64 + 32)
    assert size == len(program)


def test_there_is_no_program_for_every_processor() -> None:
    with pytest.raises(KeyError):
        image_archive("riscv64")


def test_the_host_name_is_the_tasks_address() -> None:
    lines = ["127.0.0.1\tlocalhost", "172.17.0.2\tip-10-0-64-7.ec2.internal ip-10-0-64-7", "", "172.17.0.22\tother"]
    assert _renamed(lines, "172.17.0.2", "10.0.64.7") == [
        "127.0.0.1\tlocalhost",
        "10.0.64.7\tip-10-0-64-7.ec2.internal ip-10-0-64-7",
        "",
        "172.17.0.22\tother",
    ]


def test_the_metadata_service_is_out_of_reach_where_settings_say_so() -> None:
    engine = SimulatedEngine()
    blocked = TaskNetworks(engine, block_metadata=True)._own(INTERFACE, "ens6")
    assert "route replace blackhole 169.254.169.254/32" in blocked
    assert blocked[:-1] == TaskNetworks(engine)._own(INTERFACE, "ens6")
    assert "address add 10.0.64.7/18 dev eth0" in blocked


def test_an_interface_with_an_ipv6_address_has_a_way_there() -> None:
    newer = msgspec.structs.replace(
        INTERFACE,
        ipv6_addresses=(acs.IPv6Address(address="2600:1f13::7", primary=True),),
        subnet_gateway_ipv6_address="2600:1f13::1/64",
    )
    engine = SimulatedEngine()
    lines = [
        "address replace 2600:1f13::7/128 dev eth0 nodad",
        "route replace 2600:1f13::1/128 dev eth0",
        "route replace default via 2600:1f13::1 dev eth0 metric 2048",
    ]
    assert TaskNetworks(engine, ipv6=True)._own_6(newer) == lines
    blocked = TaskNetworks(engine, ipv6=True, block_metadata=True)._own_6(newer)
    assert blocked == [*lines, "route replace blackhole fd00:ec2::254/128"]


def test_containers_know_their_ipv6_addresses() -> None:
    newer = msgspec.structs.replace(
        INTERFACE,
        ipv6_addresses=(acs.IPv6Address(address="2600:1f13::7", primary=True),),
        subnet_gateway_ipv6_address="2600:1f13::1/64",
    )
    task = msgspec.structs.replace(in_vpc(a_container("app")), elastic_network_interfaces=(newer,))
    assignment = Assignment(task, fresh_life(task, plan.names_for(task, lambda: "0f"), load({})), load({}))
    (network,) = container_view(assignment, "app", {}, version=4)["Networks"]
    assert network["IPv6Addresses"] == ["2600:1f13::7"]
    assert network["IPv6SubnetCIDRBlock"] == "2600:1f13::/64"
    assert network["SubnetGatewayIpv6Address"] == "2600:1f13::1/64"


def test_a_task_of_a_payload_survives_its_pause_container() -> None:
    task = in_vpc(a_container("app"))
    assert msgspec.json.decode(msgspec.json.encode(task), type=acs.Task) == task
