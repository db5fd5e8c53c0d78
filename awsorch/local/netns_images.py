"""Images for instances that have engines of their own: this machine's engine is their registry.

An instance's network leads nowhere else, and an image that was built on this machine is in no registry. So what is
pulled on an instance is copied from this machine's engine, which pulls it first if it has not got it. A copy has no
digest: engines know digests from registries only.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

_TIMEOUT_SECONDS = 600
_TOLD_EVERY_BYTES = 64 * 1024 * 1024

Say = Callable[[dict[str, Any]], None]


class CannotCopy(Exception):
    """The image cannot be had; the message is the engine's."""


class ImageSource:
    """Copies images from this machine's engine. Blocking: call it in a thread."""

    def __init__(self, connect: Callable[[], Any] | None = None) -> None:
        """`connect` returns a low-level client of this machine's engine; from the environment where none is given."""
        self._connect = connect or (lambda: docker.from_env(timeout=_TIMEOUT_SECONDS).api)

    def copy(self, image: str, registry_auth: str, to: Any, say: Say) -> None:
        """Have an image in the engine whose low-level client `to` is; `say` is told the progress, as a pull tells it.

        `registry_auth` is the header X-Registry-Auth of the pull, in case this machine has to pull. Raises CannotCopy.
        """
        if "@" in image:
            raise CannotCopy(
                f"{image} is named by its digest, and a copy of this machine's image has none: with --hosts netns, "
                "name images by tags"
            )
        try:
            machine = self._connect()
            try:
                self._have(machine, image, registry_auth, say)
                to.load_image(_told(machine.get_image(image), say))
            finally:
                machine.close()
        except (DockerException, RequestException, OSError) as error:
            words = error.explanation if isinstance(error, APIError) else ""
            raise CannotCopy(str(words or error)) from error
        say({"status": f"Status: Copied {image} from this machine"})

    def _have(self, machine: Any, image: str, registry_auth: str, say: Say) -> None:
        try:
            machine.inspect_image(image)
        except ImageNotFound:
            for progress in machine.pull(image, stream=True, decode=True, auth_config=_credentials(registry_auth)):
                if "error" in progress:
                    raise CannotCopy(str(progress["error"])) from None
                say(progress)


def _told(chunks: Iterator[bytes], say: Say) -> Iterator[bytes]:
    """The chunks, with a word now and then, so that nobody takes a large image for a hung engine."""
    copied = told = 0
    for chunk in chunks:
        copied += len(chunk)
        if copied - told >= _TOLD_EVERY_BYTES or not told:
            told = copied
            say({"status": "Copying", "progressDetail": {"current": copied}})
        yield chunk


def _credentials(header: str) -> dict[str, Any] | None:
    try:
        credentials = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, binascii.Error):
        return None
    return credentials if isinstance(credentials, dict) and credentials else None
