"""Which of the attributes that a task asks for an instance has not: the detail of ECS's reason ATTRIBUTE.

Source: ECS developer guide, "Task definition parameters" (what of a definition needs what of an instance).
"""

from __future__ import annotations

from awsorch.core.model import ContainerInstance
from awsorch.core.placement.filters import has_attributes

#: What else is to be said of an attribute than its name.
_MEANS = {
    "ecs.capability.fsxWindowsFileServer": (
        "volumes of FSx for Windows File Server need its client, which Windows instances have and Linux ones have not"
    ),
    "ecs.capability.efsAuth": (
        "encryption, access points and IAM of EFS need amazon-efs-utils and ECS_VOLUME_PLUGIN_CAPABILITIES to say so"
    ),
    "com.amazonaws.ecs.capability.task-iam-role": "roles of tasks need ECS_ENABLE_TASK_IAM_ROLE",
    "ecs.capability.task-eni": "network mode awsvpc needs ECS_ENABLE_TASK_ENI",
    "ecs.capability.storage.ebs-task-volume-attach": "EBS volumes of tasks need an agent that mounts them, as root",
}


def lacking(instance: ContainerInstance, wanted: tuple[tuple[str, str | None], ...]) -> str:
    """The attributes of (name, value or None for any) that the instance has not, in a sentence; empty for none."""
    missing = [each for each in wanted if not has_attributes(instance, (each,))]
    if not missing:
        return ""
    names = ", ".join(name if value is None else f"{name}={value}" for name, value in missing)
    hints = [_MEANS[name] for name, _ in missing if name in _MEANS]
    return f"The container instance has not {names}{': ' if hints else ''}{'; '.join(hints)}."
