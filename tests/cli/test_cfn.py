"""`awsorch cfn`: templates for AWS's own CloudFormation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from awsorch.cli.cfn_package import HANDLER
from awsorch.cli.main import main

TOPIC = "arn:aws:sns:eu-west-1:123456789012:awsorch-cfn"
TEMPLATE = "Transform: Awsorch\nResources:\n  C:\n    Type: AWS::ECS::Cluster\nOutputs:\n  A: {Value: !GetAtt C.Arn}\n"


def transformed(path: Path, text: str, *more: str) -> Result:
    path.write_text(text)
    return CliRunner().invoke(main, ["cfn", "transform", str(path), "--service-token", TOPIC, *more])


def test_a_template_comes_out_as_json(tmp_path: Path) -> None:
    done = transformed(tmp_path / "t.yaml", TEMPLATE)
    made = json.loads(done.stdout)
    assert (made["Resources"]["C"]["Type"], "Transform" in made) == ("Custom::AwsorchEcsCluster", False)
    assert made["Outputs"]["A"]["Value"] == {"Fn::GetAtt": ["C", "Arn"]}


def test_it_goes_to_a_file_and_is_stable(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    assert transformed(tmp_path / "t.yaml", TEMPLATE, "-o", str(first)).exit_code == 0
    assert transformed(tmp_path / "u.json", first.read_text(), "-o", str(second)).exit_code == 0
    assert first.read_text() == second.read_text()


def test_what_is_wrong_is_said_with_the_file_and_the_logical_id(tmp_path: Path) -> None:
    done = transformed(tmp_path / "t.yaml", TEMPLATE.replace("::Cluster", "::Daemon"))
    assert (done.exit_code, "t.yaml: Resource C: awsorch does not support AWS::ECS::Daemon" in done.stderr) == (1, True)
    assert "not well-formed" in transformed(tmp_path / "t.yaml", "a: [").stderr


def test_large_templates_are_warned_of(tmp_path: Path) -> None:
    done = transformed(tmp_path / "t.yaml", TEMPLATE + f"Description: {'x' * 52_000}\n")
    assert (done.exit_code, "must be deployed from S3" in done.stderr) == (0, True)


HANDLED = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
module, _, name = sys.argv[2].rpartition(".")
handler = getattr(importlib.import_module(module), name)
event = {"requestId": "r", "region": "eu-west-1", "accountId": "123456789012"}
fragment = {"Resources": {"C": {"Type": "AWS::ECS::Cluster"}}}
print(json.dumps(handler({**event, "fragment": fragment}, None)))
"""


def test_the_macro_s_code_runs_by_itself_and_is_always_the_same(tmp_path: Path) -> None:
    """With Python's own library and nothing else, as in Lambda."""
    archives = [tmp_path / "1.zip", tmp_path / "2.zip"]
    for path in archives:
        done = CliRunner().invoke(main, ["cfn", "macro-zip", "-o", str(path)])
        assert (done.exit_code, HANDLER in done.stdout) == (0, True)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    command = (sys.executable, "-I", "-S", "-c", HANDLED, str(archives[0]), HANDLER)
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    made = answer["fragment"]["Resources"]["C"]
    assert (answer["status"], made["Type"], made["Properties"]["ServiceToken"]) == (
        "success",
        "Custom::AwsorchEcsCluster",
        TOPIC,
    )
