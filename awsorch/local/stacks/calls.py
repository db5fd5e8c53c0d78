"""CloudFormation's API as the door hands it over: requests read and answers written by botocore's model."""

from __future__ import annotations

import functools
import logging
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from botocore.session import get_session

from awsorch.local.query_protocol import QueryRefused, read_form, read_request, write_answer
from awsorch.local.service_call import Protocol, ServiceCall
from awsorch.local.service_errors import ErrorAnswer, ServiceError, write_error
from awsorch.local.stacks.change_sets import ChangeSets
from awsorch.local.stacks.operations import StackOperations
from awsorch.local.stacks.readings import Readings

_log = logging.getLogger(__name__)

_Operation = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class StackCalls:
    """The calls of one region."""

    def __init__(self, *, region: str, stacks: StackOperations, change_sets: ChangeSets, readings: Readings) -> None:
        self._region = region
        self._operations: dict[str, _Operation] = {
            "CancelUpdateStack": stacks.cancel_update_stack,
            "ContinueUpdateRollback": stacks.continue_update_rollback,
            "CreateChangeSet": change_sets.create,
            "CreateStack": stacks.create_stack,
            "DeleteChangeSet": change_sets.delete,
            "DeleteStack": stacks.delete_stack,
            "DescribeChangeSet": change_sets.describe,
            "DescribeStackEvents": readings.describe_stack_events,
            "DescribeStackResource": readings.describe_stack_resource,
            "DescribeStackResources": readings.describe_stack_resources,
            "DescribeStacks": readings.describe_stacks,
            "ExecuteChangeSet": change_sets.execute,
            "GetStackPolicy": stacks.get_stack_policy,
            "GetTemplate": readings.get_template,
            "GetTemplateSummary": readings.get_template_summary,
            "ListChangeSets": change_sets.list_sets,
            "ListExports": readings.list_exports,
            "ListImports": readings.list_imports,
            "ListStackResources": readings.list_stack_resources,
            "ListStacks": readings.list_stacks,
            "SetStackPolicy": stacks.set_stack_policy,
            "SignalResource": stacks.signal_resource,
            "UpdateStack": stacks.update_stack,
            "UpdateTerminationProtection": stacks.update_termination_protection,
            "ValidateTemplate": readings.validate_template,
        }

    def answers(self, call: ServiceCall, region: str | None) -> bool:
        """Whether a call is for these stacks: CloudFormation's, in this region, or what an instance signals."""
        if region is None:
            return call.operation == "SignalResource"
        return call.service == "cloudformation" and region == self._region

    async def answer(self, call: ServiceCall, query: str, body: bytes) -> tuple[int, ErrorAnswer]:
        """The HTTP status, headers and body that a call is answered with."""
        request_id = str(uuid.uuid4())
        try:
            does = self._operations.get(call.operation)
            if does is None:
                said = f"{call.operation} is not implemented by the local stack engine."
                raise QueryRefused("InvalidAction", said)
            operation = _model().operation_model(call.operation)
            value = await does(read_request(operation, read_form(query, body)))
        except QueryRefused as refusal:
            return refusal.error.status, write_error(refusal.error, Protocol.QUERY, request_id)
        except (OSError, sqlite3.Error) as error:
            _log.warning("%s: %s", call.operation, error)
            why = f"{call.operation} cannot be kept: {error}"
            unkept = ServiceError(status=503, code="ServiceUnavailable", message=why)
            return unkept.status, write_error(unkept, Protocol.QUERY, request_id)
        except Exception as error:  # a fault of ours, which clients should be able to read
            _log.exception("%s", call.operation)
            why = f"{call.operation} failed: {type(error).__name__}: {error}"
            fault = ServiceError(status=500, code="InternalFailure", message=why)
            return fault.status, write_error(fault, Protocol.QUERY, request_id)
        headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}
        return 200, ErrorAnswer(headers=headers, body=write_answer(operation, value, request_id))


@functools.cache
def _model() -> Any:
    return get_session().get_service_model("cloudformation")
