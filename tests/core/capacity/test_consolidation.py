"""What a fleet would cost less as."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from awsorch.core.capacity.consolidation import SAVING, Change, Load, Standing, consolidate
from awsorch.core.model import Demand
from tests.core.capacity.offers import GPU, OFFERS, WITH_ARM, ZONES

PRICE = {offer.instance_type: offer for offer in WITH_ARM}


def a_load(task: str, cpu: int = 1024, memory: int = 2048, **more: object) -> Load:
    return Load(task=task, demand=Demand(cpu=cpu, memory=memory), **more)  # type: ignore[arg-type]


def a_machine(id_: str, kind: str, *loads: Load, zone: str = "a") -> Standing:
    """A machine of a type of tests.core.capacity.offers, with these tasks."""
    offer = PRICE[kind]
    return Standing(
        id=id_,
        zone=zone,
        price=offer.price,
        cpu=offer.cpu - sum(load.demand.cpu for load in loads),
        memory=offer.memory - sum(load.demand.memory for load in loads),
        architecture=offer.architecture,
        loads=loads,
    )


def test_a_fleet_that_is_right_is_left_alone() -> None:
    assert consolidate([a_machine("i-1", "c1x.1", a_load("t"))], OFFERS) == []
    assert consolidate([], OFFERS) == []


def test_an_empty_machine_goes() -> None:
    assert consolidate([a_machine("i-1", "m1x.2")], OFFERS) == [Change(ends=("i-1",), saved=0.1)]


def test_a_machine_goes_whose_tasks_fit_in_the_others_room() -> None:
    machines = [a_machine("i-1", "m1x.4", a_load("big", 3072, 8192)), a_machine("i-2", "c1x.1", a_load("small"))]
    assert consolidate(machines, OFFERS) == [Change(ends=("i-2",), moves=(("small", "i-1"),), saved=0.04)]


def test_no_machine_goes_that_another_counts_on() -> None:
    machines = [a_machine(f"i-{n}", "m1x.2", a_load(f"t-{n}", 1024, 4096)) for n in range(4)]
    changes = consolidate(machines, [])
    ends = {id_ for change in changes for id_ in change.ends}
    assert len(ends) == 2
    assert {where for change in changes for _, where in change.moves}.isdisjoint(ends)


def test_what_may_not_move_stays_and_keeps_its_machine() -> None:
    protected = a_load("protected", movable=False)
    machines = [a_machine("i-1", "m1x.16", protected, a_load("t-1")), a_machine("i-2", "m1x.8", a_load("t-2"))]
    assert [change.ends for change in consolidate(machines, OFFERS)] == [("i-2",)]


def test_tasks_keep_to_their_zones_ports_and_distance_and_architecture() -> None:
    room = a_machine("i-1", "m1x.16", a_load("there", apart="web"), zone="a")
    port = Load(task="t", demand=Demand(cpu=1024, memory=2048, tcp_ports=(80,)))
    holder = a_machine("i-1", "m1x.16", Load(task="h", demand=Demand(cpu=1, memory=1, tcp_ports=(80,)), movable=False))
    assert consolidate([room, a_machine("i-2", "c1x.1", a_load("t", zones=("b",)), zone="b")], []) == []
    assert consolidate([room, a_machine("i-2", "c1x.1", a_load("t", apart="web"))], []) == []
    assert consolidate([room, a_machine("i-2", "c1a.1", a_load("t", architecture="arm64"))], []) == []
    assert consolidate([holder, a_machine("i-2", "c1x.1", port)], []) == []


def test_gpus_are_kept_for_those_who_need_them() -> None:
    gpu_task = Load(task="g", demand=Demand(cpu=1024, memory=2048, all_gpus=True))
    gpu = Standing(id="i-g", zone="a", price=GPU.price, cpu=3072, memory=14336, gpus=0, all_gpus=1, loads=(gpu_task,))
    plain = a_machine("i-1", "m1x.2", a_load("held", movable=False))
    small = a_machine("i-2", "c1x.1", a_load("t"))
    assert consolidate([gpu, plain, small], []) == [Change(ends=("i-2",), moves=(("t", "i-1"),), saved=0.04)]
    free = Standing(id="i-f", zone="a", price=GPU.price * 2, cpu=4096, memory=16384, gpus=1, all_gpus=1)
    assert consolidate([gpu, free], [])[0].ends == ("i-f",)


def test_a_cheaper_machine_takes_the_place_of_one_that_is_too_large() -> None:
    (change,) = consolidate([a_machine("i-1", "m1x.16", a_load("t", 2048, 4096))], OFFERS)
    assert change.offer is not None
    assert (change.offer.instance_type, change.zone) == ("c1x.2", "a")
    assert change.moves == (("t", None),)
    assert round(change.saved, 6) == 0.72


def test_one_machine_takes_the_place_of_several() -> None:
    machines = [a_machine(f"i-{n}", "m1x.2", a_load(f"t-{n}", 1100, 2100)) for n in range(3)]
    (change,) = consolidate(machines, [PRICE["c1x.4"]])
    assert sorted(change.ends) == ["i-0", "i-1", "i-2"]
    assert change.offer == PRICE["c1x.4"]


def test_machines_of_different_zones_are_not_exchanged_for_one() -> None:
    machines = [a_machine(f"i-{n}", "m1x.2", a_load(f"t-{n}", 1100, 2100), zone=ZONES[n]) for n in range(3)]
    assert consolidate(machines, [PRICE["c1x.4"]]) == []


def test_a_small_saving_is_not_worth_the_trouble() -> None:
    load = a_load("t", 2048, 4096)
    cheaper = PRICE["m1x.2"]
    assert consolidate([a_machine("i-1", "m1x.2", load)], [PRICE["c1x.2"]])
    dearer = Standing(id="i-1", zone="a", price=cheaper.price / (1 - SAVING) - 0.001, cpu=0, memory=0, loads=(load,))
    assert consolidate([dearer], [cheaper]) == []


def test_daemons_keep_their_room_on_the_new_machine() -> None:
    machine = a_machine("i-1", "m1x.16", a_load("t", 1024, 2048))
    (change,) = consolidate([machine], OFFERS, reserve_cpu=1, reserve_memory=1)
    assert change.offer is not None
    assert change.offer.instance_type == "c1x.2"


def test_at_most_the_limit_is_proposed() -> None:
    assert len(consolidate([a_machine(f"i-{n}", "c1x.1") for n in range(9)], OFFERS, limit=4)) == 4


_loads = st.builds(
    lambda cpu, memory, ports, zones, apart, movable: Load(
        task="", demand=Demand(cpu=cpu, memory=memory, tcp_ports=ports), zones=zones, apart=apart, movable=movable
    ),
    st.integers(0, 1024),
    st.integers(1, 2048),
    st.sampled_from([(), (), (80,)]),
    st.sampled_from([(), (), ("a",), ("a", "b")]),
    st.sampled_from([None, None, "web"]),
    st.sampled_from([True, True, True, False]),
)


@st.composite
def _fleets(draw: st.DrawFn) -> list[Standing]:
    machines = []
    for number in range(draw(st.integers(0, 7))):
        loads: list[Load] = []
        for load in draw(st.lists(_loads, max_size=3)):
            taken = {port for held in loads for port in held.demand.tcp_ports}
            if taken.isdisjoint(load.demand.tcp_ports) and load.apart not in {held.apart for held in loads} - {None}:
                name = f"t-{number}-{len(loads)}"
                more = {"zones": load.zones, "apart": load.apart, "movable": load.movable}
                loads.append(Load(task=name, demand=load.demand, **more))
        kind = draw(st.sampled_from(["m1x.4", "m1x.8", "r1x.4"]))
        machines.append(a_machine(f"i-{number}", kind, *loads, zone="a"))
    return machines


@settings(max_examples=80, deadline=None)
@given(_fleets())
def test_after_all_changes_nothing_is_too_full_or_too_close(machines: list[Standing]) -> None:
    changes = consolidate(machines, OFFERS)
    by_id = {one.id: one for one in machines}
    on: dict[str, list[Load]] = {one.id: list(one.loads) for one in machines}
    room = {one.id: [one.cpu, one.memory] for one in machines}
    loads = {load.task: load for one in machines for load in one.loads}
    for number, change in enumerate(changes):
        ended = sum(by_id[id_].price for id_ in change.ends)
        moved = {task for task, _ in change.moves}
        assert moved == {load.task for id_ in change.ends for load in on.pop(id_)}
        assert all(loads[task].movable for task in moved)
        new = f"new-{number}"
        if change.offer is not None:
            assert change.offer.price <= ended * (1 - SAVING) + 1e-9
            on[new], room[new] = [], [change.offer.cpu, change.offer.memory]
        assert abs(change.saved - (ended - (change.offer.price if change.offer else 0))) < 1e-9
        for task, where in change.moves:
            place = where or new
            on[place].append(loads[task])
            room[place][0] -= loads[task].demand.cpu
            room[place][1] -= loads[task].demand.memory
    assert all(min(left) >= 0 for id_, left in room.items() if id_ in on)
    for held in on.values():
        ports = [port for load in held for port in load.demand.tcp_ports]
        groups = [load.apart for load in held if load.apart]
        assert len(ports) == len(set(ports))
        assert len(groups) == len(set(groups))
