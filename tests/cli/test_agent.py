"""`awsorch agent doctor` is the agent's own: what it says and how it ends is passed on."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Awsorch


def test_the_doctor_s_exit_code_is_passed_on(awsorch: Awsorch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECS_RESERVED_MEMORY", "much")
    assert awsorch("agent", "doctor").exit_code == 5
    assert "Exit code 1" in awsorch("agent", "doctor", "--help").output
