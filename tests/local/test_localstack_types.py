"""The types of LocalStack's plug-in on what stands in for its stack engine: nothing is forgotten that was made."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from tests.support.localstack import PLUGIN

Step = dict[str, Any]
ENGINE = "localstack.services.cloudformation.resource_provider"


class OperationStatus(Enum):
    SUCCESS = "SUCCESS"
    IN_PROGRESS = "IN_PROGRESS"
    FAILED = "FAILED"


@dataclass
class ProgressEvent:
    status: OperationStatus
    resource_model: dict[str, Any]
    message: str = ""
    custom_context: dict[str, Any] = field(default_factory=dict)


@dataclass
class Asked:
    """A step as LocalStack's engine asks for one."""

    desired_state: dict[str, Any]
    previous_state: dict[str, Any] | None = None
    custom_context: dict[str, Any] = field(default_factory=dict)
    stack_id: str = "arn:stack"
    stack_name: str = "stack"
    logical_resource_id: str = "It"
    region_name: str = "us-east-1"
    tags: dict[str, str] = field(default_factory=dict)
    previous_tags: dict[str, str] = field(default_factory=dict)


class Cloud:
    """awsorch: answers steps from a list, and raises what is an exception in it."""

    def __init__(self) -> None:
        self.answers: list[Step | Exception] = []
        self.asked: list[Step] = []

    def step(self, asked: Step, region: str) -> Step:
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def actions(self) -> list[tuple[str, str]]:
        return [(each["action"], each["physicalId"]) for each in self.asked]


@dataclass
class Plugin:
    """The plug-in's types, and what its calls come to."""

    provider: Any
    cloud: Cloud
    away: type[Exception]

    def loop(self, does: Callable[[Any], Any], asked: Asked, limit: int = 300) -> ProgressEvent:
        """LocalStack's loop over one action; like it, it forgets everything where the steps do not suffice."""
        for _ in range(limit):
            event: ProgressEvent = does(asked)
            if event.status is not OperationStatus.IN_PROGRESS:
                return event
            asked.custom_context = {**asked.custom_context, **event.custom_context}
            asked.desired_state = event.resource_model
        raise TimeoutError("timed out")


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    engine, config = types.ModuleType(ENGINE), types.ModuleType("localstack.config")
    base = type("ResourceProvider", (), {})
    loader = type("CloudFormationResourceProviderPlugin", (), {})
    vars(engine).update(
        ProgressEvent=ProgressEvent,
        OperationStatus=OperationStatus,
        ResourceProvider=base,
        CloudFormationResourceProviderPlugin=loader,
    )
    vars(config).update(CFN_PER_RESOURCE_TIMEOUT=300)
    packages = ("localstack", "localstack.services", "localstack.services.cloudformation")
    for name in packages:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, ENGINE, engine)
    monkeypatch.setitem(sys.modules, "localstack.config", config)
    monkeypatch.syspath_prepend(str(PLUGIN))
    module = importlib.import_module("localstack_awsorch.types")
    cloud = Cloud()
    monkeypatch.setattr(module, "step", cloud.step)
    service = module.Service()
    service.load()
    yield Plugin(service.factory(), cloud, module.Away)
    for name in [each for each in sys.modules if each.startswith("localstack_awsorch")]:
        del sys.modules[name]


def told(outcome: str, id: str = "", message: str = "", **attributes: str) -> Step:
    return {"outcome": outcome, "physicalId": id, "message": message, "code": "C", "attributes": attributes}


GOES_ON = {**told("IN_PROGRESS", "a"), "callback": {"seen": 1}}


def made(plugin: Plugin) -> dict[str, Any]:
    """The properties of one that is there: a."""
    plugin.cloud.answers = [told("SUCCESS", "a", Name="n")]
    event = plugin.loop(plugin.provider.create, Asked({"DesiredCount": 1}))
    plugin.cloud.asked.clear()
    return event.resource_model


def test_what_failed_after_it_was_made_is_removed_with_its_stack(plugin: Plugin) -> None:
    plugin.cloud.answers = [GOES_ON, told("FAILED", "", "It broke.")]
    event = plugin.loop(plugin.provider.create, Asked({"DesiredCount": 1}))
    assert (event.status, event.message) == (OperationStatus.FAILED, "It broke. (C)")
    plugin.cloud.answers = [told("SUCCESS")]
    kept = event.resource_model
    assert plugin.loop(plugin.provider.delete, Asked(kept, kept)).status is OperationStatus.SUCCESS
    assert plugin.cloud.actions() == [("CREATE", ""), ("CREATE", "a"), ("DELETE", "a")]


def test_what_was_never_made_needs_no_removal(plugin: Plugin) -> None:
    plugin.cloud.answers = [told("FAILED", "", "No.")]
    kept = plugin.loop(plugin.provider.create, Asked({"DesiredCount": 1})).resource_model
    assert plugin.loop(plugin.provider.delete, Asked(kept, kept)).status is OperationStatus.SUCCESS
    assert plugin.cloud.actions() == [("CREATE", "")]


def test_a_failed_update_keeps_what_it_is_of(plugin: Plugin) -> None:
    there = made(plugin)
    plugin.cloud.answers = [told("FAILED", "", "No.")]
    event = plugin.loop(plugin.provider.update, Asked({"DesiredCount": 2}, there))
    assert event.resource_model == {**there, "DesiredCount": 2}


def test_an_update_that_replaces_removes_the_former(plugin: Plugin) -> None:
    there = made(plugin)
    plugin.cloud.answers = [told("REPLACE"), told("SUCCESS", "b", Name="m"), GOES_ON, told("SUCCESS")]
    event = plugin.loop(plugin.provider.update, Asked({"ServiceName": "x"}, there))
    assert event.status is OperationStatus.SUCCESS
    assert (event.resource_model["AwsorchId"], event.resource_model["Name"]) == ("b", "m")
    assert plugin.cloud.actions() == [("UPDATE", "a"), ("CREATE", ""), ("DELETE", "a"), ("DELETE", "a")]


@pytest.mark.parametrize(
    ("undone", "message"),
    [
        (told("SUCCESS"), "It broke. (C)"),
        (told("FAILED", "", "In use."), "It broke. (C) b was left: In use. (C)"),
    ],
)
def test_what_could_not_replace_goes_and_the_former_stays(plugin: Plugin, undone: Step, message: str) -> None:
    there = made(plugin)
    half = {**told("IN_PROGRESS", "b"), "callback": {"seen": 1}}
    plugin.cloud.answers = [told("REPLACE"), half, told("FAILED", "", "It broke."), half, undone]
    event = plugin.loop(plugin.provider.update, Asked({"ServiceName": "x"}, there))
    assert (event.status, event.message, event.resource_model) == (OperationStatus.FAILED, message, there)
    assert plugin.cloud.actions()[1:] == [("CREATE", ""), ("CREATE", "b"), ("DELETE", "b"), ("DELETE", "b")]


def test_a_replacement_that_was_never_made_leaves_the_former(plugin: Plugin) -> None:
    there = made(plugin)
    plugin.cloud.answers = [told("REPLACE"), told("FAILED", "", "No.")]
    event = plugin.loop(plugin.provider.update, Asked({"ServiceName": "x"}, there))
    assert (event.status, event.resource_model) == (OperationStatus.FAILED, there)


def test_awsorch_may_be_away_for_a_while(plugin: Plugin) -> None:
    plugin.cloud.answers = [GOES_ON, plugin.away("gone"), plugin.away("gone"), GOES_ON, told("SUCCESS", "a")]
    assert plugin.loop(plugin.provider.create, Asked({})).status is OperationStatus.SUCCESS
    again = [(each["retried"], each["callback"], each["physicalId"]) for each in plugin.cloud.asked]
    follows = ({"seen": 1}, "a")
    assert again == [
        (False, {}, ""),
        (False, *follows),
        (True, *follows),
        (True, *follows),
        (False, *follows),
    ]
    assert len({each["since"] for each in plugin.cloud.asked}) == 1, "of the action's begin"


@pytest.mark.parametrize("does", ["create", "delete"])
def test_awsorch_that_stays_away_fails_the_resource_and_it_is_known_what_is_there(plugin: Plugin, does: str) -> None:
    there = made(plugin)
    plugin.cloud.answers = [GOES_ON, plugin.away("Nobody answers.")]
    event = plugin.loop(getattr(plugin.provider, does), Asked({} if does == "create" else there, there))
    assert event.status is OperationStatus.FAILED
    assert event.message == "Nobody answers. (NotStabilized)"
    assert event.resource_model["AwsorchId"] == "a"
    assert len(plugin.cloud.asked) < 100


def test_what_never_settles_fails_before_localstack_forgets_it(plugin: Plugin) -> None:
    plugin.cloud.answers = [GOES_ON]
    event = plugin.loop(plugin.provider.create, Asked({}))
    assert (event.message, event.resource_model["AwsorchId"]) == (
        "It has not settled in 270 looks. (NotStabilized)",
        "a",
    )
