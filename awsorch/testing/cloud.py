"""The local cloud of a test session, in a process that ends with the session, however that ends.

As a program it runs one until its standard input is closed, which the kernel does for a session that was killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STOP_SECONDS = 60.0


class CloudFailed(RuntimeError):
    """The local cloud did not start; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """``endpoint`` is the door's URL, ``environment`` what SDKs find it by, ``data`` its folder."""

    endpoint: str
    environment: dict[str, str]
    data: Path
    process: subprocess.Popen[str]

    def close(self) -> None:
        """End it, and what it runs."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(data: Path, *, engine: str, instances: int) -> Cloud:
    """A cloud on an empty folder. Raises CloudFailed."""
    wanted = json.dumps({"data": str(data), "engine": engine, "instances": instances})
    with (data.parent / f"{data.name}.log").open("w") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "awsorch.testing.cloud", wanted),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd="/",
            start_new_session=True,  # Ctrl-C is the session's, which closes it
        )
    assert process.stdout is not None
    text = process.stdout.readline()
    told: dict[str, Any] = json.loads(text) if text else {"error": f"the local cloud ended at once; see {log.name}"}
    if "error" in told:
        process.wait()
        raise CloudFailed(told["error"])
    return Cloud(told["endpoint"], told["environment"], data, process)


def main(wanted: str) -> int:
    """Run one; the first line of output says where it is, or why it is not there."""
    from awsorch.local.options import CannotStart, Options
    from awsorch.local.ready import Ready
    from awsorch.local.up import run, stop

    said = json.loads(wanted)
    options = Options(data=Path(said["data"]), port=0, engine=said["engine"], instances=said["instances"])

    def ready(found: Ready) -> None:
        print(json.dumps({"endpoint": found.endpoint, "environment": dict(found.environment)}), flush=True)

    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        return run(options, ready)
    except ImportError as error:
        missing = f"the local cloud needs more packages ({error}): pip install 'awsorch[local]'"
        print(json.dumps({"error": missing}), flush=True)
        return 1
    except (CannotStart, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    finally:
        if options.engine == "docker":
            stop(options.data, remove=True)


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
