"""moto's load balancers outlive moto."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from awsorch.local.elb_memory import ElbMemory


@contextmanager
def running_moto(file: Path) -> Iterator[str]:
    """A moto that keeps load balancers in a file; killed, not stopped, at the end."""
    command = [sys.executable, "-m", "awsorch.local.moto_child", "--port", "0", "--load-balancers", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        try:
            yield "http://" + child.stdout.readline().split()[-1]
        finally:
            child.kill()


def client(url: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def make_everything(url: str) -> None:
    elbv2, elb, ec2 = (client(url, name) for name in ("elbv2", "elb", "ec2"))
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    balancer = elbv2.create_load_balancer(Name="web", Subnets=subnets, Tags=[{"Key": "team", "Value": "a"}])
    arn = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    group = elbv2.create_target_group(Name="group", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    elbv2.modify_target_group_attributes(
        TargetGroupArn=group["TargetGroupArn"],
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "7"}],
    )
    forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
    listener = elbv2.create_listener(LoadBalancerArn=arn, Port=80, Protocol="HTTP", DefaultActions=forward)
    elbv2.create_rule(
        ListenerArn=listener["Listeners"][0]["ListenerArn"],
        Priority=5,
        Conditions=[{"Field": "path-pattern", "Values": ["/a*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )
    ports = [{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}]
    elb.create_load_balancer(LoadBalancerName="old", Listeners=ports, AvailabilityZones=["us-east-1a"])


def everything(url: str) -> dict[str, Any]:
    """All that the two APIs say of load balancers, without what belongs to one answer."""
    elbv2, elb = client(url, "elbv2"), client(url, "elb")
    balancers = elbv2.describe_load_balancers()["LoadBalancers"]
    groups = elbv2.describe_target_groups()["TargetGroups"]
    listeners = [
        each
        for one in balancers
        for each in elbv2.describe_listeners(LoadBalancerArn=one["LoadBalancerArn"])["Listeners"]
    ]
    arns = [each["LoadBalancerArn"] for each in balancers]
    return {
        "balancers": [one | {"State": None} for one in balancers],
        "groups": groups,
        "listeners": listeners,
        "rules": [elbv2.describe_rules(ListenerArn=each["ListenerArn"])["Rules"] for each in listeners],
        "attributes": [
            elbv2.describe_target_group_attributes(TargetGroupArn=each["TargetGroupArn"])["Attributes"]
            for each in groups
        ],
        "tags": elbv2.describe_tags(ResourceArns=arns)["TagDescriptions"] if arns else [],
        "classic": elb.describe_load_balancers()["LoadBalancerDescriptions"],
    }


def test_arns_name_the_type(tmp_path: Path) -> None:
    with running_moto(tmp_path / "load-balancers.json") as url:
        elbv2, ec2 = client(url, "elbv2"), client(url, "ec2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
        for kind, part in {"application": "app", "network": "net", "gateway": "gwy"}.items():
            made = elbv2.create_load_balancer(Name=kind, Subnets=subnets, Type=kind)["LoadBalancers"]
            (found,) = elbv2.describe_load_balancers(LoadBalancerArns=[made[0]["LoadBalancerArn"]])["LoadBalancers"]
            assert f":loadbalancer/{part}/{kind}/" in found["LoadBalancerArn"]
            assert found["Type"] == kind


def test_load_balancers_are_the_same_after_moto_was_killed(tmp_path: Path) -> None:
    file = tmp_path / "upstream" / "load-balancers.json"
    with running_moto(file) as url:
        make_everything(url)
        before = everything(url)
    assert len(before["rules"][0]) == 2
    with running_moto(file) as url:
        assert everything(url) == before
        elbv2, elb = client(url, "elbv2"), client(url, "elb")
        elbv2.delete_load_balancer(LoadBalancerArn=before["balancers"][0]["LoadBalancerArn"])
        elbv2.delete_target_group(TargetGroupArn=before["groups"][0]["TargetGroupArn"])
        elb.delete_load_balancer(LoadBalancerName="old")
    assert file.stat().st_mode & 0o077 == 0
    with running_moto(file) as url:
        after = everything(url)
        assert not any(after.values()), "what was deleted leaves nothing"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no JSON", "it is no JSON"),
        (json.dumps({"moto": "0.0.1", "objects": ""}), "it is of moto 0.0.1"),
    ],
)
def test_a_file_that_cannot_be_used_is_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    file = tmp_path / "load-balancers.json"
    file.write_text(text)
    ElbMemory(file).restore()
    assert why in caplog.text
    assert not file.exists()
    assert (tmp_path / "load-balancers.json.unreadable").read_text() == text


def test_a_file_names_nothing_but_load_balancers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import base64
    import pickle
    import shutil

    import moto

    objects = base64.b64encode(pickle.dumps(shutil.rmtree)).decode()
    file = tmp_path / "load-balancers.json"
    file.write_text(json.dumps({"moto": moto.__version__, "objects": objects}))
    ElbMemory(file).restore()
    assert "shutil.rmtree is nothing of a load balancer's" in caplog.text
