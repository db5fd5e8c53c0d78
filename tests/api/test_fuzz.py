"""Whatever is sent, no operation answers with a 5xx; answers have the shape of the model, and errors are those that it
declares."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.loaders
import pytest
from botocore.model import ServiceModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awsorch.core.events_capacity import GroupSeen
from awsorch.wire.codec import Codec
from tests.support.served import ServedApi, served_api
from tests.support.shapes import inputs_for, mutated_inputs_for

CODEC = Codec.load("ecs")
MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("ecs", "service-2"), "ecs")
#: Examples an operation; each is one valid-shaped and one mutated input.
EXAMPLES = 25
#: What is seen of the group behind the one capacity provider.
A_GROUP: dict[str, Any] = {"minimum": 0, "maximum": 9, "desired": 0, "zones": {}, "offers": (), "machines": ()}


class Sender:
    """Posts bytes to the API as they are."""

    def __init__(self, api: ServedApi) -> None:
        self._connection = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=30)

    def post(self, target: str, body: bytes, content_type: str = "application/x-amz-json-1.1") -> tuple[int, Any]:
        headers = {"X-Amz-Target": target, "Content-Type": content_type}
        self._connection.request("POST", "/", body, headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def call(self, operation: str, value: Any) -> tuple[int, Any]:
        return self.post(f"{CODEC.target_prefix}.{operation}", json.dumps(value).encode("utf-8", "replace"))


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Sender, dict[str, list[str]]]]:
    """A served API with something in it, and names that lead to it, by member name."""
    with served_api() as api:
        group = {"autoScalingGroupArn": "web", "managedScaling": {"status": "ENABLED"}}
        api.ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=group)
        api.ecs.create_cluster(clusterName="default", capacityProviders=["cp"])
        api.submit("default", GroupSeen(provider="cp", hooked=True, **A_GROUP))
        instance = api.ecs.register_container_instance(
            totalResources=[
                {"name": "CPU", "type": "INTEGER", "integerValue": 10**6},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": 10**6},
            ]
        )["containerInstance"]["containerInstanceArn"]
        api.connect(instance)
        api.ecs.register_task_definition(
            family="web", containerDefinitions=[{"name": "app", "image": "busybox", "memory": 16}]
        )
        task = api.ecs.run_task(taskDefinition="web")["tasks"]
        service = api.ecs.create_service(serviceName="site", taskDefinition="web", desiredCount=1)["service"]
        daemon = api.ecs.create_service(serviceName="each", taskDefinition="web", schedulingStrategy="DAEMON")[
            "service"
        ]
        services = [service["serviceArn"], daemon["serviceArn"], "site"]
        deployment = service["currentServiceDeployment"]
        revision = service["currentServiceRevisions"][0]["arn"]
        arns = [t["taskArn"] for t in task]
        names = {
            "cluster": ["default", "arn:aws:ecs:us-east-1:123456789012:cluster/default"],
            "clusters": ["default"],
            "taskDefinition": ["web", "web:1"],
            "task": arns,
            "tasks": arns,
            "containerInstance": [instance],
            "containerInstances": [instance],
            "targetId": [instance],
            "resourceArn": [instance, *arns, *services[:2]],
            "containerName": ["app"],
            "service": services,
            "services": services,
            "serviceName": ["site", "new"],
            "serviceDeploymentArn": [deployment],
            "serviceDeploymentArns": [deployment],
            "serviceRevisionArns": [revision],
            "capacityProvider": ["cp", "FARGATE"],
            "capacityProviders": ["cp", "FARGATE"],
            "name": ["cp", "app"],
        }
        yield Sender(api), names


def lead_somewhere(value: Any, names: dict[str, list[str]], choose: Callable[[list[str]], str]) -> Any:
    """The same input with names that exist, so that it gets past the first check."""
    if isinstance(value, list):
        return [lead_somewhere(item, names, choose) for item in value]
    if not isinstance(value, dict):
        return value
    led = {key: lead_somewhere(item, names, choose) for key, item in value.items()}
    for key in set(led) & set(names):
        if isinstance(led[key], str):
            led[key] = choose(names[key])
        elif isinstance(led[key], list):
            led[key] = [choose(names[key]) for _ in led[key]]
    return led


@pytest.mark.parametrize("operation", sorted(CODEC.operations))
def test_no_input_is_a_server_error(operation: str, world: tuple[Sender, dict[str, list[str]]]) -> None:
    sender, names = world
    declared = MODEL.operation_model(operation).error_shapes
    allowed = {"SerializationException", "UnsupportedFeatureException", *(shape.name for shape in declared)}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs_for(operation), mutated_inputs_for(operation), st.data())
    def check(valid: Any, mutated: Any, data: st.DataObject) -> None:
        led = lead_somewhere(valid, names, lambda choices: data.draw(st.sampled_from(choices)))
        for value in (valid, led, mutated):
            status, answer = sender.call(operation, value)
            assert status in (200, 400), (value, answer)
            if status == 200:
                CODEC.check_output(operation, answer)
            else:
                assert answer["__type"] in allowed, answer
                assert answer["message"], answer

    check()


@pytest.mark.parametrize(
    ("target", "body", "content_type", "status", "code"),
    [
        ("", b"{}", "application/x-amz-json-1.1", 400, "UnknownOperationException"),
        ("AmazonEC2ContainerServiceV20141113.Nope", b"{}", "application/x-amz-json-1.1", 400, "UnknownOperation"),
        ("Other.ListClusters", b"{}", "application/x-amz-json-1.1", 400, "UnknownOperationException"),
        ("AmazonEC2ContainerServiceV20141113.ListClusters", b"{", "application/x-amz-json-1.1", 400, "Serialization"),
        ("AmazonEC2ContainerServiceV20141113.ListClusters", b"[" * 10**5, "application/x-amz-json-1.1", 400, "Seriali"),
        ("AmazonEC2ContainerServiceV20141113.ListClusters", b"\xff\xfe", "application/x-amz-json-1.1", 400, "Serializ"),
        ("AmazonEC2ContainerServiceV20141113.ListClusters", b"{}", "text/html", 400, "SerializationException"),
        ("AmazonEC2ContainerServiceV20141113.ListClusters", b" " * 2**21, "application/json", 413, "RequestEntityToo"),
        ("AwsorchV1.DescribeStory", b'{"arn": 5}', "application/json", 400, "InvalidParameterException"),
    ],
)
def test_bad_requests(
    world: tuple[Sender, dict[str, list[str]]],
    target: str,
    body: bytes,
    content_type: str,
    status: int,
    code: str,
) -> None:
    seen, answer = world[0].post(target, body, content_type)
    assert (seen, answer["__type"].startswith(code)) == (status, True), answer


def test_operations_that_are_not_built_say_their_name(world: tuple[Sender, dict[str, list[str]]]) -> None:
    status, answer = world[0].call("ListDaemons", {})
    assert (status, answer["__type"]) == (400, "UnsupportedFeatureException")
    assert "ListDaemons" in answer["message"]
