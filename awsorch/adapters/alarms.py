"""CloudWatch alarms: tells which of a deployment's alarms are in ALARM. What can't be asked is asked again by planners.

Source: CloudWatch API, DescribeAlarms.
"""

from __future__ import annotations

import asyncio
import logging

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.adapters.load_balancers import Post
from awsorch.core.commands import WatchAlarms
from awsorch.core.events_services import AlarmsSeen

logger = logging.getLogger(__name__)

#: DescribeAlarms takes so many names.
BATCH = 100


class CloudWatchAlarms:
    """Carries WatchAlarms out: one question a deployment at a time."""

    def __init__(self, aws: AwsCalls, post: Post) -> None:
        self._aws = aws
        self._post = post
        self._turns = Turns()
        self._asking: dict[tuple[str, str, str], asyncio.Task[None]] = {}

    def watch_alarms(self, cluster: str, command: WatchAlarms) -> None:
        """Ask, unless the same is being asked."""
        key = (cluster, command.service, command.deployment)
        if key not in self._asking:
            task = asyncio.get_running_loop().create_task(self._ask(cluster, command), name=f"alarms {command.service}")
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key))

    async def close(self) -> None:
        """Stop asking."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, cluster: str, command: WatchAlarms) -> None:
        names = command.names
        on: list[str] = []
        try:
            for at in range(0, len(names), BATCH):
                async with self._turns.one():
                    answer = await self._aws.call(
                        "cloudwatch",
                        "describe_alarms",
                        AlarmNames=list(names[at : at + BATCH]),
                        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                        StateValue="ALARM",
                        MaxRecords=BATCH,
                    )
                alarms = (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ()))
                on += [alarm["AlarmName"] for alarm in alarms if alarm.get("StateValue") == "ALARM"]
        except AwsError as error:
            logger.warning("%s: the alarms of service %s could not be seen: %s", cluster, command.service, error)
            return
        except Exception:
            logger.exception("%s: the alarms of service %s could not be seen", cluster, command.service)
            return
        seen = AlarmsSeen(cause="DescribeAlarms", service=command.service, deployment=command.deployment, on=tuple(on))
        self._post(cluster, seen)
