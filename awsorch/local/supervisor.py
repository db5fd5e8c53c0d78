"""Starts, watches and stops the child processes of the local cloud.

It exists so that `awsorch up` is one thing to start and one to stop although it is several processes. A
child that dies is started again, at once the first time, then with growing pauses. Children run in
sessions of their own, so that Ctrl-C reaches this process alone and the order of stopping is kept, and the
kernel ends them when this process dies without a word. It does not know what its children do.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from awsorch.local.log_file import LogFile

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
"""A child that lived this long is taken for healthy: its next death counts as the first again."""
_LOG_CHECK_SECONDS = 30.0
_GUARD = 'read -r _; kill -CONT "$1" 2> /dev/null'
"""Lets a paused child go on when its standard input ends, which it does with this process at the latest: a paused
process does not even act on the signal that tells it of its parent's end.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child process: its name (of its log file too), command, whole environment and inherited
    descriptors.

    A child that ends with one of `final_exit_codes` is not started again. `started` is called each time it
    starts.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    inherited: tuple[int, ...] = ()
    final_exit_codes: frozenset[int] = frozenset()
    started: Callable[[], None] | None = None


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    log: LogFile
    process: asyncio.subprocess.Process | None = None
    watch: asyncio.Task[None] | None = None
    exit_code: int | None = None
    restarts: int = 0
    guard: asyncio.subprocess.Process | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """The children by name. All methods run on one event loop, in the process's main thread (the kernel
    ends the children when the thread that started them ends).
    """

    def __init__(self, logs: Path, inherited: tuple[int, ...] = ()) -> None:
        """`logs` is the folder of the children's logs; `inherited` are descriptors that every child gets."""
        self._logs = logs
        self._inherited = inherited
        self._children: dict[str, _Child] = {}
        self._bounding: asyncio.Task[None] | None = None

    async def start(self, spec: ChildSpec) -> None:
        """Start a child and keep it running. Raises OSError where it cannot be started at all, ValueError
        where the name is in use.
        """
        if spec.name in self._children:
            raise ValueError(f"a child named {spec.name} is already there")
        self._logs.mkdir(parents=True, exist_ok=True)
        spec = replace(spec, inherited=spec.inherited + self._inherited)
        child = _Child(spec=spec, log=LogFile(self._logs / f"{spec.name}.log"))
        await _spawn(child)
        self._children[spec.name] = child
        child.watch = asyncio.create_task(self._keep_running(child), name=f"watch {spec.name}")
        if self._bounding is None:
            self._bounding = asyncio.create_task(self._bound_logs())

    async def stop(self, name: str, limit_seconds: float) -> None:
        """Ask a child to end (SIGTERM), kill it after the limit, and forget it. An unknown name is no
        error.
        """
        child = self._children.pop(name, None)
        if child is None or child.watch is None:
            return
        child.stopping.set()
        _signal(child, signal.SIGTERM)
        await _go_on(child)
        _, late = await asyncio.wait({child.watch}, timeout=limit_seconds)
        if late:
            _log.warning("%s did not end within %g seconds; killed", name, limit_seconds)
            _signal(child, signal.SIGKILL)
            await child.watch

    async def kill(self, name: str) -> None:
        """End a child at once, without asking it, and forget it. An unknown name is no error."""
        child = self._children.pop(name, None)
        if child is not None and child.watch is not None:
            child.stopping.set()
            _signal(child, signal.SIGKILL)
            await child.watch

    async def pause(self, name: str) -> bool:
        """Have a child do nothing at all, until `resume` or its end. False: it is not running now."""
        child = self._children.get(name)
        process_id = self.process_id(name)
        if child is None or process_id is None:
            return False
        if child.guard is None:
            child.guard = await asyncio.create_subprocess_exec(
                *("sh", "-c", _GUARD, "guard", str(process_id)), stdin=asyncio.subprocess.PIPE, start_new_session=True
            )
        _signal(child, signal.SIGSTOP)
        return True

    async def resume(self, name: str) -> None:
        """Let a paused child go on; one that is not paused stays as it is."""
        child = self._children.get(name)
        if child is not None:
            await _go_on(child)

    async def stop_all(self, names: list[str], limit_seconds: float) -> None:
        """Stop several children at the same time, each with the limit."""
        await asyncio.gather(*(self.stop(name, limit_seconds) for name in names))

    async def close(self) -> None:
        """Kill what still runs and end the upkeep of logs."""
        await self.stop_all(list(self._children), 0.0)
        if self._bounding is not None:
            self._bounding.cancel()
            await asyncio.gather(self._bounding, return_exceptions=True)
            self._bounding = None

    def names(self) -> list[str]:
        """The children that are to run, in the order of their first start."""
        return list(self._children)

    def process_id(self, name: str) -> int | None:
        """The id of the process that a child is now; None while it is down."""
        child = self._children.get(name)
        process = child.process if child is not None else None
        return process.pid if process is not None and process.returncode is None else None

    def ended(self, name: str) -> int | None:
        """The exit code of a child that has ended and will not be started again, else None."""
        child = self._children.get(name)
        return child.exit_code if child is not None else None

    def restarts(self, name: str) -> int:
        """How often a child has been started again."""
        child = self._children.get(name)
        return child.restarts if child is not None else 0

    def last_words(self, name: str, lines: int = 8) -> str:
        """The end of a child's log."""
        return LogFile(self._logs / f"{name}.log").last_lines(lines)

    async def _keep_running(self, child: _Child) -> None:
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:
            began = loop.time()
            process = child.process
            code = await process.wait() if process is not None else 1
            await _go_on(child)
            if child.stopping.is_set():
                return
            if code in child.spec.final_exit_codes:
                _log.error("%s ended with exit code %s and is not started again", child.spec.name, code)
                child.exit_code = code
                return
            deaths = 0 if loop.time() - began >= _STEADY_SECONDS else deaths
            pause = pause_before_restart(deaths)
            deaths += 1
            _log.warning("%s ended with exit code %s; starts again in %g s", child.spec.name, code, pause)
            if await _wait_for(child.stopping, pause):
                return
            child.restarts += 1
            try:
                await _spawn(child)
            except OSError as error:
                _log.error("%s cannot be started: %s", child.spec.name, error)
                child.process = None
            if child.stopping.is_set():
                _signal(child, signal.SIGTERM)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            for child in list(self._children.values()):
                child.log.bound()


def pause_before_restart(deaths: int) -> float:
    """Seconds to wait before the next start after so many deaths in a row before this one: 0, 0.5, 1, 2 …
    30.
    """
    if deaths == 0:
        return 0.0
    return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (deaths - 1))


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _spawn(child: _Child) -> None:
    with child.log.open() as log:
        child.process = await asyncio.create_subprocess_exec(
            *child.spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(child.spec.environment),
            pass_fds=child.spec.inherited,
            start_new_session=True,
            preexec_fn=_dying_with(os.getpid()),
        )
    if child.spec.started is not None:
        child.spec.started()


def _dying_with(parent: int) -> Callable[[], None]:
    """What the new process does before anything else: ask the kernel for SIGTERM when its parent is gone.

    A parent that went before the question was asked has left it to another process: then it ends at once.
    """

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask


async def _go_on(child: _Child) -> None:
    guard, child.guard = child.guard, None
    if guard is not None and guard.stdin is not None:
        guard.stdin.close()
        await guard.wait()


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.returncode is None:
        try:
            child.process.send_signal(number)
        except ProcessLookupError:
            _log.debug("%s had just ended", child.spec.name)
