"""Capacity providers and which a cluster has, through a served API and a cloud in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from awsorch.cfn.contract import Action, Outcome
from awsorch.cfn.ecs import EcsProvider
from tests.cfn.calls import BotoCalls, a_request, carry, changed, made, removed, step
from tests.support.cloud import Cloud, group_arn
from tests.support.served import ServedApi, served_api

PROVIDER = "AWS::ECS::CapacityProvider"
ASSOCIATIONS = "AWS::ECS::ClusterCapacityProviderAssociations"


@pytest.fixture
def api() -> Iterator[ServedApi]:
    """A served API in a cloud of two groups."""
    cloud = Cloud()
    cloud.groups = {"one": False, "two": False}
    with served_api(cloud=cloud) as api:
        cloud.carry_out_for(api)
        yield api


@pytest.fixture
def calls(ecs: Any) -> BotoCalls:
    return BotoCalls(ecs=ecs)


@pytest.fixture
def provider(calls: BotoCalls) -> EcsProvider:
    return EcsProvider(calls)


def of_group(name: str = "one", **members: Any) -> dict[str, Any]:
    return {"AutoScalingGroupProvider": {"AutoScalingGroupArn": group_arn(name), **members}}


def test_a_provider_is_made_changed_and_removed(provider: EcsProvider, ecs: Any, calls: BotoCalls) -> None:
    before = of_group(ManagedScaling={"Status": "ENABLED", "TargetCapacity": "80"})
    made_one = made(provider, PROVIDER, before, tags={"team": "x"})
    name = made_one.physical_id

    def described() -> dict[str, Any]:
        (found,) = ecs.describe_capacity_providers(capacityProviders=[name], include=["TAGS"])["capacityProviders"]
        return dict(found)

    assert made_one.attributes == {"Arn": described()["capacityProviderArn"]}
    assert described()["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 80
    retried = carry(provider, a_request(Action.CREATE, PROVIDER, before, retried=True))
    assert retried.physical_id == name
    calls.made.clear()
    after = of_group(ManagedScaling={"Status": "ENABLED", "TargetCapacity": 90})
    tagged = {"tags": {"team": "x"}, "previous_tags": {"team": "x"}}
    assert changed(provider, PROVIDER, name, before, after, **tagged).outcome is Outcome.SUCCESS
    assert [operation for operation, _ in calls.made] == ["UpdateCapacityProvider"]
    assert described()["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 90
    assert provider.replaced_by(PROVIDER, before, of_group("two")) == {"AutoScalingGroupProvider"}
    assert provider.replaced_by(PROVIDER, before, after) == frozenset()
    for _ in range(2):
        assert removed(provider, PROVIDER, name, after).outcome is Outcome.SUCCESS
    assert changed(provider, PROVIDER, name, before, after).code == "NotFound"


def test_a_cluster_gets_and_loses_its_providers(provider: EcsProvider, ecs: Any) -> None:
    one = made(provider, PROVIDER, of_group()).physical_id
    strategy = [{"CapacityProvider": one, "Weight": "1"}]
    model = {"Cluster": "default", "CapacityProviders": [one], "DefaultCapacityProviderStrategy": strategy}
    associations = made(provider, ASSOCIATIONS, model)
    assert associations.physical_id == "default"

    def described() -> tuple[list[str], int]:
        (cluster,) = ecs.describe_clusters(clusters=["default"])["clusters"]
        return cluster["capacityProviders"], len(cluster["defaultCapacityProviderStrategy"])

    assert described() == ([one], 1)
    less = {**model, "DefaultCapacityProviderStrategy": []}
    assert changed(provider, ASSOCIATIONS, "default", model, less).outcome is Outcome.SUCCESS
    assert described() == ([one], 0)
    assert removed(provider, ASSOCIATIONS, "default", less).outcome is Outcome.SUCCESS
    assert described() == ([], 0)
    assert removed(provider, PROVIDER, one, of_group()).outcome is Outcome.SUCCESS


def test_a_cluster_is_complete_when_its_providers_are_attached(provider: EcsProvider, ecs: Any) -> None:
    one = made(provider, PROVIDER, of_group()).physical_id
    cluster = made(provider, "AWS::ECS::Cluster", {"ClusterName": "b", "CapacityProviders": [one]})
    model = {"ClusterName": "b", "CapacityProviders": [one]}
    update = changed(provider, "AWS::ECS::Cluster", cluster.physical_id, model, {"ClusterName": "b"})
    assert update.outcome is Outcome.SUCCESS
    (described,) = ecs.describe_clusters(clusters=["b"])["clusters"]
    assert described["capacityProviders"] == []


def test_providers_that_are_in_use_are_taken_away_when_they_are_no_more(provider: EcsProvider, api: ServedApi) -> None:
    """Refusals that pass are asked again, not taken for what was asked."""
    ecs = api.ecs
    one = made(provider, PROVIDER, of_group()).physical_id
    strategy = [{"CapacityProvider": one, "Weight": "1"}]
    model = {"Cluster": "default", "CapacityProviders": [one], "DefaultCapacityProviderStrategy": strategy}
    made(provider, ASSOCIATIONS, model)
    ecs.register_task_definition(family="app", containerDefinitions=[{"name": "app", "image": "busybox", "memory": 16}])
    ecs.create_service(serviceName="web", taskDefinition="app", desiredCount=0)
    for type, id in ((ASSOCIATIONS, "default"), (PROVIDER, one)):
        refused = step(provider, a_request(Action.DELETE, type, model, physical_id=id))
        assert (refused.outcome, refused.callback) == (Outcome.IN_PROGRESS, {"tries": 1})
    ecs.delete_service(service="web", force=True)
    again = a_request(Action.DELETE, ASSOCIATIONS, model, physical_id="default", callback={"tries": 1})
    assert carry(provider, again).outcome is Outcome.SUCCESS
    assert ecs.describe_clusters(clusters=["default"])["clusters"][0]["capacityProviders"] == []
    gone = carry(provider, a_request(Action.DELETE, PROVIDER, of_group(), physical_id=one, callback={"tries": 1}))
    assert gone.outcome is Outcome.SUCCESS, gone.message
