"""`awsorch activate` against a whole controller that checks signatures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Awsorch, answer_of
from tests.support.served_app import OPERATOR, ServedApp, served_app


@pytest.fixture
def served(tmp_path: Path, awsorch: Awsorch, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedApp]:
    """A controller with cluster "prod", whom the environment names."""
    with served_app(tmp_path) as served:
        monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", OPERATOR[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OPERATOR[1])
        served.ecs.create_cluster(clusterName="prod")
        yield served


def join(served: ServedApp, command: str) -> str:
    """What `awsorch-agent` would do with the command; answers its id."""
    words = shlex.split(command)
    assert words[:4] == ["awsorch-agent", "join", "--endpoint", served.url]
    assert (words[4], words[6]) == ("--activation-id", "--activation-code")
    shown = {"activationCode": words[7], "fingerprint": "0123456789abcdef"}
    status, joined = served.call("POST", f"/awsorch/activations/{words[5]}/join", shown, key=None)
    assert status == 200, joined
    found: str = joined["managedInstanceId"]
    return found


def test_from_the_activation_to_its_end(served: ServedApp, awsorch: Awsorch) -> None:
    assert "there are no activations" in awsorch("activate", "--cluster", "prod", "--list").output
    made = awsorch("activate", "--cluster", "prod", "--count", "2", "--expires", "2h", "--attributes", "site=attic,a=b")
    assert made.exit_code == 0, made.output
    command = next(line for line in made.stdout.splitlines() if line.startswith("awsorch-agent"))
    assert "a=b, site=attic" in made.stdout
    instance = join(served, command)
    listed = awsorch("activate", "--cluster", "prod", "--list")
    assert "1 of 2" in listed.stdout
    assert instance in listed.stdout
    code = command.rpartition(" ")[2]
    assert code not in listed.stdout
    assert "is shut out of cluster prod" in awsorch("activate", "--revoke", instance).output
    activation = shlex.split(command)[5]
    assert "who has joined stays" in awsorch("activate", "--revoke", activation).output
    (found,) = answer_of(awsorch("activate", "--cluster", "prod", "--list", "--json"))["activations"]
    assert (found["status"], found["instances"][0]["status"]) == ("REVOKED", "REVOKED")
    assert found["attributes"] == {"site": "attic", "a": "b"}


def test_json_has_the_command_too(served: ServedApp, awsorch: Awsorch) -> None:
    made = answer_of(awsorch("activate", "--cluster", "prod", "--json"))
    assert join(served, made["command"]).startswith("mi-")
    assert made["registrationLimit"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--expires", "soon"], 2, "'soon' is not a length of time such as 90s, 10m or 1h"),
        (["--expires", "31d"], 1, "InvalidParameterException: Expected `int` <= 2592000"),
        (["--count", "0"], 2, "0 is not in the range 1<=x<=1000"),
        (["--attributes", "site"], 2, "'site' is not an attribute with its value, such as rack=a1"),
        (["--attributes", "a=b", "--attributes", "a=c"], 2, "a is given twice: 'b' and 'c'"),
        (["--attributes", "ecs.os-type=moon"], 1, "InvalidParameterException"),
        (["--list", "--revoke", "x"], 2, "ask for one at a time"),
        (["--revoke", "x"], 1, "InvalidActivationId: x is neither an activation nor an external instance."),
        (["--cluster", "none"], 1, "ClusterNotFoundException: Cluster not found."),
    ],
)
def test_what_cannot_be(served: ServedApp, awsorch: Awsorch, arguments: list[str], code: int, text: str) -> None:
    refused = awsorch("activate", "--cluster", "prod", *arguments)
    assert (refused.exit_code, text in refused.output) == (code, True), refused.output
