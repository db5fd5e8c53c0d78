"""A modest number of seeds; ``make sim SEEDS=…`` plays more. And the proof that a broken rule does not go unseen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from awsorch.core import step
from awsorch.core.events import RunTasks
from awsorch.core.events_registry import ForgetTaskDefinitions
from awsorch.core.model import Task
from awsorch.core.placement.slot import Hold, Slot
from awsorch.core.planners import expire_tasks, sync_targets
from awsorch.core.rules import reports, run_tasks, targets
from awsorch.core.service_index import Phases
from awsorch.core.services import replicas
from awsorch.core.state import ClusterState
from awsorch.engine.controller import Controller
from awsorch.engine.partition import Partition
from tests.sim.chaos import play
from tests.sim.run import attempt, main, seeds_of


@pytest.mark.parametrize("seed", range(1, 25))
def test_a_world_keeps_its_promises(seed: int) -> None:
    assert play(seed).broken is None


def test_a_seed_is_the_same_world_each_time() -> None:
    command = [sys.executable, "-m", "tests.sim.run", "--seed", "5", "--steps", "30", "--verbose"]
    first, again = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert len(first.splitlines()) > 30
    assert first.splitlines()[:-1] == again.splitlines()[:-1]


def forget_to_mind(patch: pytest.MonkeyPatch) -> None:
    """What instances were told is not derived again."""
    patch.setitem(step.PLANNERS, "mind_instances", lambda tx, subject: None)  # type: ignore[arg-type]


def believe_every_report(patch: pytest.MonkeyPatch) -> None:
    """Late and backward reports count."""
    patch.setattr(reports, "is_final", lambda status: False)
    patch.setattr(reports, "task_moves_forward", lambda old, new: True)


def count_no_memory(patch: pytest.MonkeyPatch) -> None:
    """What tasks take from their instances is not counted."""
    carry = Slot.carry

    def carry_lightly(self: Slot, hold: Hold, times: int) -> None:
        carry(self, hold._replace(cpu=0, memory=0), times)

    patch.setattr(Slot, "carry", carry_lightly)


def carry_on_after_a_failed_commit(patch: pytest.MonkeyPatch) -> None:
    """What memory holds is trusted although it was not stored."""

    async def shrug(self: Any, decided: Any, failure: Exception) -> None:
        self._durable_revision = self.state.revision
        self._refuse(decided, failure)

    patch.setattr(Partition, "_recover", shrug)


def answer_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Replies and commands do not wait for the store."""
    decide = Partition._decide

    def hasty(self: Any, state: Any, waiting: Any, now: float) -> Any:
        outcome = decide(self, state, waiting, now)
        if outcome is not None:
            self._let_out([(waiting, outcome)])
        return outcome

    patch.setattr(Partition, "_decide", hasty)


def run_again_when_asked_again(patch: pytest.MonkeyPatch) -> None:
    """RunTask forgets its clientTokens."""
    rule = run_tasks.run_tasks
    patch.setitem(step.RULES, RunTasks, lambda tx, event: rule(tx, replace(event, token=None)))  # type: ignore[arg-type]


def start_too_many(patch: pytest.MonkeyPatch) -> None:
    """Deployments know no maximumPercent."""
    patch.setattr(replicas, "upper_bound", lambda service, desired: 10 * desired)


def stop_too_many(patch: pytest.MonkeyPatch) -> None:
    """Deployments know no minimumHealthyPercent."""
    patch.setattr(replicas, "lower_bound", lambda service, desired: 0)


def protect_nobody(patch: pytest.MonkeyPatch) -> None:
    """Protection is recorded and not heeded."""
    patch.setattr(replicas, "is_protected", lambda task, now: False)


def stop_before_draining(patch: pytest.MonkeyPatch) -> None:
    """Agents are told at once, while load balancers still send requests."""
    patch.setattr(Task, "told_status", property(lambda task: task.desired_status))


def stop_when_draining_begins(patch: pytest.MonkeyPatch) -> None:
    """Agents are told when targets are deregistered, not when they are drained."""
    record = targets._record

    def hasty(tx: Any, event: Any, target: Any, seen: Any) -> bool:
        gone = target.leaving and target.address in event.deregistered
        return record(tx, event, target, None if gone else seen)

    patch.setattr(targets, "_record", hasty)


def leave_targets_behind(patch: pytest.MonkeyPatch) -> None:
    """Targets of tasks that have ended stay registered."""
    patch.setattr(sync_targets, "_sync", partial(without_deregistering, sync_targets._sync))


def without_deregistering(sync: Any, tx: Any, group: str, known: Any) -> Any:
    """The command, without what is to leave."""
    return replace(sync(tx, group, known), deregister=())


def stay_where_it_drains(patch: pytest.MonkeyPatch) -> None:
    """Tasks stay on instances that drain."""
    patch.setattr(replicas, "displaced", lambda tx, phases: Phases())


def count_tasks_in_no_version(patch: pytest.MonkeyPatch) -> None:
    """Tasks come and go and their instance's version stays."""
    patch.setattr(ClusterState, "version_of", lambda self, instance: instance.version)


def forget_versions_with_tasks(patch: pytest.MonkeyPatch) -> None:
    """What tasks did to their instance's version is forgotten with them."""
    patch.setattr(expire_tasks, "_remember", lambda tx, going: None)


def forget_definitions_in_use(patch: pytest.MonkeyPatch) -> None:
    """Deleted task definitions are forgotten though services have them."""

    async def hasty(self: Controller) -> None:
        keys = tuple(self.registry.state.revisions.keys("DELETE_IN_PROGRESS"))
        if keys:
            await self.registry.submit(ForgetTaskDefinitions(keys=keys))

    patch.setattr(Controller, "_forget_definitions", hasty)


@pytest.mark.parametrize(
    "breakage",
    [
        forget_definitions_in_use,
        count_tasks_in_no_version,
        forget_versions_with_tasks,
        start_too_many,
        stop_too_many,
        protect_nobody,
        stop_before_draining,
        stop_when_draining_begins,
        leave_targets_behind,
        stay_where_it_drains,
        forget_to_mind,
        believe_every_report,
        count_no_memory,
        carry_on_after_a_failed_commit,
        answer_before_the_commit,
        run_again_when_asked_again,
    ],
)
def test_a_broken_rule_is_found(breakage: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        breakage(patch)
        found = next((seed for seed in range(1, 49) if attempt(seed, steps=40).broken), None)
    assert found is not None
    assert attempt(found, steps=40).broken is None


def test_a_failing_seed_prints_the_command_that_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        count_no_memory(patch)
        assert main(["--world", "tasks", "--seeds", "1-6", "--steps", "40"]) == 1
    printed = capsys.readouterr().out
    assert " -m tests.sim.run --world tasks --seed " in printed
    assert "--steps 40 --verbose" in printed
    assert "6 worlds, " in printed


def test_good_seeds_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3-4", "--steps", "10"]) == 0
    assert "4 worlds, 0 failed" in capsys.readouterr().out


def test_seeds_are_one_or_a_range() -> None:
    assert list(seeds_of("17")) == [17]
    assert list(seeds_of("1-3")) == [1, 2, 3]
