"""How long does CloudFormation take here: a template of 30 resources with a service of three tasks, and one of 300?

A local cloud (`awsorch up`), the AWS CLI as people use it. The template is cloudformation/examples/web-service.yaml and
a few common resources more, so 30. The same service is then created through the API alone, in the stack's own cluster,
behind its own load balancer, as the stack made it: its time is what a deployment can't be faster than.

- deploy: at most 1.3 times the service alone, and 5 s, from the start of `aws cloudformation deploy` to its end
- the same again, with nothing changed: under 3 s
- a template of 300 resources: its change set is there within 1 s
- delete: under 15 s

    python benchmarks/stacks.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from sink_agent import free_port

ROOT = Path(__file__).parent.parent
AWSORCH, AWS = (Path(sys.executable).with_name(name) for name in ("awsorch", "aws"))
EXAMPLE = ROOT / "cloudformation" / "examples" / "web-service.yaml"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
MORE = {
    "Jobs": {"Type": "AWS::SQS::Queue"},
    "News": {"Type": "AWS::SNS::Topic"},
    "Password": {"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": {}}},
    "Setting": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "on"}},
    "Table": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
    },
    "Audit": {"Type": "AWS::Logs::LogGroup"},
}
RESOURCES, TASKS, MANY = 30, 3, 300
TIMES, PLUS_S, AGAIN_S, PLAN_S, DELETE_S = 1.3, 5.0, 3.0, 1.0, 15.0


def as_templates_are_read() -> type[yaml.SafeLoader]:
    """A loader for which CloudFormation's short tags are their long forms."""

    class Loader(yaml.SafeLoader):
        pass

    def long_form(loader: Loader, suffix: str, node: yaml.Node) -> Any:
        name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
        if isinstance(node, yaml.ScalarNode):
            text = loader.construct_scalar(node)
            return {name: str(text).split(".", 1) if suffix == "GetAtt" else text}
        if isinstance(node, yaml.SequenceNode):
            return {name: loader.construct_sequence(node, deep=True)}
        return {name: loader.construct_mapping(node, deep=True)}

    Loader.add_multi_constructor("!", long_form)
    return Loader


def thirty() -> str:
    """The template of 30 resources."""
    template = yaml.load(EXAMPLE.read_text(), as_templates_are_read())
    template["Resources"] |= MORE
    assert len(template["Resources"]) == RESOURCES, len(template["Resources"])
    return json.dumps(template)


def three_hundred() -> str:
    """A template of 300 resources that refer to one another."""
    resources: dict[str, Any] = {"Topic": {"Type": "AWS::SNS::Topic"}}
    for number in range(1, MANY):
        before = {"Ref": "Topic"} if number == 1 else {"Fn::GetAtt": [f"S{number - 1}", "Value"]}
        value = {"Fn::Sub": ["${before}/${AWS::StackName}/" + str(number), {"before": before}]}
        properties = {"Type": "String", "Value": value if number % 10 else {"Ref": "Topic"}}
        resources[f"S{number}"] = {"Type": "AWS::SSM::Parameter", "Properties": properties}
    return json.dumps({"Resources": resources}, separators=(",", ":"))


class Cloud:
    """A local cloud, the AWS CLI for it, and clients."""

    def __init__(self, port: int, folder: Path) -> None:
        self.folder = folder
        self._endpoint = f"http://127.0.0.1:{port}"
        self.stacks, self.ecs = self.client("cloudformation"), self.client("ecs")

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self._endpoint, region_name="us-east-1", **keys)

    def aws(self, *arguments: str) -> str:
        """Run the AWS CLI."""
        environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": self._endpoint}
        done = subprocess.run((AWS, *arguments), env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"aws {' '.join(arguments[:2])}: {done.stdout}{done.stderr}")
        return done.stdout

    def deploy(self, template: Path, *arguments: str) -> str:
        """`aws cloudformation deploy`, as one does it."""
        given = ("--stack-name", "bench", "--template-file", str(template), "--capabilities", "CAPABILITY_IAM")
        return self.aws("cloudformation", "deploy", *given, *arguments)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Look again and again."""
        ends = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < ends, "it takes more than two minutes"
            time.sleep(0.05)


@contextmanager
def cloud() -> Iterator[Cloud]:
    """A local cloud of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="awsorch-stacks-") as data:
        up = (AWSORCH, "up", "--detach", "--instances", "0", "--port", str(port), "--data", f"{data}/cloud")
        subprocess.run(up, check=True, stdout=subprocess.DEVNULL)
        try:
            yield Cloud(port, Path(data))
        finally:
            down = (AWSORCH, "down", "--data", f"{data}/cloud", "--remove")
            subprocess.run(down, check=True, stdout=subprocess.DEVNULL)


def spent(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def service_alone(cloud: Cloud) -> float:
    """Seconds from CreateService to its deployment's end, for the stack's own service made again by hand."""
    resources = cloud.stacks.describe_stack_resources(StackName="bench")["StackResources"]
    made = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
    cluster = made["Cluster"]
    (was,) = cloud.ecs.describe_services(cluster=cluster, services=[made["Service"]])["services"]

    def stable(service: str) -> bool:
        (now,) = cloud.ecs.describe_services(cluster=cluster, services=[service])["services"]
        return now["deployments"][0]["rolloutState"] == "COMPLETED" and now["runningCount"] == TASKS

    def create() -> None:
        cloud.ecs.create_service(
            cluster=cluster,
            serviceName="alone",
            taskDefinition=was["taskDefinition"],
            desiredCount=TASKS,
            loadBalancers=was["loadBalancers"],
            deploymentConfiguration=was["deploymentConfiguration"],
        )
        cloud.wait(lambda: stable("alone"))

    seconds = spent(create)
    cloud.ecs.delete_service(cluster=cluster, service="alone", force=True)
    arn = was["serviceArn"].rpartition("/")[0] + "/alone"
    cloud.wait(lambda: not cloud.ecs.list_tasks(cluster=cluster, serviceName=arn)["taskArns"])
    return seconds


def delete(cloud: Cloud) -> None:
    """Delete the stack, and see that it is gone."""
    (stack,) = cloud.stacks.describe_stacks(StackName="bench")["Stacks"]
    cloud.stacks.delete_stack(StackName="bench")

    def status() -> str:
        (now,) = cloud.stacks.describe_stacks(StackName=stack["StackId"])["Stacks"]
        return str(now["StackStatus"])

    cloud.wait(lambda: not status().endswith("_IN_PROGRESS"))
    assert status() == "DELETE_COMPLETE", status()


def plan(cloud: Cloud) -> float:
    """Seconds until the change set of the large template is there."""

    def ask() -> None:
        cloud.stacks.create_change_set(
            StackName="large", ChangeSetName="plan", ChangeSetType="CREATE", TemplateBody=three_hundred()
        )
        look = {"StackName": "large", "ChangeSetName": "plan"}
        cloud.wait(lambda: cloud.stacks.describe_change_set(**look)["Status"] == "CREATE_COMPLETE")

    seconds = spent(ask)
    cloud.stacks.delete_stack(StackName="large")
    return seconds


def main() -> int:
    """Run it; 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    deploys, alone, again, plans, deletes = [], [], [], [], []
    with cloud() as local:
        template = local.folder / "template.json"
        template.write_text(thirty())
        count = ("--parameter-overrides", f"DesiredCount={TASKS}")
        for _ in range(options.repeats):
            deploys.append(spent(lambda: local.deploy(template, *count)))
            alone.append(service_alone(local))
            again.append(spent(lambda: local.deploy(template, *count, "--no-fail-on-empty-changeset")))
            plans.append(plan(local))
            deletes.append(spent(lambda: delete(local)))
    limit = TIMES * statistics.median(alone) + PLUS_S
    rows = (
        (f"deploy {RESOURCES} resources, {TASKS} tasks", deploys, limit),
        ("deploy again, nothing changed", again, AGAIN_S),
        (f"change set of {MANY} resources", plans, PLAN_S),
        ("delete", deletes, DELETE_S),
    )
    print(f"service alone: {statistics.median(alone):.2f} s; so deploying may take {limit:.2f} s")
    for what, seconds, most in rows:
        print(f"{what}: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s (limit {most:.2f} s)")
    return int(any(statistics.median(seconds) > most for _, seconds, most in rows))


if __name__ == "__main__":
    sys.exit(main())
