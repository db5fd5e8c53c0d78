"""The project's own templates: without a warning of cfn-lint's, every parameter described, every type known here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from awsorch.cfn.ecs import EcsProvider
from awsorch.local.stacks.kinds.tables import KINDS
from awsorch.local.stacks.macros import TYPE as MACRO
from awsorch.local.stacks.nested import TYPE as NESTED
from awsorch.local.stacks.template import outline
from tests.cfn.calls import BotoCalls

ROOT = Path(__file__).resolve().parents[3]
NO_SAFE_DEFAULT = {
    "macro.CodeBucket",
    *(f"controller.{name}" for name in ("VpcId", "Subnets")),
    *(f"fleet.{name}" for name in ("Endpoint", "InstanceProfileArn", "Subnets", "VpcId")),
    *(f"blue-green.{name}" for name in ("Subnets", "VpcId")),
    *(f"awsorch.{name}" for name in ("CodeBucket", "Templates")),
}
"""Parameters that only the account knows."""
TEMPLATES = sorted((ROOT / "cloudformation").rglob("*.yaml"))

IAM_PREFIXES = {
    "autoscaling": "autoscaling",
    "cloudwatch": "cloudwatch",
    "ec2": "ec2",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "kms": "kms",
    "logs": "logs",
    "pricing": "pricing",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "sqs": "sqs",
    "ssm": "ssm",
    "sts": "sts",
}
"""What IAM calls the services that controllers call."""


def test_cfn_lint_has_nothing_to_say() -> None:
    assert len(TEMPLATES) >= 4
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run((str(lint), *map(str, TEMPLATES)), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_complete(path: Path) -> None:
    template = outline(path.read_text())
    assert set(template.transforms) <= {"Awsorch"}
    assert template.description
    assert [name for name, declared in template.parameters.items() if not declared.get("Description")] == []
    needed = {f"{path.stem}.{name}" for name, declared in template.parameters.items() if "Default" not in declared}
    assert needed <= NO_SAFE_DEFAULT
    assert [name for name, output in template.outputs.items() if not output.get("Description")] == []
    assert set(template.types()) <= KINDS.keys() | EcsProvider(BotoCalls()).types() | {MACRO, NESTED}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_wildcard_has_a_reason(path: Path) -> None:
    """A permission for everything is explained in the line above it."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if 'Resource: "*"' in line or "Resource: '*'" in line:
            assert lines[number - 1].strip().startswith("#"), f"line {number + 1}: why {line.strip()}?"


def called_operations() -> set[str]:
    """What the controller's adapters call, as IAM has it. They name operations as botocore's methods are named."""
    session = botocore.session.get_session()
    named: dict[str, set[str]] = {}
    for service, prefix in IAM_PREFIXES.items():
        for operation in session.get_service_model(service).operation_names:
            named.setdefault(xform_name(operation), set()).add(f"{prefix}:{operation}")
    texts = {
        node.value
        for path in (ROOT / "awsorch" / "adapters").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    found = {action for text in texts & named.keys() for action in named[text]}
    assert len(found) > 40
    return found - {"autoscaling:DeleteTags"}  # EC2's is meant, of the same name


def test_controllers_may_do_what_they_call_and_nothing_else() -> None:
    resources = outline((ROOT / "cloudformation" / "controller.yaml").read_text()).resources
    granted: set[str] = set()
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Policy" and resource["Properties"]["Roles"] == [{"Ref": "Role"}]:
            for each in resource["Properties"]["PolicyDocument"]["Statement"]:
                statement = each["Fn::If"][1] if "Fn::If" in each else each
                actions = statement["Action"]
                granted |= set(actions if isinstance(actions, list) else [actions])
    called = called_operations()
    assert called - granted == set()
    assert granted - called == {
        "cloudformation:SignalResource",  # user data says that the machine is well
        "ec2:CreateTags",  # with what is made
        "iam:PassRole",  # instances' profiles, with RunInstances
        "logs:DescribeLogStreams",  # the CloudWatch agent
        "s3:GetObject",  # the package
        "sqs:ChangeMessageVisibility",  # of requests that take steps
        "sts:TagSession",  # with AssumeRole
    }
