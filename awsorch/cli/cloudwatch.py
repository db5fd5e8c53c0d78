"""Containers' lines in CloudWatch Logs: the stream that a task definition's log options lead to, read like a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from awsorch.cli.containers import Unreadable
from awsorch.cli.identifiers import tail
from awsorch.cli.session import Session
from awsorch.cli.watch import patiently

DRIVER = "awslogs"
LOOK_SECONDS = 1.0
LATE_SECONDS = 7.0
"""The engine's driver sends lines five seconds later at most; so long after a container's end more is waited for."""


class CloudWatch:
    """Reads streams, with one client for each region."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clients: dict[str, Any] = {}
        self._definitions: dict[str, dict[str, Any]] = {}

    def lines(
        self, task: dict[str, Any], name: str, *, follow: bool, last: int | None, since: datetime | None
    ) -> Iterator[str] | None:
        """What a container of the task printed; None where its lines do not go to CloudWatch Logs, or to a stream that
        does not follow from its definition. Reading raises Unreadable."""
        found = self._stream(task, name)
        if found is None:
            return None
        region, group, stream = found
        place: dict[str, Any] = {"logGroupName": group, "logStreamName": stream}
        if since is not None:
            place["startTime"] = int(since.timestamp() * 1000)
        return self._read(self._client(region), place, task["taskArn"], follow, last)

    def _stream(self, task: dict[str, Any], name: str) -> tuple[str, str, str] | None:
        """The region, group and stream of a container."""
        for container in self._definition(task["taskDefinitionArn"])["containerDefinitions"]:
            log = container.get("logConfiguration") or {}
            options = log.get("options") or {}
            if container["name"] == name and log.get("logDriver") == DRIVER and "awslogs-stream-prefix" in options:
                stream = f"{options['awslogs-stream-prefix']}/{name}/{tail(task['taskArn'])}"
                return options["awslogs-region"], options["awslogs-group"], stream
        return None

    def _definition(self, arn: str) -> dict[str, Any]:
        """The task definition; one without containers where it is not there any more, or may not be seen."""
        from botocore.exceptions import ClientError

        if arn not in self._definitions:
            try:
                answer = patiently(lambda: self._session.ecs.describe_task_definition(taskDefinition=arn))
            except ClientError:
                return {"containerDefinitions": []}
            self._definitions[arn] = answer["taskDefinition"]
        return self._definitions[arn]

    def _client(self, region: str) -> Any:
        if region not in self._clients:
            own = os.environ.get("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS") or os.environ.get("AWS_ENDPOINT_URL")
            # The local cloud answers for both at its door.
            self._clients[region] = self._session.boto.client(
                "logs", endpoint_url=own or self._session.endpoint, region_name=region
            )
        return self._clients[region]

    def _read(self, logs: Any, place: dict[str, Any], arn: str, follow: bool, last: int | None) -> Iterator[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if last is not None:
                yield from self._last(logs, place, last)
                token = self._end(logs, place)
            else:
                token = ""
            until = None
            while True:
                some, token = self._page(logs, place, token)
                yield from some
                if some:
                    continue
                if not follow or (until is not None and time.monotonic() > until):
                    return
                if until is None and self._has_ended(arn):
                    until = time.monotonic() + LATE_SECONDS
                time.sleep(LOOK_SECONDS)
        except (ClientError, BotoCoreError) as error:
            raise Unreadable(f"{place['logGroupName']} {place['logStreamName']}: {error}") from None

    @staticmethod
    def _page(logs: Any, place: dict[str, Any], token: str) -> tuple[list[str], str]:
        """The next lines, and where those after them are."""
        more = {"nextToken": token} if token else {}
        answer = patiently(lambda: logs.get_log_events(**place, **more, startFromHead=True))
        return [each["message"] for each in answer["events"]], answer["nextForwardToken"]

    @staticmethod
    def _last(logs: Any, place: dict[str, Any], number: int) -> list[str]:
        if number == 0:
            return []
        answer = patiently(lambda: logs.get_log_events(**place, limit=min(number, 10000), startFromHead=False))
        return [each["message"] for each in answer["events"]]

    @staticmethod
    def _end(logs: Any, place: dict[str, Any]) -> str:
        """Where what is still to come will be."""
        return str(patiently(lambda: logs.get_log_events(**place, limit=1, startFromHead=False))["nextForwardToken"])

    def _has_ended(self, arn: str) -> bool:
        found = patiently(lambda: self._session.describe_tasks([arn]))
        return not found or found[0]["lastStatus"] == "STOPPED"
