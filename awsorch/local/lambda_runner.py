"""Runs Lambda functions written in Python, each invocation in a process of its own, with the handler's environment and
time limit. No other runtime, no layers, no limit of memory: it serves what stacks call, custom resources and macros.

Source: AWS Lambda developer guide, "Lambda runtimes" and "Using Lambda environment variables".
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import signal
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_BOOTSTRAP = Path(__file__).with_name("lambda_bootstrap.py")
_MOST_BYTES = 250 * 1024 * 1024
"""What a function's code may be, unpacked."""
_MOST_AT_ONCE = 8
_OUTPUT_LETTERS = 600
_INHERITED = ("HOME", "LANG", "PATH", "SSL_CERT_FILE")


class FunctionFailed(Exception):
    """A function can't be run, ended with an error, or did not end in time; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function as it is run: `code` is its zip file, `timeout_seconds` how long an invocation may take."""

    name: str
    arn: str
    runtime: str
    handler: str
    code: bytes
    timeout_seconds: float = 3.0
    memory_mb: int = 128
    environment: Mapping[str, str] = field(default_factory=dict)


class LambdaRunner:
    """Invokes functions. `environment`: where AWS is for them, and with which credentials (`AWS_ENDPOINT_URL`, …)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def invoke(self, function: Function, event: Any) -> Any:
        """Run it once with an event; answers what its handler returned. Raises FunctionFailed. A caller that is
        cancelled ends the process."""
        if not function.runtime.startswith("python"):
            raise FunctionFailed(
                f"The function {function.name} has the runtime {function.runtime or 'of a container image'}: only "
                "functions in Python run here."
            )
        async with self._places:
            with tempfile.TemporaryDirectory(prefix="awsorch-function-", ignore_cleanup_errors=True) as folder:
                code = Path(folder) / "task"
                await asyncio.to_thread(_unpack, function, code)
                return await self._run(function, event, code, Path(folder) / "result")

    async def _run(self, function: Function, event: Any, code: Path, result: Path) -> Any:
        seconds = function.timeout_seconds
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(_BOOTSTRAP), str(code), function.handler, str(seconds), str(result)),
            cwd=code,
            env=self._variables(function, code),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        output = b""
        try:
            async with asyncio.timeout(seconds):
                output, _ = await process.communicate(json.dumps(event).encode())
        except TimeoutError:
            raise FunctionFailed(f"The function {function.name} timed out after {seconds:.2f} seconds.") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it has started
            await process.wait()
        said = output.decode("utf-8", "replace").strip()
        _log.info("function %s said: %s", function.name, said)
        return _answer(function, result, said)

    def _variables(self, function: Function, code: Path) -> dict[str, str]:
        own = {
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"local/[$LATEST]{function.name}",
            "AWSORCH_FUNCTION_ARN": function.arn,
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": function.handler,
        }
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {**inherited, "PYTHONUNBUFFERED": "1", **function.environment, **self._environment, **own}


def _unpack(function: Function, folder: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(function.code)) as packed:
            size = sum(each.file_size for each in packed.infolist())
            if size > _MOST_BYTES:
                raise FunctionFailed(f"The code of {function.name} is {size} bytes unpacked, over {_MOST_BYTES}.")
            packed.extractall(folder)
    except (zipfile.BadZipFile, OSError) as error:
        raise FunctionFailed(f"The code of the function {function.name} can't be unpacked: {error}") from None
    folder.mkdir(exist_ok=True)


def _answer(function: Function, result: Path, said: str) -> Any:
    try:
        answered = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise FunctionFailed(f"The function {function.name} ended early. {said[-_OUTPUT_LETTERS:]}".strip()) from None
    if "error" in answered:
        raise FunctionFailed(f"The function {function.name} failed: [{answered['type']}] {answered['error']}")
    return answered["answer"]


def inline_code(text: str, runtime: str) -> bytes:
    """The zip file of a function whose code is in its template (`ZipFile`): the file `index`."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        named = zipfile.ZipInfo("index.js" if runtime.startswith("nodejs") else "index.py")
        named.external_attr = 0o644 << 16
        packed.writestr(named, text)
    return written.getvalue()
