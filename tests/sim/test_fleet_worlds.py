"""A few seeds of worlds with a fleet; ``make sim SEEDS=…`` plays more. And the proof that a broken rule is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from awsorch.adapters.machines import Ec2Machines
from awsorch.core.capacity import group_size
from awsorch.core.model import ContainerInstance
from awsorch.core.planners import end_machines, size_groups
from awsorch.core.state import ClusterState
from tests.sim.chaos import FLEET, play
from tests.sim.run import attempt

STEPS = 25


@pytest.mark.parametrize("seed", [2])
def test_a_fleet_keeps_its_promises(seed: int) -> None:
    assert play(seed, kind=FLEET, steps=STEPS).broken is None


def forget_what_is_coming(patch: pytest.MonkeyPatch) -> None:
    """Each look asks for what is missing on top of what was asked for."""
    wished = group_size.wished_size
    patch.setattr(
        group_size,
        "wished_size",
        lambda state, provider, lines: (
            wished(state, provider, lines) + (group_size.expected_size(provider) if lines else 0)
        ),
    )


def take_lost_answers_for_refusals(patch: pytest.MonkeyPatch) -> None:
    """An order whose answer got lost is given up, though EC2 may have carried it out."""
    patch.setattr("awsorch.adapters.machines._is_refusal", lambda error: True)


def order_with_a_new_token_each_time(patch: pytest.MonkeyPatch) -> None:
    """EC2 is not told that it is the same order."""
    call, number = Ec2Machines._run, iter(range(1_000_000))

    async def run(self: Any, cluster: str, command: Any, order: Any) -> str:
        calls = self._aws

        class Renamed:
            async def call(self, service: str, operation: str, **parameters: Any) -> Any:
                if "ClientToken" in parameters:
                    parameters["ClientToken"] += f"-{next(number)}"
                return await calls.call(service, operation, **parameters)

        self._aws = Renamed()
        try:
            return await call(self, cluster, command, order)
        finally:
            self._aws = calls

    async def find(self: Any, order: Any) -> None:
        return None

    patch.setattr(Ec2Machines, "_run", run)
    patch.setattr(Ec2Machines, "_find", find)


def grow_beyond_the_maximum(patch: pytest.MonkeyPatch) -> None:
    """Groups are as large as the tasks wish."""
    size_group = group_size.size_group

    def grow(tx: Any, provider: Any, waiting: Any) -> None:
        size_group(tx, replace(provider, maximum=1_000_000), waiting)
        tx.put(replace(tx.state.providers[provider.name], maximum=provider.maximum))

    patch.setattr(size_groups, "size_group", grow)


def end_what_is_busy(patch: pytest.MonkeyPatch) -> None:
    """Only services' tasks keep a machine."""

    def is_empty(state: ClusterState, instance: ContainerInstance) -> bool:
        return all(state.tasks[task_id].service is None for task_id in state.fleet.tasks_on(instance.id))

    patch.setattr(end_machines, "is_empty", is_empty)


def keep_idle_machines(patch: pytest.MonkeyPatch) -> None:
    """Nothing is given back."""
    patch.setattr(end_machines, "idle_delay", lambda state, provider: None)


@pytest.mark.parametrize(
    "breakage",
    [
        grow_beyond_the_maximum,
        end_what_is_busy,
        keep_idle_machines,
        forget_what_is_coming,
        take_lost_answers_for_refusals,
        order_with_a_new_token_each_time,
    ],
)
def test_a_broken_rule_is_found(breakage: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        breakage(patch)
        found = next((seed for seed in range(1, 31) if attempt(seed, steps=STEPS, kind=FLEET).broken), None)
    assert found is not None
    assert attempt(found, steps=STEPS, kind=FLEET).broken is None
