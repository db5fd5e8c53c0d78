"""Settings in files: what they say, who wins, and what is said of those that have no effect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from awsorch.agent.config_files import PATH_VARIABLE, read_environment_file, with_config_file
from awsorch.agent.known_variables import IGNORED, unused_variables
from awsorch.agent.main import TERMINAL
from awsorch.agent.settings import SettingError, known_variables, load

ABSENT = Path("/nowhere/config.json")


def read(folder: Path, content: str, **environment: str) -> tuple[dict[str, str], list[str]]:
    path = folder / "config.json"
    path.write_text(content)
    return with_config_file({PATH_VARIABLE: str(path), **environment})


def test_the_json_file_says_what_variables_say(tmp_path: Path) -> None:
    members = {
        "Cluster": "web",
        "apiendpoint": "https://ecs.example",
        "ReservedPorts": [22, 80],
        "ReservedMemory": 64,
        "DockerStopTimeout": 90_000_000_000,
        "ImagePullTimeout": "10m",
        "Checkpoint": False,
        "InstanceAttributes": {"stack": "blue"},
        "EngineAuthData": {"https://index.docker.io/v1/": {"username": "u"}},
        "DataDir": "",
        "External": None,
    }
    environment, unknown = read(tmp_path, json.dumps(members))
    settings = load(environment)
    assert unknown == []
    assert (settings.cluster, settings.backend_host, settings.checkpoint) == ("web", "https://ecs.example", False)
    assert (settings.instance.reserved_ports, settings.instance.reserved_memory) == ((22, 80), 64)
    assert (settings.engine.stop_timeout, settings.engine.pull_timeout) == (90, 600)
    assert settings.instance.attributes == {"stack": "blue"}
    assert json.loads(settings.engine.auth_data) == members["EngineAuthData"]


def test_the_environment_wins_unless_it_is_empty(tmp_path: Path) -> None:
    content = json.dumps({"Cluster": "web", "AWSRegion": "eu-west-1"})
    environment, _ = read(tmp_path, content, ECS_CLUSTER="mine", AWS_DEFAULT_REGION=" ")
    assert (environment["ECS_CLUSTER"], environment["AWS_DEFAULT_REGION"]) == ("mine", "eu-west-1")


def test_members_without_an_effect_are_named(tmp_path: Path) -> None:
    _, unknown = read(tmp_path, json.dumps({"Clutser": "web"}))
    (line,) = unknown
    assert line.startswith("Clutser in ")


@pytest.mark.parametrize("content", ["{", "[1]", '{"DockerStopTimeout": {}}'])
def test_a_file_that_makes_no_sense_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"config\.json"):
        read(tmp_path, content)


def test_a_file_that_is_not_there_says_nothing() -> None:
    named = {"ECS_CLUSTER": "a", PATH_VARIABLE: str(ABSENT)}
    assert with_config_file(named) == (named, [])
    assert with_config_file({"ECS_CLUSTER": "a"}, default=ABSENT) == ({"ECS_CLUSTER": "a"}, [])


def test_variables_are_read_as_systemd_does(tmp_path: Path) -> None:
    path = tmp_path / "ecs.config"
    path.write_text(
        "# a comment\n; another\nECS_CLUSTER=web\nECS_A=\"b c\"\n ECS_B = '[1]'\nno assignment\nECS_C=a=b\n"
    )
    assert read_environment_file(path) == {"ECS_CLUSTER": "web", "ECS_A": "b c", "ECS_B": "[1]", "ECS_C": "a=b"}
    assert read_environment_file(tmp_path / "absent") == {}
    with pytest.raises(SettingError, match="cannot be read"):
        read_environment_file(tmp_path)


def test_variables_without_an_effect_are_named_with_the_reason() -> None:
    environment = ["ECS_CLUSTER", "ECS_CLUSTRE", "ECS_CGROUP_PATH", "ECS_AGENT_URI", "PATH", "NON_ECS_IMAGES"]
    assert unused_variables(environment, known_variables()) == [
        "ECS_CGROUP_PATH has no effect: the engine says where its cgroups are",
        "ECS_CLUSTRE has no effect: this agent knows no such variable; is it spelt right?",
        "NON_ECS_IMAGES has no effect: this agent knows no such variable; is it spelt right?",
    ]


def test_no_variable_is_both_read_and_said_to_be_ignored() -> None:
    assert not known_variables() & set(IGNORED)


@pytest.mark.docker
def test_an_agent_names_them_when_it_starts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"Clutser": "web", "ReservedMemory": 1000000000}')
    environment = {PATH_VARIABLE: str(tmp_path / "config.json"), "ECS_CLUSTRE": "web", "ECS_LOG_DRIVER": "awslogs"}
    environment |= {"ECS_EXTERNAL": "true", "AWS_DEFAULT_REGION": "us-east-1", "ECS_BACKEND_HOST": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "awsorch.agent"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == TERMINAL, done.stderr
    said = ("Clutser in", "ECS_CLUSTRE has no effect", "ECS_LOG_DRIVER has no effect", "ECS_RESERVED_MEMORY=1000000000")
    for name in said:
        assert done.stderr.count(name) == 1
