"""The user data of machines, made of what `awsorch userdata` prints."""

from __future__ import annotations

import base64

import pytest
from click.testing import CliRunner

from awsorch.adapters.aws import AwsError
from awsorch.adapters.user_data import LIMIT_BYTES, joining, no_user_data
from awsorch.cli.userdata import FORMATS, userdata
from awsorch.local.user_data import agent_settings


def printed(*options: str) -> str:
    endpoint = ("--endpoint", "https://ecs.example.com")
    result = CliRunner().invoke(userdata, ["--cluster", "template", *endpoint, *options])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_printed_for_one_cluster_serves_all(form: str) -> None:
    text = printed("--format", form, "--set", "ECS_RESERVED_MEMORY=256")
    made = joining(text)
    for cluster in ("prod", "team_1-web"):
        assert agent_settings(made(cluster)) == {**(agent_settings(text) or {}), "ECS_CLUSTER": cluster}
    assert made("template").replace("template", "prod") == made("prod").replace("template", "prod")


@pytest.mark.parametrize(
    "written",
    ["ECS_CLUSTER=", "ECS_CLUSTER='a b'", 'ECS_CLUSTER="arn:aws:ecs:us-east-1:1:cluster/a"', "ECS_CLUSTER=a.b"],
)
def test_settings_written_in_other_ways(written: str) -> None:
    assert joining(f"#!/bin/bash\necho {written} >> /etc/ecs/ecs.config\n")("prod") == (
        "#!/bin/bash\necho ECS_CLUSTER=prod >> /etc/ecs/ecs.config\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/bash\n", "should set ECS_CLUSTER=<name>"),
        ("#!/bin/bash\necho ECS_CLUSTER=$NAME >> /etc/ecs/ecs.config\n", "should set ECS_CLUSTER=<name>"),
        (base64.b64encode(b"#!/bin/bash\necho ECS_CLUSTER=a\n").decode(), "should set ECS_CLUSTER=<name>"),
        (f"ECS_CLUSTER=a\n{'#' * (LIMIT_BYTES - 200)}", "EC2 takes 16384"),
    ],
)
def test_texts_with_which_no_machine_would_join_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        joining(text)


def test_without_user_data_launches_are_refused() -> None:
    with pytest.raises(AwsError, match="join cluster prod: AWSORCH_USER_DATA should name") as caught:
        no_user_data("prod")
    assert caught.value.refused
