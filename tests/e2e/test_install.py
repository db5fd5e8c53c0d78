"""awsorch installed by its own stacks, with `awsorch install`: in the local cloud, whose AWS makes everything but
machines that boot. What their user data would start is started here."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from awsorch.local.options import take_port
from tests.e2e.conftest import Cloud, run_awsorch, until
from tests.support.postgresql import postgresql

pytestmark = pytest.mark.docker
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
CLUSTER = "first"
CONTAINER = {
    "name": "app",
    "image": "awsorch/busybox:latest",
    "memory": 16,
    "command": ["sleep", "3600"],
    "stopTimeout": 2,
}


def client(cloud: Cloud, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def awsorch(cloud: Cloud, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_awsorch(*arguments, endpoint=cloud.endpoint)


def groups(cloud: Cloud, part: str) -> list[dict[str, Any]]:
    """The Auto Scaling groups of one of the nested stacks."""
    found = client(cloud, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return [each for each in found if f"-{part}-" in each["AutoScalingGroupName"]]


def instances(cloud: Cloud, part: str) -> set[str]:
    return {each["InstanceId"] for group in groups(cloud, part) for each in group["Instances"]}


@contextmanager
def machines_that_say_they_are_well(cloud: Cloud) -> Iterator[None]:
    """Controllers' machines, as far as CloudFormation hears of them."""
    stacks, ended, said = client(cloud, "cloudformation"), threading.Event(), set()

    def say() -> None:
        while not ended.wait(0.2):
            for group in groups(cloud, "Controller"):
                stack = group["AutoScalingGroupName"].rpartition("-Group-")[0]
                for id in {each["InstanceId"] for each in group["Instances"]} - said:
                    try:
                        stacks.signal_resource(
                            StackName=stack, LogicalResourceId="Group", UniqueId=id, Status="SUCCESS"
                        )
                        said.add(id)
                    except ClientError:
                        pass  # CloudFormation does not listen yet, or no more

    thread = threading.Thread(target=say)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def tasks(cloud: Cloud) -> dict[str, str]:
    arns = cloud.ecs.list_tasks(cluster=CLUSTER)["taskArns"]
    found = cloud.ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
    return {t["taskArn"]: t["containers"][0]["runtimeId"] for t in found if t["lastStatus"] == "RUNNING"}


def test_installed_used_upgraded_and_uninstalled(cloud: Cloud, tmp_path: Path) -> None:
    refused = awsorch(cloud, "uninstall", "--yes")
    assert (refused.returncode, "there is no stack awsorch in account" in refused.stderr) == (1, True)
    with machines_that_say_they_are_well(cloud):
        made = awsorch(cloud, "install", "--yes", "--parameter", f"ClusterName={CLUSTER}", "--parameter", "MaxSize=2")
    assert made.returncode == 0, made.stdout + made.stderr
    assert re.search(r"Endpoint +http://127\.", made.stdout)
    assert len(instances(cloud, "Controller")) == 2
    the_controllers_of_this_template_start(cloud, tmp_path)

    # Its fleet grows for a service, and the instance joins by its user data.
    cloud.ecs.register_task_definition(family="installed", containerDefinitions=[CONTAINER])
    cloud.ecs.create_service(cluster=CLUSTER, serviceName="app", taskDefinition="installed", desiredCount=2)
    until("two tasks run", lambda: len(tasks(cloud)) == 2, 90)

    running, fleet, controllers = tasks(cloud), instances(cloud, "FirstFleet"), instances(cloud, "Controller")
    again = awsorch(cloud, "install", "--yes")
    assert (again.returncode, "Nothing changes." in again.stdout) == (0, True), again.stdout + again.stderr
    asked = awsorch(cloud, "install", "--parameter", "Controllerz=3", "--yes")
    assert "the template has no parameter Controllerz; it has AgentPackage, AlarmEmail" in asked.stderr

    # Another release, and the end of the protection: controllers are others, and nothing that runs has changed.
    wheel = tmp_path / "awsorch-99.0.0-py3-none-any.whl"
    wheel.write_bytes(b"another release")
    with machines_that_say_they_are_well(cloud):
        upgraded = awsorch(
            cloud, "install", "--yes", "--wheel", str(wheel), "--parameter", "DatabaseDeletionProtection=false"
        )
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    assert not instances(cloud, "Controller") & controllers
    assert len(instances(cloud, "Controller")) == 2
    assert (instances(cloud, "FirstFleet"), tasks(cloud)) == (fleet, running)
    assert "awsorch-99.0.0-py3-none-any.whl" in user_data(cloud, "Controller")

    cloud.ecs.delete_service(cluster=CLUSTER, service="app", force=True)
    until("its tasks have ended", lambda: not tasks(cloud))
    gone = awsorch(cloud, "uninstall", "--yes")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert not groups(cloud, "Controller") + groups(cloud, "FirstFleet")
    (snapshot,) = client(cloud, "rds").describe_db_snapshots()["DBSnapshots"]
    assert snapshot["Engine"] == "postgres"


def user_data(cloud: Cloud, part: str) -> str:
    """The user data of the newest version of a group's launch template."""
    (group,) = groups(cloud, part)
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    named = group.get("LaunchTemplate") or mixed["LaunchTemplateSpecification"]
    (found,) = client(cloud, "ec2").describe_launch_template_versions(
        LaunchTemplateId=named["LaunchTemplateId"], Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    return base64.b64decode(found["LaunchTemplateData"]["UserData"]).decode()


def the_controllers_of_this_template_start(cloud: Cloud, folder: Path) -> None:
    """The script of the user data is one, and what it writes starts a controller that leads, and takes the key that
    the template made."""
    script = user_data(cloud, "Controller")
    assert subprocess.run(("bash", "-n"), input=script, text=True, check=False).returncode == 0
    files = dict(re.findall(r"^cat >(\S+) <<'END'\n(.*?)^END$", script, re.DOTALL | re.MULTILINE))
    collected = json.loads(files["/opt/aws/amazon-cloudwatch-agent/etc/awsorch.json"])
    assert collected["logs"]["logs_collected"]["files"]["collect_list"][0]["log_group_name"].startswith("/awsorch/")
    assert "ExecStart=/etc/awsorch/start" in files["/etc/systemd/system/awsorch.service"]
    settings = json.loads(files["/etc/awsorch/settings.json"])
    joins = run_awsorch("userdata", "--cluster", "default", "--endpoint", cloud.endpoint).stdout
    (folder / "user-data").write_text(joins)
    with postgresql() as server:
        # RDS and its password are played; the rest is as in the account.
        settings |= {"database_url": server.database(), "user_data": str(folder / "user-data"), "database_secret": ""}
        settings |= {"port": take_port("127.0.0.1", 0), "host": "127.0.0.1", "aws_endpoint": cloud.endpoint}
        # CloudFormation's answers are taken at its own buckets there, and here at the door.
        doors = [cloud.endpoint, f"http://172.17.0.1:{urlsplit(cloud.endpoint).port}"]  # also as containers find it
        settings["custom_resource_response_hosts"] = [urlsplit(each).netloc for each in doors]
        (folder / "settings.json").write_text(json.dumps(settings))
        start = folder / "start"
        start.write_text(files["/etc/awsorch/start"].replace("/opt/awsorch/bin/python", sys.executable))
        start.chmod(0o755)
        environment = {**KEYS, "PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": cloud.endpoint}
        environment["AWSORCH_SETTINGS"] = str(folder / "settings.json")
        log = (folder / "log").open("w")
        with log, subprocess.Popen((str(start),), env=environment, stderr=log) as process:
            try:
                key = json.loads(
                    client(cloud, "secretsmanager").get_secret_value(SecretId=admin_key(cloud))["SecretString"]
                )
                ecs = boto3.client(
                    "ecs",
                    endpoint_url=f"http://127.0.0.1:{settings['port']}",
                    region_name="us-east-1",
                    aws_access_key_id=key["accessKeyId"],
                    aws_secret_access_key=key["secretAccessKey"],
                )
                until("it serves", lambda: answers(lambda: ecs.list_clusters()["clusterArns"] == []), 30)
                a_transformed_template_is_its(cloud, ecs, folder)
            finally:
                process.terminate()
        assert process.returncode == 0, (folder / "log").read_text()


def a_transformed_template_is_its(cloud: Cloud, ecs: Any, folder: Path) -> None:
    """`awsorch cfn deploy` for the topic of the installed stack: CloudFormation asks it, by way of its queue this
    controller hears of it, makes the resources in itself, and CloudFormation has its answer."""
    template = folder / "app.json"
    service = {
        "Cluster": {"Ref": "Cluster"},
        "TaskDefinition": {"Ref": "App"},
        "DesiredCount": "0",
        "ServiceName": "app",
    }
    resources = {
        "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterName": "of-template"}},
        "App": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {"Family": "app", "ContainerDefinitions": [{"Name": "a", "Image": "any", "Memory": "16"}]},
        },
        "Service": {"Type": "AWS::ECS::Service", "Properties": service},
    }
    outputs = {"Service": {"Value": {"Ref": "Service"}}, "Name": {"Value": {"Fn::GetAtt": ["Service", "Name"]}}}

    def deployed(**changes: Any) -> subprocess.CompletedProcess[str]:
        template.write_text(json.dumps({"Resources": {**resources, **changes}, "Outputs": outputs}))
        account = "arn:aws:sns:us-east-1:123456789012:awsorch-cfn"
        command = ("cfn", "deploy", "--template-file", str(template), "--stack-name", "app", "--service-token", account)
        return awsorch(cloud, *command)

    made = deployed()
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Service = arn:aws:ecs:us-east-1:123456789012:service/of-template/app" in made.stdout
    (found,) = ecs.describe_services(cluster="of-template", services=["app"])["services"]
    assert (found["status"], found["desiredCount"], found["deploymentController"]["type"]) == ("ACTIVE", 0, "ECS")
    assert cloud.ecs.describe_clusters(clusters=["of-template"])["clusters"] == [], "it is not the local cloud's"

    changed = deployed(
        Service={"Type": "AWS::ECS::Service", "Properties": {**service, "HealthCheckGracePeriodSeconds": 9}}
    )
    refused = deployed(Service={"Type": "AWS::ECS::Service", "Properties": {**service, "DesiredCount": "many"}})
    assert (changed.returncode, refused.returncode) == (0, 255), changed.stdout + refused.stdout
    assert "Service (Custom::AwsorchEcsService)" in refused.stderr
    (found,) = ecs.describe_services(cluster="of-template", services=["app"])["services"]
    assert found["healthCheckGracePeriodSeconds"] == 9

    stacks = client(cloud, "cloudformation")
    stacks.delete_stack(StackName="app")
    until("its cluster is gone", lambda: ecs.list_clusters()["clusterArns"] == [])
    until("the stack is gone", lambda: not answers(lambda: bool(stacks.describe_stacks(StackName="app"))))


def admin_key(cloud: Cloud) -> str:
    (stack,) = client(cloud, "cloudformation").describe_stacks(StackName="awsorch")["Stacks"]
    return str({each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}["AdminKey"])


def answers(ask: Callable[[], bool]) -> bool:
    from botocore.exceptions import BotoCoreError

    try:
        return ask()
    except (BotoCoreError, ClientError):
        return False


def test_user_data_of_the_fleet_is_what_the_command_prints() -> None:
    """With Fn::Sub's names in the place of values."""
    text = (Path(__file__).resolve().parents[2] / "cloudformation" / "fleet.yaml").read_text()

    class Plain(yaml.SafeLoader):
        pass

    Plain.add_multi_constructor("!", lambda loader, tag, node: getattr(node, "value", None))
    template = yaml.load(text, Plain)
    written = template["Resources"]["Template"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    named = {"ClusterName": "c1", "Endpoint": "http://there", "Package": "awsorch==1.2"}
    written = re.sub(r"\$\{(\w+)\}", lambda found: named[found[1]], written).replace("${!", "${")
    printed = run_awsorch(
        "userdata", "--cluster", "c1", "--endpoint", "http://there", "--package", "awsorch==1.2", "--spot-draining"
    ).stdout
    assert written.replace("package='awsorch==1.2'", "package=awsorch==1.2").rstrip() == printed.rstrip()
