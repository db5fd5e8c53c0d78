"""Commits for ever, for a test that kills it: ``python -m tests.contract.committer FILE``.

Each commit puts the same number into ten records; its revision is printed once it is durable.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from awsorch.core.model import Family
from awsorch.engine.ports import Change
from awsorch.store.sqlite import SqliteStore

RECORDS = 10


async def commit_for_ever(path: Path) -> None:
    """Go on from the revision that is there until killed."""
    store = SqliteStore(path)
    epoch = (await store.take_lease("c", f"process {path}", "http://here", 0.0, 1e9)).epoch
    revision = (await store.load("c")).revision
    while True:
        revision += 1
        families = [Family(name=f"f{n}", last_revision=revision) for n in range(RECORDS)]
        changes = [Change(kind=Family, key=family.key, record=family) for family in families]
        await store.commit("c", epoch, revision, changes)
        print(revision, flush=True)


if __name__ == "__main__":
    asyncio.run(commit_for_ever(Path(sys.argv[1])))
