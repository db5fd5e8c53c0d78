"""Task definitions through boto3: revisions, statuses, lists, tags."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsorch.api.views_task_definitions import task_definition_view
from awsorch.core.definitions.register import prepare
from awsorch.core.events_registry import ForgetTaskDefinitions, RegisterTaskDefinition
from awsorch.wire.codec import Codec
from tests.support.builders import a_definition
from tests.support.served import SCOPE, ServedApi

ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition"
CONTAINERS = [{"name": "app", "image": "busybox", "memory": 64}]


def refused(code: str, text: str) -> Any:
    """Expect a ClientError of this code with exactly this message."""
    return pytest.raises(ClientError, match=rf"\({code}\) when calling the \w+ operation: {text}$")


def register(ecs: Any, family: str = "web", count: int = 1, **members: Any) -> list[str]:
    """Registers so many revisions; answers family:revision of each."""
    names = []
    for _ in range(count):
        made = ecs.register_task_definition(family=family, containerDefinitions=CONTAINERS, **members)["taskDefinition"]
        names.append(f"{made['family']}:{made['revision']}")
    return names


def listed(ecs: Any, **request: Any) -> list[str]:
    pages = ecs.get_paginator("list_task_definitions").paginate(**request)
    return [arn.rpartition("/")[2] for page in pages for arn in page["taskDefinitionArns"]]


def test_register_and_describe(ecs: Any) -> None:
    answer = ecs.register_task_definition(
        family="web", containerDefinitions=CONTAINERS, cpu="1 vCPU", tags=[{"key": "team", "value": "a"}]
    )
    made = answer["taskDefinition"]
    assert made["taskDefinitionArn"] == f"{ARN}/web:1"
    assert (made["family"], made["revision"], made["status"], made["cpu"]) == ("web", 1, "ACTIVE", "1024")
    assert made["registeredBy"] == "arn:aws:iam::123456789012:root"
    assert made["compatibilities"] == ["EXTERNAL", "EC2"]
    assert answer["tags"] == [{"key": "team", "value": "a"}]
    for name in ("web", "web:1", f"{ARN}/web:1", f"{ARN}/web"):
        described = ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
        assert described["taskDefinition"] == made
        assert described["tags"] == answer["tags"]
    assert "tags" not in ecs.describe_task_definition(taskDefinition="web")


def test_the_view_has_the_shape_of_the_model() -> None:
    container = {
        **CONTAINERS[0],
        "portMappings": [{"containerPort": 80}, {"containerPortRange": "90-91"}],
        "healthCheck": {"command": ["true"]},
        "logConfiguration": {"logDriver": "json-file"},
        "restartPolicy": {"enabled": True},
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}],
    }
    request = {
        "family": "web",
        "containerDefinitions": [container],
        "volumes": [{"name": "v", "host": {}}],
        "cpu": "1 vCPU",
        "memory": "1GB",
        "placementConstraints": [{"type": "memberOf", "expression": "task:group == a"}],
    }
    document = {**prepare(request, region="us-east-1", account="1" * 12)}
    del document["family"]
    record = a_definition(definition=document, deregistered_at=2.0, delete_requested_at=3.0)
    answer = {"taskDefinition": task_definition_view(record), "tags": [{"key": "a", "value": "b"}]}
    Codec.load("ecs").check_output("DescribeTaskDefinition", answer)


def test_a_refused_definition_uses_no_revision(ecs: Any) -> None:
    with refused("ClientException", "Container.name should not be null or empty."):
        ecs.register_task_definition(family="web", containerDefinitions=[{"image": "busybox"}])
    with refused("InvalidParameterException", "Tag keys cannot start with 'aws:'.*"):
        ecs.register_task_definition(
            family="web", containerDefinitions=CONTAINERS, tags=[{"key": "aws:x", "value": ""}]
        )
    with refused("InvalidParameterException", ".*"):
        constraint = {"type": "memberOf", "expression": "attribute:a =="}
        ecs.register_task_definition(family="web", containerDefinitions=CONTAINERS, placementConstraints=[constraint])
    assert register(ecs) == ["web:1"]


def test_a_life_from_active_to_gone(api: ServedApi, ecs: Any) -> None:
    register(ecs, count=2)
    inactive = ecs.deregister_task_definition(taskDefinition="web:2")["taskDefinition"]
    assert inactive["status"] == "INACTIVE"
    assert inactive["deregisteredAt"] >= inactive["registeredAt"]
    assert ecs.deregister_task_definition(taskDefinition=f"{ARN}/web:2")["taskDefinition"] == inactive
    assert ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]["revision"] == 1
    assert ecs.describe_task_definition(taskDefinition="web:2")["taskDefinition"] == inactive

    names = ["web:1", f"{ARN}/web:2", "web:9", "web", f"{ARN.replace('1234', '9999')}/web:1"]
    answer = ecs.delete_task_definitions(taskDefinitions=names)
    (going,) = answer["taskDefinitions"]
    assert (going["revision"], going["status"]) == (2, "DELETE_IN_PROGRESS")
    assert going["deleteRequestedAt"] >= going["deregisteredAt"]
    missing = "The specified task definition does not exist. Specify a valid account, family, revision and try again."
    assert {failure["arn"]: failure["reason"] for failure in answer["failures"]} == {
        f"{ARN}/web:1": "The specified task definition is still in ACTIVE status. "
        "Please deregister the target and try again.",
        f"{ARN}/web:9": missing,
        "web": "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.",
        names[4]: missing,
    }
    with refused("ClientException", "The task definition could not be deregistered because it is in the process.*"):
        ecs.deregister_task_definition(taskDefinition="web:2")
    assert ecs.delete_task_definitions(taskDefinitions=["web:2"])["taskDefinitions"] == [going]
    assert listed(ecs, status="DELETE_IN_PROGRESS") == ["web:2"]

    forgotten = api.run(api.controller.registry.submit(ForgetTaskDefinitions(keys=("web:1", "web:2"))))
    assert forgotten == ("web:2",)
    with refused("ClientException", "Unable to describe task definition."):
        ecs.describe_task_definition(taskDefinition="web:2")
    assert register(ecs) == ["web:3"]


@pytest.mark.parametrize(
    ("operation", "name", "code", "text"),
    [
        ("describe", "nothing", "ClientException", "Unable to describe task definition."),
        ("describe", "nothing:1", "ClientException", "Unable to describe task definition."),
        (
            "describe",
            "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1",
            "InvalidParameterException",
            "Invalid Region in ARN",
        ),
        ("describe", "web:x", "InvalidParameterException", "Invalid revision number. Number: x"),
        ("describe", "web:0", "InvalidParameterException", "Invalid revision number. Number: 0"),
        ("describe", "we b", "InvalidParameterException", "The specified task definition identifier is invalid. .*"),
        ("describe", "arn:aws:ecs:us-east-1:123456789012:task/web", "InvalidParameterException", "The specified .*"),
        ("deregister", "web", "ClientException", "Revision is missing."),
        ("deregister", "web:1x", "InvalidParameterException", "Invalid revision number. Number: 1x"),
        ("deregister", "web:9999999999", "ClientException", "Unable to deregister task definition."),
        ("deregister", f"{ARN.replace('1234', '9999')}/web:1", "InvalidParameterException", "Identifier is for 9.*"),
    ],
)
def test_names_that_name_nothing(ecs: Any, operation: str, name: str, code: str, text: str) -> None:
    register(ecs)
    with refused(code, text):
        getattr(ecs, f"{operation}_task_definition")(taskDefinition=name)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "size of TaskDefinition references list must be greater than 0"),
        ([f"web:{n}" for n in range(1, 12)], "Size of TaskDefinition references list cannot exceed 10"),
    ],
)
def test_deleting_none_or_too_many(ecs: Any, names: list[str], text: str) -> None:
    with refused("ClientException", text):
        ecs.delete_task_definitions(taskDefinitions=names)


def test_lists(ecs: Any) -> None:
    register(ecs, "web", 11)
    register(ecs, "web-2")
    register(ecs, "api", 2)
    for name in ("web:10", "api:1", "api:2"):
        ecs.deregister_task_definition(taskDefinition=name)
    web = [f"web:{n}" for n in (*range(1, 10), 11)]
    assert listed(ecs) == [*web, "web-2:1"]
    assert listed(ecs, maxResults=4) == [*web, "web-2:1"]
    assert listed(ecs, maxResults=3, sort="DESC") == [*web, "web-2:1"][::-1]
    assert listed(ecs, familyPrefix="web") == web
    assert listed(ecs, familyPrefix="web", sort="DESC", maxResults=1) == web[::-1]
    assert listed(ecs, familyPrefix="we") == []
    assert listed(ecs, status="INACTIVE", maxResults=1) == ["api:1", "api:2", "web:10"]


def test_families(ecs: Any) -> None:
    for family in ("web", "web-2", "api"):
        register(ecs, family)
    ecs.deregister_task_definition(taskDefinition="web:1")

    def families(**request: Any) -> list[str]:
        pages = ecs.get_paginator("list_task_definition_families").paginate(**request)
        return [family for page in pages for family in page["families"]]

    assert families() == ["api", "web", "web-2"]
    assert families(maxResults=1) == ["api", "web", "web-2"]
    assert families(status="ACTIVE") == ["api", "web-2"]
    assert families(status="INACTIVE") == ["web"]
    assert families(status="ALL", familyPrefix="web") == ["web", "web-2"]


@pytest.mark.parametrize("request_", [{"nextToken": "!"}, {"maxResults": 0}, {"maxResults": 101}])
def test_bad_pages(ecs: Any, request_: dict[str, Any]) -> None:
    with refused("InvalidParameterException", ".*"):
        ecs.list_task_definitions(**request_)


def test_pages_do_not_skip_while_revisions_change(ecs: Any) -> None:
    register(ecs, count=4)
    first = ecs.list_task_definitions(maxResults=2)
    ecs.deregister_task_definition(taskDefinition="web:2")
    register(ecs)
    rest = ecs.list_task_definitions(nextToken=first["nextToken"])
    assert rest["taskDefinitionArns"] == [f"{ARN}/web:{n}" for n in (3, 4, 5)]


def test_revisions_survive_a_restart(api: ServedApi, ecs: Any) -> None:
    register(ecs, count=3)
    ecs.deregister_task_definition(taskDefinition="web:3")

    async def restart() -> None:
        await api.controller.stop()
        await api.controller.start()

    before = ecs.describe_task_definition(taskDefinition="web:3")
    api.run(restart())
    assert ecs.describe_task_definition(taskDefinition="web:3")["taskDefinition"] == before["taskDefinition"]
    assert listed(ecs) == ["web:1", "web:2"]
    assert register(ecs) == ["web:4"]


def test_many_revisions_at_once_get_numbers_of_their_own(api: ServedApi, ecs: Any) -> None:
    document = prepare({"family": "web", "containerDefinitions": CONTAINERS}, region="us-east-1", account="1" * 12)
    event = RegisterTaskDefinition(document=document, registered_by="me", scope=SCOPE)

    async def register_all() -> list[int]:
        made = await asyncio.gather(*(api.controller.registry.submit(event) for _ in range(100)))
        return [definition.revision for definition in made]

    assert sorted(api.run(register_all())) == list(range(1, 101))
    assert len(listed(ecs)) == 100
