"""What an instance lacks of the attributes that a task asks for, in words."""

from __future__ import annotations

import pytest

from awsorch.core.placement.lacking import lacking
from tests.support.builders import an_instance


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((), ""),
        ((("a", None), ("b", "1")), ""),
        ((("c", None),), "The container instance has not c."),
        ((("c", None), ("b", "2"), ("a", None)), "The container instance has not c, b=2."),
        (
            (("c", None), ("ecs.capability.task-eni", None)),
            "The container instance has not c, ecs.capability.task-eni: network mode awsvpc needs ECS_ENABLE_TASK_ENI.",
        ),
    ],
)
def test_what_is_missing_is_named(wanted: tuple[tuple[str, str | None], ...], said: str) -> None:
    assert lacking(an_instance(attributes={"a": None, "b": "1"}), wanted) == said
