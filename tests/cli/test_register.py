"""Task definitions from files: what is sent, and how wrong files are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from awsorch.cli.documents import read_documents
from awsorch.cli.faults import Fault
from tests.cli.conftest import Awsorch
from tests.cli.fake_ecs import FakeEcs

YAML = """\
# a comment
family: one
cpu: 256
containerDefinitions:
  - &base
    name: a
    image: busybox:1.10
    cpu: 10
    essential: yes
    environment:
      - {name: PORT, value: 8080}
      - {name: DEBUG, value: no}
      - {name: SINCE, value: 2024-01-01}
    workingDirectory: ~
  - <<: *base
    name: b
---
family: two
containerDefinitions: [{name: a, image: b}]
"""


def read(tmp_path: Path, text: str, name: str = "task.yaml") -> list[dict[str, Any]]:
    (tmp_path / name).write_text(text)
    return [document.value for document in read_documents([str(tmp_path / name)])]


def problems(tmp_path: Path, text: str, name: str = "task.yaml") -> list[str]:
    with pytest.raises(Fault) as fault:
        read(tmp_path, text, name)
    return [line.removeprefix(str(tmp_path) + "/") for line in fault.value.message.splitlines()]


def test_yaml_values_become_what_the_model_says(tmp_path: Path) -> None:
    one, two = read(tmp_path, YAML)
    first = {
        "name": "a",
        "image": "busybox:1.10",
        "cpu": 10,
        "essential": True,
        "environment": [
            {"name": "PORT", "value": "8080"},
            {"name": "DEBUG", "value": "no"},
            {"name": "SINCE", "value": "2024-01-01"},
        ],
    }
    assert one == {"family": "one", "cpu": "256", "containerDefinitions": [first, first | {"name": "b"}]}
    assert two == {"family": "two", "containerDefinitions": [{"name": "a", "image": "b"}]}


def test_json_is_taken_literally(tmp_path: Path) -> None:
    text = '{\n\t"family": "\\ud83d\\ude00\\/",\n\t"containerDefinitions":[{"name":"a","memory":7}]\n}'
    assert read(tmp_path, text, "task.json") == [
        {"family": "\N{GRINNING FACE}/", "containerDefinitions": [{"name": "a", "memory": 7}]}
    ]
    assert problems(tmp_path, '{"family": "x",\n "containerDefinitions": [],\n "cpu": 256}', "task.json") == [
        'task.json:3: cpu: a string is wanted, not the number 256; write "256"'
    ]


def test_a_list_holds_several_definitions(tmp_path: Path) -> None:
    text = '[{"family": "x", "containerDefinitions": []}, {"family": "y", "containerDefinitions": []}]'
    assert [one["family"] for one in read(tmp_path, text, "task.json")] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("netwrkMode: host", "1: no member 'netwrkMode' exists here; did you mean 'networkMode'?"),
        ("family: x\nfamily: y", "2: 'family' is given twice"),
        ("# nothing\nfamily: x", "2: 'containerDefinitions' is missing"),
        ("containerDefinitions: 3", "1: containerDefinitions: a list is wanted, not the number 3"),
        ("cpu: 1\npidMode: hots", "2: pidMode: 'hots' is not one of host, task; did you mean 'host'?"),
        ("just words", "1: an object is wanted, not the string 'just words'"),
        ("? [a]\n: b", "1: the name of a member is a string"),
        ("<<: 3", "1: expected a mapping or list of mappings for merging, but found scalar"),
        ("family: [x", "1: not YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, wanted: str) -> None:
    assert f"task.yaml:{wanted}" in problems(tmp_path, text)


@pytest.mark.parametrize(
    ("member", "wanted"),
    [
        ("image: {}", "image: a string is wanted, not an object"),
        ("memory: 1.5", "memory: a whole number is wanted, not the number 1.5"),
        ("cpu: '5'", "cpu: a whole number is wanted, not the string '5'"),
        ("essential: maybe", "essential: true or false is wanted, not the string 'maybe'"),
        ("environment: [[]]", "environment[0]: an object is wanted, not a list"),
    ],
)
def test_a_member_of_the_wrong_type_is_named_with_its_path(tmp_path: Path, member: str, wanted: str) -> None:
    text = f"family: x\ncontainerDefinitions:\n  - {member}"
    assert problems(tmp_path, text) == [f"task.yaml:3: containerDefinitions[0].{wanted}"]


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path, "# nothing at all") == ["task.yaml: no task definition in it"]


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, '{"family": "x",\n}', "task.json")
    assert problem.startswith("task.json:2: not JSON: ")


def test_everything_wrong_in_all_files_is_told_at_once(awsorch: Awsorch, fake: FakeEcs, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(YAML)
    (tmp_path / "bad.yaml").write_text("famly: x\ncontainerDefinitions: 1")
    result = awsorch("register", str(tmp_path / "good.yaml"), str(tmp_path / "bad.yaml"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 3
    assert not fake.requests


def test_files_that_cannot_be_read(awsorch: Awsorch, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"family: \xff")
    for name, wanted in (("absent", "No such file or directory"), ("binary.yaml", "byte 8 is not UTF-8 text")):
        result = awsorch("register", str(tmp_path / name))
        assert (result.exit_code, result.stderr) == (1, f"awsorch: {tmp_path / name}: {wanted}\n")


def test_register_prints_the_revisions(awsorch: Awsorch, fake: FakeEcs) -> None:
    assert awsorch("register", "-", stdin=YAML).stdout == "one:1\ntwo:1\n"
    assert awsorch("register", "-", stdin=YAML).stdout == "one:2\ntwo:2\n"
    assert fake.definitions["two"][1]["containerDefinitions"] == [{"name": "a", "image": "b"}]


def test_a_refusal_names_the_document(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.refusals["RegisterTaskDefinition"] = ("ClientException", "Container.memory is\n wrong")
    result = awsorch("register", "-", stdin=YAML)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "awsorch: standard input:2: ClientException: Container.memory is wrong\n"
