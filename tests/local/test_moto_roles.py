"""Roles of the local cloud: which may be assumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.moto_process import client, moto_process

TASKS = {"Service": "ecs-tasks.amazonaws.com"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_process() as url:
        yield url


def a_role(url: str, name: str, policy: Any) -> str:
    document = policy if isinstance(policy, str) else json.dumps(policy)
    made = client(url, "iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


def trusting(principal: Any, effect: str = "Allow") -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole"}]}


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("tasks", trusting(TASKS)),
        ("several", trusting({"Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]})),
        ("single", {"Statement": trusting(TASKS)["Statement"][0]}),
        ("account", trusting({"AWS": "arn:aws:iam::123456789012:root"})),
        ("anybody", trusting("*")),
    ],
)
def test_roles_that_trust_tasks_are_assumed_under_the_session_s_name(url: str, name: str, policy: Any) -> None:
    arn = a_role(url, name, policy)
    given = client(url, "sts").assume_role(RoleArn=arn, RoleSessionName="t1")["Credentials"]
    who = boto3.client(
        "sts",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    ).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{name}/t1"


@pytest.mark.parametrize(
    ("name", "policy", "why"),
    [
        ("machines", trusting({"Service": "ec2.amazonaws.com"}), "its trust policy allows neither"),
        ("denied", trusting(TASKS, effect="Deny"), "its trust policy allows neither"),
        ("empty", "{}", "its trust policy allows neither"),
        ("nobody", None, "there is no such role"),
    ],
)
def test_others_are_refused_as_aws_refuses_them(url: str, name: str, policy: Any, why: str) -> None:
    arn = f"arn:aws:iam::123456789012:role/{name}" if policy is None else a_role(url, name, policy)
    with pytest.raises(ClientError, match=why) as refused:
        client(url, "sts").assume_role(RoleArn=arn, RoleSessionName="t1")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert f"is not authorized to perform: sts:AssumeRole on resource: {arn}" in str(refused.value)
