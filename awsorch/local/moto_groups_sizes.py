"""The sizes of the local cloud's Auto Scaling groups: instances come and go until a group has what it should.

moto launches all of a group's instances in its first subnet, ends whichever comes first, and fails as a whole where
EC2 refuses. Here each instance goes where fewest are; what EC2 refuses in one zone or type is tried in the next, noted
as an activity, and tried again later; an instance that comes or goes waits for the group's lifecycle hooks.
Which instances and where is `moto_groups_places`' to say. Callers hold the turn of the groups (`moto_groups_timer`).
Source: Amazon EC2 Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from awsorch.local import moto_groups_activities as told
from awsorch.local.moto_groups_activities import GroupHistory, history_of
from awsorch.local.moto_groups_configuration import launching_from, note_configuration
from awsorch.local.moto_groups_events import tell_activity, tell_wait
from awsorch.local.moto_groups_hooks import (
    LAUNCHING,
    TERMINATING,
    LifecycleAction,
    action_of,
    begin_wait,
    complete_late,
    hooks_for,
    waiting,
)
from awsorch.local.moto_groups_places import (
    SERVING,
    Place,
    capacity_of,
    is_next_spot,
    places_of,
    types_of,
    wanted_of,
    weight_of,
)
from awsorch.local.moto_groups_victims import next_victim

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
"""How long a group waits before it tries again to launch what was refused: twice as long each time."""
_GROUP_TAG = "aws:autoscaling:groupName"


class GroupSizes:
    """Keeps groups at their desired capacity. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock

    def keep(self, group: Any, because: str = "") -> None:
        """Launch or end instances until the group has its desired capacity, or EC2 refuses. `because`: the sentence
        about what changed it.
        """
        with launching_from(group, getattr(group, "launches_from", None)):
            self._keep(group, because)
        self._attach(group)

    def end(self, group: Any, state: Any, cause: str) -> str:
        """End a member, after the hooks for that; one on its way out goes on. The id of the activity."""
        history, now, action = history_of(group), self.clock(), action_of(state)
        if action is not None and action.transition == TERMINATING:
            return action.activity_id
        if action is not None:
            history.mark(action.activity_id, "Cancelled", ended_at=now)
            state.lifecycle_action = None
        activity = history.begin(group, told.TERMINATING, now, instance_id=state.instance_id, cause=cause, **_at(state))
        self._detach(group, state)
        hooks = hooks_for(group, TERMINATING)
        if hooks:
            self._wait(group, state, activity.id, hooks)
        else:
            self._finish(group, state, activity.id)
        return activity.id

    def proceed(self, group: Any, state: Any, action: LifecycleAction) -> None:
        """Carry on with an instance whose wait is over; nothing where it is not."""
        if not action.over:
            return
        state.lifecycle_action = None
        if action.transition == TERMINATING:
            self._finish(group, state, action.activity_id)
        elif action.abandoned:
            now = self.clock()
            history = history_of(group)
            history.mark(action.activity_id, "Cancelled", ended_at=now, message=action.abandoned)
            cause = told.unhealthy(now, "a lifecycle action that was abandoned")
            ending = history.begin(
                group, told.TERMINATING, now, instance_id=state.instance_id, cause=cause, **_at(state)
            )
            self._finish(group, state, ending.id)
            self.keep(group)
        else:
            self._serve(group, state, action.activity_id)

    def lose(self, group: Any, instance_ids: Collection[str]) -> None:
        """EC2 has ended instances by itself: they are no members any more, and are replaced."""
        history, now = history_of(group), self.clock()
        gone = [state for state in group.instance_states if state.instance_id in instance_ids]
        for state in gone:
            action = action_of(state)
            if action is None or action.transition == LAUNCHING:
                cause = told.unhealthy(now, "an EC2 health check indicating it has been terminated or stopped")
                ending = history.begin(
                    group, told.TERMINATING, now, instance_id=state.instance_id, cause=cause, **_at(state)
                )
                self._succeed(group, ending.id)
            if action is not None:
                ended = "Successful" if action.transition == TERMINATING else "Cancelled"
                history.mark(action.activity_id, ended, ended_at=now)
            self._detach(group, state)
            group.instance_states.remove(state)
        if gone:
            self.keep(group, told.replaced(now))

    def replace_unhealthy(self, group: Any, state: Any) -> None:
        """End an instance that somebody found unhealthy, and launch another; in standby it is left alone."""
        if state.lifecycle_state not in SERVING or is_suspended(group, "ReplaceUnhealthy"):
            return
        now = self.clock()
        self.end(group, state, told.unhealthy(now, "a user health-check"))
        self.keep(group, told.replaced(now))

    def disband(self, group: Any) -> None:
        """End all members at once; no hook is waited for."""
        for state in list(group.instance_states):
            self._detach(group, state)
            self._finish(group, state, "")

    def mind(self, groups: Iterable[Any]) -> float | None:
        """Do what time brings: late hooks, launches tried again. When to look next, None for never."""
        dues: list[float] = []
        for group in list(groups):
            now = self.clock()
            for state, action in waiting(group):
                complete_late(group, action, now)
                self.proceed(group, state, action)
            history = history_of(group)
            if history.retry_at is not None and history.retry_at <= now:
                self.keep(group)
            dues += [action.due for _, action in waiting(group)]
            if history.retry_at is not None:
                dues.append(history.retry_at)
        return min(dues, default=None)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _keep(self, group: Any, because: str) -> None:
        history = history_of(group)
        history.because = because or history.because
        if capacity_of(group) < wanted_of(group):
            if not is_suspended(group, "Launch"):
                self._grow(group, history)
        else:
            history.retry_at, history.pause = None, 0.0
            if not is_suspended(group, "Terminate"):
                self._shrink(group, history)

    def _grow(self, group: Any, history: GroupHistory) -> None:
        refused: set[tuple[str, str]] = set()
        while (there := capacity_of(group)) < wanted_of(group):
            if not self._launch(group, history, there, refused):
                history.pause = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, history.pause * 2))
                history.retry_at = self.clock() + history.pause
                return
        history.retry_at, history.pause = None, 0.0

    def _launch(self, group: Any, history: GroupHistory, there: int, refused: set[tuple[str, str]]) -> bool:
        """Launch one instance, of the first type and in the first zone that EC2 does not refuse."""
        from moto.core.exceptions import ServiceException

        try:
            choices = _choices(group)
        except ServiceException as error:  # its subnets or its template are gone
            message = f"{error.message} Launching EC2 instance failed."
            cause = told.grown(self.clock(), history.because, there, there + 1)
            zone = group.availability_zones[0]
            tell_activity(group, history.fail(group, self.clock(), message, cause=cause, zone=zone, subnet=None))
            return False
        for instance_type, place in choices:
            if (instance_type, place.zone) in refused:
                continue
            now = self.clock()
            weight = weight_of(group, instance_type)
            cause = told.grown(now, history.because, there, there + weight)
            try:
                instance = _run(group, instance_type, place)
            except ServiceException as error:
                refused.add((instance_type, place.zone))
                message = f"{error.message} Launching EC2 instance failed."
                failed = history.fail(group, now, message, cause=cause, zone=place.zone, subnet=place.subnet)
                tell_activity(group, failed)
                continue
            self._take_in(group, history, instance, cause)
            return True
        return False

    def _take_in(self, group: Any, history: GroupHistory, instance: Any, cause: str) -> None:
        from moto.autoscaling.models import InstanceState

        instance.autoscaling_group = group
        state = InstanceState(instance, protected_from_scale_in=group.new_instances_protected_from_scale_in)
        group.instance_states.append(state)
        now = state.launched_at = self.clock()
        note_configuration(group, state)
        activity = history.begin(group, told.LAUNCHING, now, instance_id=instance.id, cause=cause, **_at(state))
        hooks = hooks_for(group, LAUNCHING)
        if hooks:
            self._wait(group, state, activity.id, hooks)
        else:
            self._serve(group, state, activity.id)

    def _serve(self, group: Any, state: Any, activity_id: str) -> None:
        state.lifecycle_state, state.in_service_at = "InService", self.clock()
        self._succeed(group, activity_id)
        self._attach(group)

    def _shrink(self, group: Any, history: GroupHistory) -> None:
        while (state := next_victim(group, self.clock())) is not None:
            before = capacity_of(group)
            after = before - weight_of(group, state.instance_type)
            self.end(group, state, told.shrunk(self.clock(), history.because, before, after, state.instance_id))

    def _finish(self, group: Any, state: Any, activity_id: str) -> None:
        state.lifecycle_state = "Terminated"
        group.instance_states.remove(state)
        if state.instance.state not in ("shutting-down", "terminated"):
            # API termination protection does not hold an Auto Scaling group back.
            state.instance.disable_api_termination = False
            group.ec2_backend.terminate_instances([state.instance_id])
        self._succeed(group, activity_id)

    def _succeed(self, group: Any, activity_id: str) -> None:
        history = history_of(group)
        history.mark(activity_id, "Successful", ended_at=self.clock())
        tell_activity(group, history.find(activity_id))

    def _wait(self, group: Any, state: Any, activity_id: str, hooks: list[Any]) -> None:
        now = self.clock()
        action = begin_wait(state, hooks, activity_id, now)
        history_of(group).mark(activity_id, "MidLifecycleAction")
        tell_wait(group, state, action, hooks, now)

    def _attach(self, group: Any) -> None:
        """Register those in service with the group's load balancers."""
        if group.name in group.autoscaling_backend.autoscaling_groups:
            group.autoscaling_backend.update_attached_elbs(group.name)
            group.autoscaling_backend.update_attached_target_groups(group.name)

    def _detach(self, group: Any, state: Any) -> None:
        from moto.elbv2.exceptions import TargetGroupNotFoundError

        for arn in group.target_group_arns:
            try:
                group.autoscaling_backend.elbv2_backend.deregister_targets(arn, [{"Id": state.instance_id}])
            except TargetGroupNotFoundError:
                continue  # it was deleted before its group


def _choices(group: Any) -> list[tuple[str, Place]]:
    places = places_of(group)
    return [(instance_type, place) for instance_type in types_of(group) for place in places]


def _run(group: Any, instance_type: str, place: Place) -> Any:
    """Run one instance as the group's template or configuration says. Raises moto's ServiceException."""
    template = None
    if group.ec2_launch_template is not None:
        template = {"LaunchTemplateId": group.ec2_launch_template.id, "Version": group.launch_template_version}
    configuration = group.launch_config
    reservation = group.ec2_backend.run_instances(
        group.image_id,
        1,
        group.user_data,
        group.security_groups,
        instance_type=instance_type,
        tags={"instance": group.get_propagated_tags() | group.instance_tags | {_GROUP_TAG: group.name}},
        placement=place.zone,
        launch_config=configuration,
        launch_template=template,
        is_instance_type_default=False,
        associate_public_ip=configuration.associate_public_ip_address if configuration is not None else None,
        subnet_id=place.subnet,
        lifecycle="spot" if is_next_spot(group) else None,
    )
    return reservation.instances[0]


def _at(state: Any) -> dict[str, Any]:
    return {"zone": state.availability_zone, "subnet": state.instance.subnet_id}


def is_suspended(group: Any, process: str) -> bool:
    """Whether one of the group's processes is not to do anything now."""
    return any(each["ProcessName"] == process for each in group.suspended_processes)
