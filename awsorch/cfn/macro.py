"""The CloudFormation macro `Awsorch` as a Lambda function: `awsorch.cfn.macro.handler`.

It needs nothing but the transform. Settings are variables of the function: AWSORCH_SERVICE_TOKEN (by default the topic
awsorch-cfn of the stack's own account and region), AWSORCH_ROLE, AWSORCH_SERVICE_TIMEOUT, AWSORCH_STRICT ("true") and
AWSORCH_SUFFIX. Source: AWS CloudFormation user guide, "Create a CloudFormation macro definition".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from awsorch.cfn.fragments import TransformError
from awsorch.cfn.transform import TransformSettings, transform, written

TOPIC = "awsorch-cfn"


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """CloudFormation's event ({requestId, region, accountId, fragment, …}) answered with the new fragment.

    A template that can't be transformed answers status "failed" with an errorMessage, which becomes the reason of the
    change set's failure.
    """
    answer = {"requestId": event.get("requestId", "")}
    try:
        done = transform(event["fragment"], _settings(event, os.environ))
        written(done.template)  # too large is better said here, with what to do
    except TransformError as error:
        return {**answer, "status": "failed", "errorMessage": str(error)}
    for warning in done.warnings:
        print(warning)  # to the function's log
    return {**answer, "status": "success", "fragment": done.template}


def _settings(event: Mapping[str, Any], variables: Mapping[str, str]) -> TransformSettings:
    timeout = variables.get("AWSORCH_SERVICE_TIMEOUT", "3600")
    if not (timeout.isascii() and timeout.isdigit()):
        raise TransformError(f"AWSORCH_SERVICE_TIMEOUT is {timeout!r}; it must be a number of seconds.")
    return TransformSettings(
        service_token=variables.get("AWSORCH_SERVICE_TOKEN") or _topic(event),
        service_timeout=int(timeout),
        role=variables.get("AWSORCH_ROLE") or None,
        strict=variables.get("AWSORCH_STRICT", "").lower() == "true",
        suffix=variables.get("AWSORCH_SUFFIX", ""),
    )


def _topic(event: Mapping[str, Any]) -> str:
    region = event["region"]
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    return f"arn:{partition}:sns:{region}:{event['accountId']}:{TOPIC}"
