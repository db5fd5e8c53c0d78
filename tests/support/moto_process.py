"""moto as the local cloud runs it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from awsorch.local.moto_child import listen


@contextmanager
def moto_process() -> Iterator[str]:
    """The URL of a moto that forgets everything in the end. Loading its services takes it seconds."""
    with listen("127.0.0.1", 0) as listener:
        command = [sys.executable, "-m", "awsorch.local.moto_child", "--fd", str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=(listener.fileno(),), stdout=subprocess.DEVNULL) as child:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            child.terminate()
            assert child.wait(10) == 0
