"""Capacity providers of clusters, and strategies of tasks and services, through boto3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from awsorch.core.events_capacity import AttachProviders
from tests.api.services import describe, refused, wait
from tests.api.test_capacity_providers import ON, managed, of_group
from tests.support.cloud import Cloud
from tests.support.served import ServedApi, served_api

NOT_ASSOCIATED = "The specified capacity provider strategy cannot contain a capacity provider that is not associated"


@pytest.fixture
def cloud() -> Cloud:
    """Three groups."""
    cloud = Cloud()
    cloud.groups = dict.fromkeys(("one", "two", "three"), False)
    return cloud


@pytest.fixture
def api(cloud: Cloud) -> Iterator[ServedApi]:
    """A served API in that cloud with a provider for each group: managed scaling for "one" and "two"."""
    with served_api(cloud=cloud) as api:
        cloud.carry_out_for(api)
        for name in cloud.groups:
            scaling = {"managedScaling": ON} if name != "three" else {}
            api.ecs.create_capacity_provider(name=name, autoScalingGroupProvider=of_group(name, **scaling))
        yield api


def item(provider: str, weight: int = 1, base: int = 0) -> dict[str, Any]:
    """A capacityProviderStrategyItem, as answers show it."""
    return {"capacityProvider": provider, "weight": weight, "base": base}


def put(ecs: Any, *providers: str, strategy: list[dict[str, Any]] | None = None, cluster: str = "default") -> Any:
    """PutClusterCapacityProviders; waits until the attachments are there."""
    answer = ecs.put_cluster_capacity_providers(
        cluster=cluster, capacityProviders=list(providers), defaultCapacityProviderStrategy=strategy or []
    )
    settle(ecs, cluster)
    return answer["cluster"]


def settle(ecs: Any, cluster: str = "default") -> None:
    """Wait until nothing of a cluster's attachments is under way."""
    condition = "clusters[0].attachmentsStatus != 'UPDATE_IN_PROGRESS'"
    wait(ecs, "DescribeClusters", condition, clusters=[cluster], include=["ATTACHMENTS"])


def cluster_of(ecs: Any, name: str = "default") -> dict[str, Any]:
    """The cluster with its attachments."""
    (found,) = ecs.describe_clusters(clusters=[name], include=["ATTACHMENTS"])["clusters"]
    return dict(found)


def details(attachment: dict[str, Any]) -> dict[str, str]:
    """The details of an attachment."""
    return {each["name"]: each["value"] for each in attachment["details"]}


def test_put_replaces_everything(ecs: Any) -> None:
    arn = "arn:aws:ecs:us-east-1:123456789012:capacity-provider/two"
    made = put(ecs, "one", arn, "one", strategy=[item("one", base=2), item(arn, weight=3)])
    assert made["capacityProviders"] == ["one", "two"]
    assert made["defaultCapacityProviderStrategy"] == [item("one", base=2), item("two", weight=3)]
    put(ecs, "two", "FARGATE", strategy=[item("FARGATE")])
    assert cluster_of(ecs)["capacityProviders"] == ["two", "FARGATE"]
    assert cluster_of(ecs)["defaultCapacityProviderStrategy"] == [item("FARGATE")]
    assert put(ecs)["capacityProviders"] == []
    assert "attachmentsStatus" not in cluster_of(ecs)


def test_attachments_are_made(ecs: Any, cloud: Cloud) -> None:
    cloud.paused = True
    answer = ecs.put_cluster_capacity_providers(
        cluster="default", capacityProviders=["one", "three"], defaultCapacityProviderStrategy=[]
    )["cluster"]
    assert answer["attachmentsStatus"] == "UPDATE_IN_PROGRESS"
    assert {each["status"] for each in answer["attachments"]} == {"PRECREATED"}
    with refused("UpdateInProgressException", "The specified cluster is in a busy state. Cluster attachments must be"):
        put(ecs)
    with refused("UpdateInProgressException", "The specified cluster is in a busy state."):
        ecs.delete_cluster(cluster="default")
    cloud.paused = False
    settle(ecs)
    cluster = cluster_of(ecs)
    assert cluster["attachmentsStatus"] == "UPDATE_COMPLETE"
    assert [(each["type"], each["status"]) for each in cluster["attachments"]] == [
        ("as_policy", "CREATED"),
        ("managed_draining", "CREATED"),
        ("managed_draining", "CREATED"),
    ]
    policy, hook, _ = (details(each) for each in cluster["attachments"])
    assert policy["capacityProviderName"] == hook["capacityProviderName"] == "one"
    assert policy["scalingPolicyName"].startswith("ECSManagedAutoScalingPolicy-")
    assert hook["autoScalingLifecycleHookName"] == "ecs-managed-draining-termination-hook"
    assert [each["id"] for each in cluster["attachments"]] == [each["id"] for each in answer["attachments"]]
    assert "attachments" not in ecs.describe_clusters()["clusters"][0]


def test_a_group_that_is_gone_fails_its_attachments(ecs: Any, cloud: Cloud) -> None:
    del cloud.groups["one"]
    put(ecs, "one")
    cluster = cluster_of(ecs)
    assert cluster["attachmentsStatus"] == "UPDATE_FAILED"
    assert {each["status"] for each in cluster["attachments"]} == {"FAILED"}
    assert put(ecs, "two")["capacityProviders"] == ["two"]


@pytest.mark.parametrize(
    ("providers", "strategy", "text"),
    [
        (["none"], [], "The specified capacity provider 'none' was not found. Specify a valid name or ARN and try"),
        (["one"], [item("two")], NOT_ASSOCIATED),
        (
            ["one", "FARGATE"],
            [item("one"), item("FARGATE")],
            ".*mix of capacity providers using Auto Scaling groups and",
        ),
        (["one", "two"], [item("one", base=1), item("two", base=1)], "There are multiple capacity providers in the"),
        (["one"], [item("one"), item("one")], "The specified capacity provider strategy contains a capacity provider"),
        (["one"], [item("one", weight=1001)], "Value at 'defaultCapacityProviderStrategy"),
        (["one"], [item("one", base=100001)], "Value at 'defaultCapacityProviderStrategy"),
        (["one"], [item(f"p{number}") for number in range(21)], "A capacity provider strategy can contain at most 20"),
        (
            ["arn:aws:ecs:us-east-1:123456789012:cluster/one"],
            [],
            "Invalid identifier: arn.* is not the ARN of a capacity",
        ),
        (["arn:aws:ecs:us-east-1:999999999999:capacity-provider/one"], [], "Identifier is for 999999999999."),
    ],
)
def test_bad_puts_are_refused(ecs: Any, providers: list[str], strategy: list[dict[str, Any]], text: str) -> None:
    with refused("InvalidParameterException", text):
        put(ecs, *providers, strategy=strategy)
    assert cluster_of(ecs)["capacityProviders"] == []


def test_a_cluster_has_at_most_twenty(ecs: Any, cloud: Cloud) -> None:
    names = [f"n{number}" for number in range(19)]
    for name in names:
        cloud.groups[name] = False
        ecs.create_capacity_provider(name=name, autoScalingGroupProvider=of_group(name))
    put(ecs, *names, "one")
    with refused(
        "InvalidParameterException", "The maximum number of capacity providers per cluster has been exceeded."
    ):
        put(ecs, *names, "one", "two")
    with refused(
        "InvalidParameterException", "The maximum number of capacity providers per cluster has been exceeded."
    ):
        ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())


def test_managed_scaling_is_for_one_cluster(ecs: Any) -> None:
    ecs.create_cluster(clusterName="other")
    put(ecs, "one", "three")
    put(ecs, "three", cluster="other")
    with refused("InvalidParameterException", "The specified capacity provider 'one' uses managed scaling and is"):
        put(ecs, "one", cluster="other")
    with refused("ClientException", "A capacity provider with managed scaling can be associated with one cluster only"):
        ecs.update_capacity_provider(name="three", autoScalingGroupProvider={"managedScaling": ON})
    put(ecs, "one", cluster="default")
    ecs.update_capacity_provider(name="three", autoScalingGroupProvider={"managedScaling": ON})


def test_clusters_are_made_with_providers(ecs: Any) -> None:
    given = {"capacityProviders": ["one"], "defaultCapacityProviderStrategy": [item("one")]}
    made = ecs.create_cluster(clusterName="c", **given)["cluster"]
    assert {name: made[name] for name in given} == given
    settle(ecs, "c")
    assert cluster_of(ecs, "c")["attachmentsStatus"] == "UPDATE_COMPLETE"
    ecs.create_capacity_provider(name="mi", cluster="c", managedInstancesProvider=managed())
    assert ecs.create_cluster(clusterName="c", **given)["cluster"]["capacityProviders"] == ["one", "mi"]
    with refused("InvalidParameterException", "Arguments on this idempotent request are inconsistent"):
        ecs.create_cluster(clusterName="c", capacityProviders=["two"])
    with refused("ClientException", "The specified capacity provider 'none' was not found."):
        ecs.create_cluster(clusterName="d", capacityProviders=["none"])
    with refused("InvalidParameterException", NOT_ASSOCIATED):
        ecs.create_cluster(clusterName="d", defaultCapacityProviderStrategy=[item("one")])
    assert ecs.describe_clusters(clusters=["d"])["clusters"] == []


def test_what_is_in_use_stays(ecs: Any, web_task: str) -> None:
    put(ecs, "one", "two")
    (task,) = ecs.run_task(taskDefinition=web_task, capacityProviderStrategy=[item("one")])["tasks"]
    service = {"serviceName": "web", "taskDefinition": web_task, "desiredCount": 0}
    ecs.create_service(**service, capacityProviderStrategy=[item("two")])
    for kept in ("one", "two"):
        with refused("ResourceInUseException", "The specified capacity provider is in use and cannot be removed."):
            put(ecs, kept)
    assert cluster_of(ecs)["capacityProviders"] == ["one", "two"]
    ecs.stop_task(task=task["taskArn"])
    ecs.delete_service(service="web")
    put(ecs)


def test_tasks_wait_for_their_provider(ecs: Any, web_task: str) -> None:
    put(ecs, "one", "two")
    answer = ecs.run_task(
        taskDefinition=web_task, count=5, capacityProviderStrategy=[item("one", base=1), item("two", weight=3)]
    )
    assert answer["failures"] == []
    shown = [(task["capacityProviderName"], task["lastStatus"], task["launchType"]) for task in answer["tasks"]]
    assert sorted(shown) == [("one", "PROVISIONING", "EC2")] * 2 + [("two", "PROVISIONING", "EC2")] * 3
    for task in answer["tasks"]:
        assert "containerInstanceArn" not in task
        assert "availabilityZone" not in task
        assert (task["desiredStatus"], task["attributes"]) == ("RUNNING", [])
        assert [container["lastStatus"] for container in task["containers"]] == ["PENDING"]
    assert cluster_of(ecs)["pendingTasksCount"] == 5
    assert len(ecs.list_tasks()["taskArns"]) == 5
    found = ecs.describe_tasks(tasks=[answer["tasks"][0]["taskArn"]])["tasks"]
    assert found == [answer["tasks"][0]]
    stopped = ecs.stop_task(task=answer["tasks"][0]["taskArn"])["task"]
    assert (stopped["lastStatus"], stopped["stopCode"]) == ("STOPPED", "UserInitiated")
    assert cluster_of(ecs)["pendingTasksCount"] == 4


def test_a_provider_that_cannot_scale_fails_tasks(ecs: Any, web_task: str) -> None:
    put(ecs, "three")
    answer = ecs.run_task(taskDefinition=web_task, capacityProviderStrategy=[item("three")])
    assert answer["tasks"] == []
    (failure,) = answer["failures"]
    assert failure["arn"].endswith(":capacity-provider/three")
    assert failure["reason"] == "EMPTY CAPACITY PROVIDER"


def test_the_default_strategy_is_for_those_who_say_nothing(ecs: Any, web_task: str) -> None:
    put(ecs, "one", "two", strategy=[item("two")])
    (task,) = ecs.run_task(taskDefinition=web_task)["tasks"]
    assert task["capacityProviderName"] == "two"
    with refused("InvalidParameterException", "No Container Instances were found in your cluster."):
        ecs.run_task(taskDefinition=web_task, launchType="EC2")
    (task,) = ecs.run_task(taskDefinition=web_task, capacityProviderStrategy=[item("one")])["tasks"]
    assert task["capacityProviderName"] == "one"
    service = ecs.create_service(serviceName="web", taskDefinition=web_task, desiredCount=1)["service"]
    assert service["capacityProviderStrategy"] == [item("two")]
    with refused(
        "InvalidParameterException", "Specifying a capacity provider strategy is not supported when you create"
    ):
        ecs.create_service(serviceName="each", taskDefinition=web_task, schedulingStrategy="DAEMON")
    ecs.create_service(serviceName="each", taskDefinition=web_task, schedulingStrategy="DAEMON", launchType="EC2")


@pytest.mark.parametrize(
    ("strategy", "code", "text"),
    [
        ([item("two")], "InvalidParameterException", NOT_ASSOCIATED),
        (
            [item("one", weight=0)],
            "InvalidParameterException",
            "There are no capacity providers in the capacity provider",
        ),
        (
            [item("one"), item("FARGATE")],
            "InvalidParameterException",
            "A capacity provider strategy cannot contain a mix",
        ),
        ([item("one"), item("mi")], "InvalidParameterException", ".* using Auto Scaling groups and Managed Instances."),
        ([item("FARGATE_SPOT")], "ClientException", "Capacity provider FARGATE_SPOT is not available"),
    ],
)
def test_bad_strategies_are_refused(
    ecs: Any, web_task: str, strategy: list[dict[str, Any]], code: str, text: str
) -> None:
    put(ecs, "one", "FARGATE", "FARGATE_SPOT")
    ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())
    with refused(code, text):
        ecs.run_task(taskDefinition=web_task, capacityProviderStrategy=strategy)
    with refused(code, text):
        ecs.create_service(
            serviceName="web", taskDefinition=web_task, desiredCount=1, capacityProviderStrategy=strategy
        )
    with refused("InvalidParameterException", "Specifying both a launch type and capacity provider strategy is not"):
        ecs.run_task(taskDefinition=web_task, launchType="EC2", capacityProviderStrategy=strategy)
    with refused("InvalidParameterException", "The platform version must be null when specifying an EC2 launch type"):
        ecs.run_task(taskDefinition=web_task, platformVersion="1.4.0", capacityProviderStrategy=[item("one")])


def test_services_follow_a_strategy(ecs: Any, web_task: str) -> None:
    put(ecs, "one", "two")
    strategy = [item("one")]
    made = ecs.create_service(
        serviceName="web", taskDefinition=web_task, desiredCount=3, capacityProviderStrategy=strategy
    )["service"]
    (deployment,) = made["deployments"]
    arns = [made["currentServiceRevisions"][0]["arn"]]
    (revision,) = ecs.describe_service_revisions(serviceRevisionArns=arns)["serviceRevisions"]
    for shown in (made, deployment, revision):
        assert shown["capacityProviderStrategy"] == strategy
        assert "launchType" not in shown
    wait(ecs, "DescribeServices", "services[0].pendingCount == `3`", services=["web"])
    tasks = ecs.describe_tasks(tasks=ecs.list_tasks(serviceName="web")["taskArns"])["tasks"]
    assert {(task["capacityProviderName"], task["lastStatus"]) for task in tasks} == {("one", "PROVISIONING")}


def test_another_strategy_needs_a_deployment(ecs: Any, web_task: str) -> None:
    put(ecs, "one", "two")
    ecs.create_service(serviceName="web", taskDefinition=web_task, desiredCount=0)
    first = describe(ecs, "web")
    for strategy in ([item("one")], [item("one"), item("two")], []):
        if strategy != describe(ecs, "web").get("capacityProviderStrategy", []):
            with refused("InvalidParameterException", "When switching from launch type to capacity provider strategy"):
                ecs.update_service(service="web", capacityProviderStrategy=strategy)
        changed = ecs.update_service(service="web", capacityProviderStrategy=strategy, forceNewDeployment=True)
        assert changed["service"].get("capacityProviderStrategy", []) == strategy
        assert changed["service"].get("launchType") == (None if strategy else "EC2")
        assert changed["service"]["deployments"][0]["id"] != first["deployments"][0]["id"]
        kept = ecs.update_service(service="web", desiredCount=0, capacityProviderStrategy=strategy)["service"]
        assert kept["deployments"][0]["id"] == changed["service"]["deployments"][0]["id"]
    with refused("InvalidParameterException", NOT_ASSOCIATED):
        ecs.update_service(service="web", capacityProviderStrategy=[item("three")], forceNewDeployment=True)


def test_the_strategy_stays_with_other_updates(ecs: Any, web_task: str, second_web: str) -> None:
    put(ecs, "one")
    strategy = [item("one")]
    ecs.create_service(serviceName="web", taskDefinition=web_task, desiredCount=0, capacityProviderStrategy=strategy)
    assert (
        ecs.update_service(service="web", taskDefinition=second_web)["service"]["capacityProviderStrategy"] == strategy
    )


def test_partitions_follow_the_registry_after_a_crash(api: ServedApi, ecs: Any) -> None:
    put(ecs, "one")
    ecs.update_capacity_provider(name="one", autoScalingGroupProvider={"managedScaling": {"targetCapacity": 50}})
    providers = api.controller.clusters["default"].state.providers
    assert providers["one"].scaling.target == 50
    # As if the controller had died between the registry's commit and the partition's.
    api.submit("default", AttachProviders(cluster="default", attached=(), force=True))
    assert not providers
    api.run(api.controller.stop())
    api.run(api.controller.start())
    providers = api.controller.clusters["default"].state.providers
    assert [(name, provider.scaling.target) for name, provider in providers.items()] == [("one", 50)]


def test_a_deleted_cluster_lets_go_of_its_providers(api: ServedApi, ecs: Any) -> None:
    put(ecs, "one", strategy=[item("one")])
    gone = ecs.delete_cluster(cluster="default")["cluster"]
    assert (gone["status"], gone["capacityProviders"], gone["defaultCapacityProviderStrategy"]) == ("INACTIVE", [], [])
    assert not api.controller.clusters["default"].state.providers
    ecs.create_cluster(clusterName="other", capacityProviders=["one"])
    ecs.delete_capacity_provider(capacityProvider="two")


def test_an_instance_shows_its_provider(
    ecs: Any, cloud: Cloud, web_task: str, register_instance: Callable[..., str]
) -> None:
    ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())
    (task,) = ecs.run_task(taskDefinition=web_task, capacityProviderStrategy=[item("mi")])["tasks"]
    cloud.wait_until(lambda: len(cloud.machines) == 1)
    arn = register_instance(instanceIdentityDocument=f'{{"instanceId": "{next(iter(cloud.machines))}"}}')
    (instance,) = ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
    assert instance["capacityProviderName"] == "mi"
    wait(ecs, "DescribeTasks", f"tasks[0].containerInstanceArn == '{arn}'", tasks=[task["taskArn"]])
