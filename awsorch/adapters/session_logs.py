"""Commands in containers written down: who ran what, when and where, and what was printed.

In CloudWatch Logs and S3, as the cluster's executeCommandConfiguration says (``logging`` OVERRIDE names them); each
session has a stream, or an object, of its own name. What can't be written there is in the controller's log.
Source: ECS developer guide, "Logging using ECS Exec"; ClusterConfiguration.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.engine.ports import SessionRecord

logger = logging.getLogger(__name__)

#: An event has at most 256 KiB.
PIECE = 200 * 1024
_EXISTS = "ResourceAlreadyExistsException"


class SessionLogs:
    """Implements engine.ports.SessionAudit."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws

    async def write(self, record: SessionRecord) -> None:
        """Where the cluster's configuration says, and a line in the controller's log."""
        said = summary(record)
        logger.info("a command was run in a container: %s", json.dumps(said))
        if record.target.configuration.get("logging") != "OVERRIDE":
            return
        places: Mapping[str, Any] = record.target.configuration.get("logConfiguration", {})
        for name, put in (("cloudWatchLogGroupName", self._put_events), ("s3BucketName", self._put_object)):
            if places.get(name):
                try:
                    await put(places, said, record)
                except AwsError as error:
                    logger.warning("session %s is not in %s: %s", record.session_id, places[name], error)

    async def _put_events(self, places: Mapping[str, Any], said: Mapping[str, Any], record: SessionRecord) -> None:
        stream = {"logGroupName": places["cloudWatchLogGroupName"], "logStreamName": record.session_id}
        try:
            await self._aws.call("logs", "create_log_stream", **stream)
        except AwsError as error:
            if error.code != _EXISTS:
                raise
        at = int(record.ended_at * 1000)
        printed = record.transcript.encode()
        messages = [json.dumps(said)]
        messages += [printed[each : each + PIECE].decode(errors="replace") for each in range(0, len(printed), PIECE)]
        events = [{"timestamp": at, "message": message} for message in messages]
        await self._aws.call("logs", "put_log_events", **stream, logEvents=events)

    async def _put_object(self, places: Mapping[str, Any], said: Mapping[str, Any], record: SessionRecord) -> None:
        prefix = places.get("s3KeyPrefix", "").strip("/")
        await self._aws.call(
            "s3",
            "put_object",
            Bucket=places["s3BucketName"],
            Key=f"{prefix}/{record.session_id}.log".lstrip("/"),
            Body=f"{json.dumps(said)}\n{record.transcript}".encode(),
        )


def summary(record: SessionRecord) -> dict[str, Any]:
    """Who, when, where and what, in the words of the API."""
    target = record.target
    return {
        "sessionId": record.session_id,
        "callerArn": target.caller_arn,
        "taskArn": target.task_arn,
        "containerName": target.container,
        "command": target.command,
        "startedAt": _shown(record.started_at),
        "endedAt": _shown(record.ended_at),
        "exitCode": record.exit_code,
    }


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
