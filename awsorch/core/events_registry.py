"""What happens to task definitions and account settings in the registry partition. Values, like all events."""

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
