"""Tasks with networks of their own, as the API takes and shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsorch.core.commands import ProvideAttachment
from awsorch.core.events_attachments import AttachmentProvided
from awsorch.engine.ports import CloudFailure
from tests.api.services import refused, wait
from tests.support.cloud import ZONES, Cloud
from tests.support.served import ServedApi, served_api

SUBNET = next(iter(ZONES))
CONTAINERS = [{"name": "app", "image": "busybox", "cpu": 64, "memory": 64, "portMappings": [{"containerPort": 80}]}]


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def api(cloud: Cloud) -> Iterator[ServedApi]:
    with served_api(cloud=cloud) as api:
        api.ecs.create_cluster(clusterName="default")
        api.ecs.register_task_definition(family="web", networkMode="awsvpc", containerDefinitions=CONTAINERS)
        api.ecs.register_task_definition(family="plain", containerDefinitions=CONTAINERS)
        yield api


def network(**members: Any) -> dict[str, Any]:
    return {"awsvpcConfiguration": {"subnets": [SUBNET], **members}}


def join(api: ServedApi) -> str:
    """An instance of the subnet's zone that can do what the definition asks for."""
    document = {"instanceId": "i-1", "availabilityZone": ZONES[SUBNET], "instanceType": "t3.medium"}
    definition = api.ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]
    numbers = {"CPU": 2048, "MEMORY": 4096}
    made = api.ecs.register_container_instance(
        cluster="default",
        instanceIdentityDocument=json.dumps(document),
        totalResources=[{"name": n, "type": "INTEGER", "integerValue": v} for n, v in numbers.items()],
        attributes=definition["requiresAttributes"],
    )
    arn = str(made["containerInstance"]["containerInstanceArn"])
    api.connect(arn)
    return arn


def test_a_task_shows_its_interface(api: ServedApi) -> None:
    join(api)
    answer = api.ecs.run_task(taskDefinition="web", networkConfiguration=network(securityGroups=["sg-1"]))
    (task,) = answer["tasks"]
    (attachment,) = task["attachments"]
    assert (task["lastStatus"], attachment["status"]) == ("PROVISIONING", "PRECREATED")
    assert attachment["details"] == [{"name": "subnetId", "value": SUBNET}]
    (command,) = api.sent(ProvideAttachment)
    assert (command.subnet, command.security_groups, command.machine) == (SUBNET, ("sg-1",), "i-1")
    details = {"subnetId": SUBNET, "networkInterfaceId": "eni-1", "privateIPv4Address": "10.0.0.7"}
    api.submit(
        "default",
        AttachmentProvided(
            task_id=task["taskArn"].rpartition("/")[2], attachment_id=attachment["id"], details=details, facts={}
        ),
    )
    arn = f"arn:aws:ecs:us-east-1:123456789012:attachment/{attachment['id']}"
    api.ecs.submit_task_state_change(
        cluster="default", task=task["taskArn"], attachments=[{"attachmentArn": arn, "status": "ATTACHED"}]
    )
    (seen,) = api.ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert (seen["lastStatus"], seen["attachments"][0]["status"]) == ("PENDING", "ATTACHED")
    assert {each["name"]: each["value"] for each in seen["attachments"][0]["details"]} == details
    shown = [{"attachmentId": attachment["id"], "privateIpv4Address": "10.0.0.7"}]
    assert seen["containers"][0]["networkInterfaces"] == shown


def test_a_task_has_an_ipv6_address_unless_the_account_wants_none(api: ServedApi) -> None:
    join(api)
    (task,) = api.ecs.run_task(taskDefinition="web", networkConfiguration=network())["tasks"]
    details = {"networkInterfaceId": "eni-1", "privateIPv4Address": "10.0.0.7", "ipv6Address": "2600:1f13::7"}
    api.submit(
        "default",
        AttachmentProvided(
            task_id=task["taskArn"].rpartition("/")[2],
            attachment_id=task["attachments"][0]["id"],
            details=details,
            facts={},
        ),
    )
    (seen,) = api.ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    (interface,) = seen["containers"][0]["networkInterfaces"]
    assert (interface["privateIpv4Address"], interface["ipv6Address"]) == ("10.0.0.7", "2600:1f13::7")
    api.ecs.put_account_setting_default(name="dualStackIPv6", value="disabled")
    api.ecs.run_task(taskDefinition="web", networkConfiguration=network())
    assert [command.ipv6 for command in api.sent(ProvideAttachment)] == [True, False]


def test_that_there_is_no_trunking_is_told_where_the_account_wants_it(api: ServedApi) -> None:
    def told(attributes: list[dict[str, str]]) -> str | None:
        made = api.ecs.register_container_instance(cluster="default", attributes=attributes)["containerInstance"]
        assert made["status"] == "ACTIVE"
        return made.get("statusReason")

    with_interfaces = [{"name": "ecs.capability.task-eni"}]
    assert told(with_interfaces) is None
    api.ecs.put_account_setting_default(name="awsvpcTrunking", value="enabled")
    assert str(told(with_interfaces)).startswith("The account setting awsvpcTrunking has no effect")
    assert told([]) is None, "such an instance has no tasks that it could be about"


def test_an_instance_has_as_many_as_its_type(api: ServedApi) -> None:
    join(api)
    answer = api.ecs.run_task(taskDefinition="web", count=3, networkConfiguration=network())
    assert len(answer["tasks"]) == 2
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:ENI"]


@pytest.mark.parametrize(
    ("family", "configuration", "message"),
    [
        ("web", None, "Network Configuration must be provided when networkMode 'awsvpc' is specified."),
        ("plain", network(), "Network Configuration is not valid for the given networkMode of this task definition."),
        ("web", {"awsvpcConfiguration": {"subnets": []}}, "subnets can not be empty."),
        ("web", network(subnets=[SUBNET] * 17), "subnets can have at most 16 items."),
        ("web", network(securityGroups=["sg"] * 6), "securityGroups can have at most 5 items."),
        ("web", network(assignPublicIp="ENABLED"), "Assign public IP is not supported for this launch type."),
        ("web", network(subnets=["subnet-x"]), r"Error retrieving subnet information for \[subnet-x\]: The subnet ID"),
    ],
)
@pytest.mark.parametrize("operation", ["run_task", "start_task", "create_service"])
def test_what_makes_no_sense_is_refused(
    api: ServedApi, operation: str, family: str, configuration: Any, message: str
) -> None:
    given: dict[str, Any] = {"taskDefinition": family}
    if configuration is not None:
        given["networkConfiguration"] = configuration
    if operation == "start_task":
        given["containerInstances"] = [join(api)]
    elif operation == "create_service":
        given |= {"serviceName": "web", "desiredCount": 1}
    with refused("InvalidParameterException", message):
        getattr(api.ecs, operation)(**given)


def test_while_ec2_is_away_the_caller_may_try_again(api: ServedApi, cloud: Cloud) -> None:
    join(api)
    cloud.failure = CloudFailure("RequestLimitExceeded", "slower")
    with pytest.raises(ClientError, match="The subnets could not be described: RequestLimitExceeded"):
        api.ecs.run_task(taskDefinition="web", networkConfiguration=network())
    cloud.failure = None
    assert api.ecs.run_task(taskDefinition="web", networkConfiguration=network())["tasks"]


def test_a_service_keeps_its_network_until_it_is_given_another(api: ServedApi) -> None:
    join(api)
    api.ecs.create_service(
        serviceName="web", taskDefinition="web", desiredCount=1, networkConfiguration=network(securityGroups=["sg-1"])
    )
    wait(api.ecs, "ListTasks", "length(taskArns) == `1`", serviceName="web")
    groups = {each.security_groups for each in api.sent(ProvideAttachment)}
    assert groups == {("sg-1",)}
    updated = api.ecs.update_service(service="web", networkConfiguration=network(securityGroups=["sg-2"]))["service"]
    (primary,) = [each for each in updated["deployments"] if each["status"] == "PRIMARY"]
    assert primary["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"] == ["sg-2"]
