"""Tags: from ECS's lists to mappings and back, and what a tag may be. Used by every resource that carries tags.

Source: ECS API reference, Tag; TagResource, UntagResource.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from awsorch.core.errors import Refusal, invalid_parameter

MAX_TAGS = 50
MAX_KEY = 128
MAX_VALUE = 256
#: Only AWS, and here the control plane, gives tags with this prefix; they do not count.
SYSTEM_PREFIX = "aws:"
_MARKS = frozenset("_.:/=+-@")


def parse_tags(items: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """A list of ``{"key": …, "value": …}`` as a mapping, in its order; a missing value is empty.

    Raises InvalidParameterException for more than 50 tags, a key given twice, the prefix ``aws:``, and keys and
    values that are too long or have other characters than letters, digits, blanks and ``_.:/=+-@``.
    """
    tags: dict[str, str] = {}
    for item in items:
        key, value = item.get("key") or "", item.get("value") or ""
        check_tag(key, value)
        if key in tags:
            raise invalid_parameter(f"Duplicate tag keys found: '{key}'. Each key may be given once.")
        tags[key] = value
    if len(tags) > MAX_TAGS:
        raise invalid_parameter(f"Number of tags exceeds the limit of {MAX_TAGS}.")
    return tags


def check_tag(key: str, value: str) -> None:
    """Raises InvalidParameterException where a caller may not give this tag."""
    if not 1 <= len(key) <= MAX_KEY:
        raise invalid_parameter(f"Tag key must be from 1 to {MAX_KEY} characters long.")
    if len(value) > MAX_VALUE:
        raise invalid_parameter(f"Tag value must be at most {MAX_VALUE} characters long.")
    if key.lower().startswith(SYSTEM_PREFIX):
        raise invalid_parameter(
            f"Tag keys cannot start with '{SYSTEM_PREFIX}': the prefix is reserved for system tags."
        )
    for noun, text in (("key", key), ("value", value)):
        if not all(_is_allowed(character) for character in text):
            raise invalid_parameter(
                f"Tag {noun} '{text}' contains invalid characters. Use letters, digits, spaces and _ . : / = + - @"
            )


def merge_tags(tags: Mapping[str, str], put: Mapping[str, str]) -> dict[str, str]:
    """TagResource: new keys are added, known ones get the new value. Raises LimitExceededException above 50."""
    merged = {**tags, **put}
    if sum(not key.startswith(SYSTEM_PREFIX) for key in merged) > MAX_TAGS:
        raise Refusal("LimitExceededException", f"Number of tags exceeds the limit of {MAX_TAGS}.")
    return merged


def without_tags(tags: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """UntagResource: unknown keys are ignored. Raises InvalidParameterException for a key with the prefix aws:."""
    gone = set(keys)
    if any(key.lower().startswith(SYSTEM_PREFIX) for key in gone):
        raise invalid_parameter(
            f"Tag keys cannot start with '{SYSTEM_PREFIX}': the prefix is reserved for system tags."
        )
    return {key: value for key, value in tags.items() if key not in gone}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in ECS's shape, in the order in which they were put."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def _is_allowed(character: str) -> bool:
    return character in _MARKS or unicodedata.category(character)[0] in "LZN"
