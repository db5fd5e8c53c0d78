"""What an Auto Scaling group of the local cloud did, and why, in EC2 Auto Scaling's words.

DescribeScalingActivities is the only place where AWS says why a group has fewer instances than it should. The last
activities of each group are kept on the group itself, so that they go and stay with it. Nothing is decided here.
Source: EC2 Auto Scaling API, Activity; user guide, "Verify a scaling activity for an Auto Scaling group".
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

KEPT = 100
LAUNCHING, TERMINATING = "Launching a new EC2 instance", "Terminating EC2 instance"
PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupActivity:
    """One activity. Times in seconds since 1970; `ended_at` None while it is under way."""

    id: str
    group: str
    group_arn: str
    instance_id: str | None
    description: str
    cause: str
    started_at: float
    zone: str
    subnet: str | None
    status: str = "InProgress"
    message: str | None = None
    ended_at: float | None = None

    def shown(self) -> dict[str, Any]:
        """As the API's Activity."""
        details = ({"Subnet ID": self.subnet} if self.subnet else {}) | {"Availability Zone": self.zone}
        activity = {
            "ActivityId": self.id,
            "AutoScalingGroupName": self.group,
            "AutoScalingGroupARN": self.group_arn,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": datetime.fromtimestamp(self.started_at, UTC),
            "StatusCode": self.status,
            "Progress": 50 if self.ended_at is None else 100,
            "Details": json.dumps(details, separators=(",", ":")),
        }
        if self.ended_at is not None:
            activity["EndTime"] = datetime.fromtimestamp(self.ended_at, UTC)
        if self.message is not None:
            activity["StatusMessage"] = self.message
        return activity


@dataclass(slots=True, kw_only=True)
class GroupHistory:
    """What a group remembers beyond moto: what it did, why its size is what it is, and when it tries again to launch
    what EC2 refused (seconds since 1970) after which pause (seconds).
    """

    activities: deque[GroupActivity] = field(default_factory=lambda: deque(maxlen=KEPT))
    because: str = ""
    retry_at: float | None = None
    pause: float = 0.0

    def begin(self, group: Any, verb: str, now: float, **members: Any) -> GroupActivity:
        """Note an activity that begins now: `verb` is LAUNCHING or TERMINATING."""
        instance_id = members["instance_id"]
        activity = GroupActivity(
            id=str(uuid.uuid4()),
            group=group.name,
            group_arn=group.arn,
            description=f"{verb}: {instance_id}" if instance_id else f"{verb}.",
            started_at=now,
            **members,
        )
        self.activities.append(activity)
        return activity

    def find(self, activity_id: str) -> GroupActivity | None:
        """An activity by its id, while it is remembered."""
        return next((each for each in self.activities if each.id == activity_id), None)

    def fail(self, group: Any, now: float, message: str, **members: Any) -> GroupActivity:
        """Note a launch that EC2 refused."""
        activity = self.begin(group, LAUNCHING, now, instance_id=None, **members)
        described = replace(activity, description=f"{LAUNCHING}.  Status Reason: {message}")
        failed = self.activities[-1] = replace(described, status="Failed", ended_at=now, message=message)
        return failed

    def mark(self, activity_id: str, status: str, *, ended_at: float | None = None, message: str | None = None) -> None:
        """Change an activity's status; one that is no longer remembered needs none."""
        for at, activity in enumerate(self.activities):
            if activity.id == activity_id:
                self.activities[at] = replace(activity, status=status, ended_at=ended_at, message=message)


def history_of(group: Any) -> GroupHistory:
    """The group's own; moto's object carries it."""
    history: GroupHistory = vars(group).setdefault("awsorch_history", GroupHistory())
    return history


def page_of(
    groups: Iterable[Any], *, ids: Iterable[str], size: int, token: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of activities, newest first, and the token of the next: the id of this one's last."""
    wanted = frozenset(ids)
    every = [each for group in groups for each in reversed(history_of(group).activities)]
    every = [each for each in every if not wanted or each.id in wanted]
    every.sort(key=lambda each: -each.started_at)
    start = next((at + 1 for at, each in enumerate(every) if each.id == token), 0)
    page = every[start : start + min(size, PAGE)]
    more = start + len(page) < len(every)
    return [each.shown() for each in page], page[-1].id if more else None


def moment(now: float) -> str:
    """A time as causes write it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def resized(now: float, what: str, before: int, after: int) -> str:
    """The sentence about a request that changed the desired capacity; nothing where it did not."""
    if before == after:
        return ""
    return f"At {moment(now)} a user request {what} changing the desired capacity from {before} to {after}.  "


def grown(now: float, because: str, before: int, after: int) -> str:
    """Why an instance was launched."""
    return (
        f"{because}At {moment(now)} an instance was started in response to a difference between desired and actual "
        f"capacity, increasing the capacity from {before} to {after}."
    )


def shrunk(now: float, because: str, before: int, after: int, instance_id: str) -> str:
    """Why an instance of the group's choice was ended."""
    return (
        f"{because}At {moment(now)} an instance was taken out of service in response to a difference between desired "
        f"and actual capacity, shrinking the capacity from {before} to {after}.  At {moment(now)} instance "
        f"{instance_id} was selected for termination."
    )


def requested(now: float, instance_id: str, before: int, after: int) -> str:
    """Why an instance was ended that somebody named."""
    sizes = f", shrinking the capacity from {before} to {after}" if after < before else ""
    return f"At {moment(now)} instance {instance_id} was taken out of service in response to a user request{sizes}."


def unhealthy(now: float, check: str) -> str:
    """Why an instance was ended that a check found bad."""
    return f"At {moment(now)} an instance was taken out of service in response to {check}."


def refreshed(now: float) -> str:
    """Why an instance was ended that an instance refresh replaces."""
    return f"At {moment(now)} an instance was taken out of service in response to an instance refresh."


def replaced(now: float) -> str:
    """What is said of the launch that makes up for an unhealthy instance."""
    return f"At {moment(now)} an instance was launched in response to an unhealthy instance needing to be replaced.  "
