"""Waiting for other processes, which set no events: asked again and again, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from awsorch.local.options import CannotStart
from awsorch.local.supervisor import Supervisor

_ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.1
_HOPELESS_RESTARTS = 3


async def until(condition: Callable[[], Awaitable[bool]], limit_seconds: float) -> bool:
    """Wait for a condition; False where it does not come true in time."""
    deadline = asyncio.get_running_loop().time() + limit_seconds
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def until_answers(url: str, child: str, supervisor: Supervisor) -> None:
    """Wait until a child answers well at a URL; not for one that dies again and again. Raises CannotStart."""
    answered = False

    async def answers_or_dies() -> bool:
        nonlocal answered
        answered = await _answers(url)
        return answered or supervisor.restarts(child) >= _HOPELESS_RESTARTS

    await until(answers_or_dies, _ANSWER_SECONDS)
    if not answered:
        raise CannotStart(f"the {child} does not answer at {url}. The end of its log:\n{supervisor.last_words(child)}")


async def _answers(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.ok
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
