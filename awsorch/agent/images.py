"""Images: when to pull one (ECS_IMAGE_PULL_BEHAVIOR), with whose credentials, and when to remove it again.

With the behaviour `default` the registry is asked every time, and the image on this host is used when it has no answer.
So that a registry out of reach does not delay every start by the engine's time-out, it is not asked for a while after
that, except for an image that is not here. Tasks that want the same image at the same time share one pull.
"""

import asyncio
import json
import logging
import random
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from awsorch.agent.ecr_mirror import EcrMirror
from awsorch.agent.engine import (
    DISK_FULL,
    CannotPullContainerError,
    EngineError,
    EngineUnavailableError,
    ImageFacts,
    Images,
)
from awsorch.agent.registry_access import Access, RegistryAccessError
from awsorch.agent.settings import EngineSettings

LOG = logging.getLogger(__name__)

PULL_TRIES = 5
FIRST_DELAY = 1.1
LAST_DELAY = 5.0
SILENCE = 60.0
"""Seconds for which a registry that did not answer is not asked for an image that is here already."""
_PERMISSION_WORDS = ("denied", "unauthorized", "no basic auth")
_MISSING_WORDS = ("not found", "manifest unknown", "does not exist")


class PullError(Exception):
    """The image could not be pulled; the text is a container's reason, and the task's if `stops_task`. `fatal`: a local
    one must not be used."""

    def __init__(self, reason: str, *, fatal: bool, stops_task: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fatal = fatal
        self.stops_task = stops_task


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """An image this agent pulled: how many containers need it, and since when none does."""

    containers: int = 0
    idle_since: float = 0.0


class ImageStock:
    """The images on this host that the agent's containers use."""

    def __init__(
        self,
        images: Images,
        settings: EngineSettings,
        clock: Callable[[], float],
        pulled: set[str],
        remember: Callable[[str], None],
    ) -> None:
        """`pulled`: names that were pulled before; `remember` is told each new one."""
        self._images = images
        self._settings = settings
        self._clock = clock
        self._pulled = pulled
        self._remember = remember
        self._under_way: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._uses: dict[str, _Use] = {}
        self._silent_until: dict[str, float] = {}
        self._mirror = EcrMirror(settings.ecr_registry)

    async def make_ready(self, image: str, access: Access | None = None) -> str:
        """Have the image on the host, as the pull behaviour says, and return its digest: "" if it has none, or the
        registry was asked and did not say that it still is the name's. Raises PullError.

        `access` logs in to the registry; without it, and to one that stands in for ECR's, ECS_ENGINE_AUTH_DATA does.
        """
        pull = (image, access.identity if access is not None else "")
        under_way = self._under_way.get(pull)
        if under_way is None:
            under_way = asyncio.create_task(self._make_ready(image, access))
            self._under_way[pull] = under_way
            under_way.add_done_callback(lambda _: self._under_way.pop(pull, None))
        return await asyncio.shield(under_way)

    def use(self, image: str) -> None:
        use = self._uses.get(image, _Use())
        self._uses[image] = replace(use, containers=use.containers + 1)

    def release(self, image: str) -> None:
        use = self._uses.get(image, _Use(containers=1))
        self._uses[image] = _Use(containers=max(use.containers - 1, 0), idle_since=self._clock())

    async def clean(self) -> list[str]:
        """Remove images that were pulled here, by a former life as well, and are not in use; returns their names."""
        if self._settings.image_cleanup_disabled or self._settings.pull_behavior == "prefer-cached":
            return []
        now = self._clock()
        for image in self._pulled:
            self._uses.setdefault(image, _Use(idle_since=now))
        oldest = now - self._settings.image_minimum_age
        idle = [
            (use.idle_since, image)
            for image, use in self._uses.items()
            if use.containers == 0 and use.idle_since <= oldest and image in self._pulled
        ]
        removed: list[str] = []
        for _, image in sorted(idle):
            if len(removed) == self._settings.images_per_cleanup:
                break
            try:
                is_here = await self._images.inspect_image(image) is not None
                await self._images.remove_image(image)
            except EngineError as error:
                LOG.warning("image %s was not removed: %s", image, error)
                continue
            self._uses.pop(image, None)
            self._pulled.discard(image)
            if is_here:
                removed.append(image)
        return removed

    def tracks(self, names: Iterable[str]) -> bool:
        """Whether one of these is an image that tasks use, or that was pulled for one."""
        known = {full_name(image) for image in (*self._uses, *self._pulled)}
        return any(full_name(name) in known for name in names)

    async def _make_ready(self, image: str, access: Access | None) -> str:
        behavior = self._settings.pull_behavior
        local = await self._inspect(image)
        if local is not None and self._is_enough(image, behavior):
            return local.digest
        if local is not None and behavior == "default" and self._is_silent(image):
            return ""
        fatal = behavior in ("always", "once")
        try:
            await self._pull(image, access, tries=PULL_TRIES if local is None or fatal else 1, fatal=fatal)
        except PullError as error:
            if local is None or fatal or error.stops_task:
                raise
            LOG.warning("%s is used as it is on this host: %s", image, error)
            return ""
        self._pulled.add(image)
        self._remember(image)
        pulled = await self._inspect(image)
        return pulled.digest if pulled is not None else ""

    def _is_enough(self, image: str, behavior: str) -> bool:
        """Whether the image that is here will do without asking the registry. A digest names one image for ever."""
        match behavior:
            case "prefer-cached":
                return True
            case "once":
                return image in self._pulled or "@" in image
            case "always":
                return False
            case _:
                return "@" in image

    def _is_silent(self, image: str) -> bool:
        """Whether the registry did not answer a while ago."""
        return self._clock() < self._silent_until.get(self._asked_for(image), 0.0)

    def _asked_for(self, image: str) -> str:
        """The registry that is asked for an image."""
        return _registry_of(self._mirror.source(image))

    async def _inspect(self, image: str) -> ImageFacts | None:
        while True:
            try:
                return await self._images.inspect_image(image)
            except EngineUnavailableError as error:
                LOG.warning("image %s cannot be looked at yet: %s", image, error)
            except EngineError as error:
                LOG.warning("image %s could not be looked at: %s", image, error)
                return None
            await asyncio.sleep(FIRST_DELAY)

    async def _pull(self, image: str, access: Access | None, *, tries: int, fatal: bool) -> None:
        source = self._mirror.source(image)
        try:
            if access is None or source != image:
                credentials = credentials_for(source, self._settings)
            else:
                credentials = await access.get()
        except RegistryAccessError as error:
            raise PullError(str(error), fatal=fatal, stops_task=error.stops_task) from error
        delay, attempt = FIRST_DELAY, 1
        while True:
            try:
                await self._images.pull(image, credentials)
                self._note_silence(image, silent=False)
                return
            except EngineUnavailableError as error:
                LOG.warning("%s cannot be pulled yet: %s", image, error)
            except CannotPullContainerError as error:
                if attempt == tries or not error.retriable:
                    self._note_silence(image, silent=error.retriable)
                    raise PullError(_explain(error), fatal=fatal) from error
                LOG.info("pull %d of %s failed: %s", attempt, image, error.text)
                attempt += 1
            except EngineError as error:
                self._note_silence(image, silent=True)
                raise PullError(str(error), fatal=fatal) from error
            await asyncio.sleep(delay * random.uniform(0.9, 1.1))
            delay = min(delay * 2, LAST_DELAY)

    def _note_silence(self, image: str, *, silent: bool) -> None:
        self._silent_until[self._asked_for(image)] = self._clock() + SILENCE if silent else 0.0


def _explain(error: CannotPullContainerError) -> str:
    """The engine's words after a hint at what to look at; alone where they say it all."""
    text = error.text.lower()
    if DISK_FULL in text:
        return str(error)
    if any(words in text for words in _MISSING_WORDS):
        hint = "Check whether the image exists."
    elif any(words in text for words in _PERMISSION_WORDS):
        hint = "Check that the role has the permissions to pull images from the registry."
    else:
        hint = "Check your network configuration."
    return f"{error.name}: The task can’t pull the image. {hint} {error.text}"


def credentials_for(image: str, settings: EngineSettings) -> Mapping[str, str] | None:
    """What ECS_ENGINE_AUTH_DATA has for the image's registry; None for an anonymous pull."""
    if not settings.auth_data:
        return None
    try:
        return _entry_for(image, json.loads(settings.auth_data), settings.auth_type)
    except (ValueError, AttributeError, TypeError):
        LOG.warning("ECS_ENGINE_AUTH_DATA is not what ECS_ENGINE_AUTH_TYPE=%s says and is not used", settings.auth_type)
        return None


def _entry_for(image: str, data: Mapping[str, Mapping[str, str]], kind: str) -> Mapping[str, str] | None:
    registry = _registry_of(image)
    for host, entry in data.items():
        if _registry_name(host) != registry:
            continue
        if kind == "dockercfg":
            username, _, password = b64decode(entry.get("auth", "")).decode().partition(":")
            return {"username": username, "password": password}
        return {name: entry[name] for name in ("username", "password", "email") if entry.get(name)}
    return None


def digest_of(image: str, known_as: Iterable[str]) -> str:
    """What the image's registry calls it, of all the ``repository@digest`` that the engine knows it by; "" where it
    came from no registry."""
    digests = {_repository_of(name): digest for name, _, digest in (each.partition("@") for each in known_as)}
    name, _, named = image.partition("@")
    return named or digests.get(_repository_of(name), "")


def full_name(image: str) -> str:
    """The name as a registry has it, with its tag or digest."""
    name, at, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2] or "latest"
    return f"{_repository_of(name)}{at}{digest}" if at else f"{_repository_of(name)}:{tag}"


def _repository_of(name: str) -> str:
    """The repository in full, without a tag."""
    head, slash, last = name.rpartition("/")
    repository = f"{head}{slash}{last.partition(':')[0]}"
    registry = _registry_of(repository)
    path = repository.removeprefix("index.docker.io/").removeprefix(f"{registry}/")
    return f"{registry}/library/{path}" if registry == "docker.io" and "/" not in path else f"{registry}/{path}"


def _registry_of(image: str) -> str:
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return _registry_name(first) if is_host else "docker.io"


def _registry_name(host: str) -> str:
    name = host.partition("://")[2] or host
    name = name.partition("/")[0]
    return "docker.io" if name.endswith("docker.io") else name
