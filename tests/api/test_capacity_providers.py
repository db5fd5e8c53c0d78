"""Capacity providers through boto3: what they may be, how they change and go, and what describing them shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from awsorch.engine.ports import CloudFailure
from tests.api.services import refused, wait
from tests.support.cloud import Cloud, group_arn
from tests.support.served import ServedApi, served_api

ROLE = "arn:aws:iam::123456789012:role/ecsInfrastructure"
PROFILE = "arn:aws:iam::123456789012:instance-profile/ecsInstance"


@pytest.fixture
def cloud() -> Cloud:
    """Three groups; the new instances of "safe" are protected from scale-in."""
    cloud = Cloud()
    cloud.groups = {"one": False, "two": False, "safe": True}
    return cloud


@pytest.fixture
def api(cloud: Cloud) -> Iterator[ServedApi]:
    """A served API in that cloud."""
    with served_api(cloud=cloud) as api:
        cloud.carry_out_for(api)
        yield api


def of_group(name: str = "one", **members: Any) -> dict[str, Any]:
    """An autoScalingGroupProvider."""
    return {"autoScalingGroupArn": group_arn(name), **members}


def managed(**template: Any) -> dict[str, Any]:
    """A managedInstancesProvider."""
    network = {"subnets": ["subnet-a", "subnet-b"]}
    return {
        "infrastructureRoleArn": ROLE,
        "instanceLaunchTemplate": {"ec2InstanceProfileArn": PROFILE, "networkConfiguration": network, **template},
    }


def described(ecs: Any, *names: str, **members: Any) -> list[dict[str, Any]]:
    """The providers of these names, or all."""
    if names:
        members["capacityProviders"] = list(names)
    found: list[dict[str, Any]] = ecs.describe_capacity_providers(**members)["capacityProviders"]
    return found


def test_a_group_with_every_default(ecs: Any) -> None:
    made = ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group())["capacityProvider"]
    assert made == {
        "capacityProviderArn": "arn:aws:ecs:us-east-1:123456789012:capacity-provider/cp",
        "name": "cp",
        "status": "ACTIVE",
        "type": "EC2_AUTOSCALING",
        "tags": [],
        "autoScalingGroupProvider": {
            "autoScalingGroupArn": group_arn("one"),
            "managedScaling": {"status": "DISABLED"},
            "managedTerminationProtection": "DISABLED",
            "managedDraining": "ENABLED",
        },
    }
    assert described(ecs, "cp") == described(ecs, made["capacityProviderArn"]) == [made]


def test_managed_scaling_is_shown_whole(ecs: Any) -> None:
    given = of_group(managedScaling={"status": "ENABLED", "targetCapacity": 80})
    made = ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=given)["capacityProvider"]
    assert made["autoScalingGroupProvider"]["managedScaling"] == {
        "status": "ENABLED",
        "targetCapacity": 80,
        "minimumScalingStepSize": 1,
        "maximumScalingStepSize": 10000,
        "instanceWarmupPeriod": 300,
    }


def test_a_group_may_be_named(ecs: Any) -> None:
    given = {"autoScalingGroupArn": "one"}
    made = ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=given)["capacityProvider"]
    assert made["autoScalingGroupProvider"]["autoScalingGroupArn"] == group_arn("one")


ON = {"status": "ENABLED"}


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("a b", of_group(), "The specified capacity provider name is invalid"),
        ("x" * 256, of_group(), "The specified capacity provider name is invalid"),
        ("aws-cp", of_group(), "The specified capacity provider name is invalid"),
        ("ECScp", of_group(), "The specified capacity provider name is invalid"),
        ("FARGATE", of_group(), "The specified capacity provider name is invalid"),
        ("cp", of_group("none"), "The specified Auto Scaling group ARN 'arn:.*/none' was not found"),
        ("cp", {"autoScalingGroupArn": "arn:aws:s3:::bucket"}, "The specified Auto Scaling group ARN"),
        (
            "cp",
            of_group(managedScaling={**ON, "minimumScalingStepSize": 5, "maximumScalingStepSize": 4}),
            "The minimum or maximum scaling step size value is invalid",
        ),
        (
            "cp",
            of_group(managedScaling=ON, managedTerminationProtection="ENABLED"),
            "The managed termination protection setting for the capacity provider is invalid. To enable managed "
            "termination protection for a capacity provider, the Auto Scaling group must have instance protection "
            "from scale in enabled.",
        ),
        (
            "cp",
            of_group("safe", managedTerminationProtection="ENABLED"),
            "The managed termination protection setting for the capacity provider is invalid.* managed scaling",
        ),
    ],
)
def test_bad_groups_are_refused(ecs: Any, name: str, given: dict[str, Any], text: str) -> None:
    with refused("ClientException", text):
        ecs.create_capacity_provider(name=name, autoScalingGroupProvider=given)
    assert [each["name"] for each in described(ecs)] == ["FARGATE", "FARGATE_SPOT"]


@pytest.mark.parametrize(
    "scaling",
    [
        {"targetCapacity": 101},
        {"targetCapacity": 0},
        {"minimumScalingStepSize": 0},
        {"maximumScalingStepSize": 10001},
        {"instanceWarmupPeriod": 10001},
    ],
)
def test_managed_scaling_has_bounds(ecs: Any, scaling: dict[str, int]) -> None:
    with refused("InvalidParameterException", "Value at 'autoScalingGroupProvider.managedScaling"):
        ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group(managedScaling=ON | scaling))


def test_either_of_two_kinds(ecs: Any) -> None:
    with refused("ClientException", "Specify either autoScalingGroupProvider or managedInstancesProvider"):
        ecs.create_capacity_provider(name="cp")
    with refused("ClientException", "Specify either"):
        ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group(), managedInstancesProvider=managed())
    with refused("ClientException", "A cluster can only be specified for"):
        ecs.create_capacity_provider(name="cp", cluster="default", autoScalingGroupProvider=of_group())


def test_a_failing_auto_scaling_is_named(ecs: Any, cloud: Cloud) -> None:
    cloud.failure = CloudFailure("Throttling", "Rate exceeded")
    with refused("ClientException", "The Auto Scaling group '.*' can't be described: Throttling: Rate exceeded"):
        ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group())


def test_creating_again_is_the_same_provider_or_none(ecs: Any) -> None:
    made = ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group())["capacityProvider"]
    assert ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group())["capacityProvider"] == made
    with refused("ClientException", "The specified capacity provider already exists. To change"):
        ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group("two"))
    with refused("ClientException", "The specified Auto Scaling group ARN is already being used by another"):
        ecs.create_capacity_provider(name="other", autoScalingGroupProvider=of_group())


def test_update_changes_what_it_names(ecs: Any) -> None:
    given = of_group("safe", managedScaling={**ON, "targetCapacity": 80, "instanceWarmupPeriod": 60})
    ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=given)
    ecs.update_capacity_provider(name="cp", autoScalingGroupProvider={"managedScaling": {"targetCapacity": 90}})
    changes = {"managedTerminationProtection": "ENABLED", "managedDraining": "DISABLED"}
    changed = ecs.update_capacity_provider(name="cp", autoScalingGroupProvider=changes)["capacityProvider"]
    assert changed["updateStatus"] == "UPDATE_COMPLETE"
    assert changed["autoScalingGroupProvider"] == {
        "autoScalingGroupArn": group_arn("safe"),
        "managedScaling": {
            "status": "ENABLED",
            "targetCapacity": 90,
            "minimumScalingStepSize": 1,
            "maximumScalingStepSize": 10000,
            "instanceWarmupPeriod": 60,
        },
        **changes,
    }
    with refused("ClientException", "The managed termination protection setting .* managed scaling must be enabled"):
        ecs.update_capacity_provider(name="cp", autoScalingGroupProvider={"managedScaling": {"status": "DISABLED"}})
    assert described(ecs, "cp") == [changed]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"name": "none", "autoScalingGroupProvider": {}}, "The specified capacity provider 'none' was not found"),
        ({"name": "FARGATE", "autoScalingGroupProvider": {}}, "The capacity provider 'FARGATE' is reserved"),
        ({"name": "cp"}, "Specify autoScalingGroupProvider"),
        ({"name": "cp", "managedInstancesProvider": managed()}, "Specify autoScalingGroupProvider"),
        (
            {"name": "cp", "cluster": "default", "autoScalingGroupProvider": {}},
            ".*is not a Managed Instances",
        ),
        (
            {"name": "cp", "autoScalingGroupProvider": {"managedTerminationProtection": "ENABLED"}},
            "The managed termination protection .* instance protection from scale in enabled",
        ),
        (
            {"name": "cp", "autoScalingGroupProvider": {"managedScaling": {"maximumScalingStepSize": 1}}},
            "The minimum or maximum scaling step size",
        ),
    ],
)
def test_bad_updates_are_refused(ecs: Any, request_: dict[str, Any], text: str) -> None:
    scaling = {**ON, "minimumScalingStepSize": 2}
    ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group(managedScaling=scaling))
    with refused("ClientException", text):
        ecs.update_capacity_provider(**request_)


def test_deletion_shows_it_as_it_was_then_inactive(ecs: Any) -> None:
    ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group())
    gone = ecs.delete_capacity_provider(capacityProvider="cp")["capacityProvider"]
    assert (gone["status"], gone["updateStatus"]) == ("ACTIVE", "DELETE_IN_PROGRESS")
    (left,) = described(ecs, "cp")
    assert (left["status"], left["updateStatus"]) == ("INACTIVE", "DELETE_COMPLETE")
    assert ecs.delete_capacity_provider(capacityProvider="cp")["capacityProvider"]["status"] == "INACTIVE"
    assert "cp" not in [each["name"] for each in described(ecs)]
    ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group())
    with refused("ClientException", "The specified capacity provider 'none' was not found"):
        ecs.delete_capacity_provider(capacityProvider="none")
    with refused("ClientException", "The capacity provider 'FARGATE_SPOT' is reserved"):
        ecs.delete_capacity_provider(capacityProvider="FARGATE_SPOT")


def test_no_deletion_while_a_cluster_has_it(ecs: Any) -> None:
    ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group())
    ecs.create_cluster(clusterName="c", capacityProviders=["cp"])
    with refused("ClientException", "The specified capacity provider is in use and cannot be removed."):
        ecs.delete_capacity_provider(capacityProvider="cp")
    wait(
        ecs,
        "DescribeClusters",
        "clusters[0].attachmentsStatus == 'UPDATE_COMPLETE'",
        clusters=["c"],
        include=["ATTACHMENTS"],
    )
    ecs.delete_cluster(cluster="c")
    ecs.delete_capacity_provider(capacityProvider="cp")


def test_describing_pages_fails_and_filters(ecs: Any, cloud: Cloud) -> None:
    for number in range(10):
        cloud.groups[f"g{number}"] = False
        ecs.create_capacity_provider(
            name=f"cp{number}",
            autoScalingGroupProvider=of_group(f"g{number}"),
            tags=[{"key": "number", "value": str(number)}],
        )
    ecs.create_cluster(clusterName="c", capacityProviders=["cp1", "FARGATE"])
    first = ecs.describe_capacity_providers()
    rest = ecs.describe_capacity_providers(nextToken=first["nextToken"])
    names = [each["name"] for page in (first, rest) for each in page["capacityProviders"]]
    assert names == ["FARGATE", "FARGATE_SPOT", *(f"cp{number}" for number in range(10))]
    assert [len(page["capacityProviders"]) for page in (first, rest)] == [10, 2]
    assert first["capacityProviders"][0] == {
        "capacityProviderArn": "arn:aws:ecs:us-east-1:123456789012:capacity-provider/FARGATE",
        "name": "FARGATE",
        "status": "ACTIVE",
        "tags": [],
        "type": "FARGATE",
    }
    found = ecs.describe_capacity_providers(capacityProviders=["cp3", "none"], include=["TAGS"])
    assert [each["tags"] for each in found["capacityProviders"]] == [[{"key": "number", "value": "3"}]]
    assert [(f["arn"].rpartition(":")[2], f["reason"]) for f in found["failures"]] == [
        ("capacity-provider/none", "MISSING")
    ]
    assert [each["name"] for each in described(ecs, cluster="c")] == ["FARGATE", "cp1"]
    elsewhere = ecs.describe_capacity_providers(cluster="c", capacityProviders=["cp1", "cp2"])
    assert [each["name"] for each in elsewhere["capacityProviders"]] == ["cp1"]
    assert len(elsewhere["failures"]) == 1
    with refused("ClusterNotFoundException", "Cluster not found."):
        ecs.describe_capacity_providers(cluster="none")
    for size in (0, 11):
        with refused("InvalidParameterException", "maxResults should be between 1 and 10."):
            ecs.describe_capacity_providers(maxResults=size)
    with refused("InvalidParameterException", "Capacity providers can have at most 100 items."):
        ecs.describe_capacity_providers(capacityProviders=[f"x{number}" for number in range(101)])


def test_tags_follow_the_provider(ecs: Any) -> None:
    given = [{"key": "team", "value": "a"}]
    made = ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=of_group(), tags=given)["capacityProvider"]
    arn = made["capacityProviderArn"]
    assert made["tags"] == given
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "stage", "value": "b"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "stage", "value": "b"}]
    ecs.delete_capacity_provider(capacityProvider=arn)
    with refused("InvalidParameterException", "The specified capacity provider is inactive."):
        ecs.tag_resource(resourceArn=arn, tags=given)


def test_managed_instances_with_every_default(ecs: Any) -> None:
    made = ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())
    expected = managed(storageConfiguration={"storageSizeGiB": 80}, monitoring="BASIC", capacityOptionType="ON_DEMAND")
    assert made["capacityProvider"] == {
        "capacityProviderArn": "arn:aws:ecs:us-east-1:123456789012:capacity-provider/mi",
        "name": "mi",
        "cluster": "default",
        "status": "ACTIVE",
        "type": "MANAGED_INSTANCES",
        "updateStatus": "CREATE_COMPLETE",
        "managedInstancesProvider": {**expected, "propagateTags": "NONE"},
        "tags": [],
    }
    (cluster,) = ecs.describe_clusters(include=["ATTACHMENTS"])["clusters"]
    assert cluster["capacityProviders"] == ["mi"]
    assert (cluster["attachments"], cluster["attachmentsStatus"]) == ([], "UPDATE_COMPLETE")
    again = ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())
    assert again == {**made, "ResponseMetadata": again["ResponseMetadata"]}


def test_managed_instances_know_types_and_zones(api: ServedApi, ecs: Any) -> None:
    ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())
    provider = api.controller.clusters["default"].state.providers["mi"]
    assert dict(provider.zones) == {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b"}
    assert [offer.instance_type for offer in provider.offers] == ["t3.medium"]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (managed() | {"infrastructureRoleArn": "x"}, "ClientException", ".*infrastructureRoleArn must be the ARN"),
        (managed(ec2InstanceProfileArn=ROLE), "ClientException", ".*ec2InstanceProfileArn must be the ARN"),
        (managed(networkConfiguration={}), "InvalidParameterException", "subnets can not be empty."),
        (
            managed(networkConfiguration={"subnets": ["s"] * 17}),
            "InvalidParameterException",
            "subnets can have at most 16 items.",
        ),
        (
            managed(networkConfiguration={"subnets": ["subnet-a"], "securityGroups": ["sg"] * 6}),
            "InvalidParameterException",
            "securityGroups can have at most 5 items.",
        ),
        (
            managed(networkConfiguration={"subnets": ["subnet-x"]}),
            "InvalidParameterException",
            r"Error retrieving subnet information for \[subnet-x\]: The subnet ID 'subnet-x' does not exist "
            r"\(ErrorCode: InvalidSubnetID.NotFound\)",
        ),
        (managed(storageConfiguration={"storageSizeGiB": 29}), "ClientException", ".*between 30 and 16384, but was 29"),
        (
            managed() | {"infrastructureOptimization": {"scaleInAfter": 3601}},
            "ClientException",
            ".*-1 and 3600",
        ),
        (managed() | {"infrastructureOptimization": {"scaleInAfter": -2}}, "ClientException", ".*-1 and 3600"),
        (managed(capacityOptionType="RESERVED"), "UnsupportedFeatureException", "The capacityOptionType RESERVED"),
        (managed(fipsEnabled=True), "UnsupportedFeatureException", "FIPS"),
        (
            managed(capacityReservations={"reservationPreference": "RESERVATIONS_ONLY"}),
            "ClientException",
            ".*capacityReservations needs the capacityOptionType RESERVED",
        ),
        (
            managed(instanceRequirements={"vCpuCount": {"min": 4, "max": 2}, "memoryMiB": {"min": 1}}),
            "ClientException",
            "The instanceRequirements are not valid: vCpuCount",
        ),
        (
            managed(instanceRequirements={"vCpuCount": {"min": 4}, "memoryMiB": {"min": 1}}),
            "ClientException",
            "No instance type meets the specified instanceRequirements.",
        ),
    ],
)
def test_bad_managed_instances_are_refused(ecs: Any, given: dict[str, Any], code: str, text: str) -> None:
    with refused(code, text):
        ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=given)


def test_managed_instances_belong_to_one_cluster(ecs: Any) -> None:
    with refused("ClientException", "A cluster must be specified"):
        ecs.create_capacity_provider(name="mi", managedInstancesProvider=managed())
    with refused("ClusterNotFoundException", "Cluster not found."):
        ecs.create_capacity_provider(name="mi", cluster="none", managedInstancesProvider=managed())
    ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())
    ecs.create_cluster(clusterName="other")
    for cluster in ("default", "other"):
        with refused("InvalidParameterException", "Cannot associate Managed Instances capacity provider to clusters"):
            ecs.put_cluster_capacity_providers(
                cluster=cluster, capacityProviders=["mi"], defaultCapacityProviderStrategy=[]
            )
    with refused("ClientException", "The specified capacity provider 'mi' is not a Managed Instances"):
        ecs.delete_capacity_provider(capacityProvider="mi", cluster="other")
    with refused("ClusterContainsCapacityProviderException", "The Cluster cannot be deleted while Capacity Providers"):
        ecs.delete_cluster(cluster="default")
    ecs.register_task_definition(family="web", containerDefinitions=[{"name": "app", "image": "b", "memory": 16}])
    strategy = [{"capacityProvider": "mi", "weight": 1}]
    assert ecs.run_task(taskDefinition="web", capacityProviderStrategy=strategy)["tasks"]


def test_managed_instances_are_updated(api: ServedApi, ecs: Any) -> None:
    ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed(monitoring="DETAILED"))
    network = {"subnets": ["subnet-b"]}
    change = {"infrastructureRoleArn": ROLE + "2", "instanceLaunchTemplate": {"networkConfiguration": network}}
    changed = ecs.update_capacity_provider(name="mi", cluster="default", managedInstancesProvider=change)
    after = changed["capacityProvider"]["managedInstancesProvider"]
    assert after["infrastructureRoleArn"] == ROLE + "2"
    assert after["instanceLaunchTemplate"]["networkConfiguration"] == network
    assert after["instanceLaunchTemplate"]["monitoring"] == "DETAILED"
    provider = api.controller.clusters["default"].state.providers["mi"]
    assert dict(provider.zones) == {"us-east-1b": "subnet-b"}
    with refused("InvalidParameterException", "Error retrieving subnet information for"):
        change["instanceLaunchTemplate"] = {"networkConfiguration": {"subnets": ["subnet-x"]}}
        ecs.update_capacity_provider(name="mi", managedInstancesProvider=change)
    with refused("ClientException", "Specify managedInstancesProvider"):
        ecs.update_capacity_provider(name="mi", autoScalingGroupProvider={})


def test_managed_instances_go_once_their_machines_have_ended(ecs: Any, cloud: Cloud, web_task: str) -> None:
    ecs.create_capacity_provider(name="mi", cluster="default", managedInstancesProvider=managed())
    strategy = [{"capacityProvider": "mi", "weight": 1}]
    (task,) = ecs.run_task(taskDefinition=web_task, capacityProviderStrategy=strategy)["tasks"]
    assert task["lastStatus"] == "PROVISIONING"
    cloud.wait_until(lambda: len(cloud.machines) == 1)
    with refused("ClientException", "The specified capacity provider is in use and cannot be removed."):
        ecs.delete_capacity_provider(capacityProvider="mi")
    (machine,) = cloud.machines
    ecs.stop_task(task=task["taskArn"])
    leaving = ecs.delete_capacity_provider(capacityProvider="mi")["capacityProvider"]
    assert (leaving["status"], leaving["updateStatus"]) == ("ACTIVE", "DELETE_IN_PROGRESS")
    assert described(ecs, "mi")[0]["status"] == "DEPROVISIONING"
    with refused("InvalidParameterException", "The specified capacity provider strategy cannot contain"):
        ecs.run_task(taskDefinition=web_task, capacityProviderStrategy=strategy)
    with refused("ClientException", "The capacity provider 'mi' is being deleted"):
        ecs.update_capacity_provider(name="mi", managedInstancesProvider=managed())
    registered = ecs.register_container_instance(
        instanceIdentityDocument=f'{{"instanceId": "{machine}"}}',
        totalResources=[{"name": "CPU", "type": "INTEGER", "integerValue": 2048}],
    )["containerInstance"]
    assert registered["capacityProviderName"] == "mi"
    wait(
        ecs,
        "DescribeCapacityProviders",
        "capacityProviders[0].status == 'INACTIVE'",
        capacityProviders=["mi"],
    )
    assert not cloud.machines
    (cluster,) = ecs.describe_clusters()["clusters"]
    assert cluster["capacityProviders"] == []
