"""The operations of instance refreshes, which moto lacks.

They are methods of moto's own class of answers, which finds them by their names. Parameters are checked here, with
AWS's refusals; what follows is done by `moto_groups_refresh_rounds`, in its own time.
Source: EC2 Auto Scaling API 2011-01-01, StartInstanceRefresh and its like.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NoReturn

from awsorch.local.moto_groups_calls import check, named_group, refuse
from awsorch.local.moto_groups_configuration import (
    has_fixed_version,
    is_as_configured,
    launching_from,
    why_no_configuration,
)
from awsorch.local.moto_groups_refresh import (
    UNDER_WAY,
    InstanceRefresh,
    active_refresh,
    preferences_for,
    refreshes_of,
    why_no_preferences,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from awsorch.local.moto_groups_refresh_rounds import RefreshRounds

_PAGE, _LARGEST_PAGE = 50, 100
_KEPT = 100


def mend_refreshes(rounds: RefreshRounds, clock: Callable[[], float]) -> None:
    """Give moto the operations. `clock` gives seconds since 1970.

    Raises AttributeError where moto no longer has what this was written for.
    """
    _mend_starting(clock)
    _mend_stopping(rounds)
    _mend_describing()
    _mend_updates()


def _mend_starting(clock: Callable[[], float]) -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult

    def start_instance_refresh(self: Any) -> Any:
        members, group = self._get_params(), named_group(self)
        if members.get("Strategy", "Rolling") != "Rolling":
            refuse(f"Strategy {members['Strategy']} is not valid here. Valid strategies are: [Rolling].")
        given, desired = members.get("Preferences") or {}, members.get("DesiredConfiguration") or None
        check(why_no_preferences(given))
        if desired is not None:
            check(why_no_configuration(group, desired))
        if given.get("AutoRollback"):
            check(_why_no_way_back(group, desired))
        if active_refresh(group) is not None:
            _fault("InstanceRefreshInProgress", _BUSY)
        refresh = _begin(group, preferences_for(group, given), desired, clock())
        return ActionResult({"InstanceRefreshId": refresh.id})

    AutoScalingResponse.start_instance_refresh = start_instance_refresh


def _begin(group: Any, preferences: dict[str, Any], desired: dict[str, Any] | None, now: float) -> InstanceRefresh:
    there = [state for state in group.instance_states if not state.lifecycle_state.startswith("Terminat")]
    with launching_from(group, desired):
        old = [state for state in there if not (preferences["SkipMatching"] and is_as_configured(group, state))]
    refresh = InstanceRefresh(
        id=str(uuid.uuid4()),
        group=group.name,
        preferences=preferences,
        desired=desired,
        started_at=now,
        known=[state.instance_id for state in group.instance_states],
        old=[state.instance_id for state in old],
        remaining=len(old),
    )
    refreshes = refreshes_of(group)
    refreshes.append(refresh)
    del refreshes[:-_KEPT]
    return refresh


def _mend_stopping(rounds: RefreshRounds) -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult

    def cancel_instance_refresh(self: Any) -> Any:
        group = named_group(self)
        refresh = active_refresh(group)
        if refresh is None or refresh.status == "Cancelling":
            _fault("ActiveInstanceRefreshNotFound", _NONE)
        rounds.cancel(group, refresh, wait=self._get_bool_param("WaitForTransitioningInstances", True))
        return ActionResult({"InstanceRefreshId": refresh.id})

    def rollback_instance_refresh(self: Any) -> Any:
        group = named_group(self)
        refresh = active_refresh(group)
        if refresh is None or refresh.status not in UNDER_WAY:
            _fault("ActiveInstanceRefreshNotFound", _NONE)
        refusal = _why_no_way_back(group, refresh.desired)
        if refusal is not None:
            _fault("IrreversibleInstanceRefresh", refusal)
        rounds.roll_back(group, refresh, "Rollback due to user request.")
        return ActionResult({"InstanceRefreshId": refresh.id})

    AutoScalingResponse.cancel_instance_refresh = cancel_instance_refresh
    AutoScalingResponse.rollback_instance_refresh = rollback_instance_refresh


def _mend_describing() -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult

    def describe_instance_refreshes(self: Any) -> Any:
        wanted = frozenset(self._get_param("InstanceRefreshIds", []))
        size, token = self._get_int_param("MaxRecords", _PAGE), self._get_param("NextToken")
        if not 1 <= size <= _LARGEST_PAGE:
            refuse(f"MaxRecords {size} must be between 1 and {_LARGEST_PAGE}.")
        every = [each for each in reversed(refreshes_of(named_group(self))) if not wanted or each.id in wanted]
        start = next((at + 1 for at, each in enumerate(every) if each.id == token), 0 if token is None else -1)
        if start < 0:
            _fault("InvalidNextToken", f"The token {token} is not one of this list.")
        page = every[start : start + size]
        more = start + len(page) < len(every)
        return ActionResult(
            {"InstanceRefreshes": [each.shown() for each in page], "NextToken": page[-1].id if more else None}
        )

    AutoScalingResponse.describe_instance_refreshes = describe_instance_refreshes


def _mend_updates() -> None:
    from moto.autoscaling.responses import AutoScalingResponse

    update = AutoScalingResponse.update_auto_scaling_group

    def update_auto_scaling_group(self: Any) -> Any:
        group = self.autoscaling_backend.autoscaling_groups.get(self._get_param("AutoScalingGroupName"))
        refresh = active_refresh(group) if group is not None else None
        if refresh is not None and refresh.desired is not None and _CONFIGURATION & set(self._get_params()):
            refuse(_CONFIGURED)
        return update(self)

    AutoScalingResponse.update_auto_scaling_group = update_auto_scaling_group


_CONFIGURATION = {"LaunchConfigurationName", "LaunchTemplate", "MixedInstancesPolicy"}
_BUSY = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."
_NONE = "No in progress or pending Instance Refresh found."
_CONFIGURED = (
    "An active instance refresh with a desired configuration exists. All configuration options derived from the "
    "desired configuration are not available for update while the instance refresh is active."
)


def _why_no_way_back(group: Any, desired: dict[str, Any] | None) -> str | None:
    if desired is None:
        return "An instance refresh without a desired configuration cannot be rolled back."
    if not has_fixed_version(group):
        return (
            "The Auto Scaling group's launch template version is $Latest or $Default. A rollback needs a group whose "
            "launch template version is a number."
        )
    return None


def _fault(code: str, words: str) -> NoReturn:
    from moto.autoscaling.exceptions import AutoscalingClientError

    raise AutoscalingClientError(code, words)
