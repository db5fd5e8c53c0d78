"""What happens to task definitions, account settings and activations in the registry partition. Values, like all
events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.core.arn import Scope
from awsorch.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterTaskDefinition(Event):
    """RegisterTaskDefinition: ``document`` as ``definitions.register.prepare`` made it. Reply: the TaskDefinition."""

    document: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)
    registered_by: str
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class DeregisterTaskDefinition(Event):
    """DeregisterTaskDefinition. Reply: the TaskDefinition, now INACTIVE."""

    family: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTaskDefinitions(Event):
    """DeleteTaskDefinitions by key (family:revision). Reply: DeletedTaskDefinitions."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetTaskDefinitions(Event):
    """Nothing uses these DELETE_IN_PROGRESS revisions any more. Reply: the keys that were forgotten."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAccountSetting(Event):
    """PutAccountSetting and PutAccountSettingDefault (for the root principal). Reply: the AccountSetting."""

    name: str
    value: str
    principal_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAccountSetting(Event):
    """DeleteAccountSetting. Reply: nothing; what then applies is read from the state."""

    name: str
    principal_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateActivation(Event):
    """Let up to ``limit`` machines join the cluster for ``lifetime_seconds``. Reply: the Activation."""

    id: str
    cluster: str
    code_digest: str
    limit: int
    lifetime_seconds: float
    attributes: Mapping[str, str] = field(default_factory=dict)
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinInstance(Event):
    """A machine shows an activation's code. ``instance_id`` is used if it has not joined before, ``access_key_id`` in
    any case. Reply: the ExternalInstance."""

    activation: str
    code_digest: str
    fingerprint: str
    instance_id: str
    access_key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeAccess(Event):
    """End what an activation or an external instance (by its mi- id) may do. Reply: the record."""

    id: str
