"""From a RegisterTaskDefinition request to the document that is stored. May not know revisions, tables or time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.core.definitions.attributes import required_attributes
from awsorch.core.definitions.compatibilities import compatibilities_of
from awsorch.core.definitions.defaults import with_defaults
from awsorch.core.definitions.validate import validate

#: Members that ECS computes; whatever a caller sends under these names is not part of the request.
COMPUTED = ("compatibilities", "requiresAttributes")


def prepare(request: Mapping[str, Any], *, region: str, account: str) -> dict[str, Any]:
    """The complete definition of a RegisterTaskDefinition request (ECS's shape, decoded, without tags).

    Adds defaults, ``compatibilities`` and ``requiresAttributes``; cpu and memory become text of plain integers.
    Preparing what it returned gives the same again. Raises Refusal (ClientException; source: API reference,
    RegisterTaskDefinition, and the developer guide, "Task definition parameters").
    """
    given = {member: value for member, value in request.items() if member not in COMPUTED and value is not None}
    document = with_defaults(given, region=region, account=account)
    validate(document)
    document["compatibilities"] = compatibilities_of(document)
    document["requiresAttributes"] = required_attributes(document)
    return document
