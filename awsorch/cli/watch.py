"""Waiting by looking again and again: ECS has no operation that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import tail
from awsorch.cli.session import Session

T = TypeVar("T")

LOOK_SECONDS = 0.4
PATIENCE_SECONDS = 60.0
"""How long the API may be away (a controller that restarts, say) before waiting is given up."""
THROTTLING = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException")


def watch(session: Session, arns: Sequence[str], seen: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Look at tasks until all are STOPPED; `seen` gets every task at every look. Answers how they ended, in order.

    Raises Fault when a task is gone, and botocore's error when the API stays away for PATIENCE_SECONDS.
    """
    while True:
        tasks = {task["taskArn"]: task for task in look(session, arns)}
        for arn in arns:
            if arn not in tasks:
                raise Fault(f"task {tail(arn)} does not exist (any more)")
            seen(tasks[arn])
        if all(tasks[arn]["lastStatus"] == "STOPPED" for arn in arns):
            return [tasks[arn] for arn in arns]
        time.sleep(LOOK_SECONDS)


def look(session: Session, arns: Sequence[str]) -> list[dict[str, Any]]:
    """DescribeTasks, asked again while nothing answers."""
    return patiently(lambda: session.describe_tasks(arns))


def patiently(ask: Callable[[], T]) -> T:
    """What `ask` answers, asked again while nothing answers, or something that can't just now.

    Raises botocore's error after PATIENCE_SECONDS, and at once when the API refuses for good.
    """
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except (ConnectionError, HTTPClientError, ClientError) as error:
            for_good = isinstance(error, ClientError) and not is_passing(error.response)
            if for_good or time.monotonic() > give_up_at:
                raise
            time.sleep(LOOK_SECONDS)


def is_passing(answer: Mapping[str, Any]) -> bool:
    """Whether an error answer says that the API can't just now: it is throttling, or failed by itself."""
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or answer.get("Error", {}).get("Code") in THROTTLING
