"""`awsorch userdata`: held to cloud-init's own schema, to bash, and to what the local cloud reads out of it."""

from __future__ import annotations

import base64
import email
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from awsorch.cli.main import main
from awsorch.local.user_data import agent_settings

Userdata = Callable[..., Result]
SYSTEMS, FORMS = ("al2023", "ubuntu"), ("cloud-config", "shell", "mime")
EVERYTHING = (
    *("--attributes", "rack=a1,site=attic", "--tags", "team=Café & Söhne,cost=$HOME", "--spot-draining"),
    *("--set", "ECS_RESERVED_PORTS=[22, 80]", "--package", "awsorch==1.0; touch $(pwd)", "--index-url", "https://i/$x"),
)


@pytest.fixture
def userdata(clean: None, monkeypatch: pytest.MonkeyPatch) -> Userdata:
    """Run the command, with an endpoint unless the test names one."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://ecs.example.com")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, ("userdata", "--cluster", "prod", *arguments))

    return invoke


def scripts_of(form: str, text: str) -> list[str]:
    """The scripts in user data of a form."""
    if form == "shell":
        return [text]
    if form == "cloud-config":
        return [file["content"] for file in yaml.safe_load(text)["write_files"] if file["path"].endswith(".sh")]
    parts = email.message_from_string(text).get_payload()
    assert isinstance(parts, list)
    return [str(part.get_payload()) for part in parts if part.get_content_type() == "text/x-shellscript"]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_what_its_readers_take(userdata: Userdata, tmp_path: Path, system: str, form: str) -> None:
    printed = userdata("--os", system, "--format", form, *EVERYTHING)
    assert printed.exit_code == 0, printed.output
    text = printed.stdout
    assert agent_settings(text) == {
        "ECS_CLUSTER": "prod",
        "ECS_BACKEND_HOST": "https://ecs.example.com",
        "ECS_INSTANCE_ATTRIBUTES": '{"rack": "a1", "site": "attic"}',
        "ECS_CONTAINER_INSTANCE_TAGS": '{"team": "Café & Söhne", "cost": "$HOME"}',
        "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true",
        "ECS_RESERVED_PORTS": "[22, 80]",
    }
    (script,) = scripts_of(form, text)
    assert script.startswith("#!/bin/bash\n")
    assert "package='awsorch==1.0; touch $(pwd)'\nexport PIP_INDEX_URL='https://i/$x'\n" in script
    assert "@" not in script.replace('"$@"', "").replace("[@]", "")
    subprocess.run(("bash", "-n"), input=script, text=True, check=True)
    file = tmp_path / "user-data"
    file.write_text(text)
    if form == "cloud-config":
        checked = subprocess.run(
            ("cloud-init", "schema", "--config-file", str(file)), capture_output=True, text=True, check=False
        )
        assert (checked.returncode, "Valid cloud-config" in checked.stdout) == (0, True), checked


def test_cloud_init_s_check_sees_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "user-data"
    file.write_text("#cloud-config\nwrite_files: 3\n")
    checked = subprocess.run(("cloud-init", "schema", "--config-file", str(file)), capture_output=True, check=False)
    assert checked.returncode != 0


def test_the_unit_and_the_settings_are_the_same_in_every_form(userdata: Userdata) -> None:
    shell, config = userdata("--format", "shell").stdout, yaml.safe_load(userdata().stdout)
    files = {file["path"]: file for file in config["write_files"]}
    unit = files["/etc/systemd/system/awsorch-agent.service"]["content"]
    assert unit in shell
    assert "EnvironmentFile=-/etc/ecs/ecs.config\n" in unit
    assert files["/etc/ecs/ecs.config"]["permissions"] == "0600"
    assert files["/etc/ecs/ecs.config"]["content"] in shell
    assert config["runcmd"] == [["/opt/awsorch-install.sh"]]
    assert "HttpTokens=required" in shell


def test_base64_is_the_same_text(userdata: Userdata) -> None:
    encoded = userdata("--base64").stdout
    assert base64.b64decode(encoded).decode() == userdata().stdout


def test_a_cluster_may_be_an_arn_and_an_endpoint_local(userdata: Userdata) -> None:
    arn = "arn:aws:ecs:us-east-1:123456789012:cluster/prod"
    printed = userdata("--cluster", arn, "--endpoint", "http://127.0.0.1:4566")
    settings = agent_settings(printed.stdout)
    assert settings == {"ECS_CLUSTER": arn, "ECS_BACKEND_HOST": "http://127.0.0.1:4566"}
    assert "good in the local cloud only" in printed.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--cluster", "a b"), "'a b' is no cluster's name or ARN"),
        (("--endpoint", "ecs.example.com"), "'ecs.example.com' is not an endpoint"),
        (("--endpoint", "https://a\nb"), "is not an endpoint"),
        (("--attributes", "a"), "'a' is not an attribute with its value"),
        (("--attributes", 'a="b"'), "has a quote, a backslash or a control character"),
        (("--tags", "a=b\\c"), "has a quote, a backslash or a control character"),
        (("--tags", "team"), "'team' is not a tag with its value, such as team=web"),
        (("--set", "PATH=/x"), "is not a setting of the agent such as ECS_RESERVED_MEMORY=256"),
        (("--set", "ECS_X"), "is not a setting of the agent"),
        (("--set", "ECS_X=a\nEND_OF_CONFIG"), "begins with a quote, or has a backslash"),
        (("--package", "--pre"), "is nothing that pip takes"),
        (("--package", "a\nb"), "is nothing that pip takes"),
        (("--os", "windows"), "'windows' is not one of 'al2023', 'ubuntu'"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(
    userdata: Userdata, arguments: tuple[str, ...], text: str
) -> None:
    refused = userdata(*arguments)
    assert (refused.exit_code, text in refused.output) == (2, True), refused.output


def test_without_an_endpoint_it_asks_for_one(userdata: Userdata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    refused = userdata()
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--endpoint should say where instances reach the controller" in refused.output


def test_more_than_ec2_takes_is_refused(userdata: Userdata) -> None:
    refused = userdata("--tags", ",".join(f"t{number}={'x' * 200}" for number in range(80)))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "EC2 takes 16384" in refused.output


def test_what_is_said_reaches_the_agent_as_it_was_said(userdata: Userdata) -> None:
    settings = agent_settings(userdata(*EVERYTHING).stdout)
    assert settings is not None
    assert json.loads(settings["ECS_CONTAINER_INSTANCE_TAGS"])["cost"] == "$HOME"
