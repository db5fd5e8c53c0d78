"""LocalStack, or LocalEmu, that answers ECS from awsorch: all operations as they are, and CloudFormation's types."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from tests.e2e.conftest import until
from tests.localstack.clouds import client, cloud
from tests.support.localstack import PINS, running

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
TARGET = "AmazonEC2ContainerServiceV20141113"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """awsorch, with containers that are only numbers."""
    with cloud(tmp_path_factory.mktemp("cloud"), "--engine", "simulated", "--instances", "1") as endpoint:
        yield endpoint


@pytest.fixture(scope="module", params=sorted(PINS))
def aws(request: pytest.FixtureRequest, door: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(request.param, tmp_path_factory.mktemp(request.param), AWSORCH_ENDPOINT=door) as url:
        yield url


def call(url: str, operation: str) -> tuple[int, Any]:
    """Status and answer of an operation that is asked for with nothing."""
    headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = urllib.request.Request(url, b"{}", headers | {"Authorization": SIGNED})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_every_operation_passes_as_it_is(aws: str, door: str) -> None:
    operations = botocore.session.get_session().get_service_model("ecs").operation_names
    assert len(operations) >= 80
    for operation in operations:
        (status, answer), (wanted_status, wanted) = call(aws, operation), call(door, operation)
        assert (status, answer.get("__type"), answer.get("message")) == (
            wanted_status,
            wanted.get("__type"),
            wanted.get("message"),
        ), operation
    assert client(aws, "sqs").list_queues().get("QueueUrls", []) == [], "the others are its own"


def template(count: int = 1, family: str = "of-localstack", memory: Any = "16") -> str:
    container = {
        "Name": "a",
        "Image": "any",
        "Memory": memory,
        "Environment": [{"Name": "Q", "Value": {"Ref": "Queue"}}],
    }
    return json.dumps(
        {
            "Resources": {
                "Queue": {"Type": "AWS::SQS::Queue"},
                "Cluster": {"Type": "AWS::ECS::Cluster"},
                "Definition": {
                    "Type": "AWS::ECS::TaskDefinition",
                    "Properties": {"Family": family, "ContainerDefinitions": [container]},
                },
                "Service": {
                    "Type": "AWS::ECS::Service",
                    "Properties": {
                        "ServiceName": "of-localstack",
                        "TaskDefinition": {"Ref": "Definition"},
                        "DesiredCount": count,
                    },
                },
            },
            "Outputs": {
                "Service": {"Value": {"Ref": "Service"}},
                "Name": {"Value": {"Fn::GetAtt": ["Service", "Name"]}},
                "Cluster": {"Value": {"Fn::GetAtt": ["Cluster", "Arn"]}},
            },
        }
    )


def settled(stacks: Any, name: str) -> dict[str, Any]:
    def stack() -> dict[str, Any]:
        return dict(stacks.describe_stacks(StackName=name)["Stacks"][0])

    until("the stack has settled", lambda: not stack()["StackStatus"].endswith("_IN_PROGRESS"))
    return stack()


def test_its_stacks_make_change_replace_and_remove_what_is_awsorch_s(aws: str, door: str) -> None:
    stacks, ecs = client(aws, "cloudformation"), client(door, "ecs")

    def service() -> dict[str, Any]:
        return dict(ecs.describe_services(services=["of-localstack"])["services"][0])

    stacks.create_stack(StackName="ours", TemplateBody=template())
    made = settled(stacks, "ours")
    assert made["StackStatus"] == "CREATE_COMPLETE", reasons(stacks, "ours")
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
    assert outputs["Name"] == "of-localstack"
    assert outputs["Service"] == service()["serviceArn"]
    assert outputs["Cluster"] in ecs.list_clusters()["clusterArns"]
    assert service()["runningCount"] == 1, "it is complete when its deployment is"

    stacks.update_stack(StackName="ours", TemplateBody=template(2))
    assert settled(stacks, "ours")["StackStatus"] == "UPDATE_COMPLETE", reasons(stacks, "ours")
    assert service()["runningCount"] == 2

    # A definition of another family is another resource, and the former one goes.
    stacks.update_stack(StackName="ours", TemplateBody=template(2, "another"))
    assert settled(stacks, "ours")["StackStatus"] == "UPDATE_COMPLETE", reasons(stacks, "ours")
    assert "/another:" in service()["taskDefinition"]
    assert ecs.list_task_definitions(familyPrefix="of-localstack")["taskDefinitionArns"] == []

    stacks.delete_stack(StackName="ours")
    until("it is gone", lambda: ecs.list_services()["serviceArns"] == [])
    until("its cluster is gone", lambda: outputs["Cluster"] not in ecs.list_clusters()["clusterArns"])
    assert ecs.list_task_definitions(familyPrefix="another")["taskDefinitionArns"] == []


def test_what_awsorch_refuses_fails_the_stack_with_its_words(aws: str) -> None:
    stacks = client(aws, "cloudformation")
    stacks.create_stack(StackName="refused", TemplateBody=template(memory="2"))
    assert settled(stacks, "refused")["StackStatus"] != "CREATE_COMPLETE"
    assert any("Definition: " in each and "memory" in each.lower() for each in reasons(stacks, "refused"))
    stacks.delete_stack(StackName="refused")


def test_a_service_that_fails_goes_with_its_stack(aws: str, door: str) -> None:
    stacks, ecs = client(aws, "cloudformation"), client(door, "ecs")
    ends = [{"Name": "SIMULATED_RUN_SECONDS", "Value": "0"}, {"Name": "SIMULATED_EXIT_CODE", "Value": "1"}]
    container = {"Name": "a", "Image": "any", "Memory": 16, "Environment": ends}
    service = {
        "TaskDefinition": {"Ref": "Definition"},
        "DeploymentConfiguration": {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": False}},
    }
    resources = {
        "Definition": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": [container]}},
        "Service": {"Type": "AWS::ECS::Service", "Properties": service},
    }
    stacks.create_stack(StackName="failing", TemplateBody=json.dumps({"Resources": resources}))
    assert settled(stacks, "failing")["StackStatus"] == "CREATE_FAILED"
    assert any("Circuit Breaker" in each for each in reasons(stacks, "failing"))
    assert len(ecs.list_services()["serviceArns"]) == 1
    stacks.delete_stack(StackName="failing")
    until("it is gone", lambda: ecs.list_services()["serviceArns"] == [])


def reasons(stacks: Any, name: str) -> list[str]:
    events = stacks.describe_stack_events(StackName=name)["StackEvents"]
    failed = (each for each in events if each["ResourceStatus"].endswith("_FAILED"))
    return [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}" for each in failed]
