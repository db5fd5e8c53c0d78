"""Plays every template of tests/e2e/corpus on a local cloud: created, used, updated, broken and rolled back, deleted.

python -m tests.e2e.corpus_play        prints the table of docs/stacks.md
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from tests.e2e.conftest import AWSORCH, Cloud, run_awsorch, until

CORPUS = Path(__file__).parent / "corpus"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
#: What no service becomes stable with: the circuit breaker fails its deployment. It takes a while.
NOT_THERE = {"Image": "awsorch/there-is-none:1"}
#: What no task definition can be made of.
NO_IMAGE = {"Image": ""}
LONG_S = 90.0
#: What has to be as it was when all stacks are gone: service, call, and the list in its answer.
INVENTORY = (
    ("ec2", "describe_vpcs", "Vpcs"),
    ("ec2", "describe_subnets", "Subnets"),
    ("ec2", "describe_security_groups", "SecurityGroups"),
    ("ec2", "describe_internet_gateways", "InternetGateways"),
    ("ec2", "describe_route_tables", "RouteTables"),
    ("ec2", "describe_launch_templates", "LaunchTemplates"),
    ("ec2", "describe_addresses", "Addresses"),
    ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"),
    ("autoscaling", "describe_launch_configurations", "LaunchConfigurations"),
    ("elbv2", "describe_load_balancers", "LoadBalancers"),
    ("elbv2", "describe_target_groups", "TargetGroups"),
    ("iam", "list_roles", "Roles"),
    ("iam", "list_instance_profiles", "InstanceProfiles"),
    ("lambda", "list_functions", "Functions"),
    ("logs", "describe_log_groups", "logGroups"),
    ("secretsmanager", "list_secrets", "SecretList"),
    ("sqs", "list_queues", "QueueUrls"),
    ("sns", "list_topics", "Topics"),
    ("dynamodb", "list_tables", "TableNames"),
    ("efs", "describe_file_systems", "FileSystems"),
    ("events", "list_rules", "Rules"),
    ("cloudwatch", "describe_alarms", "MetricAlarms"),
    ("ecs", "list_clusters", "clusterArns"),
    ("ecs", "list_task_definitions", "taskDefinitionArns"),
    ("ecs", "describe_capacity_providers", "capacityProviders"),
)

Edit = Callable[[str], str]


def as_it_is(text: str) -> str:
    return text


def instead(old: str, new: str) -> Edit:
    """Something else in the template."""

    def edit(text: str) -> str:
        assert old in text, old
        return text.replace(old, new)

    return edit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A template; what changes it: parameters, or its text; what breaks it the same way, and the word that its failure
    has; ``url``: the output at which it answers; ``packaged``: other templates go to S3 first."""

    name: str
    path: str
    update: Mapping[str, str] = field(default_factory=dict)
    edit: Edit = as_it_is
    broken: Mapping[str, str] = field(default_factory=lambda: NO_IMAGE)
    spoil: Edit = as_it_is
    why: str = "image"
    url: str = ""
    packaged: bool = False
    keep: bool = False


CLUSTER = Entry(
    name="cluster",
    path="cluster.yaml",
    update={"DesiredCapacity": "1"},
    broken={"DesiredCapacity": "9"},
    why="between",
    keep=True,
)
ENTRIES = (
    CLUSTER,
    Entry(
        name="shop",
        path="public-service.yaml",
        update={"Text": "two", "DesiredCount": "3"},
        broken=NOT_THERE,
        why="Circuit Breaker",
        url="Url",
    ),
    Entry(name="collect", path="daemon.yaml", update={"Every": "20"}),
    Entry(name="nightly", path="scheduled.yaml", update={"Schedule": "rate(1 day)"}),
    Entry(name="tcp", path="network-balancer.yaml", update={"Word": "again"}, url="Url"),
    Entry(name="secret", path="secrets.yaml", update={"Mode": "loud"}),
    Entry(name="files", path="files.yaml", update={"Count": "1"}),
    Entry(name="scale", path="autoscaling.yaml", update={"Most": "6"}),
    Entry(name="grow", path="capacity.yaml", update={"Count": "2"}),
    Entry(name="loops", path="loops.yaml", update={"Names": "beta,gamma"}),
    Entry(name="sam", path="sam.yaml", update={"Greeting": "good day"}),
    Entry(name="nested", path="nested/main.yaml", update={"Replicas": "2"}, why="Embedded stack", packaged=True),
    Entry(
        name="web",
        path="cdk/web.json",
        edit=instead('"DesiredCount": 2', '"DesiredCount": 3'),
        broken={},
        spoil=instead("awsorch/busybox:latest", "awsorch/there-is-none:1"),
        why="Circuit Breaker",
        url="ServiceServiceURL250C0FB6",
    ),
    Entry(
        name="worker",
        path="cdk/worker.json",
        edit=instead('"3600"', '"3601"'),
        broken={},
        spoil=instead("awsorch/busybox:latest", ""),
    ),
)


@dataclass(slots=True)
class Played:
    """How it went: resources, and seconds for each act."""

    name: str
    resources: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


class Stage:
    """A local cloud on which templates are played."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.stacks = self.client("cloudformation")

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.cloud.endpoint, region_name="us-east-1", **keys)

    def inventory(self) -> dict[str, int]:
        """How much there is of everything."""
        clients = {service: self.client(service) for service in {each[0] for each in INVENTORY}}
        return {call: len(getattr(clients[service], call)().get(name, [])) for service, call, name in INVENTORY}

    def play(self, entry: Entry) -> Played:
        """All acts but the last; an entry to ``keep`` is deleted by whoever asked for it."""
        played, text = Played(entry.name), self._text(entry)
        self._act(played, "create", lambda: self._deploy(entry, text, {}, "CREATE_COMPLETE"))
        played.resources = len(self.stacks.describe_stack_resources(StackName=entry.name)["StackResources"])
        self._use(entry)
        changed = entry.edit(text)
        self._act(played, "update", lambda: self._deploy(entry, changed, entry.update, "UPDATE_COMPLETE"))
        self._use(entry)
        spoiled, broken = entry.spoil(changed), {**entry.update, **entry.broken}
        self._act(played, "roll back", lambda: self._deploy(entry, spoiled, broken, "UPDATE_ROLLBACK_COMPLETE"))
        failed = [each for each in self._events(entry) if each["ResourceStatus"].endswith("_FAILED")]
        said = [each.get("ResourceStatusReason", "") for each in failed]
        assert any(entry.why in each for each in said), said
        self._use(entry)
        if not entry.keep:
            self._act(played, "delete", lambda: self.delete(entry))
        return played

    def delete(self, entry: Entry) -> None:
        (stack,) = self.stacks.describe_stacks(StackName=entry.name)["Stacks"]
        self.stacks.delete_stack(StackName=entry.name)
        self._settle(stack["StackId"], "DELETE_COMPLETE")

    def _act(self, played: Played, name: str, does: Callable[[], None]) -> None:
        began = time.perf_counter()
        does()
        played.seconds[name] = time.perf_counter() - began

    def _deploy(self, entry: Entry, text: str, parameters: Mapping[str, str], status: str) -> None:
        """As `aws cloudformation deploy` does it, without its naps."""
        is_new = status == "CREATE_COMPLETE"
        name = status.lower().replace("_", "-")
        self.stacks.create_change_set(
            StackName=entry.name,
            ChangeSetName=name,
            ChangeSetType="CREATE" if is_new else "UPDATE",
            TemplateBody=text,
            Capabilities=CAPABILITIES,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        made = self.stacks.describe_change_set(StackName=entry.name, ChangeSetName=name)
        assert made["Status"] == "CREATE_COMPLETE", made.get("StatusReason")
        self.stacks.execute_change_set(StackName=entry.name, ChangeSetName=name)
        self._settle(entry.name, status)

    def _settle(self, name: str, status: str) -> None:
        def now() -> str:
            return str(self.stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

        until(f"{name} has settled", lambda: not now().endswith("_IN_PROGRESS"), LONG_S)
        assert now() == status, (now(), self._why(name))

    def _why(self, name: str) -> list[str]:
        events = self.stacks.describe_stack_events(StackName=name)["StackEvents"]
        failed = (each for each in events if each["ResourceStatus"].endswith("_FAILED"))
        return [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}" for each in failed]

    def _events(self, entry: Entry) -> list[dict[str, Any]]:
        return list(self.stacks.describe_stack_events(StackName=entry.name)["StackEvents"])

    def _use(self, entry: Entry) -> None:
        """Ask it, where it answers."""
        if not entry.url:
            return
        (stack,) = self.stacks.describe_stacks(StackName=entry.name)["Stacks"]
        (url,) = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == entry.url]
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200

    def _text(self, entry: Entry) -> str:
        path = CORPUS / entry.path
        if not entry.packaged:
            return path.read_text()
        self.client("s3").create_bucket(Bucket="templates")
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        package = ("cloudformation", "package", "--template-file", str(path), "--s3-bucket", "templates")
        done = subprocess.run(
            (str(Path(AWSORCH).with_name("aws")), *package), env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout


def play_all(stage: Stage) -> Iterator[Played]:
    """Every entry; the cluster is there for the others, and goes last."""
    for entry in ENTRIES:
        played = stage.play(entry)
        if not entry.keep:
            yield played
            continue
        kept = played
    stage._act(kept, "delete", lambda: stage.delete(CLUSTER))
    yield kept


@contextmanager
def a_cloud() -> Iterator[Cloud]:
    """A local cloud without instances of its own."""
    with tempfile.TemporaryDirectory(prefix="awsorch-corpus-") as folder:
        data = Path(folder) / "cloud"
        started = run_awsorch("up", "--detach", "--json", "--instances", "0", "--port", "0", "--data", str(data))
        assert started.returncode == 0, started.stderr
        endpoint = json.loads(started.stdout)["endpoint"]
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        ecs = boto3.client("ecs", endpoint_url=endpoint, region_name="us-east-1", **keys)
        try:
            yield Cloud(data=data, endpoint=endpoint, ecs=ecs)
        finally:
            stopped = run_awsorch("down", "--remove", "--data", str(data))
            assert stopped.returncode == 0, stopped.stderr


def main() -> int:
    """Print the table."""
    acts = ("create", "update", "roll back", "delete")
    print(f"| template | resources | {' | '.join(acts)} |")
    print(f"| --- | ---: | {' | '.join('---:' for _ in acts)} |")
    paths = {entry.name: entry.path for entry in ENTRIES}
    with a_cloud() as cloud:
        stage = Stage(cloud)
        before = stage.inventory()
        for played in play_all(stage):
            cells = " | ".join(f"{played.seconds[act]:.1f} s" for act in acts)
            print(f"| `{paths[played.name]}` | {played.resources} | {cells} |", flush=True)
        left = {name: count - before[name] for name, count in stage.inventory().items() if count != before[name]}
    print(f"left, where nothing is but what templates retain: {left}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
