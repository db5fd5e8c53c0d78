"""What piles up on a host and goes after a while: images that tasks needed, and with ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP
stopped containers and images that have nothing to do with ECS.

What another agent on the same engine has made is not touched, and nothing is removed that is in use.
Source: ECS developer guide, "Automated task and image cleanup"; the official agent's image manager.
"""

import asyncio
import logging
from collections.abc import Iterator

from awsorch.agent.engine import INSTANCE_LABEL, ContainerFacts, EngineError, ImageFacts
from awsorch.agent.images import full_name
from awsorch.agent.surroundings import Surroundings

LOG = logging.getLogger(__name__)

_OVER = ("exited", "dead")


async def clean_for_ever(around: Surroundings) -> None:
    """Clean up again and again, at ECS_IMAGE_CLEANUP_INTERVAL. Ends when cancelled."""
    leftovers = Leftovers(around)
    while True:
        await asyncio.sleep(around.settings.engine.image_cleanup_interval)
        for what in await leftovers.clean():
            LOG.info("%s was not used any more and is removed", what)


class Leftovers:
    """Cleans up after tasks, and after others."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._settings = around.settings.engine
        self._excluded = {full_name(each) for each in self._settings.untracked_excluded}

    async def clean(self) -> list[str]:
        """One cycle; what was removed. Failures are logged: the next cycle tries again."""
        removed = [f"image {each}" for each in await self._around.images.clean()]
        if not self._settings.untracked_cleanup or self._settings.pull_behavior == "prefer-cached":
            return removed
        room = self._settings.images_per_cleanup - len(removed)
        try:
            removed += await self._clean_containers()
            removed += await self._clean_images(room)
        except EngineError as error:
            LOG.warning("not all that nobody uses could be looked at: %s", error)
        return removed

    async def _clean_containers(self) -> list[str]:
        """Stopped ones that no task has, from the one that ended first."""
        tasks = self._around.tasks.values()
        known = {each.docker_id for assignment in tasks for each in assignment.state.containers.values()}
        named = {name for assignment in tasks for name in assignment.names.containers.values()}
        ended = []
        for docker_id in await self._around.engine.find({}):
            facts = await self._around.engine.inspect(docker_id) if docker_id not in known else None
            if facts is not None and facts.name not in named and self._is_over(facts):
                ended.append(facts)
        removed = []
        for facts in sorted(ended, key=lambda each: each.finished_at or 0.0)[: self._settings.containers_per_cleanup]:
            try:
                await self._around.engine.remove(facts.id)
            except EngineError as error:
                LOG.warning("container %s was not removed: %s", facts.name, error)
                continue
            removed.append(f"container {facts.name}")
        return removed

    def _is_over(self, facts: ContainerFacts) -> bool:
        owner = facts.labels.get(INSTANCE_LABEL, self._around.place.instance_arn)
        latest = self._around.clock() - self._settings.cleanup_wait
        is_ours_to_remove = owner == self._around.place.instance_arn
        return (
            is_ours_to_remove
            and facts.status in _OVER
            and facts.finished_at is not None
            and facts.finished_at <= latest
        )

    async def _clean_images(self, room: int) -> list[str]:
        """The oldest first; an image with several names loses one after the other."""
        removed: list[str] = []
        for name in self._names_of(await self._around.engine.list_images()):
            if len(removed) >= room:
                break
            try:
                await self._around.engine.remove_image(name)
            except EngineError as error:
                LOG.debug("image %s is still in use: %s", name, error)
                continue
            removed.append(f"image {name}")
        return removed

    def _names_of(self, images: list[ImageFacts]) -> Iterator[str]:
        latest = self._around.clock() - self._settings.untracked_minimum_age
        for image in sorted(images, key=lambda each: each.created_at or 0.0):
            names = {full_name(each) for each in image.names}
            is_old = image.created_at is not None and image.created_at <= latest
            if is_old and not names & self._excluded and not self._around.images.tracks((*image.names, image.id)):
                yield from image.names or (image.id,)
