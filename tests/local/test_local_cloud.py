"""The local cloud's parts in the order in which they end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from awsorch.local.data_folder import DataFolder
from awsorch.local.fleet import Fleet
from awsorch.local.local_cloud import LocalCloud
from awsorch.local.options import Options, take_port
from awsorch.local.supervisor import Supervisor


def test_nobody_looks_after_instances_any_more_when_their_agents_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    watch, stop_all = Fleet.watch, Supervisor.stop_all

    async def watch_and_tell(fleet: Fleet, changed: asyncio.Event) -> None:
        happened.append("watched")
        try:
            await watch(fleet, changed)
        finally:
            happened.append("watched no more")

    async def stop_all_and_tell(supervisor: Supervisor, names: list[str], limit_seconds: float) -> None:
        happened.append("agents stopped" if names else "all has ended")
        await stop_all(supervisor, names, limit_seconds)

    async def scene(children_lock: int) -> None:
        options = Options(data=tmp_path, engine="simulated", instances=1, port=0)
        cloud = LocalCloud(options, DataFolder(tmp_path), take_port(options.host, options.port), children_lock)
        try:
            await cloud.start()
            await asyncio.sleep(0)
        finally:
            await cloud.stop()

    monkeypatch.setattr(Fleet, "watch", watch_and_tell)
    monkeypatch.setattr(Supervisor, "stop_all", stop_all_and_tell)
    folder = DataFolder(tmp_path)
    lock = folder.lock()
    assert lock is not None
    children_lock = folder.lock_children(5)
    try:
        asyncio.run(scene(children_lock))
    finally:
        os.close(children_lock)
        os.close(lock)

    assert happened == ["watched", "watched no more", "agents stopped", "all has ended"]
