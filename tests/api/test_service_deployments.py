"""Service deployments and revisions through boto3: their story, turning back, stopping; what is not found."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api.services import describe, refused, settle, until
from tests.support.obedience import ObedientAgents

ARN = "arn:aws:ecs:us-east-1:123456789012"
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


@pytest.fixture
def stable(ecs: Any, agents: ObedientAgents, second_web: str) -> dict[str, Any]:
    """Service "a" with two tasks of "web:1", as it is when stable; "web:2" has an image that never starts."""
    agents.broken.add("busybox:2")
    ecs.create_service(serviceName="a", taskDefinition="web:1", desiredCount=2, deploymentConfiguration=BREAKER)
    settle(ecs, "a")
    return describe(ecs, "a")


def histories(ecs: Any, **filters: Any) -> list[dict[str, Any]]:
    return list(ecs.list_service_deployments(service="a", **filters)["serviceDeployments"])


def shown(ecs: Any, arn: str) -> dict[str, Any]:
    (deployment,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    return dict(deployment)


def test_a_first_deployment_is_described(ecs: Any, stable: dict[str, Any], web_task: str) -> None:
    (brief,) = histories(ecs)
    revision = stable["currentServiceRevisions"][0]["arn"]
    assert (brief["status"], brief["targetServiceRevisionArn"]) == ("SUCCESSFUL", revision)
    whole = shown(ecs, brief["serviceDeploymentArn"])
    assert {name: whole[name] for name in brief if name != "targetServiceRevisionArn"} == {
        name: value for name, value in brief.items() if name != "targetServiceRevisionArn"
    }
    counts = {"requestedTaskCount": 2, "runningTaskCount": 2, "pendingTaskCount": 0}
    assert whole["targetServiceRevision"] == {"arn": revision, **counts}
    assert whole["sourceServiceRevisions"] == []
    assert whole["deploymentConfiguration"] == stable["deploymentConfiguration"]
    assert whole["deploymentCircuitBreaker"] == {"status": "MONITORING_COMPLETE", "failureCount": 0, "threshold": 3}
    assert whole["alarms"] == {"status": "DISABLED", "alarmNames": []}
    (described,) = ecs.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"]
    assert described.pop("createdAt") == stable["createdAt"]
    assert described == {
        "serviceRevisionArn": revision,
        "serviceArn": stable["serviceArn"],
        "clusterArn": stable["clusterArn"],
        "taskDefinition": web_task,
        "launchType": "EC2",
        "loadBalancers": [],
        "serviceRegistries": [],
        "containerImages": [{"containerName": "app", "image": "busybox"}],
        "guardDutyEnabled": False,
    }


def test_a_revision_tells_the_digests_of_its_images(ecs: Any, stable: dict[str, Any], web_task: str) -> None:
    digest = f"sha256:{'1' * 64}"
    first = ecs.list_tasks(serviceName="a")["taskArns"][0]
    told = {"containerName": "app", "status": "RUNNING", "imageDigest": digest}
    ecs.submit_task_state_change(cluster="default", task=first, status="RUNNING", containers=[told])
    arn = stable["currentServiceRevisions"][0]["arn"]
    (revision,) = ecs.describe_service_revisions(serviceRevisionArns=[arn])["serviceRevisions"]
    assert revision["containerImages"] == [{"containerName": "app", "image": "busybox", "imageDigest": digest}]
    known = set(ecs.list_tasks(serviceName="a")["taskArns"])
    ecs.update_service(service="a", desiredCount=3)
    settle(ecs, "a")
    (later,) = set(ecs.list_tasks(serviceName="a")["taskArns"]) - known
    (task,) = ecs.describe_tasks(tasks=[later])["tasks"]
    assert task["containers"][0]["image"] == f"busybox@{digest}"


def test_a_broken_revision_turns_back(ecs: Any, stable: dict[str, Any], web_task: str) -> None:
    (good,) = histories(ecs)
    ecs.update_service(service="a", taskDefinition="web:2")
    after = until(ecs, "a", "deployments[0].rolloutState == 'COMPLETED' && length(deployments) == `1`")
    assert (after["taskDefinition"], after["runningCount"]) == (web_task, 2)
    newest, oldest = histories(ecs)
    assert (newest["status"], oldest) == ("ROLLBACK_SUCCESSFUL", good)
    # What has ended is told as it ended.
    assert shown(ecs, good["serviceDeploymentArn"])["targetServiceRevision"]["runningTaskCount"] == 2
    whole = shown(ecs, newest["serviceDeploymentArn"])
    assert whole["rollback"]["serviceRevisionArn"] == good["targetServiceRevisionArn"]
    assert whole["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    (source,) = whole["sourceServiceRevisions"]
    assert (source["arn"], source["runningTaskCount"]) == (good["targetServiceRevisionArn"], 2)
    # The number of the deployment that turned back is not that of its revision, which is the one that ran before.
    (current,) = after["currentServiceRevisions"]
    assert current["arn"] == good["targetServiceRevisionArn"]
    assert histories(ecs, status=["SUCCESSFUL"]) == [good]
    assert histories(ecs, createdAt={"after": good["createdAt"] + timedelta(seconds=0.001)}) == [newest]
    assert histories(ecs, createdAt={"before": good["createdAt"]}) == [good]


def test_a_deployment_is_stopped_once(ecs: Any, agents: ObedientAgents, stable: dict[str, Any], web_task: str) -> None:
    (good,) = histories(ecs)
    agents.paused = True
    running = ecs.update_service(service="a", taskDefinition="web:2")["service"]["currentServiceDeployment"]
    until(ecs, "a", "deployments[0].pendingCount == `2`")
    assert shown(ecs, running)["deploymentCircuitBreaker"]["status"] == "MONITORING"
    assert ecs.stop_service_deployment(serviceDeploymentArn=running)["serviceDeploymentArn"] == running
    agents.paused = False
    assert until(ecs, "a", "deployments[0].rolloutState == 'COMPLETED'")["taskDefinition"] == web_task
    for arn in (running, good["serviceDeploymentArn"]):
        with refused("ConflictException", "The service deployment can't be stopped because its status is"):
            ecs.stop_service_deployment(serviceDeploymentArn=arn)
    with refused("UnsupportedFeatureException", "stopType ABORT is not supported"):
        ecs.stop_service_deployment(serviceDeploymentArn=running, stopType="ABORT")
    for path in ("default/a/nope", "default/b/nope", "other/a/nope"):
        with refused("ServiceDeploymentNotFoundException", "Service deployment not found."):
            ecs.stop_service_deployment(serviceDeploymentArn=f"{ARN}:service-deployment/{path}")


def test_deployments_are_paged_newest_first(ecs: Any, web_task: str) -> None:
    ecs.create_service(serviceName="a", taskDefinition="web", desiredCount=0)
    for _ in range(4):
        ecs.update_service(service="a", forceNewDeployment=True)
    everything = histories(ecs)
    times = [item["createdAt"] for item in everything]
    assert times == sorted(times, reverse=True)
    assert len({item["serviceDeploymentArn"] for item in everything}) == 5
    first = ecs.list_service_deployments(service="a", maxResults=3)
    rest = ecs.list_service_deployments(service="a", maxResults=3, nextToken=first["nextToken"])
    assert first["serviceDeployments"] + rest["serviceDeployments"] == everything
    assert "nextToken" not in rest
    with refused("ServiceNotFoundException", "Service not found."):
        ecs.list_service_deployments(service="b")


@pytest.mark.parametrize(
    ("operation", "member", "kind"),
    [
        ("describe_service_deployments", "serviceDeploymentArns", "service-deployment"),
        ("describe_service_revisions", "serviceRevisionArns", "service-revision"),
    ],
)
def test_what_is_not_there(ecs: Any, operation: str, member: str, kind: str) -> None:
    call = getattr(ecs, operation)
    arns = [f"{ARN}:{kind}/{cluster}/a/1" for cluster in ("default", "nowhere")]
    answer = call(**{member: arns * 2})
    assert answer["failures"] == [{"arn": arn, "reason": "MISSING"} for arn in arns]
    with refused("InvalidParameterException", "Invalid identifier: a is not the ARN of a service"):
        call(**{member: ["a"]})
    with refused("InvalidParameterException", "Invalid Region in ARN"):
        call(**{member: [arns[0].replace("us-east-1", "eu-west-1")]})
    with refused("InvalidParameterException", f"{member} can not be empty."):
        call(**{member: []})
    with refused("InvalidParameterException", f"{member} can have at most 20 items."):
        call(**{member: [f"{arns[0]}{n}" for n in range(21)]})
