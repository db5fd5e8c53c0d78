"""What is known of a stack: what it should be, what it is, what is being done to it. Written down before it is done, so
that whoever starts again can carry on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Touch(Enum):
    """What the operation under way does to a resource."""

    NONE = "NONE"
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    REPLACE = "REPLACE"
    UNDO = "UNDO"
    """An update is taken back; `before` is then what the update made of it."""


class Phase(Enum):
    """How far an operation is."""

    APPLY = "APPLY"
    ROLLBACK = "ROLLBACK"
    CLEANUP = "CLEANUP"
    """What is not wanted any more is deleted; what is wanted stands."""
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a stack should be. `parameters` are the values given, as text; `resolved` those that SSM had for them;
    `original` the template that transforms made this one from, empty where there were none."""

    template: str
    original: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is being done to a stack. `why` is what made it turn back; `of_create`: the stack is being made."""

    phase: Phase
    wanted: Wanted
    of_create: bool = False
    on_failure: str = "ROLLBACK"
    turned_back: bool = False
    why: str = ""
    retain: tuple[str, ...] = ()
    token: str = ""
    policy: str = ""
    """The stack policy that holds instead of the stack's while this goes on."""
    deadline: float | None = None
    """When a creation is given up, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """An output; `export` is the name that other stacks import it by, or ""."""

    key: str
    value: str
    description: str = ""
    export: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack. Times in seconds since 1970."""

    id: str
    name: str
    status: str
    created_at: float
    wanted: Wanted
    reason: str = ""
    description: str = ""
    updated_at: float | None = None
    deleted_at: float | None = None
    outputs: tuple[Output, ...] = ()
    imports: tuple[str, ...] = ()
    operation: Operation | None = None
    protected: bool = False
    role_arn: str = ""
    notification_arns: tuple[str, ...] = ()
    change_set_id: str = ""
    timeout_minutes: int | None = None
    disable_rollback: bool = False
    policy: str = ""
    """The stack policy, as text; empty where there is none."""
    made: int = 0
    """How many physical resources were begun; the next one's generation."""

    @property
    def is_busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource as it stands. `model` is what it was last asked to be, with dynamic references unresolved; `needs`:
    the logical ids that it refers to; `before`: what it was when the operation under way touched it; `settled`: the
    operation under way is through with it; `retired`: it is to be deleted; `secret`: its attributes
    are not shown."""

    logical_id: str
    type: str
    generation: int
    status: str
    updated_at: float
    physical_id: str = ""
    reason: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    update_policy: dict[str, Any] = field(default_factory=dict)
    callback: dict[str, Any] = field(default_factory=dict)
    since: float = 0.0
    touch: Touch = Touch.NONE
    settled: bool = False
    retired: bool = False
    secret: bool = False
    before: Resource | None = None

    @property
    def key(self) -> str:
        """Its name in the store: a retired one stands beside the one that took its place."""
        return f"{self.logical_id}#{self.generation}" if self.retired else self.logical_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to a stack or to one of its resources."""

    id: str
    stack_id: str
    stack_name: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    at: float
    reason: str = ""
    properties: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a change set would do to a resource: `action` Add, Modify or Remove; `replacement` True, False or
    Conditional; `names` of the properties that differ."""

    action: str
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""
    names: tuple[str, ...] = ()
    replacing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """A planned change of a stack."""

    id: str
    name: str
    stack_id: str
    kind: str
    wanted: Wanted
    created_at: float
    status: str
    execution_status: str
    reason: str = ""
    description: str = ""
    changes: tuple[Change, ...] = ()
    on_failure: str = "ROLLBACK"
