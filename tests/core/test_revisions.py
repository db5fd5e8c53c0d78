"""The index of revisions agrees with looking at all of them, whatever happens to them."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from awsorch.core.arn import Scope
from awsorch.core.errors import Refusal
from awsorch.core.events_registry import (
    DeleteTaskDefinitions,
    DeregisterTaskDefinition,
    ForgetTaskDefinitions,
    RegisterTaskDefinition,
)
from awsorch.core.model import TaskDefinition
from awsorch.core.revisions import STATUSES, RevisionIndex, record_key
from awsorch.core.state import RegistryState
from awsorch.core.step import step
from tests.support.builders import a_definition

FAMILIES = ("a", "a-b", "a_b", "A", "b", "a0")
SCOPE = Scope(region="us-east-1", account="123456789012")


def in_order(definitions: list[TaskDefinition], status: str) -> list[str]:
    wanted = [d for d in definitions if d.status == status]
    return [d.key for d in sorted(wanted, key=lambda d: (d.family, d.revision))]


def walked(index: RevisionIndex, status: str, **more: object) -> list[str]:
    arguments = {"family": None, "after": None, "descending": False, **more}
    return [record_key(key) for key in index.walk(status, **arguments)]  # type: ignore[arg-type]


def check(state: RegistryState) -> None:
    index, all_of_them = state.revisions, list(state.definitions.values())
    for status in STATUSES:
        expected = in_order(all_of_them, status)
        assert walked(index, status) == expected
        assert walked(index, status, descending=True) == expected[::-1]
        for family in FAMILIES:
            own = [key for key in expected if key.rpartition(":")[0] == family]
            assert walked(index, status, family=family) == own
            if status == "ACTIVE":
                assert index.newest(family) == (own[-1] if own else None)
    families = sorted({d.family for d in all_of_them})
    active = {d.family for d in all_of_them if d.status == "ACTIVE"}
    assert list(index.walk_families("ALL", prefix="", after=None)) == families
    assert list(index.walk_families("ACTIVE", prefix="a", after="a-b")) == [
        f for f in families if f in active and f.startswith("a") and f > "a-b"
    ]
    assert list(index.walk_families("INACTIVE", prefix="", after=None)) == [f for f in families if f not in active]


EVENTS = st.lists(
    st.one_of(
        st.sampled_from(FAMILIES).map(
            lambda family: RegisterTaskDefinition(document={"family": family}, registered_by="me", scope=SCOPE)
        ),
        st.builds(
            DeregisterTaskDefinition, family=st.sampled_from(FAMILIES), revision=st.integers(min_value=1, max_value=12)
        ),
        st.tuples(st.sampled_from(FAMILIES), st.integers(min_value=1, max_value=12)).map(
            lambda name: DeleteTaskDefinitions(keys=(f"{name[0]}:{name[1]}",))
        ),
        st.sampled_from(FAMILIES).map(
            lambda family: ForgetTaskDefinitions(keys=tuple(f"{family}:{n}" for n in range(1, 13)))
        ),
    ),
    max_size=40,
)


@given(events=EVENTS)
def test_whatever_happens(events: list[RegisterTaskDefinition]) -> None:
    state = RegistryState("seed")
    numbers: dict[str, int] = {}
    for event in events:
        try:
            reply = step(state, event, 1.0).reply
        except Refusal:
            continue
        if isinstance(event, RegisterTaskDefinition):
            assert reply.revision == numbers.get(reply.family, 0) + 1, "revisions are counted and never used again"
            numbers[reply.family] = reply.revision
    check(state)
    later = RegistryState("seed")
    later.load([*state.families.values(), *state.definitions.values()], state.revision)
    check(later)


def test_a_page_of_many_revisions_costs_no_more_than_of_few() -> None:
    def seconds(revisions: int) -> float:
        index = RevisionIndex()
        for number in range(1, revisions + 1):
            index.changed(None, a_definition("web", number))
        taken = []
        for _ in range(20):
            start = time.perf_counter()
            for after in (None, f"web {revisions // 2:07d}"):
                list(islice(index.walk("ACTIVE", family="web", after=after, descending=False), 100))
                index.newest("web")
            taken.append(time.perf_counter() - start)
        return min(taken)

    assert seconds(20_000) < 5 * seconds(200)


def test_undoing_is_the_change_the_other_way_round() -> None:
    index, old = RevisionIndex(), a_definition("web", 1)
    new = replace(old, status="INACTIVE")
    index.changed(None, old)
    index.changed(old, new)
    index.changed(new, old)
    assert walked(index, "ACTIVE") == ["web:1"]
    assert walked(index, "INACTIVE") == []
    index.changed(old, None)
    assert list(index.walk_families("ALL", prefix="", after=None)) == []
