"""The AWS CLI (version 1), unmodified, against the API: output, paging, waiting, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.api.services import settle
from tests.support.obedience import ObedientAgents
from tests.support.served import ServedApi


def aws(api: ServedApi, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``aws ecs`` with these words."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": api.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, str(Path(sys.executable).with_name("aws")), "ecs", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def answer(api: ServedApi, *words: str) -> Any:
    """What a call that succeeds prints."""
    ran = aws(api, *words, "--output", "json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout) if ran.stdout else None


def test_a_task_from_the_command_line(api: ServedApi, ecs: Any, register_instance: Callable[..., str]) -> None:
    register_instance()
    containers = json.dumps([{"name": "app", "image": "busybox", "memory": 16}])
    made = answer(api, "register-task-definition", "--family", "cli", "--container-definitions", containers)
    assert made["taskDefinition"]["revision"] == 1
    run = answer(api, "run-task", "--task-definition", "cli", "--count", "3", "--started-by", "me")
    arns = [task["taskArn"] for task in run["tasks"]]
    assert len(arns) == 3
    for arn in arns:
        ecs.submit_task_state_change(
            task=arn, status="RUNNING", containers=[{"containerName": "app", "status": "RUNNING"}]
        )
    assert answer(api, "wait", "tasks-running", "--tasks", *arns) is None
    listed = answer(api, "list-tasks", "--page-size", "1")
    assert sorted(listed["taskArns"]) == sorted(arns)
    query = aws(api, "describe-tasks", "--tasks", arns[0], "--query", "tasks[0].lastStatus", "--output", "text")
    assert query.stdout.strip() == "RUNNING"


def test_a_service_from_the_command_line(api: ServedApi, agents: ObedientAgents, second_web: str) -> None:
    made = answer(api, "create-service", "--service-name", "site", "--task-definition", "web:1", "--desired-count", "2")
    assert made["service"]["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    settle(api.ecs, "site")
    assert answer(api, "wait", "services-stable", "--services", "site") is None
    updated = answer(api, "update-service", "--service", "site", "--task-definition", "web")
    assert updated["service"]["taskDefinition"] == second_web
    settle(api.ecs, "site")
    assert answer(api, "list-services", "--query", "length(serviceArns)") == 1
    assert answer(api, "delete-service", "--service", "site", "--force")["service"]["desiredCount"] == 0


def test_errors_read_as_from_ecs(api: ServedApi) -> None:
    failed = aws(api, "describe-tasks", "--cluster", "nope", "--tasks", "x")
    assert failed.returncode == 255
    assert (
        "An error occurred (ClusterNotFoundException) when calling the DescribeTasks operation: Cluster not found."
        in failed.stderr
    )
