"""Requests of CloudFormation for custom resources, as they are kept until they are answered, and a while longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomRequest:
    """One request, and how it stands.

    `action` is CREATE, UPDATE or DELETE; `physical_id` the one that it names. `sent_at` (by the topic) and `since`
    (when it was read) are seconds since 1970. `phase`: DO, UNDO (what came of a creation that failed is removed),
    ANSWER, or DONE. `doing` is what is done for it: an update may need another resource, which is CREATE; "" before
    it is known. `made` is the resource that is worked on, `callback` what its last step answered. `status` is SUCCESS
    or FAILED, with a `reason`; `tries` counts answers that did not arrive.
    """

    key: str
    stack_id: str
    request_id: str
    logical_id: str
    action: str
    type: str
    model: Mapping[str, Any]
    previous: Mapping[str, Any] = field(default_factory=dict)
    former_type: str = ""
    physical_id: str = ""
    response_url: str = field(default="", repr=False)
    sent_at: float = 0.0
    since: float = 0.0
    phase: str = "DO"
    doing: str = ""
    made: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    callback: Mapping[str, Any] = field(default_factory=dict)
    status: str = ""
    reason: str = ""
    tries: int = 0
