"""GetTaskProtection and UpdateTaskProtection through boto3."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsorch.local.session_keys import secret_of
from tests.api.services import refused, settle, until
from tests.support.obedience import ObedientAgents
from tests.support.served_app import served_app

ARN = "arn:aws:ecs:us-east-1:123456789012"


@pytest.fixture
def tasks(ecs: Any, agents: ObedientAgents, web_task: str) -> list[str]:
    """ARNs of the two tasks of service "a"."""
    ecs.create_service(serviceName="a", taskDefinition="web", desiredCount=2)
    settle(ecs, "a")
    return list(ecs.list_tasks(serviceName="a")["taskArns"])


def test_protection_is_given_and_taken(ecs: Any, tasks: list[str]) -> None:
    given = ecs.update_task_protection(cluster="default", tasks=tasks[:1], protectionEnabled=True)
    assert given["failures"] == []
    (one,) = given["protectedTasks"]
    assert (one["taskArn"], one["protectionEnabled"]) == (tasks[0], True)
    both = ecs.get_task_protection(cluster="default", tasks=[arn.rpartition("/")[2] for arn in tasks])
    assert both["protectedTasks"] == [one, {"taskArn": tasks[1], "protectionEnabled": False}]
    longer = ecs.update_task_protection(
        cluster="default", tasks=tasks[:1], protectionEnabled=True, expiresInMinutes=180
    )["protectedTasks"][0]
    assert timedelta(minutes=59) < longer["expirationDate"] - one["expirationDate"] < timedelta(minutes=61)
    taken = ecs.update_task_protection(cluster="default", tasks=tasks[:1], protectionEnabled=False)
    assert taken["protectedTasks"] == [{"taskArn": tasks[0], "protectionEnabled": False}]


def test_a_protected_task_outlives_scale_in(ecs: Any, tasks: list[str]) -> None:
    ecs.update_task_protection(cluster="default", tasks=tasks[:1], protectionEnabled=True)
    ecs.update_service(service="a", desiredCount=0)
    until(ecs, "a", "runningCount == `1`")
    assert ecs.list_tasks(serviceName="a")["taskArns"] == tasks[:1]
    ecs.update_task_protection(cluster="default", tasks=tasks[:1], protectionEnabled=False)
    settle(ecs, "a")
    assert ecs.list_tasks(serviceName="a")["taskArns"] == []


def test_what_can_not_be_protected(ecs: Any, tasks: list[str]) -> None:
    (alone,) = ecs.run_task(taskDefinition="web")["tasks"]
    names = [alone["taskArn"], "nope", f"{ARN}:task/other/{'0' * 32}"]
    expected = [
        {"arn": alone["taskArn"], "reason": "TASK_NOT_VALID"},
        {"arn": f"{ARN}:task/default/nope", "reason": "MISSING"},
        {"arn": names[2], "reason": "MISSING"},
    ]
    assert ecs.get_task_protection(cluster="default", tasks=names)["failures"] == expected
    answer = ecs.update_task_protection(cluster="default", tasks=names, protectionEnabled=True)
    assert (answer["protectedTasks"], answer["failures"]) == ([], expected)


def test_limits(ecs: Any) -> None:
    for minutes in (0, 2881):
        with refused("InvalidParameterException", "expiresInMinutes must be between 1 and 2880."):
            ecs.update_task_protection(cluster="default", tasks=["a"], protectionEnabled=True, expiresInMinutes=minutes)
    with refused("InvalidParameterException", "Tasks can have at most 10 items."):
        ecs.update_task_protection(cluster="default", tasks=["a"] * 11, protectionEnabled=True)
    with refused("InvalidParameterException", "Tasks can have at most 100 items."):
        ecs.get_task_protection(cluster="default", tasks=["a"] * 101)
    with refused("InvalidParameterException", "Tasks cannot be empty."):
        ecs.get_task_protection(cluster="default", tasks=[])
    with refused("ClusterNotFoundException", "Cluster not found."):
        ecs.get_task_protection(cluster="nope", tasks=["a"])


def test_sessions_of_the_local_cloud_s_roles_may_ask_and_others_may_not(tmp_path: Path) -> None:
    secret = "the local cloud's own"
    with served_app(tmp_path, session_secret=secret) as served:
        served.ecs.create_cluster(clusterName="c1")
        given = secret_of(secret, "ASIATASK")
        assert given is not None
        answer = served.client("ASIATASK", given).get_task_protection(cluster="c1", tasks=["a"])
        assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            served.client("ASIATASK", "guessed").get_task_protection(cluster="c1", tasks=["a"])
