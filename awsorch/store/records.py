"""How records become bytes and come back: the one table of stored kinds, their versions and upgrades.

A stored row carries its kind's name and version. Renaming a class is free; renaming or retyping a member, or
giving one a new meaning, needs an upgrade here, so that rows written by every earlier awsorch still load.
What does not fit (unknown kind or member, wrong type, a newer version) is refused: to drop it silently would
lose data at the next write. This module may not touch files or know who stores the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

import msgspec

from awsorch.core import model, model_access, model_capacity, model_custom_resources, model_services
from awsorch.engine.ports import Change, StoreFailure

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]

_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, Any]).decode


class Kind:
    """One stored kind: ``name`` as rows carry it and the record class.

    ``upgrades[i]`` turns the members of a row of version i + 1 into those of version i + 2.
    """

    __slots__ = ("_members", "name", "record", "upgrades")

    def __init__(self, name: str, record: type[Any], upgrades: Sequence[Upgrade] = ()) -> None:
        self.name = name
        self.record = record
        self.upgrades = tuple(upgrades)
        self._members = frozenset(field.name for field in fields(record))

    @property
    def version(self) -> int:
        """The version that rows are written in."""
        return len(self.upgrades) + 1

    def decode(self, version: int, body: bytes) -> Any:
        """The record of a row. Raises StoreFailure where the row does not fit the class."""
        if not 1 <= version <= self.version:
            raise StoreFailure(
                f"{self.name} is stored in version {version}; this awsorch reads versions 1 to {self.version}: "
                "run the awsorch that wrote it, or a newer one"
            )
        try:
            members = _decode_members(body)
            for upgrade in self.upgrades[version - 1 :]:
                members = upgrade(members)
            unknown = members.keys() - self._members
            if unknown:
                raise msgspec.ValidationError(f"unknown members {', '.join(sorted(unknown))}")
            return msgspec.convert(members, self.record)
        except (msgspec.MsgspecError, KeyError, TypeError) as error:
            raise StoreFailure(f"a stored {self.name} does not fit: {error}") from error


def _task_2(members: dict[str, Any]) -> dict[str, Any]:
    """Attachments became records. Nothing was attached to tasks before."""
    return {**members, "attachments": ()}


KINDS = (
    Kind("cluster", model.Cluster),
    Kind("family", model.Family),
    Kind("task-definition", model.TaskDefinition),
    Kind("account-setting", model.AccountSetting),
    Kind("gate", model.Gate),
    Kind("container-instance", model.ContainerInstance),
    Kind("task", model.Task, (_task_2,)),
    Kind("run-token", model.RunToken),
    Kind("service", model_services.Service),
    Kind("service-revision", model_services.ServiceRevision),
    Kind("deployment", model_services.Deployment),
    Kind("service-deployment", model_services.ServiceDeployment),
    Kind("service-event", model_services.ServiceEvent),
    Kind("target", model_services.Target),
    Kind("capacity-provider", model_capacity.CapacityProvider),
    Kind("provider", model_capacity.Provider),
    Kind("machine", model_capacity.Machine),
    Kind("launch", model_capacity.Launch),
    Kind("activation", model_access.Activation),
    Kind("external-instance", model_access.ExternalInstance),
    Kind("custom-request", model_custom_resources.CustomRequest),
)

_BY_NAME = {kind.name: kind for kind in KINDS}
_BY_RECORD = {kind.record: kind for kind in KINDS}


class Row(msgspec.Struct, frozen=True):
    """A change as stores see it; ``body`` None removes the row."""

    kind: str
    key: str
    version: int
    body: bytes | None


def rows_of(changes: Iterable[Change]) -> list[Row]:
    """The rows of a commit, one a (kind, key): where a record changed twice the last change counts.

    Raises TypeError for a class that has no kind: a bug, not a failure.
    """
    rows: dict[tuple[type[Any], str], Row] = {}
    for change in changes:
        kind = _BY_RECORD.get(change.kind)
        if kind is None:
            raise TypeError(f"{change.kind.__name__} is not a stored kind")
        body = None if change.record is None else _encode(change.record)
        rows[change.kind, change.key] = Row(kind.name, change.key, kind.version, body)
    return list(rows.values())


def record_of(kind: str, key: str, version: int, body: bytes) -> Any:
    """The record of a stored row. Raises StoreFailure naming the row where it cannot be read."""
    known = _BY_NAME.get(kind)
    if known is None:
        raise StoreFailure(f"row {kind} {key}: this awsorch knows no such kind; a newer one wrote it")
    try:
        return known.decode(version, body)
    except StoreFailure as failure:
        raise StoreFailure(f"row {kind} {key}: {failure}") from failure
