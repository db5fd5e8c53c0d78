"""Whether two states are the same: every table, and every index that is derived from them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from awsorch.core.capacity_index import CapacityIndex
from awsorch.core.daemon_index import DaemonIndex
from awsorch.core.indexes import Groups, SortedKeys, TaskIndex
from awsorch.core.placement.fleet import Fleet
from awsorch.core.revisions import RevisionIndex
from awsorch.core.service_index import ServiceIndex, phase_of
from awsorch.core.state import State


def contents(state: State) -> dict[str, Any]:
    """What a state holds, by name, in a form that can be compared and does not change with the state."""
    held: dict[str, Any] = {"seed": state.seed, "revision": state.revision}
    held.update({f"table {kind.__name__}": dict(table) for kind, table in state.tables.items()})
    tables = [id(table) for table in state.tables.values()]
    for name, value in vars(state).items():
        if name not in ("seed", "revision", "tables", "_followers") and id(value) not in tables:
            held.update({f"index {name}{more}": plain for more, plain in _index(value)})
    return held


def _index(value: Any) -> Iterator[tuple[str, Any]]:
    """(name of a part, what it holds). An index of a kind that is not known here is an error: it would go unchecked."""
    if isinstance(value, SortedKeys):
        yield "", list(value)
    elif isinstance(value, Groups):
        yield "", {name: frozenset(value[name]) for name in value.names()}
    elif isinstance(value, Fleet):
        yield "", value.imagine()
    elif isinstance(value, (CapacityIndex, RevisionIndex, ServiceIndex)):
        yield "", deepcopy(vars(value))
    elif isinstance(value, DaemonIndex):
        yield "", _outdated(value)
    elif isinstance(value, TaskIndex):
        for name, part in vars(value).items():
            yield from ((f".{name}{more}", plain) for more, plain in _index(part))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from ((f"[{key}]{more}", plain) for more, plain in _index(part))
    elif isinstance(value, list):
        yield "", list(value)
    else:
        raise TypeError(f"tests.support.states does not know how to compare a {type(value).__name__}")


def _outdated(index: DaemonIndex) -> dict[str, Any]:
    """Circles that are not what the records say: there should be none. Which ones there are tells what was asked."""
    outdated = {}
    for name, circle in index._circles.items():
        live = [task.id for task in index._tasks.values() if task.service and task.service.name == name]
        again = index.drawn(circle.asked, [task_id for task_id in live if phase_of(index._tasks[task_id])])
        if circle != again:
            outdated[name] = (deepcopy(circle), again)
    return outdated


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Which parts differ, and how."""
    return [
        f"{name}: {one.get(name)!r} != {other.get(name)!r}" for name in one | other if one.get(name) != other.get(name)
    ]
