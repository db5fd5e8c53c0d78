"""What a person at a terminal sees, on a terminal: colours, and one line for an API that is not there."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.cli.fake_ecs import FakeEcs

AWSORCH = Path(sys.executable).with_name("awsorch")


def on_terminal(*arguments: str, typed: str = "") -> tuple[int, str]:
    """Run a command on a terminal of 200 columns where this is typed; its exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"}
    process = subprocess.Popen((str(AWSORCH), *arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.write(ours, typed.encode())
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:
        pass  # Linux says EIO when the last writer is gone
    finally:
        os.close(ours)
    return process.wait(timeout=30), written.decode()


def test_a_terminal_gets_a_table_with_colours(fake: FakeEcs, endpoint: str) -> None:
    fake.add_instance(1)
    fake.add_instance(2, agentConnected=False)
    code, text = on_terminal("instances")
    assert code == 0
    assert "\x1b[32mconnected" in text
    assert "\x1b[1;31mdisconnected" in text


def test_square_brackets_of_a_reason_are_no_markup(fake: FakeEcs, endpoint: str) -> None:
    fake.add_task(1, lastStatus="STOPPED", desiredStatus="STOPPED", stoppedReason="CannotPull: [red] [/]")
    assert "CannotPull: [red] [/]" in on_terminal("ps", "--all")[1]


def test_the_command_itself_shows_no_traceback(endpoint: str) -> None:
    code, text = on_terminal("ps", "--endpoint", "http://127.0.0.1:9")
    assert (code, text) == (1, "awsorch: nothing answers at http://127.0.0.1:9/: is awsorch up?\r\n")
