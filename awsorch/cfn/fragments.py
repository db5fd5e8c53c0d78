"""What templates consist of, as the transform looks at them: resources, also those in loops, and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class TransformError(Exception):
    """A template that can't be transformed; the message names the logical id and what would be right."""


def resources_of(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(logical id, resource) of every resource with a type; of Fn::ForEach the resource that is repeated."""
    yield from _resources(template.get("Resources"))


def _resources(section: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(section, dict):
        return
    for logical, resource in section.items():
        if logical.startswith("Fn::ForEach::") and isinstance(resource, list) and len(resource) == 3:
            yield from _resources(resource[2])
        elif isinstance(resource, dict) and isinstance(resource.get("Type"), str):
            yield logical, resource


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value, and every key."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)
