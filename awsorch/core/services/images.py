"""Software version consistency: all tasks of a service revision run the same images.

The first task of a revision whose agent tells what a tag stands for decides it: the digest is kept with the revision,
and tasks started later ask for the image by it. What comes from no registry has no digest, so its name is all there is.

Source: ECS developer guide, "Deploy Amazon ECS services by replacing tasks", container image resolution; ECS API,
ContainerDefinition, versionConsistency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from awsorch.core.model import Task, TaskDefinition
from awsorch.core.model_services import ServiceRevision
from awsorch.core.state import ClusterState, Transaction

_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,}")


def record_digests(tx: Transaction[ClusterState], task: Task) -> None:
    """Keep what the task's containers are the first to tell of their revision's images."""
    revision = _revision_of(tx.state, task)
    if revision is None:
        return
    told = {container.name: container.image_digest for container in task.containers}
    found = {
        container["name"]: digest
        for container in _consistent(tx.state.definitions[revision.definition])
        if container["name"] not in revision.image_digests
        and (digest := told.get(container["name"]))
        and _DIGEST.fullmatch(digest)
    }
    if found:
        tx.put(replace(revision, image_digests={**revision.image_digests, **found}))


def images_of(revision: ServiceRevision, definition: TaskDefinition) -> Mapping[str, str]:
    """The images of containers whose digest is known, as their tasks are to ask for them: ``name:tag@digest``."""
    return {
        container["name"]: f"{container['image']}@{revision.image_digests[container['name']]}"
        for container in _consistent(definition)
        if container["name"] in revision.image_digests and "@" not in container["image"]
    }


def _consistent(definition: TaskDefinition) -> Iterator[Mapping[str, Any]]:
    for container in definition.definition["containerDefinitions"]:
        if container.get("versionConsistency") != "disabled":
            yield container


def _revision_of(state: ClusterState, task: Task) -> ServiceRevision | None:
    if task.service is None:
        return None
    deployment = state.deployments.get(f"{task.service.name}/{task.service.deployment}")
    return state.service_revisions.get(f"{task.service.name}/{deployment.revision}") if deployment is not None else None
