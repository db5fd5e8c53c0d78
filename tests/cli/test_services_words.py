"""How far a service is, how a rollout ended, what differs between documents: pure parts of the service commands."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsorch.cli.differences import differences
from awsorch.cli.faults import Fault
from awsorch.cli.normal_forms import filled_service, normal_definition, restricted
from awsorch.cli.rollback import update_to
from awsorch.cli.rollouts import DONE, FAILED, Goal, Snapshot, goal_of, judge
from awsorch.cli.services import message_of, percent
from awsorch.cli.session import open_session
from awsorch.cli.targets import TargetReader, say_targets
from awsorch.cli.watch import patiently

ARN = "arn:aws:ecs:us-east-1:123456789012"
GOAL = Goal(service=f"{ARN}:service/default/web", deployment="ecs-svc/2")


def deployment(number: int, running: int, state: str | None = "COMPLETED", **members: Any) -> dict[str, Any]:
    status = {"rolloutState": state} if state else {}
    return {"id": f"ecs-svc/{number}", "status": "ACTIVE", "runningCount": running, **status, **members}


def service(*deployments: dict[str, Any], desired: int = 3, **members: Any) -> dict[str, Any]:
    """A service whose first deployment is the PRIMARY one."""
    deployments[0]["status"] = "PRIMARY"
    return {
        "serviceArn": GOAL.service,
        "serviceName": "web",
        "status": "ACTIVE",
        "desiredCount": desired,
        "runningCount": sum(one["runningCount"] for one in deployments),
        "pendingCount": 0,
        "taskDefinition": f"{ARN}:task-definition/web:2",
        "deployments": list(deployments),
    } | members


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        (service(deployment(2, 0, "IN_PROGRESS"), deployment(1, 3)), 0),
        (service(deployment(2, 1, "IN_PROGRESS"), deployment(1, 3)), 16),
        (service(deployment(2, 3, "IN_PROGRESS"), deployment(1, 0)), 99),
        (service(deployment(2, 3)), 100),
        (service(deployment(2, 5), desired=0), 0),
        (service(deployment(2, 0), desired=0), 100),
        (service(deployment(2, 2, None), desired=4), 50),
        (service(deployment(2, 3), deployments=[]), 0),
    ],
)
def test_how_far_a_rollout_is(known: dict[str, Any], wanted: int) -> None:
    assert percent(known) == wanted


@pytest.mark.parametrize(
    ("goal", "known", "code", "text"),
    [
        (GOAL, service(deployment(2, 3)), DONE, "web:2 runs, 3 of 3 tasks"),
        (GOAL, service(deployment(2, 3, None)), DONE, "web:2 runs, 3 of 3 tasks"),
        (GOAL, service(deployment(2, 3, "IN_PROGRESS")), None, ""),
        (GOAL, service(deployment(2, 2)), None, ""),
        (GOAL, service(deployment(2, 3), pendingCount=1), None, ""),
        (GOAL, service(deployment(2, 3), deployment(1, 0)), None, ""),
        (
            GOAL,
            service(deployment(2, 0, "FAILED", rolloutStateReason="tasks failed")),
            FAILED,
            "the deployment failed: tasks failed",
        ),
        (
            GOAL,
            service(deployment(3, 0, "IN_PROGRESS", rolloutStateReason="rolling back"), deployment(2, 0)),
            FAILED,
            "deployment ecs-svc/2 gave way to ecs-svc/3: rolling back",
        ),
        (GOAL, service(deployment(2, 0), status="DRAINING"), FAILED, "the service is DRAINING: it was deleted"),
    ],
)
def test_how_a_deployment_ended(goal: Goal, known: dict[str, Any], code: int | None, text: str) -> None:
    outcome = judge(goal, Snapshot(service=known))
    assert (outcome.code if outcome else None, outcome.text if outcome else "") == (code, text)


@pytest.mark.parametrize(
    ("status", "turns_back", "code"),
    [
        ("PENDING", False, None),
        ("IN_PROGRESS", False, None),
        ("ROLLBACK_IN_PROGRESS", False, None),
        ("SUCCESSFUL", False, DONE),
        ("SUCCESSFUL", True, FAILED),
        ("ROLLBACK_SUCCESSFUL", False, FAILED),
        ("ROLLBACK_SUCCESSFUL", True, DONE),
        ("ROLLBACK_FAILED", True, FAILED),
        ("STOPPED", False, FAILED),
    ],
)
def test_how_a_service_deployment_ended(status: str, turns_back: bool, code: int | None) -> None:
    goal = Goal(service=GOAL.service, service_deployment="arn", turns_back=turns_back)
    history = {"status": status, "statusReason": "because"}
    outcome = judge(goal, Snapshot(service=service(deployment(2, 3)), service_deployment=history))
    assert (outcome.code if outcome else None) == code
    if status in ("ROLLBACK_FAILED", "STOPPED"):
        assert outcome is not None
        assert outcome.text.endswith("because")


def test_a_change_without_a_deployment_waits_for_steadiness() -> None:
    assert goal_of(service(deployment(2, 3))) == Goal(service=GOAL.service)
    assert goal_of(service(deployment(2, 3, "IN_PROGRESS"))) == GOAL


def test_the_name_of_the_service_is_left_out_of_messages() -> None:
    assert message_of({"message": "(service web) has reached a steady state."}) == "has reached a steady state."
    assert message_of({"message": "(service web, taskSet ecs-svc/1) has begun"}) == "(taskSet ecs-svc/1) has begun"
    assert message_of({"message": "nothing of the kind"}) == "nothing of the kind"


def test_differences_name_items_whatever_their_order() -> None:
    before = {
        "containerDefinitions": [
            {"name": "a", "environment": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}], "command": ["a"]},
            {"name": "b", "portMappings": [{"containerPort": 80, "protocol": "tcp", "hostPort": 0}]},
        ],
        "requiresCompatibilities": ["EC2", "FARGATE"],
    }
    after = {
        "containerDefinitions": [
            {"name": "b", "portMappings": [{"containerPort": 80, "protocol": "tcp", "hostPort": 8080}]},
            {"name": "a", "environment": [{"name": "Y", "value": ""}, {"name": "Z", "value": "3"}], "command": ["b"]},
        ],
        "requiresCompatibilities": ["FARGATE", "EC2"],
        "cpu": "256",
    }
    assert list(differences(before, after)) == [
        "containerDefinitions[a].environment[X]: removed 1",
        'containerDefinitions[a].environment[Y]: 2 -> ""',
        "containerDefinitions[a].environment[Z]: added 3",
        'containerDefinitions[a].command: ["a"] -> ["b"]',
        "containerDefinitions[b].portMappings[80 tcp].hostPort: 0 -> 8080",
        "cpu: added 256",
    ]
    assert list(differences(before, before)) == []
    twice = {"volumes": [{"name": "a"}, {"name": "a"}]}
    assert list(differences({"volumes": []}, twice)) == ['volumes: [] -> [{"name": "a"}, {"name": "a"}]']


def test_what_ecs_fills_in_is_no_difference() -> None:
    given = {
        "family": "web",
        "cpu": "1 vCPU",
        "memory": "0.5GB",
        "taskRoleArn": "reader",
        "networkMode": "host",
        "containerDefinitions": [
            {
                "name": "a",
                "image": "i",
                "portMappings": [{"containerPort": 80}],
                "healthCheck": {"command": ["true"]},
                "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}],
                "logConfiguration": {"logDriver": "json-file"},
            }
        ],
        "volumes": [{"name": "v"}],
    }
    shown = {
        "taskDefinitionArn": f"{ARN}:task-definition/web:1",
        "revision": 1,
        "status": "ACTIVE",
        "compatibilities": ["EC2"],
        "family": "web",
        "cpu": "1024",
        "memory": "512",
        "taskRoleArn": "arn:aws:iam::123456789012:role/reader",
        "networkMode": "host",
        "placementConstraints": [],
        "containerDefinitions": [
            {
                "name": "a",
                "image": "i",
                "cpu": 0,
                "essential": True,
                "environment": [],
                "systemControls": [],
                "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
                "healthCheck": {"command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3},
                "mountPoints": [{"sourceVolume": "v", "containerPath": "/v", "readOnly": False}],
                "logConfiguration": {"logDriver": "json-file", "options": {}, "secretOptions": []},
            }
        ],
        "volumes": [{"name": "v", "host": {}}],
    }
    assert list(differences(normal_definition(shown), normal_definition(given))) == []
    assert normal_definition(given | {"networkMode": "bridge"}) != normal_definition(shown)


def test_members_that_the_api_does_not_show_are_not_asked_for() -> None:
    """An older API knows nothing of the members that a newer one fills in."""
    known = {"deploymentConfiguration": {"maximumPercent": 150, "minimumHealthyPercent": 50, "new": 1}}
    wish = {"deploymentConfiguration": {"minimumHealthyPercent": 50}}
    whole = filled_service(wish, known)
    assert whole == {"deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 50}}
    assert restricted(known, whole) == {"deploymentConfiguration": {"maximumPercent": 150, "minimumHealthyPercent": 50}}


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [(400, "ThrottlingException", 3), (500, "ServerException", 3), (400, "ClientException", 1)],
)
def test_an_api_that_cannot_just_now_is_asked_again(clean: None, status: int, code: str, tries: int) -> None:
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        if len(asked) < 3:
            answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(answer, "DescribeServices")
        return "answered"

    if tries == 3:
        assert patiently(ask) == "answered"
    else:
        with pytest.raises(ClientError):
            patiently(ask)
    assert len(asked) == tries


def revision(number: int, **members: Any) -> dict[str, Any]:
    arn = f"{ARN}:service-revision/default/web/{number}"
    return {"serviceRevisionArn": arn, "taskDefinition": f"web:{number}", "launchType": "EC2"} | members


def test_going_back_takes_the_members_of_that_revision_along() -> None:
    balancers = [{"targetGroupArn": "t", "containerName": "app", "containerPort": 80}]
    with_balancer, without = revision(1, loadBalancers=balancers), revision(2, loadBalancers=[])
    assert update_to(with_balancer, without) == {"taskDefinition": "web:1", "loadBalancers": balancers}
    assert update_to(without, with_balancer) == {"taskDefinition": "web:2", "loadBalancers": []}
    provided = {key: value for key, value in revision(3).items() if key != "launchType"}
    provided["capacityProviderStrategy"] = [{"capacityProvider": "p"}]
    assert update_to(without, provided) == {"taskDefinition": "web:2", "capacityProviderStrategy": []}
    assert update_to(without, None) == {"taskDefinition": "web:2"}
    with pytest.raises(Fault, match="launch type EXTERNAL"):
        update_to(revision(4, launchType="EXTERNAL"), without)


class FakeBalancers:
    """Both generations of Elastic Load Balancing."""

    def describe_target_health(self, TargetGroupArn: str) -> dict[str, Any]:
        states = ("healthy", "unhealthy", "initial", "draining")
        return {"TargetHealthDescriptions": [{"TargetHealth": {"State": state}} for state in states]}

    def describe_instance_health(self, LoadBalancerName: str) -> dict[str, Any]:
        return {"InstanceStates": [{"State": "InService"}, {"State": "OutOfService"}]}


def test_targets_are_counted_but_those_that_drain(endpoint: str) -> None:
    reader = TargetReader(session=open_session(endpoint, None, "default"))
    reader.clients = {"elbv2": FakeBalancers(), "elb": FakeBalancers()}
    assert say_targets(reader.count({"loadBalancers": [{"targetGroupArn": "t"}]})) == "1/3 healthy"
    assert say_targets(reader.count({"loadBalancers": [{"loadBalancerName": "b"}]})) == "1/2 healthy"
    assert say_targets(reader.count({"loadBalancers": []})) == ""
