"""The operations of the ECS API, one file a noun; beside them what several of them share. Importing this enters all of
them in the table."""

from awsorch.api.operations import (
    account_settings,
    agents,
    attributes,
    capacity,
    capacity_providers,
    clusters,
    container_instances,
    execute_command,
    service_changes,
    service_deployments,
    services,
    story,
    tags,
    task_definitions,
    task_protection,
    tasks,
)

__all__ = [
    "account_settings",
    "agents",
    "attributes",
    "capacity",
    "capacity_providers",
    "clusters",
    "container_instances",
    "execute_command",
    "service_changes",
    "service_deployments",
    "services",
    "story",
    "tags",
    "task_definitions",
    "task_protection",
    "tasks",
]
