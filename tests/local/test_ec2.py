"""The contract of EC2 as the fleet uses it, kept by the fake and by moto in our child process."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import boto3
import pytest

from awsorch.local.ec2 import Ec2, Ec2Error, MotoEc2
from awsorch.local.instances import LocalNetwork
from tests.local.fakes import FakeEc2, an_instance

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
Scene = Callable[[Ec2], Coroutine[Any, Any, None]]
Play = Callable[[Scene], None]


@pytest.fixture(params=["fake", "moto"])
def play(request: pytest.FixtureRequest) -> Play:
    def on_fake(scene: Scene) -> None:
        asyncio.run(scene(FakeEc2()))

    def on_moto(scene: Scene) -> None:
        url = request.getfixturevalue("moto_url")

        async def run() -> None:
            async with MotoEc2(url=url, region="us-east-1", access_key_id="test", secret_access_key="test") as ec2:
                await scene(ec2)

        asyncio.run(run())

    return on_fake if request.param == "fake" else on_moto


def test_the_network_has_a_subnet_in_three_zones_and_is_made_once(play: Play) -> None:
    async def scene(ec2: Ec2) -> None:
        network = await ec2.ensure_network("127.77")
        assert list(network.subnets) == list(network.zone_ids) == ["us-east-1a", "us-east-1b", "us-east-1c"]
        assert len(set(network.subnets.values())) == 3
        assert network.image_id.startswith("ami-")
        assert await ec2.ensure_network("127.77") == network

    play(scene)


def test_a_subnet_that_a_user_makes_is_not_the_instances(moto_url: str) -> None:
    async def scene() -> None:
        async with MotoEc2(url=moto_url, region="us-east-1", access_key_id="test", secret_access_key="test") as ec2:
            network = await ec2.ensure_network("127.77")
            client = boto3.client("ec2", endpoint_url=moto_url, region_name="us-east-1", **KEYS)
            client.create_subnet(VpcId=network.vpc_id, CidrBlock="127.77.192.0/24", AvailabilityZone="us-east-1a")
            assert await ec2.ensure_network("127.77") == network

    asyncio.run(scene())


def test_an_instance_runs_as_it_is_written(play: Play) -> None:
    async def scene(ec2: Ec2) -> None:
        network = await ec2.ensure_network("127.77")
        wanted = an_instance(
            id="i-aaaaaaaaaaaaaaaa1",
            zone="us-east-1b",
            subnet_id=network.subnets["us-east-1b"],
            address="127.77.65.9",
            tags={"Name": "one", "aws:autoscaling:groupName": "kept back: EC2 refuses such tags"},
            tokens_required=True,
            shows_tags=True,
        )
        assert await ec2.run_instance(wanted) == wanted.id
        (seen,) = [each for each in await ec2.describe_instances() if each.id == wanted.id]
        assert seen.state == "running"
        assert (seen.zone, seen.private_ip, seen.subnet_id) == (wanted.zone, wanted.address, wanted.subnet_id)
        assert (seen.instance_type, seen.image_id, seen.tags) == ("t3.medium", wanted.image_id, {"Name": "one"})
        assert seen.tokens_required
        assert seen.shows_tags
        assert await ec2.describe_user_data(wanted.id) == wanted.user_data
        plain = replace(
            wanted, id="i-aaaaaaaaaaaaaaaa4", address="127.77.65.10", tokens_required=False, shows_tags=False
        )
        await ec2.run_instance(plain)
        (seen,) = [each for each in await ec2.describe_instances() if each.id == plain.id]
        assert not seen.tokens_required
        assert not seen.shows_tags

    play(scene)


def test_stopped_and_terminated_instances_are_shown_as_such(play: Play) -> None:
    async def scene(ec2: Ec2) -> None:
        network = await ec2.ensure_network("127.77")
        for number, act in enumerate((ec2.stop_instance, ec2.terminate_instance)):
            wanted = an_instance(
                id=f"i-bbbbbbbbbbbbbbbb{number}",
                subnet_id=network.subnets["us-east-1a"],
                address=f"127.77.1.{100 + number}",
            )
            await ec2.run_instance(wanted)
            await act(wanted.id)
        states = {each.id: each.state for each in await ec2.describe_instances()}
        assert states["i-bbbbbbbbbbbbbbbb0"] in {"stopping", "stopped"}
        assert states["i-bbbbbbbbbbbbbbbb1"] in {"shutting-down", "terminated"}

    play(scene)


def test_an_instance_of_no_group_has_no_lifecycle_state(play: Play) -> None:
    async def scene(ec2: Ec2) -> None:
        network = await ec2.ensure_network("127.77")
        subnet = network.subnets["us-east-1a"]
        instance = an_instance(id="i-0123456789abcde55", address="127.77.1.55", subnet_id=subnet)
        await ec2.run_instance(instance)
        for instance_id in (instance.id, "i-0123456789abcdef9"):
            assert await ec2.describe_lifecycle_state(instance_id) is None
        await ec2.terminate_instance(instance.id)
        assert await ec2.describe_lifecycle_state(instance.id) is None

    play(scene)


def test_an_instance_has_the_lifecycle_state_of_its_group(moto_url: str) -> None:
    keys = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    scaling = boto3.client("autoscaling", endpoint_url=moto_url, **keys)
    name, hook = "lifecycle-states", "lifecycle-states-hook"
    scaling.create_launch_configuration(LaunchConfigurationName=name, ImageId="ami-12c6146b", InstanceType="t3.medium")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchConfigurationName=name,
        MinSize=0,
        MaxSize=1,
        DesiredCapacity=1,
        AvailabilityZones=["us-east-1a"],
        LifecycleHookSpecificationList=[
            {"LifecycleHookName": hook, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
        ],
    )
    (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    instance_id = group["Instances"][0]["InstanceId"]
    states: list[str | None] = []

    async def run() -> None:
        async with MotoEc2(url=moto_url, region="us-east-1", access_key_id="test", secret_access_key="test") as ec2:
            states.append(await ec2.describe_lifecycle_state(instance_id))
            scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=0)
            states.append(await ec2.describe_lifecycle_state(instance_id))
            scaling.complete_lifecycle_action(
                AutoScalingGroupName=name,
                LifecycleHookName=hook,
                InstanceId=instance_id,
                LifecycleActionResult="CONTINUE",
            )
            states.append(await ec2.describe_lifecycle_state(instance_id))

    asyncio.run(run())
    assert states == ["InService", "Terminating:Wait", "Terminated"]


def test_the_size_is_what_an_agent_would_report(play: Play) -> None:
    async def scene(ec2: Ec2) -> None:
        size = await ec2.describe_size("t3.medium")
        assert (size.cpu, size.memory) == (2048, 3883)
        assert (await ec2.describe_size("m5.large")).memory == 7766

    play(scene)


def test_what_ec2_refuses_is_one_of_its_errors(play: Play) -> None:
    async def scene(ec2: Ec2) -> None:
        await ec2.ensure_network("127.77")
        with pytest.raises(Ec2Error):
            await ec2.run_instance(replace(an_instance(), subnet_id="subnet-11111111111111111"))

    play(scene)


def test_moto_gives_the_network_the_same_ids_in_every_process(moto_url: str) -> None:
    async def network_at(url: str) -> LocalNetwork:
        async with MotoEc2(url=url, region="us-east-1", access_key_id="test", secret_access_key="test") as ec2:
            return await ec2.ensure_network("127.77")

    command = [sys.executable, "-m", "awsorch.local.moto_child", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        other = asyncio.run(network_at("http://" + child.stdout.readline().split()[-1]))
        child.terminate()
    assert asyncio.run(network_at(moto_url)) == other


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "awsorch.local.moto_child", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
