"""Waiting for what happens in other processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

_LIMIT_SECONDS = 20.0


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until a condition of an outside process holds; fail after a while."""
    async with asyncio.timeout(_LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110  (other processes set no events)
            await asyncio.sleep(0.01)


def is_gone(process_id: int) -> bool:
    """Whether a process has ended (one that nobody has waited for yet counts as ended)."""
    try:
        os.kill(process_id, 0)
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (ProcessLookupError, FileNotFoundError):
        return True
