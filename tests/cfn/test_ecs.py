"""ECS's types through a served API: made, changed, replaced, failed, removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from awsorch.cfn.contract import Action, Outcome
from awsorch.cfn.ecs import EcsProvider
from tests.cfn.calls import BotoCalls, a_request, carry, changed, made, removed, step
from tests.support.obedience import ObedientAgents
from tests.support.served import ServedApi

CLUSTER, DEFINITION, SERVICE = (f"AWS::ECS::{name}" for name in ("Cluster", "TaskDefinition", "Service"))
WEB: dict[str, Any] = {
    "Family": "web",
    "ContainerDefinitions": [{"Name": "app", "Image": "busybox", "Cpu": "16", "Memory": "32"}],
}
ARN = "arn:aws:ecs:us-east-1:123456789012"


@pytest.fixture
def calls(ecs: Any) -> BotoCalls:
    return BotoCalls(ecs=ecs)


@pytest.fixture
def provider(calls: BotoCalls) -> EcsProvider:
    return EcsProvider(calls)


def test_a_cluster(provider: EcsProvider, ecs: Any) -> None:
    model = {"ClusterSettings": [{"Name": "containerInsights", "Value": "enabled"}], "Tags": [{"Key": "a", "Value": 1}]}
    progress = made(provider, CLUSTER, model, tags={"team": "x"})
    assert progress.physical_id.startswith("shop-Thing-")
    assert progress.attributes == {"Arn": f"{ARN}:cluster/{progress.physical_id}"}

    def described() -> dict[str, Any]:
        answer = ecs.describe_clusters(clusters=[progress.physical_id], include=["TAGS", "SETTINGS"])
        return dict(answer["clusters"][0])

    assert described()["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    assert {tag["key"]: tag["value"] for tag in described()["tags"]} == {"a": "1", "team": "x"}
    again = {"ClusterSettings": [{"Name": "containerInsights", "Value": "disabled"}]}
    changed(provider, CLUSTER, progress.physical_id, model, again, previous_tags={"team": "x"}, tags={"team": "y"})
    assert described()["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert {tag["key"]: tag["value"] for tag in described()["tags"]} == {"team": "y"}
    assert provider.replaced_by(CLUSTER, model, {**model, "ClusterName": "b"}) == {"ClusterName"}
    for _ in range(2):
        assert removed(provider, CLUSTER, progress.physical_id, model).outcome is Outcome.SUCCESS
    assert described()["status"] == "INACTIVE"


def test_a_cluster_waits_for_its_services_to_go_but_not_for_ever(provider: EcsProvider, ecs: Any) -> None:
    definition = made(provider, DEFINITION, WEB)
    ecs.create_service(serviceName="s", taskDefinition=definition.physical_id, desiredCount=0)
    first = step(provider, a_request(Action.DELETE, CLUSTER, {}, physical_id="default"))
    assert (first.outcome, first.callback) == (Outcome.IN_PROGRESS, {"tries": 1})
    late = a_request(Action.DELETE, CLUSTER, {}, physical_id="default", callback={"tries": 300})
    assert "Error Code: ClusterContainsServicesException" in step(provider, late).message
    ecs.delete_service(service="s", force=True)
    assert removed(provider, CLUSTER, "default", {}).outcome is Outcome.SUCCESS


def test_a_task_definition_is_a_new_revision_each_time(provider: EcsProvider, ecs: Any) -> None:
    first = made(provider, DEFINITION, WEB)
    assert first.physical_id == first.attributes["TaskDefinitionArn"] == f"{ARN}:task-definition/web:1"
    assert provider.replaced_by(DEFINITION, WEB, {**WEB, "Cpu": "64"}) == {"Cpu"}
    assert provider.replaced_by(DEFINITION, WEB, {**WEB, "Tags": [{"Key": "a", "Value": "b"}]}) == frozenset()
    same_as_text = {**WEB, "ContainerDefinitions": [{**WEB["ContainerDefinitions"][0], "Cpu": 16}]}
    assert provider.replaced_by(DEFINITION, WEB, same_as_text) == frozenset()
    tagged = {**WEB, "Tags": [{"Key": "a", "Value": "b"}]}
    changed(provider, DEFINITION, first.physical_id, WEB, tagged)
    tags = ecs.describe_task_definition(taskDefinition="web:1", include=["TAGS"])["tags"]
    assert tags == [{"key": "a", "value": "b"}]
    for _ in range(2):
        assert removed(provider, DEFINITION, first.physical_id, WEB).outcome is Outcome.SUCCESS
    assert ecs.list_task_definitions(familyPrefix="web")["taskDefinitionArns"] == []


def test_a_revision_whose_answer_was_lost_is_not_made_twice(provider: EcsProvider, ecs: Any) -> None:
    request = a_request(Action.CREATE, DEFINITION, WEB)
    first = carry(provider, request)
    again = carry(provider, a_request(Action.CREATE, DEFINITION, WEB, retried=True, since=request.since - 1))
    assert again.physical_id == first.physical_id
    assert len(ecs.list_task_definitions(familyPrefix="web")["taskDefinitionArns"]) == 1
    older = carry(provider, a_request(Action.CREATE, DEFINITION, WEB, retried=True, since=request.since + 60))
    assert older.physical_id.endswith("web:2")


def test_an_unknown_property_is_refused_on_every_way(provider: EcsProvider) -> None:
    definition = made(provider, DEFINITION, WEB)
    model = {"TaskDefinition": definition.physical_id, "DesiredCount": 0}
    service = made(provider, SERVICE, model)
    wrong = {**model, "Colour": "red"}
    said = "Properties validation failed for resource Thing with message:"
    message = f"{said}[#: extraneous key [Colour] is not permitted]"
    assert changed(provider, SERVICE, service.physical_id, model, wrong).message == message
    assert carry(provider, a_request(Action.CREATE, SERVICE, wrong, token="other")).message == message
    nested = {**WEB, "ContainerDefinitions": [{"Name": "a", "Colour": "red"}]}
    refused = carry(provider, a_request(Action.CREATE, DEFINITION, nested))
    assert "#/ContainerDefinitions/0: extraneous key [Colour] is not permitted" in refused.message


def test_a_service_is_complete_when_its_deployment_is(
    provider: EcsProvider, api: ServedApi, register_instance: Callable[..., str]
) -> None:
    ObedientAgents(api)
    definition = made(provider, DEFINITION, WEB)
    model = {"TaskDefinition": definition.physical_id}
    first = step(provider, a_request(Action.CREATE, SERVICE, model))
    waits = a_request(Action.CREATE, SERVICE, model, physical_id=first.physical_id, callback=first.callback)
    assert step(provider, waits).outcome is Outcome.IN_PROGRESS, "there is no instance yet"
    register_instance()
    progress = carry(provider, waits)
    assert progress.outcome is Outcome.SUCCESS, progress.message
    name = first.physical_id.rpartition("/")[2]
    assert progress.attributes == {"Name": name, "ServiceArn": first.physical_id}
    again = step(provider, a_request(Action.CREATE, SERVICE, model, retried=True))
    assert again.physical_id == first.physical_id, "the answer to the first call was lost"


def test_an_update_sends_what_changed_only(
    provider: EcsProvider, ecs: Any, agents: ObedientAgents, calls: BotoCalls
) -> None:
    one, two = made(provider, DEFINITION, WEB), made(provider, DEFINITION, WEB)
    constraints = [{"Type": "distinctInstance"}]
    before = {"TaskDefinition": one.physical_id, "DesiredCount": 1, "PlacementConstraints": constraints}
    service = made(provider, SERVICE, before)
    ecs.update_service(service=service.physical_id, desiredCount=2)
    calls.made.clear()
    after = {"TaskDefinition": two.physical_id, "DesiredCount": "1"}
    assert changed(provider, SERVICE, service.physical_id, before, after).outcome is Outcome.SUCCESS
    wanted = {"cluster": "default", "service": service.physical_id, "taskDefinition": two.physical_id}
    assert calls.made == [("UpdateService", {**wanted, "placementConstraints": []})]
    (described,) = ecs.describe_services(services=[service.physical_id])["services"]
    assert (described["desiredCount"], described["taskDefinition"]) == (2, two.physical_id)
    replaced = provider.replaced_by(SERVICE, before, {**before, "ServiceName": "x", "DesiredCount": 5})
    assert replaced == {"ServiceName"}


def test_an_open_circuit_breaker_fails_with_its_reason(provider: EcsProvider, ecs: Any, agents: ObedientAgents) -> None:
    agents.broken.add("broken")
    container = {"Name": "app", "Image": "broken", "Memory": 32}
    good = made(provider, DEFINITION, WEB)
    bad = made(provider, DEFINITION, {**WEB, "ContainerDefinitions": [container]})
    threshold = {"Type": "COUNT", "Value": 1}
    strict = {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": True, "ThresholdConfiguration": threshold}}
    model = {"TaskDefinition": good.physical_id, "DesiredCount": 1, "DeploymentConfiguration": strict}
    service = made(provider, SERVICE, model)
    failed = changed(provider, SERVICE, service.physical_id, model, {**model, "TaskDefinition": bad.physical_id})
    assert failed.outcome is Outcome.FAILED
    assert failed.code == "GeneralServiceException"
    assert "ECS Deployment Circuit Breaker was triggered" in failed.message
    back = changed(provider, SERVICE, service.physical_id, {**model, "TaskDefinition": bad.physical_id}, model)
    assert back.outcome is Outcome.SUCCESS, back.message


def test_a_service_is_deleted_with_its_tasks(provider: EcsProvider, ecs: Any, agents: ObedientAgents) -> None:
    definition = made(provider, DEFINITION, WEB)
    model = {"TaskDefinition": definition.physical_id, "DesiredCount": 2}
    service = made(provider, SERVICE, model)
    for _ in range(2):
        assert removed(provider, SERVICE, service.physical_id, model).outcome is Outcome.SUCCESS
    (described,) = ecs.describe_services(services=[service.physical_id])["services"]
    assert (described["status"], described["runningCount"]) == ("INACTIVE", 0)


def test_what_is_refused_is_said_with_its_code(provider: EcsProvider) -> None:
    refused = carry(provider, a_request(Action.CREATE, SERVICE, {"TaskDefinition": "none:1"}))
    assert (refused.outcome, refused.code) == (Outcome.FAILED, "InvalidRequest")
    assert "Service: ecs, Operation: CreateService, Error Code: ClientException" in refused.message
    gone = changed(provider, SERVICE, f"{ARN}:service/default/none", {}, {"DesiredCount": 1})
    assert gone.code == "NotFound"
    assert removed(provider, SERVICE, f"{ARN}:service/default/none", {}).outcome is Outcome.SUCCESS
    associations = "AWS::ECS::ClusterCapacityProviderAssociations"
    assert removed(provider, associations, "none", {"Cluster": "none"}).outcome is Outcome.SUCCESS
