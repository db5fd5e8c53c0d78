from __future__ import annotations

from pathlib import Path

from awsorch.local.hosts import AgentSettings
from tests.local.fakes import an_instance


def environment(user_data: str, **more: str) -> dict[str, str]:
    settings = AgentSettings(
        endpoint="http://127.0.0.1:4566",
        region="us-east-1",
        access_key_id="test",
        secret_access_key="shh",
        data=Path("/data"),
        inherited={},
        **more,
    )
    return settings.environment(an_instance(user_data=user_data), "http://127.201.1.1:16925")


def test_an_agent_is_told_where_it_is_and_what_it_has() -> None:
    assert environment("echo ECS_CLUSTER=default >> /etc/ecs/ecs.config") == {
        "ECS_CLUSTER": "default",
        "ECS_BACKEND_HOST": "http://127.0.0.1:4566",
        "ECS_DATADIR": "/data/instances/i-11111111111111111",
        "ECS_AGENT_CONFIG_FILE_PATH": "/data/instances/i-11111111111111111/config.json",
        "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
        "ECS_DISABLE_IMAGE_CLEANUP": "true",
        "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true",
        "AWSORCH_SPOT_NOTICE_INTERVAL": "5s",
        "ECS_ENABLE_TASK_IAM_ROLE": "false",
        "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": "false",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "ECS_AVAILABLE_LOGGING_DRIVERS": '["json-file","syslog","journald","awslogs","fluentd","none"]',
        "AWSORCH_AWSLOGS_BY_AGENT": "true",
        "AWSORCH_EFS_FOLDER": "/data/efs",
        "ECS_EBSTA_SUPPORTED": "true",
        "AWSORCH_EBS_FOLDER": "/data/ebs",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.201.1.1:16925",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "shh",
        "AWSORCH_PORT_BIND_ADDRESS": "127.201.1.1",
        "AWSORCH_INTROSPECTION_ADDRESS": "127.201.1.1",
        "AWSORCH_TASK_ENDPOINT_PORT": "0",
        "AWSORCH_INSTANCE_CPU": "2048",
        "AWSORCH_INSTANCE_MEMORY": "3883",
    }


def test_images_of_ecr_are_those_of_the_registry() -> None:
    assert environment("", registry="127.0.0.1:5000")["AWSORCH_ECR_REGISTRY"] == "127.0.0.1:5000"


def test_user_data_sets_what_ecs_lets_it_set_but_not_what_makes_this_machine_the_host() -> None:
    user_data = """#!/bin/bash
cat <<'END' >> /etc/ecs/ecs.config
ECS_INSTANCE_ATTRIBUTES={"stack":"blue"}
ECS_IMAGE_PULL_BEHAVIOR=always
ECS_DATADIR=/
ECS_BACKEND_HOST=http://elsewhere
PATH=/tmp
END
"""
    told = environment(user_data)
    assert told["ECS_INSTANCE_ATTRIBUTES"] == '{"stack":"blue"}'
    assert told["ECS_IMAGE_PULL_BEHAVIOR"] == "always"
    assert told["ECS_DATADIR"] == "/data/instances/i-11111111111111111"
    assert told["ECS_BACKEND_HOST"] == "http://127.0.0.1:4566"
    assert "PATH" not in told
