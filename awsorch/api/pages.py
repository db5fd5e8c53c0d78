"""Pages of lists: ``maxResults`` and ``nextToken``. A token says where the next page begins and never expires."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from awsorch.core.errors import invalid_parameter


def page_size(request: Mapping[str, Any], *, default: int = 100, limit: int = 100) -> int:
    """How many items the caller wants in a page. Raises InvalidParameterException outside 1 to ``limit``."""
    size = request.get("maxResults", default)
    if not 1 <= size <= limit:
        raise invalid_parameter(f"maxResults should be between 1 and {limit}.")
    return int(size)


def start_after(request: Mapping[str, Any]) -> str | None:
    """The key that the last page ended with, or None for the first page. Raises InvalidParameterException."""
    token = request.get("nextToken")
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith("after:"):
        raise invalid_parameter("Invalid token.")
    return text.removeprefix("after:")


def token_after(key: str) -> str:
    """The token of the page that begins after ``key``."""
    return base64.urlsafe_b64encode(f"after:{key}".encode()).decode()


def take_page(keys: Iterable[str], size: int) -> tuple[list[str], str | None]:
    """The first ``size`` keys of what is left, and the token for the rest (None when nothing is left)."""
    page = list(islice(keys, size + 1))
    if len(page) <= size:
        return page, None
    return page[:size], token_after(page[size - 1])
