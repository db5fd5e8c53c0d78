"""What a local Auto Scaling group launches instances from, and what it would launch them from while it is refreshed.

While an instance refresh has a desired configuration, the group shows its old one and launches from the new one; only
when the refresh has succeeded does the group take it over. So a group wears the other configuration for as long as
instances are counted and launched, and takes it off again.
Source: EC2 Auto Scaling API, DesiredConfiguration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from awsorch.local.moto_groups_places import types_of

_ATTRIBUTES = (
    "mixed_instances_policy",
    "ec2_launch_template",
    "launch_template_version",
    "provided_launch_template_version",
    "launch_config",
    "launch_configuration_name",
)


def configure(
    group: Any, *, template: dict[str, Any] | None, policy: dict[str, Any] | None, name: str | None = None
) -> None:
    """Have a group launch from a launch template, a mixed instances policy or the launch configuration of that name,
    of which one is given. Raises moto's ServiceException where it is not there.
    """
    group.mixed_instances_policy = deepcopy(policy)
    if name is None:
        group.launch_config = None
        vars(group).pop("launch_configuration_name", None)
    else:
        group.ec2_launch_template = None
    group._set_launch_configuration(name, template, mixed_instances_policy=group.mixed_instances_policy)


def take_over(group: Any, desired: dict[str, Any]) -> None:
    """Have a group launch from a desired configuration from now on."""
    configure(group, template=desired.get("LaunchTemplate"), policy=desired.get("MixedInstancesPolicy"))


@contextmanager
def launching_from(group: Any, desired: dict[str, Any] | None) -> Iterator[None]:
    """Have a group launch from a desired configuration for a while; from its own where there is none."""
    if desired is None:
        yield
        return
    before = {name: vars(group)[name] for name in _ATTRIBUTES if name in vars(group)}
    try:
        take_over(group, desired)
        yield
    finally:
        for name in _ATTRIBUTES:
            vars(group).pop(name, None)
        vars(group).update(before)


def note_configuration(group: Any, state: Any) -> None:
    """Remember what a member was launched from: the version of a template, or a configuration."""
    template = group.ec2_launch_template
    if template is None:
        state.launched_by = group.launch_configuration_name
        return
    state.launched_from = {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Version": str(template.get_version(group.launch_template_version).number),
    }


def is_as_configured(group: Any, state: Any) -> bool:
    """Whether a member is what the group would launch now."""
    template = group.ec2_launch_template
    if template is None:
        return bool(getattr(state, "launched_by", None) == group.launch_configuration_name)
    made: dict[str, Any] = getattr(state, "launched_from", None) or {}
    version = str(template.get_version(group.launch_template_version).number)
    same = (made.get("LaunchTemplateId"), made.get("Version")) == (template.id, version)
    return same and state.instance_type in types_of(group)


def why_no_configuration(group: Any, desired: dict[str, Any]) -> str | None:
    """What AWS says of a desired configuration that can't be."""
    from moto.core.exceptions import ServiceException

    template, policy = desired.get("LaunchTemplate"), desired.get("MixedInstancesPolicy")
    if bool(template) == bool(policy):
        return "DesiredConfiguration must contain either LaunchTemplate or MixedInstancesPolicy."
    if policy and not (policy.get("LaunchTemplate") or {}).get("LaunchTemplateSpecification"):
        return "MixedInstancesPolicy must contain LaunchTemplate with LaunchTemplateSpecification."
    try:
        with launching_from(group, desired):
            types_of(group)
            group.ec2_launch_template.get_version(group.launch_template_version)
    except ServiceException as error:
        return str(error.message)
    except ValueError:
        return "The version of a launch template must be a number, $Latest or $Default."
    return None


def has_fixed_version(group: Any) -> bool:
    """Whether the group names the version of its launch template, so that it can be gone back to."""
    return group.ec2_launch_template is None or str(group.launch_template_version).isdecimal()
