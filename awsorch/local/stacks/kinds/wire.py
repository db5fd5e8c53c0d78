"""Makes resources over the wire as their tables say. Implements Provider for all kinds at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from awsorch.cfn.contract import (
    Action,
    AwsCalls,
    CallRefused,
    Outcome,
    Progress,
    Properties,
    Request,
    done,
    failed,
    same,
    scalar_text,
    waiting,
)
from awsorch.cfn.shapes import Unfit
from awsorch.local.stacks.kinds.filling import look, members_of, taken_at_create
from awsorch.local.stacks.kinds.kind import Items, Kind, Op, Setting, Tagging
from awsorch.local.stacks.schemas import Schemas

_BUSY_LIMIT_SECONDS = 300.0


class WireProvider:
    """Resources of the kinds in the tables."""

    def __init__(
        self, calls: AwsCalls, kinds: Mapping[str, Kind], schemas: Schemas, *, region: str, account_id: str
    ) -> None:
        self._calls = calls
        self._kinds = kinds
        self._schemas = schemas
        self._place = {"region": region, "account": account_id}

    def types(self) -> frozenset[str]:
        return frozenset(self._kinds)

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return self._schemas.replaced_by(type, previous, model)

    async def step(self, request: Request) -> Progress:
        work = _Work(self._calls, self._kinds[request.type], request, self._place)
        does = {Action.CREATE: work.create, Action.UPDATE: work.update, Action.DELETE: work.delete}
        try:
            return await does[request.action]()
        except Unfit as error:
            said = f"Properties validation failed for resource {request.logical_id} with message:[{error}]"
            return failed(said, physical_id=request.physical_id)
        except CallRefused as error:
            return failed(str(error), _code(error), request.physical_id)


class _Work:
    """One step of one resource."""

    def __init__(self, calls: AwsCalls, kind: Kind, request: Request, place: Mapping[str, str]) -> None:
        self._calls = calls
        self._kind = kind
        self._request = request
        self._model = _with_name(kind, request)
        self._known: dict[str, Any] = {
            **self._model,
            **place,
            "attributes": request.attributes,
            "id": request.physical_id,
            "name": self._model.get(kind.named[0]) if kind.named else request.name(),
            "stack": request.stack_name,
            "token": request.token,
        }
        self._tags = _tags_of(kind.tagging, request, request.model, request.tags)
        self._known |= {"tags": _as_list(self._tags), "tag_map": self._tags, "tagged": self._tagged(self._tags)}

    async def create(self) -> Progress:
        """Make it; then what is set by calls of its own; then until it is ready."""
        kind, request = self._kind, self._request
        unknown = [name for name in self._model if not self._handles(name)]
        if unknown:
            return failed(f"Encountered unsupported property {unknown[0]}")
        if not request.physical_id:
            self._known["answer"] = await self._made()
            if kind.identify is not None and "adopted" not in self._known["answer"]:
                self._known["answer"] = await self._call(kind.identify)
            id = str(look(kind.id, self._known))
            return waiting(id, 0.0, stage="made", **_found(kind.told, self._known))
        if request.callback.get("stage", "made") == "made":
            for setting in kind.settings:
                if setting.at_create and any(name in self._model for name in setting.on):
                    await self._call(setting.op)
            for items in kind.items:
                for item in self._model.get(items.property) or []:
                    await self._call_item(items, items.add, item)
            if kind.tagging is not None and kind.tagging.apart and self._tags:
                await self._call(kind.tagging.set)
        return await self._settled()

    async def update(self) -> Progress:
        """Change what differs, then until it is ready."""
        kind, request = self._kind, self._request
        if not request.callback:
            changed = request.changed()
            fixed = [name for name in sorted(changed) if not self._can_change(name)]
            if fixed:
                said = f"The property {fixed[0]} of {kind.type} can't be changed in the local cloud."
                return failed(said, "NotUpdatable", request.physical_id)
            await self._prepare(changed)
            for setting in kind.settings:
                if setting.at_update and changed & set(setting.on):
                    await self._change(setting)
            for items in kind.items:
                if changed & {items.property, *items.also}:
                    await self._change_items(items, bool(changed & set(items.also)))
            await self._change_tags()
        return await self._settled()

    async def delete(self) -> Progress:
        """Remove it; what can't go yet is tried again for a while."""
        kind, request = self._kind, self._request
        try:
            if request.callback.get("stage") == "deleted":
                return await self._vanished()
            for items in kind.items:
                if items.at_delete:
                    for item in self._model.get(items.property) or []:
                        await self._call_item(items, items.remove, item)
            for op in kind.snapshots if request.snapshot else (kind.delete,):
                if op is not None:
                    await self._call(op)
        except CallRefused as error:
            if error.code in kind.gone:
                return done(request.physical_id)
            tries = int(request.callback.get("tries", 0))
            if error.code not in kind.busy or tries >= _BUSY_LIMIT_SECONDS:
                raise
            return waiting(request.physical_id, 1.0, tries=tries + 1)
        if kind.waits_until_gone:
            return waiting(request.physical_id, 0.2, stage="deleted")
        return done(request.physical_id)

    async def _made(self) -> Mapping[str, Any]:
        kind = self._kind
        if self._request.retried and kind.adopt is not None:
            try:
                answer = await self._call(kind.adopt)
            except CallRefused as error:
                if error.code not in kind.gone:
                    raise
                answer = {}
            found = look(kind.adopted or kind.id, {**self._known, "answer": answer}) if answer else None
            if found:
                return answer if not kind.adopted else {"adopted": found}
        if kind.create is None:
            return {}
        await self._prepare({kind.draft.on} if kind.draft else set())
        at_create = kind.tagging.at_create if kind.tagging and self._tags else {}
        op = Op(name=kind.create.name, members={**kind.create.members, **at_create}, takes=kind.create.takes)
        try:
            return await self._call(op)
        except CallRefused as error:
            if not self._request.retried or error.code not in kind.exists:
                raise
            return {}

    async def _prepare(self, names: set[str]) -> None:
        """Make the draft where the property is there, and among these."""
        draft = self._kind.draft
        if draft is not None and draft.on in names and draft.on in self._model:
            self._known["drafted"] = await self._call(draft.op)

    async def _settled(self) -> Progress:
        kind, id = self._kind, self._request.physical_id
        read = await self._read() if kind.read is not None else {}
        if kind.read is not None and not read:
            return failed(f"{kind.type} {id} is not there any more.", "NotFound", id)
        known = {**self._known, "read": read}
        why = look(kind.broken, known) if kind.broken else None
        if why:
            return failed(str(why), "NotStabilized", id)
        if kind.ready and not look(kind.ready, known):
            return waiting(id, **{**self._request.callback, "stage": "settling"})
        callback, known_before = self._request.callback, self._request.attributes
        told = {name: callback.get(name, known_before.get(name)) for name in kind.told}
        attributes = {**told, **_found(kind.attributes, known)}
        return Progress(outcome=Outcome.SUCCESS, physical_id=id, attributes=attributes)

    async def _vanished(self) -> Progress:
        id = self._request.physical_id
        return waiting(id, stage="deleted") if await self._read() else done(id)

    async def _read(self) -> Any:
        kind = self._kind
        assert kind.read is not None, f"{kind.type} says how it is read"
        try:
            answer = await self._call(kind.read)
        except CallRefused as error:
            if error.code in kind.gone:
                return None
            raise
        return look(kind.found, {**self._known, "answer": answer})

    async def _change(self, setting: Setting) -> None:
        if any(name in self._model for name in setting.on):
            await self._call(setting.op)
            return
        if setting.unset is None:
            said = f"{', '.join(setting.on)} of {self._kind.type} can't be taken away in the local cloud."
            raise Unfit(said)
        await self._call(setting.unset)

    async def _change_items(self, items: Items, all_of_them: bool) -> None:
        before = self._request.previous.get(items.property) or []
        after = self._model.get(items.property) or []
        for item in before:
            if not any(same(item, each) for each in after):
                await self._call_item(items, items.remove, item)
        for item in after:
            if all_of_them or not any(same(item, each) for each in before):
                await self._call_item(items, items.add, item)

    async def _change_tags(self) -> None:
        tagging, request = self._kind.tagging, self._request
        if tagging is None:
            return
        before = _tags_of(tagging, request, request.previous, request.previous_tags)
        fresh = {key: value for key, value in self._tags.items() if before.get(key) != value}
        gone = sorted(before.keys() - self._tags.keys())
        self._known |= {"fresh": _as_list(fresh), "fresh_map": fresh, "gone": gone}
        self._known |= {"retagged": self._tagged(fresh), "untagged": self._tagged(dict.fromkeys(gone, ""))}
        if fresh:
            await self._call(tagging.set)
        if gone:
            await self._call(tagging.unset)

    def _tagged(self, tags: Mapping[str, str]) -> list[dict[str, Any]]:
        """Tags with what the template says beside key and value, and whose they are."""
        tagging = self._kind.tagging
        own = self._request.model.get(tagging.property) if tagging is not None else None
        more = {str(each["Key"]): each for each in own} if isinstance(own, list) else {}
        id = self._request.physical_id or self._known["name"]
        return [{**more.get(key, {}), "Key": key, "Value": value, "ResourceId": id} for key, value in tags.items()]

    async def _call_item(self, items: Items, op: Op, item: Any) -> None:
        try:
            await self._call(op, item=item)
        except CallRefused as error:
            if error.code not in items.known:
                raise

    async def _call(self, op: Op, **more: Any) -> Mapping[str, Any]:
        members = members_of(self._kind, op, self._model, {**self._known, **more})
        return await self._calls.call(self._kind.service, op.name, members)

    def _handles(self, name: str) -> bool:
        if name == self._kind.id or (self._kind.named and name == self._kind.named[0]):
            return True
        of_items = any(re.search(rf"\${name}\b", str(items.add.members)) for items in self._kind.items)
        return of_items or taken_at_create(self._kind, name) or self._can_change(name)

    def _can_change(self, name: str) -> bool:
        kind = self._kind
        if kind.tagging is not None and name == kind.tagging.property:
            return True
        return any(name in setting.on for setting in kind.settings) or any(
            name in (items.property, *items.also) for items in kind.items
        )


def _found(expressions: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """What the expressions find; without those that find nothing."""
    found = {name: look(expression, known) for name, expression in expressions.items()}
    return {name: value for name, value in found.items() if value is not None}


def _with_name(kind: Kind, request: Request) -> dict[str, Any]:
    model = dict(request.model)
    if kind.named and not model.get(kind.named[0]):
        name = request.name(kind.named[1])
        model[kind.named[0]] = name.lower() if kind.name_is_lower else name
    return model


def _tags_of(
    tagging: Tagging | None, request: Request, model: Mapping[str, Any], stack_tags: Mapping[str, str]
) -> dict[str, str]:
    if tagging is None:
        return {}
    own = model.get(tagging.property) or []
    pairs = own.items() if isinstance(own, Mapping) else ((each["Key"], each.get("Value")) for each in own)
    tags = {**stack_tags, **{str(key): scalar_text(value) or "" for key, value in pairs}}
    if tagging.reserved:
        tags |= {
            "aws:cloudformation:logical-id": request.logical_id,
            "aws:cloudformation:stack-name": request.stack_name,
        }
    return tags


def _as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _code(error: CallRefused) -> str:
    code = error.code
    if "AlreadyExists" in code or "Duplicate" in code or code.endswith("Exists"):
        return "AlreadyExists"
    if "NotFound" in code or "NoSuch" in code:
        return "NotFound"
    if "AccessDenied" in code or "Unauthorized" in code:
        return "AccessDenied"
    if "Throttl" in code:
        return "Throttling"
    return "ServiceInternalError" if code in ("ServiceUnavailable", "InternalFailure") else "InvalidRequest"
