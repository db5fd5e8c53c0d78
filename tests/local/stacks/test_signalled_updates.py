"""Rolling updates that wait for signals: how many at once, when the next, when not; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.signalled_updates import Batches, SignalledUpdate
from tests.support.virtual_time import VirtualTimeLoop, run

OLD = {"LaunchTemplate": {"LaunchTemplateId": "lt", "Version": "1"}}
NEW = {"LaunchTemplate": {"LaunchTemplateId": "lt", "Version": "2"}}


class Scaling:
    """A group that keeps its size: an instance is in service five seconds after its launch, and signals then what
    `says` has for it; nothing where that is None."""

    def __init__(self, size: int, *, most: int = 0, version: str = "2", says: Mapping[int, str | None] = {}) -> None:
        self.template = {"LaunchTemplateId": "lt", "Version": version}
        self.desired, self.most, self.says = size, most or size, says
        self.born: dict[str, float] = {}
        self.versions: dict[str, str] = {}
        self.letters: dict[str, dict[str, str]] = {}
        self.least, self.greatest, self.launched = size, size, 0
        for _ in range(size):
            self._launch("1", -100.0)

    def _launch(self, version: str, at: float) -> None:
        self.launched += 1
        self.born[f"i-{self.launched}"], self.versions[f"i-{self.launched}"] = at, version

    def look(self) -> None:
        now = asyncio.get_running_loop().time()
        while len(self.born) < self.desired:
            self._launch("2", now)
        for id, born in self.born.items():
            said = self.says.get(int(id[2:]), "SUCCESS")
            if born >= 0 and now >= born + 5 and said is not None:
                self.letters.setdefault(id, {"Status": said})
        in_service = [id for id, born in self.born.items() if now >= born + 5]
        self.least, self.greatest = min(self.least, len(in_service)), max(self.greatest, len(self.born))

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        self.look()
        now = asyncio.get_running_loop().time()
        if operation == "DescribeAutoScalingGroups":
            instances = [
                {
                    "InstanceId": id,
                    "LifecycleState": "InService" if now >= born + 5 else "Pending",
                    "LaunchTemplate": {"LaunchTemplateId": "lt", "Version": self.versions[id]},
                }
                for id, born in self.born.items()
            ]
            group = {"Instances": instances, "DesiredCapacity": self.desired, "MaxSize": self.most}
            return {"AutoScalingGroups": [{**group, "LaunchTemplate": self.template}]}
        if operation == "DescribeLaunchTemplates":
            return {"LaunchTemplates": [{"LatestVersionNumber": 2, "DefaultVersionNumber": 1}]}
        if operation == "SetDesiredCapacity":
            self.desired = members["DesiredCapacity"]
        else:
            assert operation == "TerminateInstanceInAutoScalingGroup"
            del self.born[members["InstanceId"]]
            self.desired -= members["ShouldDecrementDesiredCapacity"]
        return {}


def rolled(scaling: Scaling, *, model: Any = NEW, give_up: int = 10**6, **policy: Any) -> tuple[str | None, float]:
    """How the update ended, and after how long."""

    async def scene(loop: VirtualTimeLoop) -> tuple[str | None, float]:
        rests = 0

        async def rest(seconds: float) -> bool:
            nonlocal rests
            rests += 1
            await asyncio.sleep(seconds)
            return rests > give_up

        def signals() -> Mapping[str, Any]:
            scaling.look()
            return dict(scaling.letters)

        began = loop.time()
        update = SignalledUpdate(calls=scaling, group="g", batches=Batches.of(policy), signals=signals, rest=rest)
        return await update.run(model, OLD), loop.time() - began

    return run(scene)


def test_one_after_the_other_each_when_the_last_has_signalled() -> None:
    scaling = Scaling(3)
    why, seconds = rolled(scaling, MinInstancesInService=2)
    assert (why, list(scaling.born)) == ("", ["i-4", "i-5", "i-6"])
    assert (scaling.least, scaling.greatest) == (2, 3)
    assert 15 <= seconds < 30


def test_as_many_at_once_as_the_policy_allows() -> None:
    scaling = Scaling(4)
    assert rolled(scaling, MaxBatchSize="4", MinInstancesInService=1)[0] == ""
    assert (scaling.least, len(scaling.born), {scaling.versions[id] for id in scaling.born}) == (1, 4, {"2"})


def test_where_none_can_be_spared_there_are_more_meanwhile() -> None:
    scaling = Scaling(2, most=3)
    assert rolled(scaling, MinInstancesInService=2)[0] == ""
    assert (scaling.least, scaling.greatest, scaling.desired) == (2, 3, 2)
    assert {scaling.versions[id] for id in scaling.born} == {"2"}
    # A group that may not have more spares one all the same.
    full = Scaling(1)
    assert rolled(full, MinInstancesInService=1)[0] == ""
    assert list(full.born) == ["i-2"]


def test_one_that_says_that_it_is_not_well_ends_it() -> None:
    scaling = Scaling(3, says={4: "FAILURE"})
    assert rolled(scaling)[0] == (
        "Received 1 FAILURE signal(s) out of 1. Unable to satisfy 100% MinSuccessfulInstancesPercent requirement"
    )
    assert list(scaling.born) == ["i-2", "i-3", "i-4"]
    tolerant = Scaling(2, says={3: "FAILURE"})
    assert rolled(tolerant, MaxBatchSize=2, MinSuccessfulInstancesPercent=50)[0] == ""


def test_one_that_says_nothing_ends_it_after_a_while() -> None:
    why, seconds = rolled(Scaling(2, says={3: None}), PauseTime="PT2M")
    assert why is not None
    assert why.startswith("Failed to receive 1 resource signal(s) for the current batch.")
    assert 120 <= seconds < 125


def test_what_is_as_wanted_stays() -> None:
    """As after a restart in the middle."""
    scaling = Scaling(2)
    scaling.versions["i-2"] = "2"
    assert rolled(scaling)[0] == ""
    assert list(scaling.born) == ["i-2", "i-3"]
    assert rolled(Scaling(1, version="$Latest"))[0] == ""
    assert rolled(Scaling(1, version="$Default"), give_up=0)[0] == "", "nothing differs"
    assert rolled(Scaling(0))[0] == ""
    moved = Scaling(2)
    assert rolled(moved, model={**OLD, "VPCZoneIdentifier": ["other"]})[0] == ""
    assert list(moved.born) == ["i-3", "i-4"], "in other subnets every instance is another"


def test_it_can_be_given_up_and_bad_numbers_are_named() -> None:
    scaling = Scaling(2, most=3)
    assert rolled(scaling, give_up=2, MinInstancesInService=2)[0] is None
    assert scaling.desired == 2
    with pytest.raises(TemplateError, match="MaxBatchSize of UpdatePolicy AutoScalingRollingUpdate must be an integer"):
        Batches.of({"MaxBatchSize": "few"})
