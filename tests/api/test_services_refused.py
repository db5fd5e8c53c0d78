"""What CreateService and UpdateService refuse, in ECS's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.services import refused
from tests.support.served import served_api

INVALID = "InvalidParameterException"
UNSUPPORTED = "UnsupportedFeatureException"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067"
ZONE = "attribute:ecs.availability-zone"


@pytest.fixture(scope="module")
def world() -> Iterator[Any]:
    """A client of an API with task definitions and a service of each scheduling strategy."""
    with served_api() as api:
        ecs = api.ecs
        ecs.create_cluster(clusterName="default")
        ports = [{"containerPort": 80}, {"containerPort": 90, "hostPort": 90}]
        containers = [{"name": "app", "image": "busybox", "memory": 16, "portMappings": ports}]
        ecs.register_task_definition(family="web", containerDefinitions=containers)
        ecs.register_task_definition(family="old", containerDefinitions=containers)
        ecs.deregister_task_definition(taskDefinition="old:1")
        ecs.register_task_definition(family="vpc", networkMode="awsvpc", containerDefinitions=containers)
        ecs.create_service(serviceName="replica", taskDefinition="web", desiredCount=0)
        ecs.create_service(serviceName="daemon", taskDefinition="web", schedulingStrategy="DAEMON")
        yield ecs


def percents(least: int, most: int) -> dict[str, Any]:
    return {"deploymentConfiguration": {"minimumHealthyPercent": least, "maximumPercent": most}}


def balancer(**members: Any) -> dict[str, Any]:
    return {"loadBalancers": [{"targetGroupArn": GROUP, "containerName": "app", "containerPort": 80, **members}]}


def breaker(kind: str, value: int) -> dict[str, Any]:
    threshold = {"type": kind, "value": value}
    return {
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": True, "rollback": True, "thresholdConfiguration": threshold}
        }
    }


#: What both operations refuse: (members, code, message).
BOTH: list[tuple[dict[str, Any], str, str]] = [
    ({"taskDefinition": "nope"}, "ClientException", "TaskDefinition not found."),
    ({"taskDefinition": "old:1"}, "ClientException", "TaskDefinition is inactive"),
    (
        {"taskDefinition": "vpc"},
        INVALID,
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    ),
    (
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}},
        INVALID,
        "Network Configuration is not valid for the given networkMode of this task definition.",
    ),
    (percents(101, 200), INVALID, "minimumHealthyPercent must be at most 100"),
    (percents(-1, 200), INVALID, "minimumHealthyPercent must be at least 0"),
    (percents(50, 99), INVALID, "maximumPercent must be at least 100"),
    (percents(100, 100), INVALID, "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block"),
    (breaker("COUNT", 0), INVALID, "The value of thresholdConfiguration must be at least 1, but was 0"),
    (breaker("UNBOUNDED_PERCENT", 101), INVALID, "The value of thresholdConfiguration UNBOUNDED_PERCENT must be at m"),
    (
        {"deploymentConfiguration": {"alarms": {"alarmNames": [], "rollback": True, "enable": True}}},
        INVALID,
        "alarmNames can not be empty when deployment alarms are enabled.",
    ),
    (
        {"deploymentConfiguration": {"bakeTimeInMinutes": 1441}},
        INVALID,
        "bakeTimeInMinutes must be between 0 and 1440",
    ),
    ({"deploymentConfiguration": {"strategy": "BLUE_GREEN"}}, UNSUPPORTED, "Deployment strategy BLUE_GREEN is not"),
    ({"deploymentConfiguration": {"strategy": "CANARY"}}, UNSUPPORTED, "Deployment strategy CANARY is not supported"),
    ({"deploymentConfiguration": {"strategy": "LINEAR"}}, UNSUPPORTED, "Deployment strategy LINEAR is not supported"),
    (
        {"deploymentConfiguration": {"canaryConfiguration": {"canaryPercent": 5.0}}},
        INVALID,
        "canaryConfiguration is for deployment strategy CANARY.",
    ),
    (
        {"deploymentConfiguration": {"lifecycleHooks": [{"hookTargetArn": "x"}]}},
        UNSUPPORTED,
        "Deployment lifecycle hooks are not supported",
    ),
    (
        {"deploymentConfiguration": {"earlySuccessCriteria": {"enable": True}}},
        UNSUPPORTED,
        "Early success criteria are not supported",
    ),
    ({"deploymentController": {"type": "CODE_DEPLOY"}}, UNSUPPORTED, "Deployment controller CODE_DEPLOY is not suppor"),
    ({"deploymentController": {"type": "EXTERNAL"}}, UNSUPPORTED, "Deployment controller EXTERNAL is not supported"),
    (
        {"placementStrategy": [{"type": "random"}] * 6},
        INVALID,
        "Maximum number of strategies is 5",
    ),
    ({"placementStrategy": [{"type": "binpack", "field": "disk"}]}, INVALID, "binpack field 'disk' is invalid"),
    ({"healthCheckGracePeriodSeconds": -1}, INVALID, "healthCheckGracePeriodSeconds must be between 0 and 2147483647"),
    (
        {"capacityProviderStrategy": [{"capacityProvider": "cp"}]},
        INVALID,
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the",
    ),
    ({"platformVersion": "LATEST"}, INVALID, "The platform version must be null when specifying an EC2 launch type"),
    ({"volumeConfigurations": [{"name": "v"}]}, INVALID, "The volume name 'v' in your request does not have a matchi"),
    ({"serviceRegistries": [{"registryArn": "x"}]}, UNSUPPORTED, "Service discovery"),
    ({"serviceConnectConfiguration": {"enabled": True}}, UNSUPPORTED, "Service Connect"),
    (balancer(containerName="b"), INVALID, "The container b does not exist in the task definition."),
    (balancer(containerPort=81), INVALID, "The container app did not have a container port 81 defined."),
    (balancer(loadBalancerName="lb"), INVALID, "loadBalancerName and targetGroupArn cannot both be specified."),
    (balancer(targetGroupArn=""), INVALID, "Either targetGroupArn or loadBalancerName must be specified"),
    (balancer(targetGroupArn="arn:x"), INVALID, "Unable to assume role and validate the specified targetGroupArn."),
    (balancer(advancedConfiguration={"roleArn": "r"}), UNSUPPORTED, "advancedConfiguration of load balancers is not"),
    ({"loadBalancers": [{"targetGroupArn": GROUP}]}, INVALID, "containerName and containerPort must be specified"),
    (
        {
            "loadBalancers": balancer()["loadBalancers"]
            + balancer(targetGroupArn="", loadBalancerName="c", containerPort=90)["loadBalancers"]
        },
        INVALID,
        "A service can use one Classic Load Balancer, or up to 5 target groups, but not both.",
    ),
    (
        balancer(targetGroupArn="", loadBalancerName="classic"),
        INVALID,
        "A host port mapping for the container port 80 is required.",
    ),
    ({"desiredCount": 5001}, INVALID, "Desired count exceeds limit."),
    ({"loadBalancers": balancer()["loadBalancers"] * 6}, INVALID, "Load balancers can have at most 5 items."),
]
#: What goes with rebalancing across zones no more: (members, what).
NOT_BALANCED: list[tuple[dict[str, Any], str]] = [
    (percents(50, 100), "maximumPercent <= 100 % as deployment configuration."),
    ({"placementConstraints": [{"type": "memberOf", "expression": f"{ZONE} == us-east-1a"}]}, "placement constraints"),
    ({"placementStrategy": [{"type": "binpack", "field": "cpu"}]}, "a placement strategy that does not begin with"),
    (balancer(targetGroupArn="", loadBalancerName="classic", containerPort=90), "Classic Load Balancers."),
]


@pytest.mark.parametrize(("members", "code", "text"), BOTH)
def test_refused_by_both(world: Any, members: dict[str, Any], code: str, text: str) -> None:
    with refused(code, text):
        world.create_service(**{"serviceName": "new", "taskDefinition": "web", "desiredCount": 1, **members})
    with refused(code, text):
        world.update_service(service="replica", **members)
    assert len(world.list_services()["serviceArns"]) == 2
    assert len(world.list_service_deployments(service="replica")["serviceDeployments"]) == 1


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        ({"serviceName": "a.b"}, INVALID, "Invalid service name."),
        ({"serviceName": "a" * 256}, INVALID, "Invalid service name."),
        ({"taskDefinition": None}, INVALID, "TaskDefinition can not be blank."),
        ({"desiredCount": None}, INVALID, "DesiredCount is missing"),
        ({"desiredCount": -1}, INVALID, "DesiredCount can not be lesser than 0"),
        ({"clientToken": "t" * 37}, INVALID, "idempotency token longer than 36."),
        ({"serviceName": "replica"}, INVALID, "Creation of service was not idempotent."),
        ({"launchType": "FARGATE"}, INVALID, "Task definition does not support launch_type FARGATE."),
        ({"launchType": "MOON"}, INVALID, r"launch type should be one of \[EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES\]"),
        (
            {"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "cp"}]},
            INVALID,
            "Specifying both a launch type and capacity provider strategy is not supported.",
        ),
        ({"schedulingStrategy": "CRON"}, INVALID, r"Scheduling strategy should be one of \[REPLICA,DAEMON\]"),
        ({"tags": [{"key": "aws:x", "value": "y"}]}, INVALID, "Tag keys cannot start with 'aws:'"),
        ({"cluster": "nope"}, "ClusterNotFoundException", "Cluster not found."),
        (
            {**balancer(), "loadBalancers": balancer()["loadBalancers"] * 2, "role": "ecsServiceRole"},
            INVALID,
            "You cannot specify an IAM role for services that require a service linked role.",
        ),
        (
            {"schedulingStrategy": "DAEMON", "desiredCount": 0},
            INVALID,
            "The daemon scheduling strategy does not support a",
        ),
    ],
)
def test_refused_at_creation(world: Any, members: dict[str, Any], code: str, text: str) -> None:
    asked = {"serviceName": "new", "taskDefinition": "web", "desiredCount": 1, **members}
    with refused(code, text):
        world.create_service(**{name: value for name, value in asked.items() if value is not None})


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"desiredCount": 0}, "The daemon scheduling strategy does not support a desired count for services."),
        ({"placementStrategy": [{"type": "random"}]}, "The daemon scheduling strategy does not support placement stra"),
        (percents(0, 150), "The daemon scheduling strategy does not support values above 100 for maximumPercent."),
        ({"availabilityZoneRebalancing": "ENABLED"}, "Availability Zone Rebalancing does not support DAEMON services."),
    ],
)
def test_refused_for_daemons(world: Any, members: dict[str, Any], text: str) -> None:
    with refused(INVALID, text):
        world.create_service(serviceName="new", taskDefinition="web", schedulingStrategy="DAEMON", **members)
    with refused(INVALID, text):
        world.update_service(service="daemon", **members)


def test_fargate_is_refused_for_daemons(world: Any) -> None:
    with refused(INVALID, "The daemon scheduling strategy does not support the FARGATE launch type."):
        world.create_service(serviceName="new", taskDefinition="web", schedulingStrategy="DAEMON", launchType="FARGATE")


@pytest.mark.parametrize(("members", "text"), NOT_BALANCED)
def test_rebalancing_is_off_or_refused_where_it_does_not_go(world: Any, members: dict[str, Any], text: str) -> None:
    asked = {"serviceName": "uneven", "taskDefinition": "web", "desiredCount": 0, **members}
    with refused(INVALID, f"Availability Zone Rebalancing does not support {text}"):
        world.create_service(**asked, availabilityZoneRebalancing="ENABLED")
    with refused(INVALID, f"Availability Zone Rebalancing does not support {text}"):
        world.update_service(service="replica", **members)
    made = world.create_service(**asked)["service"]
    assert made["availabilityZoneRebalancing"] == "DISABLED"
    world.delete_service(service="uneven")
    world.get_waiter("services_inactive").wait(services=["uneven"], WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        ({"service": "nope"}, "ServiceNotFoundException", "Service not found."),
        ({"desiredCount": -1}, INVALID, "Task count can not be lesser than 0"),
        ({"service": "arn:aws:ecs:us-east-1:123456789012:task/default/x"}, INVALID, "Service Identifier is invalid"),
    ],
)
def test_refused_in_updates(world: Any, members: dict[str, Any], code: str, text: str) -> None:
    with refused(code, text):
        world.update_service(**{"service": "replica", **members})


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("create_task_set", {"taskDefinition": "web"}),
        ("update_task_set", {"taskSet": "t", "scale": {"value": 50.0, "unit": "PERCENT"}}),
        ("delete_task_set", {"taskSet": "t"}),
        ("describe_task_sets", {}),
        ("update_service_primary_task_set", {"primaryTaskSet": "t"}),
    ],
)
def test_task_sets_are_not_supported(world: Any, operation: str, members: dict[str, Any]) -> None:
    with refused(UNSUPPORTED, r"\w+ is not supported by this version of awsorch."):
        getattr(world, operation)(cluster="default", service="replica", **members)


def test_services_are_listed_by_one_of_two_strategies(world: Any) -> None:
    with refused(INVALID, r"Scheduling strategy should be one of \[REPLICA,DAEMON\]"):
        world.list_services(schedulingStrategy="CRON")
