"""UpdateService: what changes at once, what makes a deployment, and updates that meet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsorch.engine.ports import GroupFacts, LoadBalancerFailure
from tests.api.services import describe, refused
from tests.support.served import ServedApi, served_api

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{}/73e2d6bc24d8a067"
ROLE = "arn:aws:iam::123456789012:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"


class Groups:
    """Target groups that there are, by ARN. ``failure`` is raised, ``meanwhile`` called when they are looked for."""

    def __init__(self) -> None:
        self.known: dict[str, GroupFacts] = {}
        self.failure: LoadBalancerFailure | None = None
        self.meanwhile: Callable[[], Any] | None = None
        self.asked: list[str] = []

    def add(self, name: str, target_type: str = "instance", balancers: tuple[str, ...] = ("lb",)) -> str:
        arn = GROUP.format(name)
        self.known[arn] = GroupFacts(arn=arn, target_type=target_type, load_balancer_arns=balancers)
        return arn

    async def describe_groups(self, arns: Sequence[str]) -> Mapping[str, GroupFacts]:
        self.asked.extend(arns)
        if self.failure is not None:
            raise self.failure
        if self.meanwhile is not None:
            await asyncio.get_running_loop().run_in_executor(None, self.meanwhile)
        return {arn: self.known[arn] for arn in arns if arn in self.known}


@pytest.fixture
def groups() -> Groups:
    return Groups()


@pytest.fixture
def api(groups: Groups) -> Any:
    """A served API that can ask for target groups."""
    with served_api(load_balancers=groups) as api:
        yield api


@pytest.fixture
def web(ecs: Any) -> str:
    """Service "a" of a task definition with ports 80 and 81 of container "app"."""
    ports = [{"containerPort": 80}, {"containerPort": 81}]
    containers = [{"name": "app", "image": "busybox", "memory": 16, "portMappings": ports}]
    for _ in range(2):
        ecs.register_task_definition(family="web", containerDefinitions=containers)
    service = ecs.create_service(serviceName="a", taskDefinition="web:1", desiredCount=0)["service"]
    return str(service["deployments"][0]["id"])


def behind(arn: str, port: int = 80) -> list[dict[str, Any]]:
    return [{"targetGroupArn": arn, "containerName": "app", "containerPort": port}]


def primary(service: dict[str, Any]) -> str:
    return str(service["deployments"][0]["id"])


def test_members_that_change_at_once(ecs: Any, web: str) -> None:
    strategy = [{"type": "spread", "field": "attribute:ecs.availability-zone"}, {"type": "binpack", "field": "memory"}]
    changes = {
        "desiredCount": 3,
        "placementStrategy": strategy,
        "placementConstraints": [{"type": "distinctInstance"}],
        "healthCheckGracePeriodSeconds": 30,
        "enableExecuteCommand": True,
        "enableECSManagedTags": True,
        "propagateTags": "SERVICE",
        "availabilityZoneRebalancing": "DISABLED",
    }
    service = ecs.update_service(service="a", **changes)["service"]
    assert {name: service[name] for name in changes} == changes
    assert primary(service) == web
    cleared = ecs.update_service(service="a", placementStrategy=[], placementConstraints=[])["service"]
    assert (cleared["placementStrategy"], cleared["placementConstraints"]) == ([], [])


def test_deployment_configuration_keeps_what_is_not_said(ecs: Any, web: str) -> None:
    breaker = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 4}}
    ecs.update_service(service="a", deploymentConfiguration={"minimumHealthyPercent": 50})
    asked = {"deploymentCircuitBreaker": breaker, "alarms": {"alarmNames": ["x"], "enable": True, "rollback": False}}
    service = ecs.update_service(service="a", deploymentConfiguration=asked)["service"]
    assert service["deploymentConfiguration"] == {
        "minimumHealthyPercent": 50,
        "maximumPercent": 200,
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
        "deploymentCircuitBreaker": {**breaker, "resetOnHealthyTask": True},
        "alarms": asked["alarms"],
    }
    assert primary(service) == web


@pytest.mark.parametrize(
    ("members", "deploys"),
    [
        ({}, False),
        ({"taskDefinition": "web:1"}, False),
        ({"taskDefinition": "web:1", "desiredCount": 1}, False),
        ({"taskDefinition": "web:2"}, True),
        ({"taskDefinition": "web:1", "forceNewDeployment": True}, True),
        ({"forceNewDeployment": True}, True),
        ({"loadBalancers": [], "capacityProviderStrategy": [], "serviceRegistries": []}, False),
        ({"volumeConfigurations": [], "networkConfiguration": {}}, False),
        ({"loadBalancers": behind(GROUP.format("good"))}, True),
        ({"serviceConnectConfiguration": {"enabled": False}}, True),
    ],
)
def test_what_makes_a_deployment(ecs: Any, groups: Groups, web: str, members: dict[str, Any], deploys: bool) -> None:
    groups.add("good")
    service = ecs.update_service(service="a", **members)["service"]
    assert (primary(service) != web) is deploys
    assert len(ecs.list_service_deployments(service="a")["serviceDeployments"]) == 1 + deploys
    again = ecs.update_service(service="a", **{**members, "forceNewDeployment": False})["service"]
    assert primary(again) == primary(service)


def test_a_deregistered_definition_starts_no_deployment(ecs: Any, web: str) -> None:
    ecs.deregister_task_definition(taskDefinition="web:1")
    assert ecs.update_service(service="a", desiredCount=2)["service"]["desiredCount"] == 2
    with refused("ClientException", "TaskDefinition is inactive"):
        ecs.update_service(service="a", forceNewDeployment=True)


def test_target_groups_are_shown_and_change_with_a_deployment(ecs: Any, groups: Groups, web: str) -> None:
    first, second = groups.add("one"), groups.add("two")
    asked = {"taskDefinition": "web", "desiredCount": 0}
    made = ecs.create_service(serviceName="b", loadBalancers=behind(first), **asked)["service"]
    assert (made["loadBalancers"], made["healthCheckGracePeriodSeconds"]) == (behind(first), 0)
    assert made["roleArn"] == ROLE
    both = behind(first) + behind(second, 81)
    assert ecs.update_service(service="b", loadBalancers=both)["service"]["loadBalancers"] == both
    (revision,) = describe(ecs, "b")["currentServiceRevisions"][:1]
    (shown,) = ecs.describe_service_revisions(serviceRevisionArns=[revision["arn"]])["serviceRevisions"]
    assert shown["resolvedConfiguration"] == {"loadBalancers": [{"targetGroupArn": arn} for arn in (first, second)]}
    own = ecs.create_service(serviceName="c", loadBalancers=behind(first), role="/a/mine", **asked)["service"]
    assert own["roleArn"] == "arn:aws:iam::123456789012:role/a/mine"


def test_target_groups_that_are_not_fit(ecs: Any, groups: Groups, web: str) -> None:
    lonely, addresses = groups.add("lonely", balancers=()), groups.add("addresses", target_type="ip")
    gone = GROUP.format("gone")
    for arn, text in (
        (lonely, f"The target group with targetGroupArn {lonely} does not have an associated load balancer."),
        (
            addresses,
            f"The provided target group {addresses} has target type ip, which is incompatible with the bridge network "
            "mode specified in the task definition.",
        ),
        (gone, "Unable to assume role and validate the specified targetGroupArn."),
    ):
        with refused("InvalidParameterException", text):
            ecs.update_service(service="a", loadBalancers=behind(arn))
    groups.failure = LoadBalancerFailure("AccessDenied", "not you")
    with refused("InvalidParameterException", r"Unable to assume role .* permissions. \(AccessDenied: not you\)"):
        ecs.update_service(service="a", loadBalancers=behind(lonely))
    assert primary(describe(ecs, "a")) == web
    # Nothing is asked for an update that leaves load balancers alone.
    ecs.update_service(service="a", desiredCount=1, forceNewDeployment=True)
    assert groups.asked == [lonely, addresses, gone, lonely]


def test_a_classic_load_balancer_is_known_by_its_name(ecs: Any, groups: Groups, web: str) -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}]
    containers = [{"name": "app", "image": "busybox", "memory": 16, "portMappings": ports}]
    ecs.register_task_definition(family="web", containerDefinitions=containers)
    classic = [{"loadBalancerName": "classic", "containerName": "app", "containerPort": 80}]
    made = ecs.create_service(serviceName="b", taskDefinition="web", desiredCount=0, loadBalancers=classic)["service"]
    assert made["loadBalancers"] == classic
    assert "rolloutState" not in made["deployments"][0]
    assert groups.asked == []


def test_updates_that_meet_are_both_carried_out(api: ServedApi, ecs: Any, groups: Groups, web: str) -> None:
    good = groups.add("good")
    client = api.client()
    updates = [{"taskDefinition": "web:2"}, {"forceNewDeployment": True}]
    groups.meanwhile = lambda: updates and client.update_service(service="a", **updates.pop())
    service = ecs.update_service(service="a", loadBalancers=behind(good))["service"]
    assert service["loadBalancers"] == behind(good)
    assert service["taskDefinition"].endswith("web:2")
    assert len(ecs.list_service_deployments(service="a")["serviceDeployments"]) == 4


def test_an_update_that_is_always_overtaken_gives_up(api: ServedApi, ecs: Any, groups: Groups, web: str) -> None:
    good = groups.add("good")
    client = api.client()
    groups.meanwhile = lambda: client.update_service(service="a", forceNewDeployment=True)
    overtaken = r"\(ServerException\) .* The service was updated by another request at the same time; try again\."
    with pytest.raises(ClientError, match=overtaken) as caught:
        ecs.update_service(service="a", loadBalancers=behind(good))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert describe(ecs, "a")["loadBalancers"] == []
