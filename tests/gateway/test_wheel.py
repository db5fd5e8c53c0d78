"""The wheel against the plainest of its kind: a dictionary of due times."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from awsorch.gateway.wheel import Wheel

ITEMS = st.sampled_from("abcd")
TIMES = st.floats(0, 500) | st.integers(0, 50)


def test_an_item_is_due_once_and_not_before_its_time() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.schedule("a", 5.5)
    assert wheel.turn(5.9) == []
    assert wheel.turn(6.0) == ["a"]
    assert wheel.turn(60.0) == []


def test_what_is_past_is_due_at_the_next_turn() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.turn(100.0)
    wheel.schedule("a", 3.0)
    assert wheel.turn(101.0) == ["a"]


def test_hasten_only_brings_forward() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.hasten("a", 1.0)
    assert wheel.turn(2.0) == []
    wheel.schedule("a", 10.0)
    wheel.hasten("a", 20.0)
    wheel.hasten("a", 5.0)
    assert wheel.turn(5.0) == ["a"]


@given(
    st.lists(
        st.tuples(st.just("schedule"), ITEMS, TIMES)
        | st.tuples(st.just("hasten"), ITEMS, TIMES)
        | st.tuples(st.just("forget"), ITEMS, st.just(0.0))
        | st.tuples(st.just("turn"), st.just(""), st.floats(0, 60))
    )
)
def test_it_does_what_a_dictionary_would(steps: list[tuple[str, str, float]]) -> None:
    wheel: Wheel[str] = Wheel()
    due: dict[str, int] = {}
    now, turned = 0.0, 0
    for what, item, value in steps:
        if what == "schedule":
            wheel.schedule(item, value)
            due[item] = max(ceil(value), turned + 1)
        elif what == "hasten":
            wheel.hasten(item, value)
            if item in due and ceil(value) < due[item]:
                due[item] = max(ceil(value), turned + 1)
        elif what == "forget":
            wheel.forget(item)
            due.pop(item, None)
        else:
            now += value
            turned = int(now)
            expected = {name for name, second in due.items() if second <= turned}
            assert set(wheel.turn(now)) == expected
            due = {name: second for name, second in due.items() if name not in expected}
