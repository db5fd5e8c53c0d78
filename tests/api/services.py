"""Words that tests of services share."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.waiter import WaiterModel, create_waiter_with_client

#: A waiter's patience, in seconds and tries.
QUICK: dict[str, Any] = {"Delay": 0.05, "MaxAttempts": 200}


def refused(code: str, text: str) -> Any:
    """Expect a ClientError of this code whose message begins like this regular expression."""
    return pytest.raises(ClientError, match=rf"\({code}\) when calling the \w+ operation: {text}")


def settle(ecs: Any, *names: str) -> None:
    """Wait until the services are stable, as boto3 has it."""
    ecs.get_waiter("services_stable").wait(services=list(names), WaiterConfig=QUICK)


def describe(ecs: Any, name: str) -> dict[str, Any]:
    """The service, with its tags."""
    (service,) = ecs.describe_services(services=[name], include=["TAGS"])["services"]
    return dict(service)


def until(ecs: Any, name: str, condition: str) -> dict[str, Any]:
    """Wait until the service fulfils a JMESPath condition; the service as it then is."""
    wait(ecs, "DescribeServices", f"services[0] | {condition}", services=[name])
    return describe(ecs, name)


def wait(ecs: Any, operation: str, condition: str, **request: Any) -> None:
    """Wait until the operation's answer fulfils a JMESPath condition."""
    acceptor = {"state": "success", "matcher": "path", "argument": condition, "expected": True}
    waiter = {"operation": operation, "delay": 0.05, "maxAttempts": 200, "acceptors": [acceptor]}
    model = WaiterModel({"version": 2, "waiters": {"ItIsSo": waiter}})
    create_waiter_with_client("ItIsSo", model, ecs).wait(**request)
