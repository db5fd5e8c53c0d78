"""What runs in the process of one invocation of a Lambda function in Python: imports the handler, calls it, writes down
what it answered. Uses the standard library only, since the function's own modules come first here.

Called with the folder of the code, the handler ("index.handler"), the time limit in seconds, and the file for the
result; the event comes on standard input. Source: AWS Lambda developer guide, "Define Lambda function handler in
Python" and "Using the Lambda context object"; AWS CloudFormation user guide, "cfn-response module" (its interface).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
import types
import urllib.request
import uuid
from pathlib import Path
from typing import Any

SUCCESS = "SUCCESS"
FAILED = "FAILED"
_ANSWER_SECONDS = 30


class Context:
    """The context object of one invocation."""

    def __init__(self, seconds: float) -> None:
        name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self._end = time.monotonic() + seconds
        self.function_name = name
        self.function_version = "$LATEST"
        self.invoked_function_arn = os.environ["AWSORCH_FUNCTION_ARN"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = str(uuid.uuid4())
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended."""
        return max(0, int((self._end - time.monotonic()) * 1000))


def send(
    event: dict[str, Any],
    context: Any,
    responseStatus: str,
    responseData: Any,
    physicalResourceId: str | None = None,
    noEcho: bool = False,
    reason: str | None = None,
) -> None:
    """cfnresponse.send: answer a request of CloudFormation."""
    answer = {
        "Status": responseStatus,
        "Reason": reason or f"See the details in CloudWatch Log Stream: {context.log_stream_name}",
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"content-type": ""}, method="PUT")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_ANSWER_SECONDS) as answered:
        print("Status code:", answered.status)


def cfnresponse() -> types.ModuleType:
    """The module that functions with inline code may import."""
    module = types.ModuleType("cfnresponse", "Answers CloudFormation's requests to custom resources.")
    module.__dict__.update(SUCCESS=SUCCESS, FAILED=FAILED, send=send)
    return module


def main(folder: str, handler: str, seconds: str, result: str) -> None:
    """Run one invocation."""
    event = json.loads(sys.stdin.buffer.read())
    sys.path.insert(0, folder)
    if not (Path(folder) / "cfnresponse.py").exists():
        sys.modules["cfnresponse"] = cfnresponse()
    module, _, name = handler.replace("/", ".").rpartition(".")
    try:
        answer: Any = {"answer": getattr(importlib.import_module(module), name)(event, Context(float(seconds)))}
        text = json.dumps(answer)
    except BaseException as error:  # whatever the function does wrong is its result
        traceback.print_exc()
        text = json.dumps({"type": type(error).__name__, "error": str(error)})
    Path(result).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
