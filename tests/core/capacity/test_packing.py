"""Which machines are bought: that all that can be is on one, that nothing is too full, and that it is cheap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awsorch.core.capacity.lots import Need
from awsorch.core.capacity.packing import Purchase, choose, missing
from awsorch.core.model import Demand
from awsorch.core.model_capacity import Offer
from tests.core.capacity.offers import GPU, GPUS, OFFERS, WITH_ARM, ZONES


def price_of(purchases: Sequence[Purchase]) -> float:
    return round(sum(purchase.offer.price for purchase in purchases), 6)


def a_need(cpu: int, memory: int, count: int = 1, **more: object) -> Need:
    return Need(demand=Demand(cpu=cpu, memory=memory), count=count, **more)  # type: ignore[arg-type]


def test_nothing_needed_buys_nothing() -> None:
    assert choose([], OFFERS, ZONES) == []
    assert choose([a_need(1024, 1024, 0)], OFFERS, ZONES) == []
    assert choose([a_need(1024, 1024)], [], ZONES) == []
    assert choose([a_need(1024, 1024)], OFFERS, ()) == []


def test_one_task_gets_the_cheapest_machine_that_holds_it() -> None:
    (bought,) = choose([a_need(1500, 9000)], OFFERS, ZONES)
    assert (bought.offer.instance_type, bought.contents) == ("r1x.2", ((0, 1),))


def test_tasks_of_opposite_shape_share_a_machine() -> None:
    bought = choose([a_need(7168, 4096), a_need(1024, 28672)], OFFERS, ZONES)
    assert [one.offer.instance_type for one in bought] == ["m1x.8"]


def test_a_mix_of_types_is_bought_where_one_type_would_be_dearer() -> None:
    bought = choose([a_need(1024, 2048, 16), a_need(1024, 8192, 16)], OFFERS, ZONES)
    assert price_of(bought) == pytest.approx(16 * 0.04 + 16 * 0.065)


def test_what_fits_no_machine_is_missing_and_keeps_nobody_else_waiting() -> None:
    needs = [a_need(20000, 1024, 2), a_need(1024, 2048, 3)]
    bought = choose(needs, OFFERS, ZONES)
    assert missing(needs, bought) == (2, 0)


def test_daemons_keep_their_room() -> None:
    (bought,) = choose([a_need(1024, 2048)], OFFERS, ZONES, reserve_cpu=100, reserve_memory=200)
    assert bought.offer.cpu >= 1124
    assert bought.offer.memory >= 2248


def test_tasks_spread_evenly_over_the_zones_in_what_does_not_divide_too() -> None:
    needs = [a_need(4096, 8192, 4, spread=True), a_need(4096, 8192, 4, spread=True), a_need(4096, 8192, 4, spread=True)]
    bought = choose(needs, OFFERS, ZONES)
    by_zone = Counter[str]()
    for one in bought:
        by_zone[one.zone] += sum(count for _, count in one.contents)
    assert by_zone == {"a": 4, "b": 4, "c": 4}


def test_tasks_are_kept_to_their_zones() -> None:
    bought = choose([a_need(1024, 2048, 3, zones=("b",)), a_need(1024, 2048, 3, zones=("c", "d"))], OFFERS, ZONES)
    for one in bought:
        assert one.zone in ("b", "c")
        assert {index for index, _ in one.contents} == {"b": {0}, "c": {1}}[one.zone]
    needs = [a_need(1024, 2048, zones=("d",))]
    assert missing(needs, choose(needs, OFFERS, ZONES)) == (1,)


def test_machines_that_may_be_anywhere_are_shared_out_among_the_zones() -> None:
    bought = choose([a_need(16384, 65536, 7)], OFFERS, ZONES)
    assert sorted(Counter(one.zone for one in bought).values()) == [2, 2, 3]


def test_tasks_that_keep_apart_get_a_machine_each_and_share_it_with_others() -> None:
    needs = [a_need(256, 512, 3, apart=True), a_need(768, 1536, 3)]
    bought = choose(needs, OFFERS, ZONES)
    assert [dict(one.contents) for one in bought] == [{0: 1, 1: 1}] * 3


def test_the_same_host_port_is_never_twice_on_a_machine() -> None:
    web = Need(demand=Demand(cpu=256, memory=512, tcp_ports=(80,)), count=2)
    other = Need(demand=Demand(cpu=256, memory=512, tcp_ports=(80, 443)), count=1)
    datagrams = Need(demand=Demand(cpu=256, memory=512, udp_ports=(80,)), count=3)
    bought = choose([web, other, datagrams], OFFERS, ZONES)
    assert len(bought) == 3
    assert missing([web, other, datagrams], bought) == (0, 0, 0)


def test_gpus_are_bought_for_those_who_need_them_only() -> None:
    offers = [*OFFERS, GPU, GPUS]
    needs = [Need(demand=Demand(cpu=1024, memory=2048, gpus=1), count=3), a_need(1024, 2048, 20)]
    bought = choose(needs, offers, ZONES)
    assert sum(one.offer.gpus for one in bought) in (3, 4)
    assert missing(needs, bought) == (0, 0)


def test_all_gpus_means_a_machine_of_its_own() -> None:
    needs = [Need(demand=Demand(cpu=1024, memory=2048, all_gpus=True), count=2)]
    needs.append(Need(demand=Demand(cpu=1024, memory=2048, gpus=1), count=1))
    bought = choose(needs, [*OFFERS, GPU, GPUS], ZONES)
    assert [one.offer.instance_type for one in bought] == ["g1.4"] * 3
    assert missing(needs, bought) == (0, 0)


def test_architectures_are_kept_and_those_who_do_not_mind_get_the_cheaper_one() -> None:
    needs = [a_need(1024, 2048, 2, architecture="x86_64"), a_need(1024, 2048, 2), a_need(1, 1, architecture="riscv64")]
    bought = choose(needs, WITH_ARM, ZONES)
    assert missing(needs, bought) == (0, 0, 1)
    assert price_of(bought) == pytest.approx(2 * 0.04 + 2 * 0.032)


def test_tasks_without_cpu_are_placed_by_their_memory() -> None:
    needs = [a_need(0, 1024, 16), a_need(0, 0, 5)]
    bought = choose(needs, OFFERS, ZONES)
    assert missing(needs, bought) == (0, 0)
    assert price_of(bought) == pytest.approx(2 * 0.065)


def test_at_most_the_limit_is_bought_the_largest_tasks_first() -> None:
    bought = choose([a_need(1024, 2048), a_need(16384, 131072, 3)], OFFERS, ZONES, limit=2)
    assert [one.contents for one in bought] == [((1, 1),), ((1, 1),)]


def test_of_equal_prices_the_fewest_machines_win() -> None:
    assert len(choose([a_need(1024, 2048, 16)], OFFERS, ZONES)) == 1


_needs = st.builds(
    Need,
    demand=st.builds(
        Demand,
        cpu=st.integers(0, 17000),
        memory=st.integers(1, 140000),
        tcp_ports=st.sampled_from([(), (), (), (80,), (443,)]),
        gpus=st.sampled_from([0, 0, 0, 1, 3]),
    ),
    count=st.integers(1, 12),
    zones=st.sampled_from([(), (), ("a",), ("b", "c"), ("d",)]),
    spread=st.booleans(),
    apart=st.booleans(),
    architecture=st.sampled_from([None, "x86_64", "arm64"]),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_needs, max_size=8))
def test_whatever_is_needed_the_purchase_is_right(needs: list[Need]) -> None:
    offers = [*WITH_ARM, GPU, GPUS]
    bought = choose(needs, offers, ZONES, reserve_cpu=64, reserve_memory=128)
    assert bought == choose(needs, offers, ZONES, reserve_cpu=64, reserve_memory=128)
    for one in bought:
        check_machine(one, needs)
    for need, left in zip(needs, missing(needs, bought), strict=True):
        assert left == (0 if can_run(need, offers) else need.count)
    for index, need in enumerate(needs):
        if need.spread and can_run(need, offers):
            allowed = [zone for zone in ZONES if not need.zones or zone in need.zones]
            counts = [sum(dict(one.contents).get(index, 0) for one in bought if one.zone == zone) for zone in allowed]
            assert max(counts) - min(counts) <= 1


def can_run(need: Need, offers: Sequence[Offer]) -> bool:
    demand = need.demand
    return need.zones != ("d",) and any(
        demand.cpu <= offer.cpu - 64
        and demand.memory <= offer.memory - 128
        and demand.gpus <= offer.gpus
        and need.architecture in (None, offer.architecture)
        for offer in offers
    )


def check_machine(bought: Purchase, needs: Sequence[Need]) -> None:
    """Nothing on it is too much, apart, elsewhere or of another architecture."""
    held = [(needs[index], count) for index, count in bought.contents]
    assert held
    assert sum(need.demand.cpu * count for need, count in held) <= bought.offer.cpu - 64
    assert sum(need.demand.memory * count for need, count in held) <= bought.offer.memory - 128
    assert sum(need.demand.gpus * count for need, count in held) <= bought.offer.gpus
    ports = [port for need, count in held for port in need.demand.tcp_ports * count]
    assert len(ports) == len(set(ports))
    for need, count in held:
        assert not need.zones or bought.zone in need.zones
        assert need.architecture in (None, bought.offer.architecture)
        assert count == 1 or not need.apart
