"""What a table says of a resource type: the calls that make, change, read and remove it, and how its properties go in.

Wherever a member of a call is text that begins with `$`, the rest is a JMESPath expression over what is known at that
moment: the properties by their names, `id`, `name` (the generated one), `answer` (of the create call), `read`, `item`,
`tags` and `tag_map`, `region`, `account`, `token`, and while tags change `fresh`, `fresh_map` and `gone`; `tagged`,
`retagged` and `untagged` are the same with all that the template says of a tag and the `ResourceId`. What
comes out as null is left out of the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """A call. `takes`: the properties that go in under their own names; None for all that the operation has a member
    for."""

    name: str
    members: Mapping[str, Any] = field(default_factory=dict)
    takes: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is set by a call of its own: after the creation where one of `on` is there, later where one has changed.
    `unset` is called when all of them were taken away; without it that can't be done."""

    on: tuple[str, ...]
    op: Op
    at_create: bool = True
    at_update: bool = True
    unset: Op | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list that is kept by adding and removing one item at a time. `known`: codes that say that an item is there
    already, or not there any more. `at_delete`: the items go before the resource can. `also`: properties whose change
    concerns every item."""

    property: str
    add: Op
    remove: Op
    known: frozenset[str] = frozenset()
    at_delete: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """How tags go in: members of the create call, and the calls that set and take away. `property` is the template's
    name for them; `reserved`: CloudFormation's own tags (`aws:…`) may be set too; `apart`: they are set by a call of
    their own after the creation."""

    at_create: Mapping[str, Any] = field(default_factory=dict)
    set: Op
    unset: Op
    property: str = "Tags"
    reserved: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A call before those that set something, where a property asks for it; its answer is `drafted` to them."""

    on: str
    op: Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A resource type.

    `id`: what Ref gives, and `attributes`: what GetAtt gives, as expressions; `read`: the call that tells how it is,
    `found` the part of its answer. `ready`: an expression over what was found that has to be true, `broken` one that
    says why it never will be. `identify`: a call after the creation whose `answer` has the id, where that of the create
    call has not; `told`: attributes that nobody tells but the answer to the create call. `adopt`: the call that finds
    what an interrupted creation made, `adopted` its id; `exists`: codes that say to a retried creation
    that it was done. `gone`, `busy`: codes that say that it is not there, or can't
    go yet. `snapshots`: the calls in place of `delete` that leave a snapshot. `named`: the property that is a name, and
    its longest length; `renamed`: properties that the API calls something else.
    """

    type: str
    service: str
    create: Op | None
    id: str
    delete: Op | None = None
    snapshots: tuple[Op, ...] = ()
    read: Op | None = None
    found: str = "answer"
    attributes: Mapping[str, str] = field(default_factory=dict)
    ready: str = ""
    broken: str = ""
    draft: Draft | None = None
    settings: tuple[Setting, ...] = ()
    items: tuple[Items, ...] = ()
    tagging: Tagging | None = None
    adopt: Op | None = None
    adopted: str = ""
    gone: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    named: tuple[str, int] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    name_is_lower: bool = False
    waits_until_gone: bool = False
    identify: Op | None = None
    exists: frozenset[str] = frozenset()
    told: Mapping[str, str] = field(default_factory=dict)
