"""Tasks whose containers share their processes and their memory (pidMode and ipcMode "task").

Source: ECS API, RegisterTaskDefinition (pidMode, ipcMode).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Cloud, until

pytestmark = pytest.mark.timeout(120)

WAIT = "echo hi > /dev/shm/word; sleep 3600"
#: Prints what the other container shows, and how many processes are dead and not reaped once orphans have ended.
LOOK = """
until [ -e /dev/shm/word ]; do sleep 0.1; done
cat /dev/shm/word
ps | grep -q '[s]leep 3600' && echo seen
(sleep 0.1 & sleep 0.1 &)
sleep 1
grep -l 'State:.Z' /proc/[0-9]*/status | wc -l
"""


def test_containers_of_a_task_share_processes_and_memory(cloud: Cloud) -> None:
    plain: dict[str, Any] = {"image": "awsorch/busybox:latest", "memory": 16, "stopTimeout": 2}
    cloud.ecs.register_task_definition(
        family="shared",
        pidMode="task",
        ipcMode="task",
        containerDefinitions=[
            {
                **plain,
                "name": "one",
                "essential": False,
                "command": ["sh", "-c", WAIT],
            },
            {**plain, "name": "app", "command": ["sh", "-c", LOOK]},
        ],
    )
    answer = cloud.ecs.run_task(taskDefinition="shared")
    assert answer["failures"] == []
    arn = answer["tasks"][0]["taskArn"]
    until("the task has stopped", lambda: cloud.describe(arn)["lastStatus"] == "STOPPED")
    task = cloud.describe(arn)
    assert {each["name"]: each["exitCode"] for each in task["containers"]}["app"] == 0
    lines = cloud.awsorch("logs", arn).stdout.splitlines()
    assert [line.rpartition("|")[2].strip() for line in lines] == ["hi", "seen", "0"]
