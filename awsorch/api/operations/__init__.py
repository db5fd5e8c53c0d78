"""The operations of the ECS API, one file a noun. Importing this enters all of them in the table."""

from awsorch.api.operations import agents, attributes, clusters, container_instances, story, tags, tasks

__all__ = ["agents", "attributes", "clusters", "container_instances", "story", "tags", "tasks"]
