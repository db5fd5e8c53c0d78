from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from awsorch.local import up
from awsorch.local.local_cloud import inherited_environment
from awsorch.local.options import CannotStart, Options, check, default_data, take_port


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "without access keys nothing checks who calls, so 0.0.0.0 is refused"),
        ({"host": "192.0.2.1"}, "192.0.2.1 is refused"),
        ({"host": "example.com"}, "example.com is refused"),
        ({"instances": -1}, "0 or more"),
        ({"engine": "podman"}, "docker, simulated"),
        ({"hosts": "vm"}, "loopback, netns"),
        ({"hosts": "netns", "engine": "simulated"}, "not with --engine simulated"),
        ({"aws": "localhost:4567"}, "a URL such as"),
        ({"registry": "http://127.0.0.1:5000"}, "a host and port such as 127.0.0.1:5000, not 'http://127.0.0.1:5000'"),
        ({"registry": "registry.example"}, "a host and port"),
        ({"inert": ("Application",)}, "types such as AWS::CodeDeploy::Application, not 'Application'"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_starts(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    for start in (lambda it: up.run(it, on_ready=print), up.start_detached, check):
        with pytest.raises(CannotStart, match=words):
            start(Options(data=tmp_path / "data", **options))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": "127.0.0.9"},
        {"host": "::1"},
        {"host": "0.0.0.0", "access_keys": {"a": "b"}},
        {"registry": "[::1]:5000"},
    ],
)
def test_sensible_ones_are_not(options: dict[str, Any]) -> None:
    check(Options(**options))


def test_hosts_of_their_own_are_refused_where_the_machine_cannot_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(CannotStart, match="hosts netns need root; without --hosts netns, instances share"):
        check(Options(hosts="netns"))
    check(Options())


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"port {port} on 127\.0\.0\.1 .*in use.*--port"):
            take_port("127.0.0.1", port)
    assert take_port("127.0.0.1", port) == port
    assert take_port("127.0.0.1", 0) > 0


def test_the_data_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWSORCH_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data() == tmp_path / ".awsorch"
    monkeypatch.setenv("AWSORCH_DATA", "/somewhere")
    assert default_data() == Path("/somewhere")


def test_children_do_not_see_the_developers_own_aws() -> None:
    environment = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "real", "ECS_CLUSTER": "x", "AWSORCH_PORT": "1"}
    assert inherited_environment(environment) == {"PATH": "/bin"}


def test_nothing_runs_on_an_empty_folder(tmp_path: Path) -> None:
    assert up.status(tmp_path) is None
    assert up.stop(tmp_path) is False
