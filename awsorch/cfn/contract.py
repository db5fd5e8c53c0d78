"""How a resource of a template is made, changed and removed, in bounded steps: what is asked, and what came of it.

One contract for every host: the local stack engine loops over the steps, a queue's worker would put them off. A step
does not wait: what takes time is answered with IN_PROGRESS, and the step is asked for again with what it said last
(CloudFormation's resource provider contract has the same shape).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

Properties = Mapping[str, Any]
OWN_WORDS = "OwnWords"
"""The code of a failure whose message stands as it is in events, since no handler's is it."""


class Action(Enum):
    """What is to be done with a resource."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


class Outcome(Enum):
    """What came of a step."""

    SUCCESS = "SUCCESS"
    IN_PROGRESS = "IN_PROGRESS"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One step that is asked for.

    `model`: the resource's properties as the template has them, intrinsics resolved; for DELETE those that it was made
    with. `previous`: those before an update. `callback`: what the last step of the same action answered. `token`:
    the same for every step of making this resource, other than that of any other; names follow from it. `retried`: an
    earlier step may have been carried out and its answer lost. `since`: when the action began, seconds since 1970.
    `tags`: the stack's own, `previous_tags` those before an update. `snapshot`: a DELETE is to leave a snapshot.
    """

    action: Action
    type: str
    logical_id: str
    stack_name: str
    token: str
    model: Properties
    previous: Properties = field(default_factory=dict)
    physical_id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    callback: Mapping[str, Any] = field(default_factory=dict)
    stack_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    previous_tags: Mapping[str, str] = field(default_factory=dict)
    retried: bool = False
    since: float = 0.0
    snapshot: bool = False

    def name(self, limit: int = 255, form: str = "{stack}-{logical}-{random}") -> str:
        """A name as CloudFormation makes them, of at most so many characters; the same each time."""
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        random = _letters(int(digest, 16))
        room = limit - len(form.format(stack="", logical="", random=random))
        logical = self.logical_id[: max(room // 2, room - len(self.stack_name))]
        return form.format(stack=self.stack_name[: room - len(logical)], logical=logical, random=random)

    def changed(self) -> set[str]:
        """The names of the properties that an update changes."""
        names = self.model.keys() | self.previous.keys()
        return {name for name in names if not same(self.model.get(name), self.previous.get(name))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What came of a step. `physical_id` as soon as something exists, also of what failed then. `code` is one of
    CloudFormation's handler error codes ("NotStabilized"), or OWN_WORDS. `delay_seconds`: when to ask again.
    `secret`: the attributes are shown to nobody."""

    outcome: Outcome
    physical_id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    delay_seconds: float = 0.0
    callback: Mapping[str, Any] = field(default_factory=dict)
    secret: bool = False


class CallRefused(Exception):
    """An AWS service has refused a call, or could not be reached (code "ServiceUnavailable")."""

    def __init__(self, *, service: str, operation: str, code: str, message: str) -> None:
        super().__init__(f"{message} (Service: {service}, Operation: {operation}, Error Code: {code})")
        self.code = code
        self.said = message


class AwsCalls(Protocol):
    """AWS as a client calls it."""

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call an operation by its API name ("CreateCluster"), with botocore's member names. Raises CallRefused."""


class Provider(Protocol):
    """Makes resources of some types."""

    def types(self) -> frozenset[str]:
        """The names of the types ("AWS::ECS::Cluster")."""

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        """The names of the changed properties that need another physical resource."""

    async def step(self, request: Request) -> Progress:
        """Do the next step. Never raises for what AWS or the template got wrong."""


def done(physical_id: str, **attributes: Any) -> Progress:
    """The action is complete."""
    return Progress(outcome=Outcome.SUCCESS, physical_id=physical_id, attributes=attributes)


def waiting(physical_id: str, delay_seconds: float = 0.5, **callback: Any) -> Progress:
    """Something is there, or going, and not settled."""
    return Progress(
        outcome=Outcome.IN_PROGRESS, physical_id=physical_id, delay_seconds=delay_seconds, callback=callback
    )


def failed(message: str, code: str = "InvalidRequest", physical_id: str = "") -> Progress:
    """The action can't be carried out."""
    return Progress(outcome=Outcome.FAILED, physical_id=physical_id, code=code, message=message)


def same(one: Any, other: Any) -> bool:
    """Whether two values of a template mean the same: "80" is 80 and "true" is true there."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, list | Mapping) or isinstance(other, list | Mapping):
        return False
    return scalar_text(one) == scalar_text(other)


def scalar_text(value: Any) -> str | None:
    """A scalar of a template as text; None stays None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _letters(number: int) -> str:
    """Twelve letters and digits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    letters = []
    for _ in range(12):
        number, rest = divmod(number, len(alphabet))
        letters.append(alphabet[rest])
    return "".join(letters)
