"""Lambda functions of stacks: their code is kept here as well, and that is what runs when a stack calls one.

Source: `AWS::Lambda::Function` in the CloudFormation template reference (`Code`: inline text or an object in S3).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from awsorch.cfn.contract import Action, AwsCalls, CallRefused, Outcome, Progress, Properties, Provider, Request, failed
from awsorch.local.files import write_private
from awsorch.local.lambda_runner import Function, FunctionFailed, LambdaRunner, inline_code

TYPE = "AWS::Lambda::Function"


class FunctionCode:
    """Where the code of functions is: a file each, named by the function's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, code: bytes) -> None:
        """Keep a function's zip file. Raises OSError."""
        write_private(self._path(name), code)

    def find(self, name: str) -> bytes | None:
        """A function's zip file, if it is one of a stack."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def forget(self, name: str) -> None:
        """The function is not there any more."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.zip"


class FunctionResources:
    """Implements Provider for functions: code is fetched and kept, the rest is `wire`'s."""

    def __init__(self, wire: Provider, calls: AwsCalls, code: FunctionCode) -> None:
        self._wire = wire
        self._calls = calls
        self._code = code

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return self._wire.replaced_by(type, previous, model)

    async def step(self, request: Request) -> Progress:
        try:
            if request.action is Action.DELETE:
                progress = await self._wire.step(request)
                if progress.outcome is Outcome.SUCCESS:
                    self._code.forget(request.physical_id)
                return progress
            code = await self._bytes(request.model)
        except (CallRefused, OSError) as error:
            return failed(f"The code of the function can't be had: {error}", physical_id=request.physical_id)
        progress = await self._wire.step(_with_code(request, code))
        if code is not None and progress.outcome is Outcome.SUCCESS:
            self._code.keep(progress.physical_id, code)
        return progress

    async def _bytes(self, model: Properties) -> bytes | None:
        """The zip file; None for a container image."""
        code = model.get("Code") or {}
        if "S3Bucket" in code:
            wanted = {"Bucket": code["S3Bucket"], "Key": code.get("S3Key", "")}
            wanted |= {"VersionId": code["S3ObjectVersion"]} if code.get("S3ObjectVersion") else {}
            answer = await self._calls.call("s3", "GetObject", wanted)
            body: bytes = await answer["Body"].read()
            return body
        if "ZipFile" in code:
            return inline_code(str(code["ZipFile"]), str(model.get("Runtime", "")))
        return None


def _with_code(request: Request, code: bytes | None) -> Request:
    if code is None:
        return request
    model = {**request.model, "Code": {"ZipFile": code}}
    unchanged = "Code" not in request.changed()
    previous = {**request.previous, "Code": model["Code"] if unchanged else {"ZipFile": b""}}
    return replace(request, model=model, previous=previous)


class StackFunctions:
    """Invokes functions of stacks. Implements custom.Functions."""

    def __init__(self, calls: AwsCalls, code: FunctionCode, runner: LambdaRunner) -> None:
        self._calls = calls
        self._code = code
        self._runner = runner
        self._running: set[asyncio.Task[None]] = set()

    async def invoke(self, arn: str, event: Any) -> Any:
        """What the function answers to an event. Raises FunctionFailed."""
        return await self._runner.invoke(await self._function(arn), event)

    def begin(self, arn: str, event: Mapping[str, Any], failed: Callable[[str], None]) -> None:
        """Invoke it, and come back at once; `failed` is told why it can't be run or ended with an error."""

        async def run() -> None:
            try:
                await self.invoke(arn, event)
            except FunctionFailed as error:
                failed(str(error))

        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End what runs."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _function(self, arn: str) -> Function:
        try:
            known = await self._calls.call("lambda", "GetFunctionConfiguration", {"FunctionName": arn})
        except CallRefused as error:
            raise FunctionFailed(f"The function {arn} can't be invoked: {error}") from None
        name = str(known["FunctionName"])
        code = self._code.find(name)
        runtime = str(known.get("Runtime") or "")
        if code is None and runtime.startswith("python"):
            raise FunctionFailed(f"The code of {name} is not known here: only functions that a stack has made run.")
        if known.get("Layers"):
            raise FunctionFailed(f"The function {name} has layers, which can't be used here.")
        return Function(
            name=name,
            arn=str(known["FunctionArn"]),
            runtime=runtime,
            handler=str(known.get("Handler") or ""),
            code=code or b"",
            timeout_seconds=float(known.get("Timeout") or 3),
            memory_mb=int(known.get("MemorySize") or 128),
            environment=(known.get("Environment") or {}).get("Variables") or {},
        )
