"""Task definitions made from registered ones: the members that can be registered again, with other images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from awsorch.cli.documents import request_shape, suggest

ONLY = ""
"""The name of the container where none was given: it has to be the only one."""


def parse_images(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """CONTAINER=IMAGE or IMAGE, as {container: image}."""
    images: dict[str, str] = {}
    for text in values:
        container, sign, image = text.rpartition("=")
        if not image or (sign and not container):
            raise click.BadParameter(f"{text!r} is neither CONTAINER=IMAGE nor IMAGE", ctx, option)
        if container in images:
            raise click.BadParameter(f"{container or 'an image without its container'} is given twice", ctx, option)
        images[container] = image
    return images


def registration_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What RegisterTaskDefinition takes to make the task definition of a DescribeTaskDefinition answer again."""
    members = request_shape("RegisterTaskDefinition").members
    request = {name: value for name, value in answer["taskDefinition"].items() if name in members}
    return request | ({"tags": answer["tags"]} if answer.get("tags") else {})


def with_images(request: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    """A registration with other images. Raises click's UsageError for a container that it does not have."""
    containers = request["containerDefinitions"]
    names = [one["name"] for one in containers]
    wanted = dict(images)
    if ONLY in wanted:
        if len(names) > 1:
            raise click.UsageError(
                f"the task definition has the containers {', '.join(names)}: say which one the image is for, such as "
                f"--image {names[0]}={wanted[ONLY]}"
            )
        wanted.setdefault(names[0], wanted.pop(ONLY))
    for name in wanted:
        if name not in names:
            raise click.UsageError(
                f"the task definition has no container {name!r}{suggest(name, names)}; it has {', '.join(names)}"
            )
    edited = [one | ({"image": wanted[one["name"]]} if one["name"] in wanted else {}) for one in containers]
    return {**request, "containerDefinitions": edited}
