"""deploy and scale: what is registered and updated, what is shown meanwhile, and the exit codes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Awsorch, answer_of
from tests.cli.services.conftest import Make
from tests.support.obedience import ObedientAgents

Service = Callable[..., dict[str, Any]]
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def test_an_image_becomes_a_revision_that_is_rolled_out(
    awsorch: Awsorch, ecs: Any, make: Make, service: Service
) -> None:
    make(tags=[{"key": "a", "value": "b"}])
    result = awsorch("deploy", "web", "--image", "shop:2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "registered web:2"
    assert re.fullmatch(r"web: web:2 runs, 3 of 3 tasks \(\d+\.\d s\)", lines[-1])
    told = [line.partition(" s  ")[2] for line in lines]
    assert any(re.fullmatch(r"has started \d tasks: .*", line) for line in told)
    assert any(re.fullmatch(r"\(deployment ecs-svc/\d+\) deployment completed\.", line) for line in told)
    assert "web:2 3/3; 100 %" in told
    definition = ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]
    assert (definition["revision"], definition["containerDefinitions"][0]["image"]) == (2, "shop:2")
    assert service()["taskDefinition"] == definition["taskDefinitionArn"]


def test_events_of_the_past_are_not_told_again(awsorch: Awsorch, make: Make) -> None:
    make()
    assert "deployment completed" in awsorch("events", "web").stdout
    first = [line.partition("  ")[2] for line in awsorch("events", "web").stdout.splitlines()]
    rolled = awsorch("deploy", "web", "--force").stdout
    assert not [line for line in first if "(task" in line and line in rolled]


def test_without_options_it_goes_to_the_newest_revision(
    awsorch: Awsorch, make: Make, define: Callable[..., str], service: Service
) -> None:
    make()
    assert awsorch("deploy", "web").stdout == (
        "web: nothing to do, web:1 runs already (awsorch deploy web --force starts it anew)\n"
    )
    define(image="shop:2")
    assert awsorch("deploy", "web", "--force").exit_code == 0
    assert service()["taskDefinition"].endswith(":1")
    assert awsorch("deploy", "web", "-t", "web:2").exit_code == 0
    assert service()["taskDefinition"].endswith(":2")
    assert awsorch("deploy", service()["serviceArn"], "-t", "web:1", "--no-wait").stdout.endswith(" of web:1 began\n")


def test_a_broken_image_is_turned_back_and_why(awsorch: Awsorch, make: Make, agents: ObedientAgents) -> None:
    make(deploymentConfiguration=BREAKER)
    agents.broken.add("shop:bad")
    result = awsorch("deploy", "web", "-i", "app=shop:bad")
    assert result.exit_code == 1
    first, *reasons = result.stderr.splitlines()
    assert first.startswith("awsorch: web: the deployment failed and was rolled back to web:1: ")
    assert "tasks failed to start" in first
    assert re.fullmatch(r"awsorch: \d tasks stopped, such as [0-9a-f]{8}: app: CannotPullContainerError.*", reasons[0])


def test_a_broken_image_without_a_way_back_is_stopped(awsorch: Awsorch, make: Make, agents: ObedientAgents) -> None:
    make(deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": False}})
    agents.broken.add("shop:bad")
    result = awsorch("deploy", "web", "-i", "shop:bad", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["serviceDeployment"]["status"] == "STOPPED"
    assert result.stderr.startswith("awsorch: web: the deployment was stopped: ")


def test_why_tasks_fail_is_told_meanwhile_and_each_reason_once(
    awsorch: Awsorch, make: Make, agents: ObedientAgents, service: Service
) -> None:
    make()
    agents.broken.add("shop:bad")
    awsorch("deploy", "web", "-i", "shop:bad", "--no-wait")
    deadline = time.monotonic() + 30
    while service()["deployments"][0]["failedTasks"] < 2:
        assert time.monotonic() < deadline
    result = awsorch("deploy", "web", "-t", "web:2", "--timeout", "0s")
    assert result.exit_code == 124
    why = "app: CannotPullContainerError: no such image"
    assert len(re.findall(rf"task [0-9a-f]{{8}} stopped: {why}\n", result.stdout)) == 1
    assert re.search(rf"awsorch: \d tasks stopped, such as [0-9a-f]{{8}}: {why}\n", result.stderr)


def test_the_time_limit_and_an_interruption_leave_the_rollout_alone(
    awsorch: Awsorch, make: Make, agents: ObedientAgents, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    agents.paused = True
    late = awsorch("deploy", "web", "--image", "shop:2", "--timeout", "0s")
    assert late.exit_code == 124
    assert "not done within 0 s; the rollout goes on: see it with awsorch events -f web" in late.stderr

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("awsorch.cli.rollouts.time.sleep", interrupted)
    stopped = awsorch("deploy", "web")
    assert stopped.exit_code == 130
    assert "not waiting any more; the rollout goes on" in stopped.stderr
    assert service()["deployments"][0]["rolloutState"] == "IN_PROGRESS"


def test_one_that_another_overtakes_is_told(
    awsorch: Awsorch, ecs: Any, make: Make, agents: ObedientAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    agents.paused = True

    with monkeypatch.context() as patch:

        def overtake(seconds: float) -> None:
            patch.undo()
            agents.paused = False
            ecs.update_service(service="web", forceNewDeployment=True)

        patch.setattr("awsorch.cli.rollouts.time.sleep", overtake)
        result = awsorch("deploy", "web", "--force")
    assert result.exit_code == 1
    assert "the deployment was stopped: Superseded by a newer deployment" in result.stderr


def test_images_must_name_containers(awsorch: Awsorch, ecs: Any, make: Make) -> None:
    containers = [{"name": name, "image": "shop:1", "memory": 32} for name in ("app", "side")]
    ecs.register_task_definition(family="two", containerDefinitions=containers)
    make(taskDefinition="two:1")
    unnamed = awsorch("deploy", "web", "--image", "shop:2")
    assert unnamed.exit_code == 2
    assert "has the containers app, side: say which one the image is for, such as --image app=shop:2" in unnamed.stderr
    unknown = awsorch("deploy", "web", "--image", "sid=shop:2")
    assert unknown.exit_code == 2
    assert "no container 'sid'; did you mean 'side'?; it has app, side" in unknown.stderr
    assert awsorch("deploy", "web", "--image", "app=").exit_code == 2
    assert awsorch("deploy", "web", "--image", "app=a", "--image", "app=b").exit_code == 2
    assert len(ecs.list_task_definitions(familyPrefix="two")["taskDefinitionArns"]) == 1
    assert awsorch("deploy", "web", "--image", "app=shop:1").stdout.startswith("web: nothing to do")
    both = awsorch("deploy", "web", "--image", "app=shop:2", "--image", "side=reg.example:5000/side:3@sha256:0")
    assert both.exit_code == 0, both.output


def test_an_unknown_service_is_named(awsorch: Awsorch, make: Make) -> None:
    make()
    assert awsorch("deploy", "webb").stderr == ("awsorch: no service 'webb' in cluster default; did you mean 'web'?\n")
    assert awsorch("deploy", "arn:aws:ecs:us-east-1:123456789012:task/default/web").stderr.endswith(
        "is not the ARN of a service\n"
    )


def test_a_deleted_service_cannot_be_deployed(awsorch: Awsorch, ecs: Any, make: Make) -> None:
    make()
    ecs.delete_service(service="web", force=True)
    result = awsorch("scale", "web", "1")
    assert result.exit_code == 1
    assert re.fullmatch(
        r"awsorch: service web is (DRAINING|INACTIVE): only an ACTIVE one can be changed\n", result.stderr
    )


def test_scale_waits_for_the_tasks(awsorch: Awsorch, make: Make, service: Service, agents: ObedientAgents) -> None:
    make()
    for count in (5, 0, 1):
        result = awsorch("scale", "web", str(count))
        assert result.exit_code == 0, result.output
        assert f"web: web:1 runs, {count} of {count} tasks" in result.stdout
        assert service()["runningCount"] == count
    agents.paused = True
    assert awsorch("scale", "web", "2", "--no-wait").stdout == "web: 2 tasks wished for, 1 run\n"
    assert answer_of(awsorch("scale", "web", "3", "--no-wait", "--json"))["service"]["desiredCount"] == 3
    assert awsorch("scale", "web", "-1").exit_code == 2
    assert awsorch("scale", "web", "1", "--timeout", "soon").exit_code == 2


def test_json_is_one_document(awsorch: Awsorch, make: Make) -> None:
    make()
    answer = answer_of(awsorch("deploy", "web", "--image", "shop:2", "--json"))
    assert answer["serviceDeployment"]["status"] == "SUCCESSFUL"
    assert answer["service"]["runningCount"] == 3
