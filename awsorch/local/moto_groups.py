"""moto's Auto Scaling groups, made to do what EC2 Auto Scaling does.

moto launches all of a group's instances in its first subnet, takes any size, ends whichever instance comes first,
stores lifecycle hooks without effect and remembers no activity. Here moto's objects are handed to those who do:
`moto_groups_sizes` keeps the sizes, `moto_groups_calls` answers the operations that moto lacks, `moto_groups_refresh_*`
refresh instances, `moto_groups_timer` brings what falls due. This module only ties them to moto's classes; what it does
not name is moto's own.
Source: Amazon EC2 Auto Scaling API 2011-01-01 and user guide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from awsorch.local import moto_groups_activities as told
from awsorch.local.moto_groups_activities import history_of
from awsorch.local.moto_groups_calls import mend_calls
from awsorch.local.moto_groups_configuration import configure
from awsorch.local.moto_groups_places import (
    find_member,
    no_member,
    why_no_bounds,
    why_not_shrink,
    why_not_size,
)
from awsorch.local.moto_groups_policies import mend_policies
from awsorch.local.moto_groups_refresh_calls import mend_refreshes
from awsorch.local.moto_groups_refresh_rounds import RefreshRounds
from awsorch.local.moto_groups_settings import mend_settings
from awsorch.local.moto_groups_sizes import GroupSizes
from awsorch.local.moto_groups_timer import GroupTimer


def mend_groups(changed: Callable[[], None], clock: Callable[[], float] = time.time) -> GroupTimer:
    """Have moto's groups do so. `changed` is called where time, and no call, may have changed instances;
    `clock` gives seconds since 1970.

    Raises AttributeError where moto no longer has what this was written for.
    """
    sizes = GroupSizes(clock)
    _mend_group(sizes)
    _mend_backend(sizes)
    _mend_members(sizes)
    mend_calls(sizes)
    mend_policies()
    mend_settings()
    rounds = RefreshRounds(sizes)
    mend_refreshes(rounds, clock)

    def mind() -> float | None:
        before = _instances()
        dues = [due for due in (sizes.mind(_groups()), rounds.mind(_groups())) if due is not None]
        if _instances() != before:
            changed()
        return max(0.0, min(dues) - sizes.clock()) if dues else None

    return GroupTimer(mind)


def _groups() -> Iterator[Any]:
    from moto.autoscaling.models import autoscaling_backends

    for regions in list(autoscaling_backends.values()):
        for backend in list(regions.values()):
            yield from list(backend.autoscaling_groups.values())


def _instances() -> set[str]:
    return {state.instance_id for group in _groups() for state in group.instance_states}


def _mend_group(sizes: GroupSizes) -> None:
    from moto.autoscaling import models

    group = models.FakeAutoScalingGroup
    if not callable(group.set_desired_capacity) or not callable(group.update):
        raise AttributeError("moto's groups have another shape")

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        wanted = int((self.min_size if new_capacity is None else new_capacity) or 0)
        created = "desired_capacity" not in vars(self)
        before, self.desired_capacity = (0 if created else int(self.desired_capacity)), wanted
        what = "created an AutoScalingGroup" if created else "explicitly set group desired capacity"
        sizes.keep(self, told.resized(sizes.clock(), what, before, wanted))

    def update(self: Any, **given: Any) -> None:
        _update(sizes, self, given)

    def launch_template(self: Any) -> dict[str, str] | None:
        """Of a member: what it was launched from, whatever its group launches from now."""
        return getattr(self, "launched_from", None)

    def launch_configuration_name(self: Any) -> str | None:
        return getattr(self, "launched_by", None)

    group.set_desired_capacity = set_desired_capacity
    group.update = update
    models.InstanceState.launch_template = property(launch_template)
    models.InstanceState.launch_configuration_name = property(launch_configuration_name)


def _update(sizes: GroupSizes, group: Any, given: dict[str, Any]) -> None:
    """UpdateAutoScalingGroup: what is not given stays as it is."""
    from moto.autoscaling.exceptions import ValidationError

    bounds = [getattr(group, name) if given[name] is None else int(given[name]) for name in ("min_size", "max_size")]
    refusal = why_no_bounds(bounds[0], bounds[1], given["desired_capacity"])
    if refusal is not None:
        raise ValidationError(refusal)
    group._set_azs_and_vpcs(given["availability_zones"], given["vpc_zone_identifier"], update=True)
    policy = given.get("mixed_instances_policy")
    if policy or given["launch_template"] or given["launch_config_name"]:
        configure(group, template=given["launch_template"], policy=policy, name=given["launch_config_name"])
    for attribute, member in (
        ("health_check_type", "health_check_type"),
        ("new_instances_protected_from_scale_in", "new_instances_protected_from_scale_in"),
    ):
        if given.get(member) is not None:
            setattr(group, attribute, given[member])
    group.min_size, group.max_size = bounds
    before = int(group.desired_capacity)
    asked = before if given["desired_capacity"] is None else int(given["desired_capacity"])
    group.desired_capacity = min(max(asked, bounds[0]), bounds[1])
    what = f"update of AutoScalingGroup constraints to min: {bounds[0]}, max: {bounds[1]}, desired: {asked}"
    sizes.keep(group, told.resized(sizes.clock(), what, before, group.desired_capacity))


def _mend_backend(sizes: GroupSizes) -> None:
    from moto.autoscaling import models
    from moto.autoscaling.exceptions import ValidationError

    backend = models.AutoScalingBackend
    create, set_size, resume = backend.create_auto_scaling_group, backend.set_desired_capacity, backend.resume_processes

    def create_new(self: Any, name: str, **given: Any) -> Any:
        if name in self.autoscaling_groups:
            already = f"AutoScalingGroup by this name already exists - A group with the name {name} already exists"
            raise models.AutoscalingClientError("AlreadyExists", already)
        refusal = why_no_bounds(int(given["min_size"]), int(given["max_size"]), given["desired_capacity"])
        if refusal is not None:
            raise ValidationError(refusal)
        return create(self, name=name, **given)

    def set_size_in_bounds(self: Any, group_name: str, desired_capacity: int | None) -> None:
        refusal = why_not_size(self.autoscaling_groups.get(group_name), group_name, desired_capacity)
        if refusal is not None:
            raise ValidationError(refusal)
        set_size(self, group_name, desired_capacity)

    def resume_and_keep(self: Any, group_name: str, scaling_processes: list[str]) -> None:
        resume(self, group_name, scaling_processes)
        sizes.keep(self.autoscaling_groups[group_name])

    def register_serving(self: Any, group_name: str) -> None:
        group = self.autoscaling_groups[group_name]
        if not group.target_group_arns:
            return
        ids = [state.instance_id for state in group.active_instances()]
        for target_group in self.elbv2_backend.describe_target_groups(
            target_group_arns=group.target_group_arns, load_balancer_arn=None, names=None
        ):
            targets = [{"Id": each, "Port": target_group.port} for each in ids]
            self.elbv2_backend.register_targets(target_group.arn, targets)

    backend.create_auto_scaling_group = create_new
    backend.set_desired_capacity = set_size_in_bounds
    backend.resume_processes = resume_and_keep
    backend.update_attached_target_groups = register_serving


def _mend_members(sizes: GroupSizes) -> None:
    from moto.autoscaling import models
    from moto.autoscaling.exceptions import ValidationError

    backend = models.AutoScalingBackend
    set_health = backend.set_instance_health

    def member(self: Any, instance_id: str) -> tuple[Any, Any]:
        found = find_member(self.autoscaling_groups.values(), instance_id)
        if found is None:
            raise ValidationError(no_member(instance_id))
        return found

    def terminate(self: Any, instance_id: str, should_decrement: bool) -> dict[str, Any]:
        group, state = member(self, instance_id)
        before = int(group.desired_capacity)
        if state.lifecycle_state.startswith("Terminating"):
            busy = f"Instance {instance_id} is already being terminated."
            raise models.AutoscalingClientError("ScalingActivityInProgress", busy)
        if should_decrement:
            refusal = why_not_shrink(group)
            if refusal is not None:
                raise ValidationError(refusal)
            group.desired_capacity = before - 1
        cause = told.requested(sizes.clock(), instance_id, before, int(group.desired_capacity))
        activity_id = sizes.end(group, state, cause)
        sizes.keep(group)
        return next(each.shown() for each in history_of(group).activities if each.id == activity_id)

    def set_health_and_replace(self: Any, instance_id: str, health_status: str) -> None:
        group, state = member(self, instance_id)
        set_health(self, instance_id, health_status)
        if health_status == "Unhealthy":
            sizes.replace_unhealthy(group, state)

    def lose(self: Any, instance_ids: list[str]) -> None:
        for group in list(self.autoscaling_groups.values()):
            sizes.lose(group, instance_ids)

    backend.terminate_instance = terminate
    backend.set_instance_health = set_health_and_replace
    backend.notify_terminate_instances = lose
