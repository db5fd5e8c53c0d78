"""What a request comes to: what is to be done for it, and what follows from each step. Pure.

CloudFormation asks for one thing at a time of a resource. Where a request finds a later one it has been given up (the
stack did not wait any longer), whatever the order in which they came: it makes nothing, or what it made goes again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from awsorch.cfn.contract import Action, Outcome, Progress, Provider, Request, same
from awsorch.core.model_custom_resources import CustomRequest
from awsorch.custom_resources.answers import NOTHING
from awsorch.custom_resources.messages import account_of, stack_name
from awsorch.custom_resources.roles import refused_role

#: CloudFormation waits an hour; what takes longer is told as failed while somebody listens. Seconds since it was sent.
LIMIT_S = 3000.0
#: Removing what came to nothing may take so long in addition, whoever still listens. Seconds.
UNDO_S = 3600.0
#: After a fault that passes the same step is tried again. Seconds.
AGAIN_S = 5.0
_PASSING = frozenset({"ServiceInternalError", "Throttling"})
_LATER = "A later request for this resource came before this one was complete."


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """How a request stands after a step, when to go on, and whether the step may have been done without our knowing."""

    record: CustomRequest
    delay_seconds: float = 0.0
    unsure: bool = False


def planned(
    record: CustomRequest, history: Sequence[CustomRequest], provider: Provider, roles: tuple[str, ...], now: float
) -> CustomRequest:
    """The request with what is to be done for it, or answered already."""
    if record.action == "DELETE":
        if record.physical_id.startswith(NOTHING):
            return answered(record, "SUCCESS")
        wrong = _wrong_type(record, provider)
        return answered(record, "FAILED", wrong) if wrong else _doing(record, "DELETE", record.physical_id)
    wrong = _wrong(record, history, provider, roles, now)
    if wrong:
        return answered(record, "FAILED", wrong)
    if record.action == "CREATE":
        return _doing(record, "CREATE", "")
    former = _replaced_before(record, history)
    if former is not None:
        # The stack turns back from a replacement. What was replaced is there still, as it was.
        return replace(_doing(record, "UPDATE", former.physical_id), previous=record.model)
    if provider.replaced_by(record.type, record.previous, record.model):
        return _doing(record, "CREATE", "")
    return _doing(record, "UPDATE", record.physical_id)


def request_of(record: CustomRequest, retried: bool) -> Request:
    """The step that is to be asked for."""
    # Names are another request's other ones: a replacement lives beside what it replaces.
    named = f"{record.stack_id} {record.logical_id} {record.request_id}"
    return Request(
        action=Action.DELETE if record.phase == "UNDO" else Action(record.doing),
        type=record.type,
        logical_id=record.logical_id,
        stack_name=stack_name(record.stack_id),
        stack_id=record.stack_id,
        token=hashlib.sha256(named.encode()).hexdigest(),
        model=record.model,
        previous=record.previous if record.doing == "UPDATE" else {},
        physical_id=record.made,
        attributes=record.attributes,
        callback=record.callback,
        retried=retried,
        since=record.since,
    )


def after(record: CustomRequest, progress: Progress, history: Sequence[CustomRequest], now: float) -> Next:
    """What follows from a step."""
    limit = LIMIT_S + (UNDO_S if record.phase == "UNDO" else 0.0)
    late = now - max(record.sent_at, record.since) > limit
    fresh = replace(
        record,
        made=progress.physical_id or record.made,
        attributes={**record.attributes, **progress.attributes},
        callback=dict(progress.callback),
    )
    if progress.outcome is Outcome.FAILED and progress.code in _PASSING and not late:
        return Next(record=record, delay_seconds=AGAIN_S, unsure=True)
    if record.phase == "UNDO":
        return _undone(fresh, progress, late)
    if is_given_up(record, history):
        return Next(record=_failed(fresh, _LATER, undo=fresh.doing == "CREATE"))
    if progress.outcome is Outcome.SUCCESS:
        return Next(record=answered(fresh, "SUCCESS"))
    if progress.outcome is Outcome.FAILED:
        return Next(record=_failed(fresh, f"{progress.message} ({progress.code})"))
    if late:
        return Next(record=_failed(fresh, f"It is still in progress after {LIMIT_S / 60:.0f} minutes."))
    return Next(record=fresh, delay_seconds=progress.delay_seconds)


def is_given_up(record: CustomRequest, history: Sequence[CustomRequest]) -> bool:
    """Whether a later request for the same resource is known. Deletions are never given up."""
    return record.action != "DELETE" and any(each.sent_at > record.sent_at for each in history)


def answered(record: CustomRequest, status: str, reason: str = "") -> CustomRequest:
    """The request, which is to be answered so."""
    return replace(record, phase="ANSWER", status=status, reason=reason, callback={})


def _failed(record: CustomRequest, reason: str, *, undo: bool = False) -> CustomRequest:
    """Of a replacement that failed nothing may stay, for CloudFormation keeps the former resource."""
    told = answered(record, "FAILED", reason)
    replacing = record.action == "UPDATE" and record.doing == "CREATE"
    return replace(told, phase="UNDO") if record.made and (undo or replacing) else told


def _undone(record: CustomRequest, progress: Progress, late: bool) -> Next:
    if progress.outcome is Outcome.IN_PROGRESS and not late:
        return Next(record=record, delay_seconds=progress.delay_seconds)
    reason = record.reason
    if progress.outcome is not Outcome.SUCCESS:
        reason += f" {record.made} could not be removed again: {progress.message or 'it takes too long'}"
    return Next(record=answered(record, "FAILED", reason))


def _doing(record: CustomRequest, what: str, id: str) -> CustomRequest:
    return replace(record, doing=what, made=id)


def _wrong_type(record: CustomRequest, provider: Provider) -> str:
    if record.type in provider.types():
        return ""
    known = ", ".join(sorted(provider.types()))
    return f"awsorch does not support AwsorchType '{record.type}'; it supports {known}."


def _wrong(
    record: CustomRequest, history: Sequence[CustomRequest], provider: Provider, roles: tuple[str, ...], now: float
) -> str:
    """Why a creation or update can't be begun, or ""."""
    if is_given_up(record, history):
        return _LATER
    if now - record.sent_at > LIMIT_S:
        return "The request came too late: CloudFormation does not wait for it any more."
    if record.former_type != record.type:
        return f"AwsorchType can't change from {record.former_type} to {record.type}; use another logical id."
    wrong = _wrong_type(record, provider)
    if wrong:
        return wrong
    partition = record.stack_id.split(":")[1]
    role = refused_role(record.model, account_of(record.stack_id), partition, roles)
    if role is None:
        return ""
    return (
        f"The role {role} may not be given to tasks and services. Roles that may be are named by the controller's "
        "setting AWSORCH_CUSTOM_RESOURCE_ROLES; without it, those of the stack's own account."
    )


def _replaced_before(record: CustomRequest, history: Sequence[CustomRequest]) -> CustomRequest | None:
    """The update that this one turns back from, where that was a replacement."""
    updates = [each for each in history if each.action == "UPDATE" and each.sent_at < record.sent_at]
    last = updates[-1] if updates else None
    if last is None or last.doing != "CREATE" or record.physical_id not in (last.made, last.physical_id):
        return None
    if any(each.action == "DELETE" and each.physical_id == last.physical_id for each in history):
        return None
    turned = same(last.previous, record.model) and same(last.model, record.previous)
    return last if turned else None
