"""What EC2 Auto Scaling tells others of a group: events on EventBridge's default bus, and messages of lifecycle hooks.

moto tells nobody anything. What cannot be told is lost, with a line in the log: both are delivered on a best-effort
basis in AWS too. Only words are made here; what happens is decided by `moto_groups_sizes`.
Source: EC2 Auto Scaling user guide, "Amazon EC2 Auto Scaling event reference", "Prepare to add a lifecycle hook".
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from awsorch.local.moto_groups_activities import TERMINATING as ENDING
from awsorch.local.moto_groups_activities import GroupActivity
from awsorch.local.moto_groups_hooks import LAUNCHING, LifecycleAction

_log = logging.getLogger(__name__)

_COMING = {"Origin": "EC2", "Destination": "AutoScalingGroup"}
_GOING = {"Origin": "AutoScalingGroup", "Destination": "EC2"}


def tell_activity(group: Any, activity: GroupActivity | None) -> None:
    """An activity has ended, well or not. None for one that is not remembered any more: nothing is told."""
    if activity is None:
        return
    ending = activity.description.startswith(ENDING)
    details = ({"Subnet ID": activity.subnet} if activity.subnet else {}) | {"Availability Zone": activity.zone}
    detail = {
        "StatusCode": "Failed" if activity.status == "Failed" else "InProgress",  # AWS's word for one that succeeded
        "AutoScalingGroupName": activity.group,
        "ActivityId": activity.id,
        "RequestId": activity.id,
        "Description": activity.description,
        "Cause": activity.cause,
        "Details": details,
        "StatusMessage": activity.message or "",
        "StartTime": _moment(activity.started_at),
        "EndTime": _moment(activity.ended_at or activity.started_at),
        "EC2InstanceId": activity.instance_id or "",
        **(_GOING if ending else _COMING),
    }
    what = "Terminate" if ending else "Launch"
    outcome = "Unsuccessful" if activity.status == "Failed" else "Successful"
    _put(group, f"EC2 Instance {what} {outcome}", activity.instance_id, detail)


def tell_wait(group: Any, state: Any, action: LifecycleAction, hooks: Iterable[Any], now: float) -> None:
    """An instance waits for hooks: each is told, with the token to answer with."""
    coming = action.transition == LAUNCHING
    for hook in hooks:
        detail = {
            "LifecycleActionToken": action.token,
            "AutoScalingGroupName": group.name,
            "LifecycleHookName": hook.name,
            "EC2InstanceId": state.instance_id,
            "LifecycleTransition": action.transition,
            **(_COMING if coming else _GOING),
        }
        metadata = getattr(hook, "notification_metadata", None)
        if metadata:
            detail["NotificationMetadata"] = metadata
        _put(group, f"EC2 Instance-{'launch' if coming else 'terminate'} Lifecycle Action", state.instance_id, detail)
        if hook.notification_target_arn:
            about = {"AccountId": group.autoscaling_backend.account_id, "RequestId": str(uuid.uuid4())}
            message = {**detail, **about, "Service": "AWS Auto Scaling", "Time": _moment(now)}
            _send(group, hook.notification_target_arn, message)


def _put(group: Any, detail_type: str, instance_id: str | None, detail: dict[str, Any]) -> None:
    from moto.events.models import events_backends

    backend = group.autoscaling_backend
    account, region = backend.account_id, backend.region_name
    instance = [f"arn:aws:ec2:{region}:{account}:instance/{instance_id}"] if instance_id else []
    event = {
        "Source": "aws.autoscaling",
        "DetailType": detail_type,
        "Resources": [group.arn, *instance],
        "Detail": json.dumps(detail),
    }
    try:
        events_backends[account][region].put_events([event])
    except Exception as error:  # moto's own, of whatever its targets are
        _log.warning("nobody hears of %s of %s: %s", detail_type, group.name, error)


def _send(group: Any, target: str, message: dict[str, Any]) -> None:
    """To a hook's queue or topic."""
    from moto.sns.models import sns_backends
    from moto.sqs.models import sqs_backends

    _, _, service, region, account, name = target.split(":", 5)
    try:
        if service == "sns":
            subject = f"Auto Scaling:  Lifecycle action for instance {message['EC2InstanceId']} in progress."
            sns_backends[account][region].publish(json.dumps(message), arn=target, subject=subject)
        else:
            sqs_backends[account][region].send_message(name, json.dumps(message))
    except Exception as error:  # moto's own: it is gone, or of another kind
        _log.warning("the lifecycle hook of %s reaches nobody at %s: %s", group.name, target, error)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
