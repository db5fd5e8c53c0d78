"""What moto knows outlives moto."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import moto
import pytest
import requests

from awsorch.local.moto_memory import MotoMemory
from tests.support.moto_process import client


@contextmanager
def running_moto(file: Path) -> Iterator[str]:
    """A moto that keeps load balancers in a file; killed, not stopped, at the end."""
    command = [sys.executable, "-m", "awsorch.local.moto_child", "--port", "0", "--memory", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        try:
            yield "http://" + child.stdout.readline().split()[-1]
        finally:
            child.kill()


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
    with running_moto(tmp_path / "moto.memory") as url:
        elbv2, ec2 = client(url, "elbv2"), client(url, "ec2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
        for kind, part in {"application": "app", "network": "net", "gateway": "gwy"}.items():
            made = elbv2.create_load_balancer(Name=kind, Subnets=subnets, Type=kind)["LoadBalancers"]
            (found,) = elbv2.describe_load_balancers(LoadBalancerArns=[made[0]["LoadBalancerArn"]])["LoadBalancers"]
            assert f":loadbalancer/{part}/{kind}/" in found["LoadBalancerArn"]
            assert found["Type"] == kind


def test_load_balancers_are_the_same_after_moto_was_killed(tmp_path: Path) -> None:
    file = tmp_path / "upstream" / "moto.memory"
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


TAGS = [{"Key": "team", "Value": "a"}]


def make_an_environment(url: str) -> None:
    """One of each that a group, a service or a task definition refers to, made by hand and by a stack."""
    ec2, scaling, iam = client(url, "ec2"), client(url, "autoscaling"), client(url, "iam")
    vpc = ec2.create_vpc(CidrBlock="127.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.9.0.0/18", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    template = {"ImageId": image, "InstanceType": "t3.micro", "UserData": "ZWNobw=="}
    ec2.create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData=template)
    ec2.create_launch_template_version(
        LaunchTemplateName="nodes", SourceVersion="1", LaunchTemplateData={"InstanceType": "m5.large"}
    )
    ec2.modify_launch_template(LaunchTemplateName="nodes", DefaultVersion="2")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="nodes",
        MinSize=1,
        MaxSize=5,
        DesiredCapacity=2,
        VPCZoneIdentifier=subnet,
        LaunchTemplate={"LaunchTemplateName": "nodes", "Version": "$Default"},
        Tags=[{"Key": "team", "Value": "a", "PropagateAtLaunch": True}],
    )
    scaling.put_lifecycle_hook(
        AutoScalingGroupName="nodes",
        LifecycleHookName="drain",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=60,
    )
    member = scaling.describe_auto_scaling_instances()["AutoScalingInstances"][0]["InstanceId"]
    scaling.terminate_instance_in_auto_scaling_group(InstanceId=member, ShouldDecrementDesiredCapacity=False)
    iam.create_role(RoleName="task", AssumeRolePolicyDocument="{}")
    client(url, "ssm").put_parameter(
        Name="/shop/key", Value="hidden", Type="SecureString", Tags=[{"Key": "a", "Value": "b"}]
    )
    client(url, "secretsmanager").create_secret(Name="shop", SecretString="hidden")
    client(url, "ecr").create_repository(repositoryName="shop")
    client(url, "cloudwatch").put_metric_alarm(
        AlarmName="errors",
        MetricName="5xx",
        Namespace="Shop",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Statistic="Sum",
    )
    role = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "stacked", "AssumeRolePolicyDocument": {}}}
    client(url, "cloudformation").create_stack(StackName="shop", TemplateBody=json.dumps({"Resources": {"Role": role}}))


def the_environment(url: str) -> dict[str, Any]:
    ec2, scaling = client(url, "ec2"), client(url, "autoscaling")
    groups = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    return {
        "vpcs": ec2.describe_vpcs()["Vpcs"],
        "subnets": ec2.describe_subnets()["Subnets"],
        "instances": [each["Instances"] for each in ec2.describe_instances()["Reservations"]],
        "templates": ec2.describe_launch_templates()["LaunchTemplates"],
        "versions": ec2.describe_launch_template_versions(LaunchTemplateName="nodes")["LaunchTemplateVersions"],
        "images": len(ec2.describe_images()["Images"]),
        "groups": groups,
        "hooks": scaling.describe_lifecycle_hooks(AutoScalingGroupName="nodes")["LifecycleHooks"],
        "activities": scaling.describe_scaling_activities(AutoScalingGroupName="nodes")["Activities"],
        "roles": client(url, "iam").list_roles()["Roles"],
        "parameter": client(url, "ssm").get_parameter(Name="/shop/key", WithDecryption=True)["Parameter"],
        "tags": client(url, "ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId="/shop/key")["TagList"],
        "secret": client(url, "secretsmanager").get_secret_value(SecretId="shop")["SecretString"],
        "repositories": client(url, "ecr").describe_repositories()["repositories"],
        "alarms": client(url, "cloudwatch").describe_alarms()["MetricAlarms"],
        "stacks": client(url, "cloudformation").describe_stacks()["Stacks"],
    }


def test_an_environment_is_the_same_after_moto_was_killed_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "moto.memory"
    with running_moto(file) as url:
        make_an_environment(url)
        before = the_environment(url)
    assert {each["LifecycleState"] for each in before["groups"][0]["Instances"]} >= {"InService", "Terminating:Wait"}
    with running_moto(file) as url:
        assert the_environment(url) == before
        scaling, ec2 = client(url, "autoscaling"), client(url, "ec2")
        leaving = next(
            each["InstanceId"]
            for each in before["groups"][0]["Instances"]
            if each["LifecycleState"] == "Terminating:Wait"
        )
        scaling.complete_lifecycle_action(
            AutoScalingGroupName="nodes",
            LifecycleHookName="drain",
            InstanceId=leaving,
            LifecycleActionResult="CONTINUE",
        )
        (ended,) = ec2.describe_instances(InstanceIds=[leaving])["Reservations"][0]["Instances"]
        assert ended["State"]["Name"] == "terminated", "the group's instance and EC2's are one"
        scaling.set_desired_capacity(AutoScalingGroupName="nodes", DesiredCapacity=3)
        (group,) = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        assert [each["LifecycleState"] for each in group["Instances"]] == ["InService"] * 3
        (newest,) = {each["InstanceId"] for each in group["Instances"]} - {
            each["InstanceId"] for each in before["groups"][0]["Instances"]
        }
        (launched,) = ec2.describe_instances(InstanceIds=[newest])["Reservations"][0]["Instances"]
        assert (launched["InstanceType"], launched["ImageId"]) == ("m5.large", before["instances"][0][0]["ImageId"])
        assert launched["PrivateIpAddress"] not in {
            each["PrivateIpAddress"]
            for one in before["instances"]
            for each in one
            if each["State"]["Name"] == "running"
        }
        client(url, "ssm").add_tags_to_resource(
            ResourceType="Parameter", ResourceId="/shop/key", Tags=[{"Key": "c", "Value": "d"}]
        )
        client(url, "cloudformation").delete_stack(StackName="shop")
        assert [each["RoleName"] for each in client(url, "iam").list_roles()["Roles"]] == ["task"]
    with running_moto(file) as url:
        after = the_environment(url)
        assert after["stacks"] == []
        assert len(after["groups"][0]["Instances"]) == 3
        assert len(after["tags"]) == 2


def test_what_falls_due_while_nobody_calls_is_kept_too(tmp_path: Path) -> None:
    """A launch that is refused now is tried again by the group itself."""
    file = tmp_path / "moto.memory"
    with running_moto(file) as url:
        ec2, scaling = client(url, "ec2"), client(url, "autoscaling")
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        ec2.create_launch_template(
            LaunchTemplateName="nodes", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
        )
        fault = {"instanceType": "t3.micro", "count": 1}
        requests.post(f"{url}/awsorch/faults", json=fault, timeout=10).raise_for_status()
        scaling.create_auto_scaling_group(
            AutoScalingGroupName="nodes",
            MinSize=1,
            MaxSize=1,
            AvailabilityZones=["us-east-1a"],
            LaunchTemplate={"LaunchTemplateName": "nodes"},
        )
        assert not ec2.describe_instances()["Reservations"]
        ids = []
        while not ids:  # the group tries again after a few seconds
            ids = [each["InstanceId"] for each in scaling.describe_auto_scaling_instances()["AutoScalingInstances"]]
    with running_moto(file) as url:
        (reservation,) = client(url, "ec2").describe_instances()["Reservations"]
        assert [each["InstanceId"] for each in reservation["Instances"]] == ids


def test_the_network_that_a_first_look_makes_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "moto.memory"
    with running_moto(file) as url:
        before = client(url, "ec2").describe_vpcs()["Vpcs"]
    with running_moto(file) as url:
        assert client(url, "ec2").describe_vpcs()["Vpcs"] == before


def written(objects: bytes) -> bytes:
    head = {"moto": moto.__version__, "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    return json.dumps(head | {"sha256": hashlib.sha256(objects).hexdigest()}).encode() + b"\n" + objects


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x00\xff", "it does not begin as it should"),
        (b"7\n", "it does not begin as it should"),
        (written(b"").replace(moto.__version__.encode(), b"0.0.1"), "it is of moto 0.0.1"),
        (written(b"abc")[:-1], "it is damaged"),
        (written(b"abc"), "UnpicklingError"),
        (written(pickle.dumps(shutil.rmtree)), "shutil.rmtree is nothing of moto's"),
        (written(pickle.dumps(eval)), "builtins.eval is nothing of moto's"),
    ],
)
def test_a_file_that_cannot_be_used_is_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str
) -> None:
    file = tmp_path / "moto.memory"
    file.write_bytes(content)
    MotoMemory(file, threading.Condition()).restore()
    assert why in caplog.text
    assert not file.exists()
    assert (tmp_path / "moto.memory.unreadable").read_bytes() == content
