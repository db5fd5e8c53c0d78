"""What a simple expression of the cluster query language can ask of an instance, and how its operators
compare.

Source: ECS developer guide, "Create expressions to define container instances for Amazon ECS tasks", the
table of subjects.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from awsorch.core.model import ContainerInstance
from awsorch.core.placement.pattern import Pattern, PatternError

Test = Callable[[ContainerInstance, int, Collection[str]], bool]
Argument = str | tuple[str, ...]

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_TEXTUAL = ("==", "!=", "in", "!in", "=~", "!~")


class ArgumentError(ValueError):
    """An argument that the subject cannot be compared with; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Subject:
    """``dynamic``: its value depends on tasks, not only on the instance's record."""

    operators: tuple[str, ...]
    compile: Callable[[str, Argument], Test]
    dynamic: bool = False


def attribute_test(name: str, operation: str, argument: Argument) -> Test:
    """A test of one attribute, built-in or custom."""
    if operation in ("exists", "!exists"):
        wanted = operation == "exists"
        return lambda instance, running, groups: (name in instance.attributes) is wanted
    compare = _text_test(operation, argument)
    return lambda instance, running, groups: compare(instance.attributes.get(name))


def _text_test(operation: str, argument: Argument) -> Callable[[str | None], bool]:
    """A comparison of text. A missing value passes the negative operators only."""
    if operation in ("!=", "!in", "!~"):
        positive = _text_test({"!=": "==", "!in": "in", "!~": "=~"}[operation], argument)
        return lambda value: not positive(value)
    if operation == "==":
        return lambda value: value == argument
    if operation == "in":
        members = frozenset(argument)
        return lambda value: value in members
    if operation == "=~":
        pattern = _pattern(argument)
        return lambda value: value is not None and pattern.matches(value)
    return _order_test(operation, str(argument))


def _pattern(argument: Argument) -> Pattern:
    try:
        return Pattern(str(argument))
    except PatternError as error:
        raise ArgumentError(f"a pattern ({error.message}, at its character {error.at + 1})") from error


def _order_test(operation: str, argument: str) -> Callable[[str | None], bool]:
    compare, number = _ORDERED[operation], _number(argument)

    def test(value: str | None) -> bool:
        if value is None:
            return False
        own = _number(value)
        return compare(value, argument) if number is None or own is None else compare(own, number)

    return test


def _number(text: str) -> float | None:
    plain = text.lstrip("+-").replace(".", "", 1)
    return float(text) if plain.isascii() and plain.isdigit() else None


def _measured(
    read: Callable[[str], Any], value_of: Callable[[ContainerInstance, int], Any]
) -> Callable[[str, Argument], Test]:
    """Tests of something with an order of its own. An instance that has no value passes ``!=`` only."""

    def compile_test(operation: str, argument: Argument) -> Test:
        compare, wanted = _ORDERED[operation], read(str(argument))

        def test(instance: ContainerInstance, running: int, groups: Collection[str]) -> bool:
            value = value_of(instance, running)
            return operation == "!=" if value is None else compare(value, wanted)

        return test

    return compile_test


def _read_version(text: str) -> tuple[int, ...]:
    version = _version(text)
    if version is None:
        raise ArgumentError("a version such as 1.14.5")
    return version


def _version(text: str | None) -> tuple[int, ...] | None:
    parts = (text or "").removeprefix("v").split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    numbers = [int(part) for part in parts]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _read_time(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentError("a time such as 2018-06-18T22:28:28+00:00 or a date such as 2018-06-18") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _read_count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ArgumentError("a number of tasks")
    return int(text)


def _connected(operation: str, argument: Argument) -> Test:
    items = (argument,) if isinstance(argument, str) else argument
    if operation not in ("=~", "!~") and not {"true", "false"}.issuperset(items):
        raise ArgumentError("true or false")
    compare = _text_test(operation, argument)
    return lambda instance, running, groups: compare("true" if instance.agent_connected else "false")


def _ec2_id(operation: str, argument: Argument) -> Test:
    compare = _text_test(operation, argument)
    return lambda instance, running, groups: compare(instance.ec2_instance_id)


def _task_group(operation: str, argument: Argument) -> Test:
    """Whether some task of such a group is there; a task that is to stop no longer counts."""
    negative = operation.startswith("!")
    compare = _text_test({"!=": "==", "!in": "in", "!~": "=~"}.get(operation, operation), argument)
    return lambda instance, running, groups: any(map(compare, groups)) is not negative


SUBJECTS: dict[str, Subject] = {
    "agentConnected": Subject(_TEXTUAL, _connected),
    "agentVersion": Subject(
        tuple(_ORDERED), _measured(_read_version, lambda instance, _: _version(instance.agent_version))
    ),
    "ec2InstanceId": Subject(_TEXTUAL, _ec2_id),
    "registeredAt": Subject(tuple(_ORDERED), _measured(_read_time, lambda instance, _: int(instance.registered_at))),
    "runningTasksCount": Subject(tuple(_ORDERED), _measured(_read_count, lambda _, running: running), True),
    "task:group": Subject(_TEXTUAL, _task_group, True),
}
