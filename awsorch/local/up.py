"""`awsorch up` and `awsorch down`: the local cloud started, watched and stopped, in the foreground or
detached.

This is all of `awsorch.local` that the command line knows: options in, `Ready` out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from awsorch.local.data_folder import DataFolder
from awsorch.local.log_file import MAX_BYTES, LogFile
from awsorch.local.options import CannotStart, Options, check, take_port
from awsorch.local.ready import Ready, ReadyInstance, read_ready, ready_text

if TYPE_CHECKING:
    from awsorch.local.local_cloud import LocalCloud

__all__ = ["CannotStart", "Options", "Ready", "ReadyInstance", "run", "start_detached", "status", "stop"]

_log = logging.getLogger(__name__)

_START_SECONDS = 180.0
_STOP_SECONDS = 60.0
_CHILDREN_SECONDS = 20.0


def run(options: Options, on_ready: Callable[[Ready], None]) -> int:
    """Run the local cloud in the foreground until SIGINT or SIGTERM; `on_ready` is called once, when it is
    up.

    Answers the exit code: 0 after a signal. Raises CannotStart. Containers of tasks run on after it.
    """
    check(options)
    folder = DataFolder(options.data)
    try:
        lock = folder.lock()
    except OSError as error:
        raise CannotStart(f"the data folder {folder.path} cannot be used: {error.strerror}") from error
    if lock is None:
        raise CannotStart(_already_running(folder))
    try:
        _log_to(folder.logs / "supervisor.log")
        _allow_many_connections()
        _run_alone(options, folder, on_ready)
    finally:
        folder.forget_ready()
        os.close(lock)
    return 0


def start_detached(options: Options) -> Ready:
    """Start the local cloud as a process of its own and return when it is ready. Raises CannotStart."""
    check(options)
    folder = DataFolder(options.data)
    if folder.owner() is not None:
        raise CannotStart(_already_running(folder))
    folder.logs.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    with LogFile(folder.logs / "supervisor.log").open() as log, os.fdopen(reading, "rb") as answer:
        process = subprocess.Popen(
            [sys.executable, "-m", "awsorch.local.up", str(writing)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
            cwd="/",
        )
        os.close(writing)
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(_options_text(options, folder).encode())
        readable, _, _ = select.select([answer], [], [], _START_SECONDS)
        text = answer.read().decode() if readable else ""
    if not readable:
        process.terminate()
        raise CannotStart(f"the local cloud was not ready after {_START_SECONDS:.0f} seconds; see {folder.logs}")
    outcome = json.loads(text) if text else {"error": f"the local cloud ended at once; see {folder.logs}"}
    if "error" in outcome:
        process.wait()
        raise CannotStart(outcome["error"])
    process.returncode = 0  # it outlives us by design; subprocess need not warn of it
    return read_ready(json.dumps(outcome["ready"]))


def stop(data: Path, *, remove: bool = False) -> bool:
    """Stop the local cloud on a data folder; False where none runs. Containers run on, unless `remove`.

    Raises TimeoutError where it does not stop, OSError where Docker is needed and does not answer.
    """
    folder = DataFolder(data)
    was_running = folder.stop_owner(_STOP_SECONDS)
    if remove:
        from awsorch.local.containers import InstanceContainers
        from awsorch.local.files import remove_folder
        from awsorch.local.netns_engine import engines_folder, left_over, run_folder

        containers = InstanceContainers()
        for instance in sorted((folder.path / "instances").glob("*")):
            containers.remove(instance)
        left = list(left_over(folder.path))
        if left and folder.path.exists():
            os.close(folder.lock_children(_CHILDREN_SECONDS))  # killed a moment ago, perhaps
        for engine in left:
            engine.clear()
        remove_folder(run_folder(folder.path))
        remove_folder(engines_folder(folder.path))
    return was_running


def status(data: Path) -> Ready | None:
    """What the local cloud on a data folder said when it was ready; None where none runs or is not ready
    yet.
    """
    return DataFolder(data).ready()


def _run_alone(options: Options, folder: DataFolder, on_ready: Callable[[Ready], None]) -> None:
    """Run on a folder that is ours, when nothing of an earlier run is left on it."""
    from awsorch.local.local_cloud import LocalCloud

    # A developer's profile or endpoint is not this cloud's, and one that is not there would stop it.
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        del os.environ[name]
    try:
        children_lock = folder.lock_children(_CHILDREN_SECONDS)
    except TimeoutError as error:
        raise CannotStart(str(error)) from error
    try:
        port = take_port(options.host, options.port)
        cloud = LocalCloud(options, folder, port, children_lock)
        asyncio.run(_serve(cloud, folder, on_ready))
    finally:
        os.close(children_lock)


async def _serve(cloud: LocalCloud, folder: DataFolder, on_ready: Callable[[Ready], None]) -> None:
    """Start the cloud and stop it again when a signal says so."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    stopping = asyncio.create_task(asked.wait())
    starting = asyncio.create_task(cloud.start())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.is_set():
            ready = starting.result()
            folder.note_ready(ready)
            on_ready(ready)
            await stopping
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        folder.forget_ready()
        await cloud.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _allow_many_connections() -> None:
    """Raise the limit of open files, ours and our children's: each of thousands of instances listens and connects."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _already_running(folder: DataFolder) -> str:
    ready = folder.ready()
    where = f" at {ready.endpoint}" if ready is not None else ""
    return (
        f"a local cloud runs on {folder.path} already (process {folder.owner()}{where}); "
        "stop it with `awsorch down`, or give another folder with --data"
    )


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("botocore", "aiobotocore", "urllib3", "docker"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _options_text(options: Options, folder: DataFolder) -> str:
    return json.dumps(asdict(options) | {"data": str(folder.path), "access_keys": dict(options.access_keys)})


def main(arguments: list[str]) -> int:
    """The detached process: options as JSON on standard input, the outcome to the descriptor in the first
    argument.
    """
    outcome = os.fdopen(int(arguments[0]), "w")
    values = json.loads(sys.stdin.read())
    options = Options(**(values | {"data": Path(values["data"])}))

    def tell(**answer: object) -> None:
        if not outcome.closed:
            with outcome:
                json.dump(answer, outcome)

    try:
        return run(options, on_ready=lambda ready: tell(ready=json.loads(ready_text(ready))))
    except CannotStart as refusal:
        tell(error=str(refusal))
        return 1
    except Exception as error:
        _log.exception("the local cloud ended")
        tell(error=f"{type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
