"""Operations of EC2 Auto Scaling that moto lacks or answers with nothing: lifecycle hooks, activities, deletion.

They are methods of moto's own class of answers, which finds them by their names. Parameters are checked here, with
AWS's refusals; what follows is done by `moto_groups_sizes` and `moto_groups_hooks`.
Source: EC2 Auto Scaling API 2011-01-01.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from awsorch.local.moto_groups_activities import PAGE, page_of
from awsorch.local.moto_groups_hooks import (
    ABANDON,
    CONTINUE,
    LAUNCHING,
    LifecycleAction,
    beat,
    complete,
    find_action,
    put_hook,
    waiting,
    why_no_hook,
)

if TYPE_CHECKING:
    from awsorch.local.moto_groups_sizes import GroupSizes


def mend_calls(sizes: GroupSizes) -> None:
    """Give moto the operations. Raises AttributeError where it no longer has what this was written for."""
    _mend_creation()
    _mend_deletion(sizes)
    _mend_hooks(sizes)
    _mend_actions(sizes)
    _mend_activities()


def _mend_creation() -> None:
    from moto.autoscaling.responses import AutoScalingResponse

    create = AutoScalingResponse.create_auto_scaling_group

    def create_auto_scaling_group(self: Any) -> Any:
        """With the hooks that the group is to have from its first instance on."""
        name, backend = self._get_param("AutoScalingGroupName"), self.autoscaling_backend
        known = name in backend.autoscaling_groups
        specifications = [{**each, "AutoScalingGroupName": name} for each in self._get_param(_HOOKS, [])]
        for each in specifications:
            check(why_no_hook(each, known=False))
        if not known:
            for each in specifications:
                put_hook(backend, each)
        try:
            return create(self)
        except Exception:
            if not known:
                _drop_hooks(backend, name)
            raise

    AutoScalingResponse.create_auto_scaling_group = create_auto_scaling_group


def _mend_deletion(sizes: GroupSizes) -> None:
    from moto.autoscaling.exceptions import AutoscalingClientError
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import EmptyResult

    def delete_auto_scaling_group(self: Any) -> Any:
        group = named_group(self)
        if not self._get_bool_param("ForceDelete", False):
            if any(action.transition != LAUNCHING for _, action in waiting(group)):
                raise AutoscalingClientError("ScalingActivityInProgress", _BUSY)
            if group.instance_states or group.desired_capacity:
                raise AutoscalingClientError("ResourceInUse", _IN_USE)
        sizes.disband(group)
        self.autoscaling_backend.autoscaling_groups.pop(group.name)
        _drop_hooks(self.autoscaling_backend, group.name)
        return EmptyResult()

    AutoScalingResponse.delete_auto_scaling_group = delete_auto_scaling_group


def _mend_hooks(sizes: GroupSizes) -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import EmptyResult

    def put_lifecycle_hook(self: Any) -> Any:
        members = self._get_params()
        group, name = named_group(self), members["LifecycleHookName"]
        known = f"{group.name}_{name}" in self.autoscaling_backend.lifecycle_hooks
        check(why_no_hook(members, known=known))
        put_hook(self.autoscaling_backend, members)
        return EmptyResult()

    def delete_lifecycle_hook(self: Any) -> Any:
        """Who waits for the hook waits no longer: ABANDON where it comes, CONTINUE where it goes."""
        group, name = named_group(self), self._get_param("LifecycleHookName")
        if self.autoscaling_backend.lifecycle_hooks.pop(f"{group.name}_{name}", None) is None:
            refuse("No Lifecycle Hook found")
        for state, action in waiting(group):
            if name in action.deadlines:
                complete(action, name, ABANDON if action.transition == LAUNCHING else CONTINUE)
                sizes.proceed(group, state, action)
        return EmptyResult()

    AutoScalingResponse.put_lifecycle_hook = put_lifecycle_hook
    AutoScalingResponse.delete_lifecycle_hook = delete_lifecycle_hook


def _mend_actions(sizes: GroupSizes) -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import EmptyResult

    def complete_lifecycle_action(self: Any) -> Any:
        group, hook, state, action = _waited_for(self)
        result = self._get_param("LifecycleActionResult")
        if result not in (CONTINUE, ABANDON):
            refuse(f"Invalid lifecycle action result {result}. Valid results are: [{CONTINUE}, {ABANDON}].")
        complete(action, hook.name, result)
        sizes.proceed(group, state, action)
        return EmptyResult()

    def record_lifecycle_action_heartbeat(self: Any) -> Any:
        _, hook, _, action = _waited_for(self)
        beat(action, hook, sizes.clock())
        return EmptyResult()

    AutoScalingResponse.complete_lifecycle_action = complete_lifecycle_action
    AutoScalingResponse.record_lifecycle_action_heartbeat = record_lifecycle_action_heartbeat


def _mend_activities() -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult

    def describe_scaling_activities(self: Any) -> Any:
        named = self._get_param("AutoScalingGroupName")
        groups = [named_group(self)] if named else self.autoscaling_backend.autoscaling_groups.values()
        size = self._get_int_param("MaxRecords", PAGE)
        if not 1 <= size <= PAGE:
            refuse(f"MaxRecords {size} must be between 1 and {PAGE}.")
        activities, token = page_of(
            groups, ids=self._get_param("ActivityIds", []), size=size, token=self._get_param("NextToken")
        )
        return ActionResult({"Activities": activities, "NextToken": token})

    AutoScalingResponse.describe_scaling_activities = describe_scaling_activities


_HOOKS = "LifecycleHookSpecificationList"
_BUSY = "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group."
_IN_USE = (
    "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the "
    "group."
)


def named_group(call: Any) -> Any:
    """The group that a call names. Raises moto's ValidationError where there is none."""
    name = call._get_param("AutoScalingGroupName")
    group = call.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        refuse(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return group


def _waited_for(call: Any) -> tuple[Any, Any, Any, LifecycleAction]:
    """The group, the hook, the instance and the wait that a call names."""
    group, name = named_group(call), call._get_param("LifecycleHookName")
    hook = call.autoscaling_backend.lifecycle_hooks.get(f"{group.name}_{name}")
    if hook is None:
        refuse(f"No Lifecycle Hook found with name {name} for group {group.name}")
    instance_id, token = call._get_param("InstanceId"), call._get_param("LifecycleActionToken")
    if not instance_id and not token:
        refuse("Either InstanceId or LifecycleActionToken must be specified.")
    found = find_action(group, name, instance_id=instance_id, token=token)
    if found is None:
        named = f"token {token}" if token else f"instance ID {instance_id}"
        refuse(f"No active Lifecycle Action found with {named}")
    return group, hook, *found


def _drop_hooks(backend: Any, group: str) -> None:
    for key in [key for key, hook in backend.lifecycle_hooks.items() if hook.auto_scaling_group_name == group]:
        del backend.lifecycle_hooks[key]


def check(refusal: str | None) -> None:
    """Raise moto's ValidationError where there is a refusal."""
    if refusal is not None:
        refuse(refusal)


def refuse(words: str) -> NoReturn:
    """Raise moto's ValidationError."""
    from moto.autoscaling.exceptions import ValidationError

    raise ValidationError(words)
