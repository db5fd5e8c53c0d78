"""Whether two states are the same: every table, and every index that is derived from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from awsorch.core.indexes import Groups, SortedKeys, TaskIndex
from awsorch.core.placement.fleet import Fleet
from awsorch.core.state import State


def contents(state: State) -> dict[str, Any]:
    """What a state holds, by name, in a form that can be compared."""
    held: dict[str, Any] = {"seed": state.seed, "revision": state.revision}
    held.update({f"table {kind.__name__}": dict(table) for kind, table in state.tables.items()})
    for name, value in vars(state).items():
        held.update({f"index {name}{more}": plain for more, plain in _indexes(value)})
    return held


def _indexes(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, SortedKeys):
        yield "", list(value)
    elif isinstance(value, Groups):
        yield "", {name: frozenset(value[name]) for name in value.names()}
    elif isinstance(value, Fleet):
        yield "", value.imagine()
    elif isinstance(value, TaskIndex):
        for name, part in vars(value).items():
            if isinstance(part, dict):
                for key, keys in part.items():
                    yield f".{name}[{key}]", list(keys)
            elif isinstance(part, list):
                yield f".{name}", list(part)
            else:
                yield from ((f".{name}{more}", plain) for more, plain in _indexes(part))


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Which parts differ, and how."""
    return [
        f"{name}: {one.get(name)!r} != {other.get(name)!r}" for name in one | other if one.get(name) != other.get(name)
    ]
