"""Carries one resource through the steps of an action, until it is settled, is given up, or takes too long."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace

from awsorch.cfn.contract import (
    OWN_WORDS,
    Action,
    AwsCalls,
    CallRefused,
    Outcome,
    Progress,
    Provider,
    Request,
    done,
    failed,
)
from awsorch.local.stacks.dynamic import resolve
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.group_updates import ROLLING, Rolling, is_signalled, rolls, without_sizes
from awsorch.local.stacks.journal import Journal
from awsorch.local.stacks.mailbox import Mailbox
from awsorch.local.stacks.records import Resource, Touch
from awsorch.local.stacks.signalled_updates import Batches, SignalledUpdate
from awsorch.local.stacks.signals import CONDITION, MOST_SECONDS, delay, heard
from awsorch.local.stacks.signals import Wanted as WantedSignals

_log = logging.getLogger(__name__)

LIMIT_SECONDS = 3 * 3600.0
"""CloudFormation waits this long for a service to become stable; for most else less."""
_REFRESH_SECONDS = 1.0
CANCELLED = "Cancelled"
"""The code of an action that was given up because another one of the operation failed."""


class Steps:
    """The steps of the resources of one stack. `cancelled`: creations and updates under way are to be given up."""

    def __init__(self, journal: Journal, providers: Mapping[str, Provider], calls: AwsCalls, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._journal = journal
        self._providers = providers
        self._calls = calls
        self.cancelled = asyncio.Event()

    async def carry(
        self, action: Action, resource: Resource, previous: Resource | None = None, retried: bool = False
    ) -> tuple[Progress, Resource]:
        """Carry an action out; answers how it ended, and the resource as it is then kept. What a step says of ids is
        kept at once."""
        provider = self._providers.get(resource.type)
        if provider is None:
            return failed(f"Unrecognized resource type {resource.type}"), resource
        while True:
            progress = await self._step(provider, action, resource, previous, retried)
            resource = self._keep(action, resource, progress)
            if progress.outcome is not Outcome.IN_PROGRESS:
                if progress.outcome is Outcome.SUCCESS and action is Action.UPDATE and previous is not None:
                    progress = await self._rolled(resource, previous)
                return progress, resource
            limit = LIMIT_SECONDS if resource.type != CONDITION else MOST_SECONDS + LIMIT_SECONDS
            if self._journal.now() - resource.since > limit:
                late = failed("Exceeded attempts to wait", "NotStabilized", resource.physical_id)
                return late, resource
            if await self._is_cancelled(progress.delay_seconds) and action is not Action.DELETE:
                return failed("", CANCELLED, resource.physical_id), resource
            retried = False

    async def until_signalled(self, resource: Resource, wanted: WantedSignals) -> Progress:
        """Wait for the signals that a resource is ready with."""
        box = signal_box(self._journal.stack_id, resource)
        while True:
            waited = self._journal.now() - resource.since
            why = heard(self._mailbox.letters(box), wanted, waited)
            if why is not None:
                return failed(why, OWN_WORDS, resource.physical_id) if why else done(resource.physical_id)
            if await self._is_cancelled(delay(waited)):
                return failed("", CANCELLED, resource.physical_id)

    async def _rolled(self, resource: Resource, previous: Resource) -> Progress:
        """Replace a group's instances where its update policy says so."""
        id, policy = resource.physical_id, resource.update_policy
        if not rolls(resource.type, policy, resource.model, previous.model):
            return done(id)
        rolling = Rolling(self._calls, id, policy)
        try:
            await rolling.suspend()
            try:
                if is_signalled(policy):
                    why = await self._signalled(resource, previous)
                else:
                    why = await self._refreshed(rolling)
            finally:
                await rolling.resume()
        except (CallRefused, TemplateError) as error:
            return failed(str(error), physical_id=id)
        if why is None:
            return failed("", CANCELLED, id)
        return failed(why, OWN_WORDS, id) if why else done(id)

    async def _refreshed(self, rolling: Rolling) -> str | None:
        """Replace instances by their health. Answers why that failed, "", or None where it was given up."""
        goes_on, why = await rolling.begin(), ""
        while goes_on:
            ended = await rolling.ended()
            goes_on, why = ended is None, ended or ""
            if goes_on and await self._is_cancelled(_REFRESH_SECONDS):
                await rolling.cancel()
                return None
        return why

    async def _signalled(self, resource: Resource, previous: Resource) -> str | None:
        """Replace instances by their signals; answers as `_refreshed` does."""
        box = signal_box(self._journal.stack_id, resource)
        update = SignalledUpdate(
            calls=self._calls,
            group=resource.physical_id,
            batches=Batches.of(resource.update_policy[ROLLING]),
            signals=lambda: self._mailbox.letters(box),
            rest=self._is_cancelled,
        )
        return await update.run(resource.model, previous.model)

    def _keep(self, action: Action, resource: Resource, progress: Progress) -> Resource:
        fresh = replace(
            resource,
            physical_id=progress.physical_id or resource.physical_id,
            attributes={**resource.attributes, **progress.attributes},
            callback=dict(progress.callback),
            secret=progress.secret or resource.secret,
        )
        if action is Action.CREATE and fresh.physical_id and not resource.physical_id:
            return self._journal.tell(fresh, fresh.status, "Resource creation Initiated")
        return self._journal.note(fresh)

    async def _step(
        self, provider: Provider, action: Action, resource: Resource, previous: Resource | None, retried: bool
    ) -> Progress:
        stack = self._journal.stack
        try:
            model = resource.model if action is Action.DELETE else await resolve(self._calls, resource.model)
            former = await resolve(self._calls, previous.model) if previous is not None else {}
            if action is Action.UPDATE:
                model, former = without_sizes(resource.update_policy, model, former)
            request = Request(
                action=action,
                type=resource.type,
                logical_id=resource.logical_id,
                stack_name=stack.name,
                stack_id=stack.id,
                token=token_of(stack.id, resource),
                model=model,
                previous=former,
                physical_id=resource.physical_id,
                attributes=resource.attributes,
                callback=resource.callback,
                tags=resource.tags,
                previous_tags=previous.tags if previous is not None else {},
                retried=retried,
                since=resource.since,
                snapshot=action is Action.DELETE and resource.deletion_policy == "Snapshot",
            )
            return await provider.step(request)
        except (CallRefused, StackRefused) as error:
            return failed(str(error), physical_id=resource.physical_id)
        except Exception as error:  # a fault of ours: the operation turns back, and the log has it
            _log.exception("%s of %s", action.value, resource.logical_id)
            said = f"{type(error).__name__}: {error}"
            return failed(said, "InternalFailure", resource.physical_id)

    async def _is_cancelled(self, seconds: float) -> bool:
        """Wait; whether the action is to be given up."""
        try:
            async with asyncio.timeout(seconds):
                await self.cancelled.wait()
        except TimeoutError:
            return False
        await asyncio.sleep(seconds)  # deletions go on
        return True


def token_of(stack_id: str, resource: Resource) -> str:
    """What names one physical resource before it is there."""
    named = f"{stack_id} {resource.logical_id} {resource.generation}"
    return hashlib.sha256(named.encode()).hexdigest()


def signal_box(stack_id: str, resource: Resource) -> str:
    """Where the signals of one physical resource are kept."""
    return f"signals-{token_of(stack_id, resource)[:40]}"


def said_of(progress: Progress, stack_id: str, resource: Resource) -> str:
    """A failure as the events of CloudFormation say it."""
    if progress.code == CANCELLED:
        return "Resource update cancelled" if resource.touch is Touch.UPDATE else "Resource creation cancelled"
    if progress.code == OWN_WORDS:
        return progress.message
    token = uuid.UUID(token_of(stack_id, resource)[:32])
    return (
        f'Resource handler returned message: "{progress.message}" '
        f"(RequestToken: {token}, HandlerErrorCode: {progress.code or 'GeneralServiceException'})"
    )
