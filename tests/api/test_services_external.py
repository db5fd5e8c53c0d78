"""Services of launch type EXTERNAL: on external instances only, without load balancers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.services import refused, settle
from tests.support.obedience import ObedientAgents
from tests.support.served import ServedApi

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067"


def hosts(ecs: Any, service: str, count: int) -> set[str]:
    """The instances of a service's tasks, of which there are to be so many."""
    arns = ecs.list_tasks(serviceName=service)["taskArns"]
    assert len(arns) == count
    return {task["containerInstanceArn"] for task in ecs.describe_tasks(tasks=arns)["tasks"]}


@pytest.mark.parametrize(("strategy", "count"), [("REPLICA", 4), ("DAEMON", 2)])
def test_they_run_on_external_instances_only(
    api: ServedApi, ecs: Any, register_instance: Callable[..., str], web_task: str, strategy: str, count: int
) -> None:
    ObedientAgents(api)
    ours = {register_instance() for _ in range(2)}
    outside = {register_instance(attributes=[{"name": "ecs.capability.external"}]) for _ in range(2)}
    wanted = {"desiredCount": count} if strategy == "REPLICA" else {}
    common = {"taskDefinition": web_task, "schedulingStrategy": strategy, **wanted}
    ecs.create_service(serviceName="edge", launchType="EXTERNAL", **common)
    ecs.create_service(serviceName="cloud", launchType="EC2", **common)
    settle(ecs, "edge", "cloud")
    assert hosts(ecs, "edge", count) == outside
    assert hosts(ecs, "cloud", count) == ours


def test_they_have_no_load_balancer(ecs: Any, web_task: str) -> None:
    balancer = {"targetGroupArn": GROUP, "containerName": "app", "containerPort": 80}
    with refused("InvalidParameterException", "Load balancers are not supported with the EXTERNAL launch type"):
        ecs.create_service(
            serviceName="edge", taskDefinition=web_task, launchType="EXTERNAL", desiredCount=1, loadBalancers=[balancer]
        )
