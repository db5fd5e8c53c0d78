"""Wait conditions, and resources that are ready when they have been signalled.

Source: AWS CloudFormation template reference, "AWS::CloudFormation::WaitCondition", "…::WaitConditionHandle",
"CreationPolicy attribute"; operation SignalResource.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.cfn.contract import (
    OWN_WORDS,
    Action,
    Progress,
    Properties,
    Request,
    done,
    failed,
    same,
    scalar_text,
    waiting,
)
from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.mailbox import PREFIX, Letter, Mailbox

HANDLE = "AWS::CloudFormation::WaitConditionHandle"
CONDITION = "AWS::CloudFormation::WaitCondition"
GROUP = "AWS::AutoScaling::AutoScalingGroup"
MOST_SECONDS = 43200.0
"""The longest that signals are waited for."""
LOOK_SECONDS = 0.25
_SELDOM_SECONDS = 5.0
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """So many successful signals within so many seconds; `most_failed` of the others are borne."""

    count: int
    seconds: float
    most_failed: int = 0


def wanted_by(body: Mapping[str, Any], model: Properties, evaluate: Callable[[Any], Any]) -> Wanted | None:
    """The signals that a resource's CreationPolicy asks for; None for none. Raises TemplateError."""
    policy = evaluate(body.get("CreationPolicy") or {})
    signal = policy.get("ResourceSignal")
    unknown = sorted(policy.keys() - {"AutoScalingCreationPolicy", "ResourceSignal"})
    if unknown:
        raise TemplateError(f"CreationPolicy {unknown[0]} is not supported by the local stack engine.")
    if signal is None and "AutoScalingCreationPolicy" not in policy:
        return None
    signal = signal or {}
    count = _number("Count", signal.get("Count", 1), 0)
    share = (policy.get("AutoScalingCreationPolicy") or {}).get("MinSuccessfulInstancesPercent")
    least = count
    if share is not None:
        percent = _number("MinSuccessfulInstancesPercent", share, 0, 100)
        if "Count" not in signal and body.get("Type") == GROUP:
            count = _number("DesiredCapacity", model.get("DesiredCapacity") or model.get("MinSize") or 0, 0)
        least = math.ceil(count * percent / 100)
    return Wanted(count=least, seconds=seconds_of(signal.get("Timeout", "PT5M")), most_failed=count - least)


def seconds_of(duration: Any) -> float:
    """An ISO 8601 duration ("PT15M") in seconds. Raises TemplateError."""
    found = _DURATION.fullmatch(str(duration))
    if found is None or not any(found.groups()):
        raise TemplateError(f"Timeout must be a duration as in ISO 8601, such as PT15M, not {duration}.")
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    total = float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    if total > MOST_SECONDS:
        raise TemplateError(f"Timeout must be at most PT12H, not {duration}.")
    return total


def heard(letters: Mapping[str, Letter], wanted: Wanted, waited: float) -> str | None:
    """Why the signals that came will never do; "" when they do; None while others may come."""
    good = sum(each["Status"] == "SUCCESS" for each in letters.values())
    bad = [id for id, each in letters.items() if each["Status"] != "SUCCESS"]
    if good >= wanted.count:
        return ""
    if len(bad) > wanted.most_failed:
        return (
            f"Received {len(bad)} FAILURE signal(s) out of {wanted.count + wanted.most_failed}. Unable to satisfy "
            + (f"{wanted.count} minimum successful signal(s) requirement")
        )
    if waited >= wanted.seconds:
        return f"Failed to receive {wanted.count} resource signal(s) within the specified duration"
    return None


class WaitConditions:
    """Implements Provider. `door` is where those who signal find the door."""

    def __init__(self, mailbox: Mailbox, clock: Callable[[], float], door: str) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._door = door

    def types(self) -> frozenset[str]:
        return frozenset({HANDLE, CONDITION})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return frozenset()

    async def step(self, request: Request) -> Progress:
        try:
            return self._handle(request) if request.type == HANDLE else self._condition(request)
        except TemplateError as error:
            return failed(error.message, OWN_WORDS, request.physical_id)

    def _handle(self, request: Request) -> Progress:
        box = f"handle-{request.token[:40]}"
        if request.action is Action.DELETE:
            self._mailbox.forget(box)
            return done(request.physical_id)
        if request.action is Action.UPDATE:
            return done(request.physical_id)
        self._mailbox.expect(box)
        return done(f"{self._door}{self._mailbox.path(box)}")

    def _condition(self, request: Request) -> Progress:
        id = request.physical_id or f"{request.stack_id}/{request.name()}"
        if request.action is Action.DELETE:
            return done(id)
        if request.action is Action.UPDATE:
            names = [each for each in sorted(request.changed()) if not same(request.model.get(each), None)]
            said = "Update to resource type AWS::CloudFormation::WaitCondition is not supported."
            return failed(said, OWN_WORDS, id) if names else done(id)
        wanted = Wanted(
            count=_number("Count", request.model.get("Count", 1), 1),
            seconds=float(_number("Timeout", request.model.get("Timeout", 300), 0, int(MOST_SECONDS))),
        )
        letters = self._mailbox.letters(_box_of(str(request.model.get("Handle", ""))))
        bad = [(name, each) for name, each in letters.items() if each["Status"] == "FAILURE"]
        if bad:
            name, letter = bad[0]
            said = f"WaitCondition received failed message: '{letter.get('Reason', '')}' for uniqueId: {name}"
            return failed(said, OWN_WORDS, id)
        if len(letters) >= wanted.count:
            return done(id, Data=json.dumps({name: each.get("Data", "") for name, each in letters.items()}))
        waited = self._clock() - request.since
        if waited >= wanted.seconds:
            said = f"WaitCondition timed out. Received {len(letters)} conditions when expecting {wanted.count}"
            return failed(said, OWN_WORDS, id)
        return waiting(id, delay(waited))


def delay(waited: float) -> float:
    """When to look for signals again, after so many seconds."""
    return min(LOOK_SECONDS + waited / 20, _SELDOM_SECONDS)


def _box_of(url: str) -> str:
    """The box of a handle, by its URL. Raises TemplateError."""
    found = re.search(rf"{re.escape(PREFIX)}(handle-[0-9a-f]+)\?", url)
    if found is None:
        raise TemplateError(f"Invalid WaitConditionHandle: Handle must be the Ref of an {HANDLE}, not '{url}'.")
    return found[1]


def _number(name: str, value: Any, least: int, most: int | None = None) -> int:
    text = scalar_text(value) or ""
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        upper = f" and at most {most}" if most is not None else ""
        raise TemplateError(f"{name} must be an integer of at least {least}{upper}, not {value}.")
    return int(text)
