from __future__ import annotations

import asyncio
import os

import pytest

from awsorch.local.notice import VARIABLE, Notice, notifier


def test_the_fleet_learns_what_the_door_says() -> None:
    async def scene() -> None:
        notice = Notice()
        tell = notifier({VARIABLE: str(notice.writing)})
        assert tell is not None
        for _ in range(2):
            tell()
            tell()
            await notice.changed.wait()
            notice.changed.clear()
        notice.close()
        tell()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_pipe_that_nobody_reads_does_not_hold_the_door_up() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    tell = notifier({VARIABLE: str(writing)})
    assert tell is not None
    for _ in range(70_000):
        tell()
    os.close(reading)
    os.close(writing)


def test_without_a_fleet_there_is_nobody_to_tell() -> None:
    assert notifier({}) is None
    with pytest.raises(ValueError, match=VARIABLE):
        notifier({VARIABLE: "http://127.0.0.1"})
