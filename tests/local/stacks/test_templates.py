"""The project's own templates: without a warning of cfn-lint's, every parameter described, every type known here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
    *(f"awsorch.{name}" for name in ("CodeBucket", "Templates")),
}
"""Parameters that only the account knows."""
TEMPLATES = sorted((ROOT / "cloudformation").rglob("*.yaml"))


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
