"""Does something to every node of a graph, each as soon as what it needs is done, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


async def walk(
    graph: Mapping[Node, frozenset[Node]],
    visit: Callable[[Node], Awaitable[bool]],
    *,
    stop: Callable[[], None] | None = None,
) -> list[Node]:
    """Visit the nodes; answers those whose visit said False. What needs such a node is not visited. With `stop`, it is
    called at the first, and no other visit is begun."""
    left = dict(graph)
    running: dict[asyncio.Task[bool], Node] = {}
    bad: list[Node] = []
    try:
        while True:
            if not (bad and stop):
                for node in [each for each, needs in left.items() if not needs & {*left, *running.values(), *bad}]:
                    del left[node]
                    running[asyncio.ensure_future(_visit(visit, node))] = node
            if not running:
                return bad
            finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                node = running.pop(task)
                if not task.result():
                    bad.append(node)
                    if stop is not None and len(bad) == 1:
                        stop()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _visit(visit: Callable[[Node], Awaitable[bool]], node: Node) -> bool:
    return await visit(node)
