"""What a run of the tests says at its end of what it could not run."""

from __future__ import annotations

import pytest

from tests.support.localstack import WITHOUT, find_python


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if find_python() is None:
        terminalreporter.section("not run")
        terminalreporter.write_line(WITHOUT)
