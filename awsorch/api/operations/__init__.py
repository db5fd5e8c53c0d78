"""The operations of the ECS API, one file a noun. Importing this enters all of them in the table."""

from awsorch.api.operations import (
    account_settings,
    agents,
    attributes,
    clusters,
    container_instances,
    story,
    tags,
    task_definitions,
    tasks,
)

__all__ = [
    "account_settings",
    "agents",
    "attributes",
    "clusters",
    "container_instances",
    "story",
    "tags",
    "task_definitions",
    "tasks",
]
