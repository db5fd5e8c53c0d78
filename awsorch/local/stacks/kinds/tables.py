"""All tables together."""

from __future__ import annotations

from awsorch.local.stacks.kinds import (
    balancing,
    beyond,
    discovery,
    ec2,
    fleets,
    functions,
    identity,
    machines,
    people,
    stores,
    upkeep,
)
from awsorch.local.stacks.kinds.kind import Kind

_MODULES = (ec2, fleets, machines, identity, people, balancing, stores, beyond, discovery, upkeep, functions)

KINDS: dict[str, Kind] = {kind.type: kind for module in _MODULES for kind in module.KINDS}
