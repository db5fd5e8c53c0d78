"""Images of a Docker Engine: each a call with the SDK's low-level client, in a thread that waits for it.

Source: Docker Engine API, Images.
"""

import time
from collections.abc import Mapping
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound

from awsorch.agent.docker_errors import pull_error, pull_errors, words
from awsorch.agent.docker_facts import listed_image
from awsorch.agent.ecr_mirror import EcrMirror
from awsorch.agent.engine import CannotPullContainerError, DockerTimeoutError, EngineError, ImageFacts
from awsorch.agent.images import digest_of
from awsorch.agent.settings import EngineSettings


class DockerImages:
    """What is asked of an engine about images, by the names that task definitions have for them."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._mirror = EcrMirror(settings.ecr_registry)

    def for_engine(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A container's body with the name that the engine has its image by."""
        return {**body, "Image": self._mirror.held_as(body["Image"])}

    def pull(self, client: APIClient, image: str, credentials: Mapping[str, str] | None) -> None:
        """Raises CannotPullContainerError, DockerTimeoutError."""
        source = self._mirror.source(image)
        self._pull(client, source, dict(credentials) if credentials else None)
        if self._mirror.held_as(image) != source:
            name, _, tag = image.rpartition(":")
            with pull_errors():
                client.tag(source, *((name, tag) if name and "/" not in tag else (image, "latest")))

    def _pull(self, client: APIClient, image: str, login: dict[str, str] | None) -> None:
        deadline = time.monotonic() + self._settings.pull_timeout
        is_done = False
        with pull_errors():
            for line in client.pull(image, stream=True, decode=True, auth_config=login):
                if "error" in line:
                    raise pull_error(str(line["error"]))
                is_done = str(line.get("status", "")).startswith("Status: ")
                if time.monotonic() > deadline:
                    limit = f"{self._settings.pull_timeout:g} seconds"
                    raise DockerTimeoutError(f"Could not transition to pulled; timed out after waiting {limit}")
            if not is_done:  # other engines may end in other words: the image tells
                _require(client, image)

    def inspect(self, client: APIClient, image: str) -> ImageFacts | None:
        """Raises EngineError."""
        try:
            found = client.inspect_image(self._mirror.held_as(image))  # type: ignore[no-untyped-call]
        except NotFound:
            return None
        except APIError as error:
            raise EngineError(words(error)) from error
        known_as = found.get("RepoDigests") or ()
        return ImageFacts(
            id=found["Id"],
            digest=digest_of(image, known_as) or digest_of(self._mirror.source(image), known_as),
            names=tuple(found.get("RepoTags") or ()),
        )

    def listed(self, client: APIClient) -> list[ImageFacts]:
        """Raises EngineError."""
        try:
            return [listed_image(each) for each in client.images()]
        except APIError as error:
            raise EngineError(words(error)) from error

    def load(self, client: APIClient, archive: bytes) -> None:
        """Raises EngineError."""
        try:
            for line in client.load_image(archive, quiet=True):  # type: ignore[no-untyped-call]
                if "error" in line:
                    raise EngineError(str(line["error"]))
        except APIError as error:
            raise EngineError(words(error)) from error

    def remove(self, client: APIClient, image: str) -> None:
        """By all names that it was given here, the task definitions' last: an image in use keeps that. Raises
        EngineError."""
        for name in dict.fromkeys((self._mirror.source(image), self._mirror.held_as(image))):
            try:
                client.remove_image(name)
            except NotFound:
                pass
            except APIError as error:
                raise EngineError(words(error)) from error


def _require(client: APIClient, image: str) -> None:
    try:
        client.inspect_image(image)  # type: ignore[no-untyped-call]
    except NotFound as error:
        raise CannotPullContainerError("The Docker Engine ended the pull early", retriable=True) from error
