"""All tables together."""

from __future__ import annotations

from awsorch.local.stacks.kinds import balancing, beyond, ec2, fleets, functions, identity, stores
from awsorch.local.stacks.kinds.kind import Kind

_TABLES = (ec2.KINDS, fleets.KINDS, identity.KINDS, balancing.KINDS, stores.KINDS, beyond.KINDS, functions.KINDS)

KINDS: dict[str, Kind] = {kind.type: kind for table in _TABLES for kind in table}
