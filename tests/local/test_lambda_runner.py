"""Functions in Python: what they are given, what they answer, and what ends them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from awsorch.local.lambda_runner import Function, FunctionFailed, LambdaRunner, inline_code

AWS = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-west-1"}


def function(text: str, **more: Any) -> Function:
    known = {"name": "greet", "arn": "arn:greet", "runtime": "python3.12", "handler": "index.handler"}
    return Function(**{**known, "code": inline_code(text, "python3.12"), "timeout_seconds": 30.0, **more})


def invoke(called: Function, event: Any = None) -> Any:
    return asyncio.run(LambdaRunner(AWS).invoke(called, event))


def test_a_handler_is_called_with_event_context_and_environment() -> None:
    code = """
import os
def handler(event, context):
    print("said on the way")
    left = context.get_remaining_time_in_millis()
    mine = [os.environ[name] for name in ("MINE", "AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME")]
    return {"event": event, "mine": mine, "left": 0 < left <= 30000, "arn": context.invoked_function_arn,
            "secrets": [name for name in os.environ if name.startswith("AWSORCH_ACCESS")]}
"""
    answer = invoke(function(code, environment={"MINE": "x"}), {"a": [1]})
    mine = ["x", "eu-west-1", "greet"]
    assert answer == {"event": {"a": [1]}, "mine": mine, "left": True, "arn": "arn:greet", "secrets": []}


@pytest.mark.parametrize(
    ("called", "said"),
    [
        (function("def handler(event, context):\n    raise ValueError('no')"), r"greet failed: \[ValueError\] no"),
        (function("import nowhere"), "No module named 'nowhere'"),
        (function("x = 1"), "has no attribute 'handler'"),
        (function("import os\nprint('bye')\nos._exit(3)"), "ended early. bye"),
        (function("def handler(event, context):\n    return object()"), "not JSON serializable"),
        (function("while True: pass", timeout_seconds=1.0), "timed out after 1.00 seconds"),
        (function("", runtime="nodejs20.x"), "has the runtime nodejs20.x: only functions in Python run here"),
        (function("", code=b"no zip"), "can't be unpacked: File is not a zip file"),
    ],
)
def test_what_goes_wrong_is_said(called: Function, said: str) -> None:
    with pytest.raises(FunctionFailed, match=said):
        invoke(called)


@pytest.fixture
def answers() -> Iterator[tuple[list[Any], str]]:
    """A server that keeps what is PUT, and its address."""
    kept: list[Any] = []

    class Keep(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Keep)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield kept, f"http://127.0.0.1:{server.server_address[1]}/answer"
    server.shutdown()
    thread.join()
    server.server_close()


def test_cfnresponse_is_there_and_answers(answers: Any) -> None:
    kept, url = answers
    code = """
import cfnresponse
def handler(event, context):
    cfnresponse.send(event, context, cfnresponse.SUCCESS, {"A": "1"}, "id-1")
"""
    event = {"ResponseURL": url, "StackId": "s", "RequestId": "r", "LogicalResourceId": "l"}
    invoke(function(code), event)
    (answer,) = kept
    assert (answer["Status"], answer["PhysicalResourceId"], answer["Data"]) == ("SUCCESS", "id-1", {"A": "1"})
    assert (answer["StackId"], answer["RequestId"], answer["LogicalResourceId"]) == ("s", "r", "l")
    assert "Log Stream" in answer["Reason"]


def test_whoever_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    os.mkfifo(marker)
    code = f"""
import os, time
def handler(event, context):
    open({str(marker)!r}, "w").write(str(os.getpid()))
    time.sleep(60)
"""

    async def scene() -> int:
        running = asyncio.create_task(LambdaRunner(AWS).invoke(function(code), None))
        async with asyncio.timeout(60):
            pid = int(await asyncio.to_thread(marker.read_text))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return pid

    pid = asyncio.run(scene())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
