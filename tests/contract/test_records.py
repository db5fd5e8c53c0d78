"""What is stored can be read back by this and every later version; what cannot be read is never dropped
silently."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from awsorch.core import model, model_access, model_capacity, model_custom_resources, model_services
from awsorch.core.model_story import Refused
from awsorch.core.state import ClusterState, RegistryState
from awsorch.engine.ports import Change, StoreFailure
from awsorch.store.records import KINDS, Kind, record_of, rows_of
from tests.support.builders import a_task, one_of_each

FIRST_RELEASE = Path(__file__).parent / "rows_version_1.json"


def stored_classes() -> set[type[Any]]:
    return {
        cls
        for module in (model, model_access, model_services, model_capacity, model_custom_resources)
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if is_dataclass(cls)
        and cls.__module__ == module.__name__
        and hasattr(cls, "key")
        and cls is not model_capacity.Offer  # a part of others
    }


def through_bytes(record: Any) -> Any:
    (row,) = rows_of([Change(kind=type(record), key=record.key, record=record)])
    assert row.body is not None
    return record_of(row.kind, row.key, row.version, row.body)


def test_every_record_class_has_a_kind() -> None:
    assert stored_classes() == {kind.record for kind in KINDS}
    # Requests of CloudFormation are no state of a cluster: they have a partition of their own.
    assert {*ClusterState.kinds, *RegistryState.kinds, model_custom_resources.CustomRequest} == stored_classes()
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_the_builders_know_every_record_class() -> None:
    assert {type(record) for record in one_of_each()} == stored_classes()


@pytest.mark.parametrize("record", one_of_each(), ids=lambda r: type(r).__name__)
def test_a_record_comes_back_equal(record: Any) -> None:
    again = through_bytes(record)
    assert again == record
    assert type(again) is type(record)
    assert hash(again.key) == hash(record.key)


def test_tuples_stay_tuples() -> None:
    task = next(r for r in one_of_each() if isinstance(r, model.Task))
    again = through_bytes(task)
    assert isinstance(again.containers, tuple)
    assert isinstance(again.demand.attributes[0], tuple)
    assert isinstance(again.placement.refused[0], Refused)


def test_rows_that_the_first_version_wrote_still_load() -> None:
    rows = msgspec.json.decode(FIRST_RELEASE.read_bytes())
    records = [record_of(row["kind"], row["key"], row["version"], msgspec.json.encode(row["members"])) for row in rows]
    assert {type(record) for record in records} == stored_classes()
    assert [record.key for record in records] == [row["key"] for row in rows]


def test_the_last_change_of_a_record_counts() -> None:
    first = a_task()
    last = replace(first, last_status="RUNNING")
    changes = [Change(kind=model.Task, key=first.key, record=record) for record in (first, None, last)]
    (row,) = rows_of(changes)
    assert row.body is not None
    assert record_of("task", row.key, row.version, row.body) == last


def test_upgrades_are_applied_in_order_from_the_stored_version() -> None:
    steps: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
        lambda row: {"name": row["family"], "count": row["count"]},
        lambda row: {"name": row["name"], "last_revision": row["count"]},
    ]
    kind = Kind("family", model.Family, steps)
    assert kind.version == 3
    wanted = model.Family(name="web", last_revision=4)
    assert kind.decode(1, b'{"family":"web","count":4}') == wanted
    assert kind.decode(2, b'{"name":"web","count":4}') == wanted
    assert kind.decode(3, b'{"name":"web","last_revision":4}') == wanted


@pytest.mark.parametrize(
    ("kind", "version", "body", "says"),
    [
        ("surprise", 1, b"{}", "knows no such kind"),
        ("family", 2, b"{}", "version 2"),
        ("family", 0, b"{}", "version 0"),
        ("family", 1, b'{"name":"web","last_revision":"4"}', "Expected `int`"),
        ("family", 1, b'{"name":"web"}', "missing required field"),
        ("family", 1, b'{"name":"web","last_revision":4,"later":1}', "unknown members later"),
        ("family", 1, b'{"name":"we', "truncated"),
        ("family", 1, b"[]", "Expected `object`"),
        ("family", 1, b"\xff", "malformed"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_named(kind: str, version: int, body: bytes, says: str) -> None:
    with pytest.raises(StoreFailure) as refused:
        record_of(kind, "web", version, body)
    assert says in str(refused.value)
    assert f"row {kind} web" in str(refused.value)


def test_a_class_without_a_kind_is_a_bug() -> None:
    with pytest.raises(TypeError, match="Demand is not a stored kind"):
        rows_of([Change(kind=model.Demand, key="x", record=model.Demand())])
