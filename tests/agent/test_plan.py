"""What Docker is asked for, given what ACS says."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from awsorch.agent import plan
from awsorch.agent.docker_config import ConfigError
from awsorch.agent.environment import Placement
from awsorch.agent.gpu_inventory import read_inventory
from awsorch.agent.host import Needs
from awsorch.agent.ports import Binding
from awsorch.agent.settings import InstanceSettings, Settings, load
from awsorch.agent.states import Condition, Dependency, RestartRule
from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task

PLACE = Placement(instance_arn="arn:instance", cluster="c1", region="eu-west-1")


def created(task: acs.Task, name: str = "app", bindings: tuple[Binding, ...] = ()) -> dict[str, Any]:
    """The body of the create call."""
    names = plan.names_for(task, lambda: "0f")
    container = next(each for each in task.containers if each.name == name)
    return dict(plan.create_arguments(task, container, names=names, bindings=bindings, place=PLACE).body)


def test_plain_fields() -> None:
    body = created(
        a_task(a_container(command=("a", "b"), entry_point=("sh",), environment={"X": "1"}, cpu=256, memory=64))
    )
    assert (body["Image"], body["Cmd"], body["Entrypoint"]) == ("simulated", ["a", "b"], ["sh"])
    assert body["Env"] == ["AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "X=1"]
    assert (body["HostConfig"]["CpuShares"], body["HostConfig"]["Memory"]) == (256, 64 * 1024 * 1024)


def test_what_is_not_said_is_left_to_the_image() -> None:
    body = created(a_task(a_container(memory=0)))
    assert "Cmd" not in body
    assert "Entrypoint" not in body
    assert "Memory" not in body["HostConfig"]


@pytest.mark.parametrize(("cpu", "shares"), [(0, 2), (1, 2), (1024, 1024), (999_999, 262_144)])
def test_cpu_shares_have_a_range(cpu: int, shares: int) -> None:
    assert created(a_task(a_container(cpu=cpu)))["HostConfig"]["CpuShares"] == shares


def test_memory_has_a_minimum() -> None:
    assert created(a_task(a_container(memory=1)))["HostConfig"]["Memory"] == 4 * 1024 * 1024


def test_the_region_of_the_definition_wins() -> None:
    body = created(a_task(a_container(environment={"AWS_REGION": "us-west-2"})))
    assert "AWS_REGION=us-west-2" in body["Env"]
    assert "AWS_REGION=eu-west-1" not in body["Env"]


def test_a_container_is_told_where_its_agent_is_whatever_its_definition_says() -> None:
    task = a_task(a_container(environment={"ECS_AGENT_URI": "mine"}))
    here = dataclasses.replace(PLACE, agent_url="http://172.17.0.1:51679")

    def environment(names: plan.Names, place: Placement) -> list[str]:
        body = plan.create_arguments(task, task.containers[0], names=names, bindings=(), place=place).body
        return [each for each in body["Env"] if each.startswith("ECS_AGENT_URI=")]

    names = plan.names_for(task, lambda: "0f")
    assert environment(names, here) == ["ECS_AGENT_URI=http://172.17.0.1:51679/api/0f"]
    assert environment(names, PLACE) == ["ECS_AGENT_URI=mine"], "there is no endpoint"
    older = msgspec.json.decode(b'{"containers": {"app": "ecs-web-7-app-0f"}}', type=plan.Names)
    assert environment(older, here) == ["ECS_AGENT_URI=mine"], "a task from before there was one"


def test_docker_config_is_laid_over() -> None:
    body = created(
        a_task(
            a_container(
                cpu=10,
                command=("plain",),
                config={"Cmd": ["over"], "Labels": {"mine": "1"}, "User": None},
                host_config={"CpuShares": 512, "PortBindings": {"9/tcp": []}, "Sysctls": {"a": "b"}},
            )
        ),
        bindings=(Binding(container_port=80, host_port=8080, protocol="tcp", bind_ip="0.0.0.0"),),
    )
    assert body["Cmd"] == ["over"]
    assert "User" not in body
    assert body["HostConfig"]["CpuShares"] == 512
    assert set(body["HostConfig"]["PortBindings"]) == {"80/tcp", "9/tcp"}
    assert body["Labels"]["mine"] == "1"
    assert body["Labels"]["com.amazonaws.ecs.container-name"] == "app"


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (acs.DockerConfig(config="{"), "DockerClientConfigError"),
        (acs.DockerConfig(host_config="[]"), "HostConfigError"),
    ],
)
def test_a_docker_config_that_is_no_json_object(config: acs.DockerConfig, name: str) -> None:
    container = acs.Container(name="app", image="x", docker_config=config)
    with pytest.raises(ConfigError, match=f"^{name}: "):
        created(a_task(container))


def test_ports_are_exposed_and_bound() -> None:
    mappings = (acs.PortMapping(container_port=80), acs.PortMapping(container_port_range="90-91", protocol="udp"))
    bindings = (
        Binding(container_port=80, host_port=1000, protocol="tcp", bind_ip="127.0.0.9"),
        Binding(container_port=90, host_port=2000, protocol="udp", bind_ip="127.0.0.9", count=2, is_range=True),
    )
    body = created(a_task(a_container(port_mappings=mappings)), bindings=bindings)
    assert set(body["ExposedPorts"]) == {"80/tcp", "90/udp", "91/udp"}
    assert body["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.9", "HostPort": "1000"}],
        "90/udp": [{"HostIp": "127.0.0.9", "HostPort": "2000"}],
        "91/udp": [{"HostIp": "127.0.0.9", "HostPort": "2001"}],
    }


def test_links_volumes_and_modes() -> None:
    volumes = (
        acs.Volume(name="bound", type="host", host=acs.HostVolume(source_path="/srv")),
        acs.Volume(name="scratch", type="host", host=acs.HostVolume()),
    )
    mounts = (
        acs.MountPoint(source_volume="bound", container_path="/b", read_only=True),
        acs.MountPoint(source_volume="scratch", container_path="/s"),
    )
    web = a_container(
        "web",
        links=("db:database", "cache"),
        volumes_from=(acs.VolumeFrom(source_container="db", read_only=True),),
        mount_points=mounts,
    )
    task = a_task(web, a_container("db"), a_container("cache"), volumes=volumes, pid_mode="host", ipc_mode="none")
    host = created(task, "web")["HostConfig"]
    assert host["Links"] == ["ecs-web-7-db-0f:database", "ecs-web-7-cache-0f:cache"]
    assert host["VolumesFrom"] == ["ecs-web-7-db-0f:ro"]
    assert host["Binds"] == ["/srv:/b:ro", "ecs-web-7-scratch-0f:/s"]
    assert (host["PidMode"], host["IpcMode"], host["NetworkMode"]) == ("host", "none", "bridge")
    assert plan.task_volumes(task, plan.names_for(task, lambda: "0f")) == ["ecs-web-7-scratch-0f"]


def test_a_non_blocking_log_gets_a_buffer() -> None:
    log = {"LogConfig": {"Type": "json-file", "Config": {"mode": "non-blocking"}}}
    config = created(a_task(a_container(host_config=log)))["HostConfig"]["LogConfig"]["Config"]
    assert config == {"mode": "non-blocking", "max-buffer-size": "10m"}


def test_a_command_override() -> None:
    task = a_task(a_container(command=("a",), overrides=json.dumps({"command": ["b"]})))
    assert created(task)["Cmd"] == ["b"]


def test_rules() -> None:
    web = a_container(
        "web",
        essential=False,
        links=("db",),
        volumes_from=(acs.VolumeFrom(source_container="db"),),
        depends_on=(acs.ContainerDependency(container_name="db", condition="HEALTHY"),),
        start_timeout=5,
        stop_timeout=7,
        restart_policy=acs.RestartPolicy(enabled=True, ignored_exit_codes=(0,), restart_attempt_period=60),
    )
    rules = plan.rules_of(a_task(web, a_container("db")), Settings())
    assert {each.condition for each in rules[0].depends_on} == {
        Condition.HEALTHY,
        Condition.START,
        Condition.CREATED,
    }
    assert Dependency(on="db", condition=Condition.START) in rules[0].depends_on
    assert (rules[0].essential, rules[0].start_timeout, rules[0].stop_timeout) == (False, 5, 7)
    assert rules[0].restart == RestartRule(ignored_exit_codes=(0,), attempt_period=60.0)
    assert (rules[1].start_timeout, rules[1].stop_timeout, rules[1].restart) == (None, 30.0, None)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (a_task(a_container("a"), a_container("a")), "every container needs a name of its own"),
        (a_task(a_container(port_mappings=(acs.PortMapping(container_port=1, protocol="sctp"),))), "'sctp'"),
        (a_task(a_container(port_mappings=(acs.PortMapping(container_port_range="9-3"),))), "invalid port range"),
        (
            a_task(a_container(depends_on=(acs.ContainerDependency(container_name="b", condition="SOON"),))),
            "must be one of START, COMPLETE, SUCCESS, HEALTHY",
        ),
        (a_task(volumes=(acs.Volume(name="v", type="floppy"),)), "unknown type 'floppy'"),
        (a_task(volumes=(acs.Volume(name="v", type="docker"),)), "without its configuration"),
    ],
)
def test_invalid_tasks(task: acs.Task, words: str) -> None:
    with pytest.raises(plan.InvalidTaskError, match=words):
        plan.check(task)


@pytest.mark.parametrize(
    "task",
    [
        a_task(network_mode="awsvpc"),
        a_task(pid_mode="of another task"),
        a_task(volumes=(acs.Volume(name="v", type="attachment"),)),
        a_task(volumes=(acs.Volume(name="v", type="fsxWindowsFileServer"),)),
    ],
)
def test_tasks_that_need_more_than_is_offered(task: acs.Task) -> None:
    with pytest.raises(plan.UnsupportedTaskError, match=r"^resource cannot be initialized for task "):
        plan.check(task)


def test_needs() -> None:
    mapping = (acs.PortMapping(container_port=80, host_port=8080), acs.PortMapping(container_port=81))
    reserved = {"MemoryReservation": 16 * 1024 * 1024}
    task = a_task(
        a_container("a", cpu=100, memory=64, host_config=reserved, port_mappings=mapping),
        a_container("b", cpu=20, memory=32),
    )
    assert plan.needs_of(task) == Needs(cpu=120, memory=48, ports=frozenset({(8080, "tcp")}))
    assert plan.needs_of(a_task(a_container(cpu=5), cpu=0.25, memory=512)) == Needs(cpu=256, memory=512)
    assert plan.needs_of(a_task(launch_type="FARGATE")) == Needs()


def with_gpus(*ids: str, type: str = "gpu") -> acs.Task:
    devices = tuple(acs.Association(name=each, type=type, containers=("app",)) for each in ids)
    return a_task(a_container(), a_container("side"), associations=devices)


def test_gpus_are_pinned() -> None:
    task = with_gpus("GPU-1", "GPU-2")
    plan.check(task, InstanceSettings(gpus=("GPU-1", "GPU-2", "GPU-3")))
    names = plan.names_for(task, lambda: "0f")

    def body(container: int, runtime: str) -> dict[str, Any]:
        place = dataclasses.replace(PLACE, gpu_runtime=runtime)
        made = plan.create_arguments(task, task.containers[container], names=names, bindings=(), place=place)
        return dict(made.body)

    app = body(0, "nvidia")
    assert app["HostConfig"]["Runtime"] == "nvidia"
    assert "NVIDIA_VISIBLE_DEVICES=GPU-1,GPU-2" in app["Env"]
    assert "Runtime" not in body(1, "nvidia")["HostConfig"]
    outside = body(0, "")["HostConfig"]
    assert outside["DeviceRequests"] == [
        {"Driver": "nvidia", "DeviceIDs": ["GPU-1", "GPU-2"], "Capabilities": [["gpu"]]}
    ], "an external instance's engine knows GPUs by itself"
    assert "Runtime" not in outside


@pytest.mark.parametrize(
    ("task", "what"),
    [
        (with_gpus("GPU-9"), "the GPU GPU-9, which"),
        (with_gpus("x", type="elastic-inference"), "devices of type elastic-"),
    ],
)
def test_devices_that_are_not_here(task: acs.Task, what: str) -> None:
    with pytest.raises(plan.UnsupportedTaskError, match=what):
        plan.check(task, InstanceSettings(gpus=("GPU-1",)))


def test_what_gpus_there_are(tmp_path: Path) -> None:
    inventory = tmp_path / "nvidia-gpu-info.json"
    inventory.write_text('{"DriverVersion": "535", "GPUIDs": ["GPU-1", "GPU-2"]}')
    assert read_inventory(inventory) == ("GPU-1", "GPU-2")
    inventory.write_text('{"GPUIDs": null}')
    assert read_inventory(inventory) == read_inventory(tmp_path / "none") == ()
    assert load({"AWSORCH_GPUS": '["GPU-7"]'}).instance.gpus == ("GPU-7",)
