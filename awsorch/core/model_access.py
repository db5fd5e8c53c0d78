"""Who may join from outside: activations, and the external instances that joined by them. Registry partition.

An external instance is a machine that is no EC2 instance (ECS Anywhere's shape). Nothing here is secret: of an
activation's code only a digest is kept, and secret access keys are derived from their ids, never stored. What a record
is holds as in ``model.py``. Source: Systems Manager API, CreateActivation and DescribeActivations, for the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: What the ids of external instances begin with, as Systems Manager has it; those of EC2 instances begin with "i-".
EXTERNAL_PREFIX = "mi-"
#: The attribute of every external instance.
EXTERNAL = "ecs.capability.external"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A permission for up to ``limit`` machines to join a cluster. ``code_digest``: SHA-256 of its code, in hex.
    ``joined``: how many machines have, revoked ones too."""

    id: str
    cluster: str
    code_digest: str
    limit: int
    joined: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    created_by: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None

    @property
    def key(self) -> str:
        return self.id

    def status(self, now: float) -> str:
        """ACTIVE, or why no machine can join by it any more: REVOKED, EXPIRED, SPENT."""
        if self.revoked_at is not None:
            return "REVOKED"
        if now >= self.expires_at:
            return "EXPIRED"
        return "SPENT" if self.joined >= self.limit else "ACTIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalInstance:
    """A machine that joined: ``id`` is mi- and 17 hex digits, ``fingerprint`` what the machine says it is known by,
    ``access_key_id`` the key that its agent signs with."""

    id: str
    activation: str
    cluster: str
    fingerprint: str
    access_key_id: str
    joined_at: float
    revoked_at: float | None = None

    @property
    def key(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """The machine whose agent signs with a key: an external instance, for its ``cluster`` alone; or an EC2 instance,
    which may join any (None)."""

    id: str
    cluster: str | None

    @property
    def is_external(self) -> bool:
        """Whether EC2 knows nothing of it."""
        return is_external(self.id)


def is_external(machine_id: str | None) -> bool:
    """Whether a container instance's machine is an external instance: EC2 knows nothing of it."""
    return machine_id is not None and machine_id.startswith(EXTERNAL_PREFIX)
