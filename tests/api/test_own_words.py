"""Errors that ECS words differently from its model: enumerations and lists that are missing or empty."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

EMPTY = "Container Instances cannot be empty."
SETTINGS = "unknown should be one of [serviceLongArnFormat,taskLongArnFormat,containerInstanceLongArnFormat,"
STATUS = "Container instance status should be one of [ACTIVE, DRAINING]"
TARGET = "targetType must be container-instance"


@pytest.mark.parametrize(
    ("operation", "request_", "code", "text"),
    [
        ("describe_tasks", {}, "InvalidParameterException", "Tasks cannot be empty."),
        ("describe_tasks", {"tasks": []}, "InvalidParameterException", "Tasks cannot be empty."),
        ("describe_container_instances", {}, "ClientException", EMPTY),
        ("describe_container_instances", {"containerInstances": []}, "ClientException", EMPTY),
        ("start_task", {"taskDefinition": "web"}, "ClientException", EMPTY),
        ("update_container_instances_state", {"status": "ACTIVE"}, "ClientException", EMPTY),
        ("update_container_instances_state", {"containerInstances": ["a"]}, "InvalidParameterException", STATUS),
        (
            "update_container_instances_state",
            {"containerInstances": ["a"], "status": "INACTIVE"},
            "InvalidParameterException",
            STATUS,
        ),
        ("put_attributes", {}, "InvalidParameterException", "attributes can not be empty"),
        ("delete_attributes", {"attributes": []}, "InvalidParameterException", "attributes can not be empty"),
        (
            "put_attributes",
            {"attributes": [{"name": "a", "targetId": "b", "targetType": "task"}]},
            "InvalidParameterException",
            TARGET,
        ),
        ("list_attributes", {}, "InvalidParameterException", TARGET),
        ("list_attributes", {"targetType": "task"}, "InvalidParameterException", TARGET),
        ("create_cluster", {"settings": [{"name": "x"}]}, "InvalidParameterException", "Invalid setting 'name'"),
        (
            "update_cluster",
            {"cluster": "default", "settings": [{"name": "containerInsights", "value": "x"}]},
            "InvalidParameterException",
            "Invalid setting 'value'",
        ),
        ("put_account_setting", {"name": "x", "value": "enabled"}, "InvalidParameterException", SETTINGS),
        ("put_account_setting_default", {"value": "enabled"}, "InvalidParameterException", SETTINGS),
        ("delete_account_setting", {"name": "x"}, "InvalidParameterException", SETTINGS),
        ("register_task_definition", {"family": "a"}, "ClientException", "Container list cannot be empty."),
        (
            "delete_task_definitions",
            {},
            "ClientException",
            "size of TaskDefinition references list must be greater than 0",
        ),
        (
            "run_task",
            {"taskDefinition": "web", "launchType": "MOON"},
            "InvalidParameterException",
            "launch type should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]",
        ),
        (
            "describe_clusters",
            {"include": ["MOON"]},
            "InvalidParameterException",
            "include should be one of [ATTACHMENTS,CONFIGURATIONS,SETTINGS,STATISTICS,TAGS]",
        ),
    ],
)
def test_the_words_of_ecs(ecs: Any, operation: str, request_: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(ecs, operation)(**request_)
    error = caught.value.response["Error"]
    assert error["Code"] == code
    assert error["Message"].startswith(text)
