"""Dual prices: nothing is worth more than it costs, and everything together as much as can be."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsorch.core.capacity.lots import Need, Size, lots_of, sizes_of
from awsorch.core.capacity.packing import choose
from awsorch.core.capacity.worth import blended, dual_prices, prices_by_kind, worth_of
from awsorch.core.model import Demand
from awsorch.core.model_capacity import Offer
from tests.core.capacity.offers import GPU, GPUS, OFFERS, WITH_ARM, ZONES

_sizes = st.lists(
    st.builds(
        lambda cpu, memory, price: Size(
            offer=Offer(instance_type="t", cpu=cpu, memory=memory), cpu=cpu, memory=memory, gpus=0, kind=1, price=price
        ),
        st.integers(1, 1000),
        st.integers(1, 1000),
        st.integers(1, 100),
    ),
    min_size=1,
    max_size=8,
)


def best_by_hand(sizes: list[Size], cpu: int, memory: int) -> float:
    """What the sums are worth at the best of all corners, each pair of sizes tried."""
    corners = [(s.price / s.cpu, 0.0) for s in sizes] + [(0.0, s.price / s.memory) for s in sizes]
    for one, other in combinations(sizes, 2):
        area = one.cpu * other.memory - other.cpu * one.memory
        if area:
            unit_cpu = (one.price * other.memory - other.price * one.memory) / area
            corners.append((unit_cpu, (other.price * one.cpu - one.price * other.cpu) / area))
    allowed = [
        (c, m)
        for c, m in corners
        if c >= 0 and m >= 0 and all(c * s.cpu + m * s.memory <= s.price * (1 + 1e-9) for s in sizes)
    ]
    return max(c * cpu + m * memory for c, m in allowed)


@given(_sizes, st.integers(0, 10**6), st.integers(0, 10**6))
def test_prices_are_the_best_that_no_size_is_worth_more_than(sizes: list[Size], cpu: int, memory: int) -> None:
    unit_cpu, unit_memory, _ = dual_prices(sizes, cpu, memory, 0)
    assert unit_cpu >= 0
    assert unit_memory >= 0
    assert all(unit_cpu * s.cpu + unit_memory * s.memory <= s.price * (1 + 1e-9) for s in sizes)
    assert unit_cpu * cpu + unit_memory * memory == pytest.approx(best_by_hand(sizes, cpu, memory))


def test_a_gpu_is_worth_what_the_cheapest_adds_to_a_machine() -> None:
    sizes = sizes_of([*OFFERS, GPU, GPUS], {"x86_64": 1}, 0, 0)
    unit_cpu, unit_memory, unit_gpu = dual_prices(sizes, 1024, 2048, 1)
    for offer in (GPU, GPUS):
        worth = unit_cpu * offer.cpu + unit_memory * offer.memory + unit_gpu * offer.gpus
        assert worth <= offer.price + 1e-9
    assert unit_gpu > 0.5
    assert dual_prices(sizes, 1024, 2048, 0)[2] == 0


def test_blended_prices_make_the_same_of_the_sums_and_forget_nothing() -> None:
    lots = lots_of([Need(demand=Demand(cpu=8192, memory=1024), count=9)], ZONES, {"x86_64": 1})
    sizes = sizes_of(OFFERS, {"x86_64": 1}, 0, 0)
    prices = prices_by_kind(lots, sizes)
    mixed = blended(lots, prices, 0.4)
    assert prices[1][1] == 0
    assert mixed[1][1] > 0
    assert worth_of(lots, mixed) == pytest.approx(worth_of(lots, prices))


def test_a_thousand_tasks_cost_little_more_than_they_are_worth() -> None:
    dice = random.Random(7)
    needs = [
        Need(
            demand=Demand(cpu=int(64 * 2 ** dice.uniform(0, 7)), memory=int(128 * 2 ** dice.uniform(0, 8))),
            count=dice.randrange(1, 20),
            spread=dice.random() < 0.3,
            architecture=dice.choice([None, "x86_64"]),
        )
        for _ in range(100)
    ]
    kinds = {"arm64": 1, "x86_64": 2}
    lots = lots_of(needs, ZONES, kinds)
    worth = worth_of(lots, prices_by_kind(lots, sizes_of(WITH_ARM, kinds, 0, 0)))
    bound = sum(count * unit for count, unit in zip(lots.counts, worth, strict=True))
    price = sum(one.offer.price for one in choose(needs, WITH_ARM, ZONES))
    assert bound <= price <= 1.10 * bound
