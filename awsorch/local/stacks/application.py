"""Makes and changes a stack's resources until they are what its template says, as far as that goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from awsorch.cfn.contract import Action, Outcome, Provider, scalar_text
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.graph import graph_of
from awsorch.local.stacks.intrinsics import Evaluation
from awsorch.local.stacks.journal import Journal
from awsorch.local.stacks.plan import decide
from awsorch.local.stacks.records import Output, Resource, Touch
from awsorch.local.stacks.signals import wanted_by
from awsorch.local.stacks.stack_policy import ACTION_OF, DELETE, denied
from awsorch.local.stacks.steps import Steps, said_of
from awsorch.local.stacks.surroundings import Surveyor
from awsorch.local.stacks.template import Template, parse
from awsorch.local.stacks.walk import walk

_REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."


class Application:
    """The first phase of an operation. Implements Deployed. After `apply`, its fields say what was made."""

    template: Template
    _evaluation: Evaluation

    def __init__(self, journal: Journal, steps: Steps, providers: Mapping[str, Provider], surveyor: Surveyor) -> None:
        self._journal = journal
        self._steps = steps
        self._providers = providers
        self._surveyor = surveyor
        self._why = ""
        self.graph: dict[str, frozenset[str]] = {}
        self.outputs: tuple[Output, ...] = ()
        self.imports: tuple[str, ...] = ()

    def cancel(self, why: str) -> None:
        """Give up what is under way."""
        self._why = why
        self._steps.cancelled.set()

    async def apply(self) -> str:
        """Do it; answers why it could not be done, or "". Raises StackRefused where it can't be begun."""
        wanted = self._journal.operation.wanted
        self.template = parse(wanted.template)
        around = await self._surveyor.survey(self._journal.stack, wanted, self.template)
        self._evaluation = Evaluation(self.template, around, self)
        self.graph = graph_of(self.template, self._evaluation.holds)
        bad = self._undeletable()
        if bad:
            return self._sentence(bad)
        bad = await walk(self.graph, self._visit, stop=self._steps.cancelled.set)
        if self._why:
            return self._why
        if bad:
            return self._sentence(bad)
        self.outputs = tuple(self._outputs())
        self.imports = tuple(sorted(self._evaluation.imported))
        return ""

    def _undeletable(self) -> list[str]:
        """The resources that the template has dropped and the stack policy keeps."""
        resources = self._journal.store.resources(self._journal.stack_id)
        return [
            name for name, each in resources.items() if name not in self.graph and not self._is_allowed(each, DELETE)
        ]

    def _is_allowed(self, known: Resource, action: str) -> bool:
        """Whether the stack policy allows an action; where it does not, the resource says so."""
        journal = self._journal
        policy = "" if journal.operation.of_create else journal.operation.policy or journal.stack.policy
        why = denied(policy, action, known.logical_id, known.type)
        if why:
            journal.tell(known, "UPDATE_FAILED", why)
        return not why

    def ref(self, logical_id: str) -> Any:
        return self._known(logical_id).physical_id

    def attribute(self, logical_id: str, name: str) -> Any:
        known = self._known(logical_id)
        if name not in known.attributes:
            raise TemplateError(
                f"Template error: resource {logical_id} does not support attribute type {name} in Fn::GetAtt"
            )
        return known.attributes[name]

    def _known(self, logical_id: str) -> Resource:
        known = self._journal.store.resources(self._journal.stack_id).get(logical_id)
        if known is None:
            raise TemplateError(f"Template format error: Unresolved resource dependencies [{logical_id}]")
        return known

    async def _visit(self, name: str) -> bool:
        journal = self._journal
        known = journal.store.resources(journal.stack_id).get(name)
        if known is not None and known.settled:
            return True
        if self._steps.cancelled.is_set():
            return False
        body = self.template.resources[name]
        try:
            model = self._evaluation.evaluate(body.get("Properties") or {})
        except StackRefused as error:
            failing = known or self._fresh(name, {}, Touch.CREATE)
            journal.tell(failing, f"{_verb(known)}_FAILED", error.message)
            return False
        if known is not None and known.touch is not Touch.NONE:
            return await self._carry(replace(known, model=model), retried=True)
        if known is not None:
            touch = self._touch(known, model)
            if touch in ACTION_OF and not self._is_allowed(known, ACTION_OF[touch]):
                return False
        return await self._carry(self._begin(name, known, model), retried=False)

    def _begin(self, name: str, known: Resource | None, model: dict[str, Any]) -> Resource:
        """The resource as it is to be, written down; settled where there is nothing to do."""
        journal, body = self._journal, self.template.resources[name]
        if known is None:
            return journal.tell(self._fresh(name, model, Touch.CREATE), "CREATE_IN_PROGRESS")
        tags, touch = journal.operation.wanted.tags, self._touch(known, model)
        before = replace(known, before=None, touch=Touch.NONE, settled=False)
        if touch is Touch.REPLACE:
            fresh = replace(self._fresh(name, model, Touch.REPLACE), before=before)
            return journal.tell(fresh, "UPDATE_IN_PROGRESS", _REPLACING)
        same = replace(
            known,
            model=model,
            tags=tags,
            needs=tuple(sorted(self.graph[name])),
            since=journal.now(),
            **self._policies(body),
        )
        if touch is Touch.UPDATE:
            return journal.tell(replace(same, touch=touch, before=before, callback={}), "UPDATE_IN_PROGRESS")
        return journal.note(replace(same, settled=True))

    def _touch(self, known: Resource, model: dict[str, Any]) -> Touch:
        """What the operation does to a resource that is there."""
        policy = self._policies(self.template.resources[known.logical_id])["update_policy"]
        tags = self._journal.operation.wanted.tags
        return decide(self._providers[known.type], known, model, tags, policy)[0]

    def _policies(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "deletion_policy": str(body.get("DeletionPolicy", "Delete")),
            "replace_policy": str(body.get("UpdateReplacePolicy", "Delete")),
            "update_policy": self._evaluation.evaluate(body.get("UpdatePolicy") or {}),
        }

    def _fresh(self, name: str, model: dict[str, Any], touch: Touch) -> Resource:
        journal, body = self._journal, self.template.resources[name]
        journal.amend(made=journal.stack.made + 1)
        return Resource(
            logical_id=name,
            type=str(body["Type"]),
            generation=journal.stack.made,
            status="",
            updated_at=journal.now(),
            since=journal.now(),
            model=model,
            tags=journal.operation.wanted.tags,
            needs=tuple(sorted(self.graph[name])),
            touch=touch,
            **self._policies(body),
        )

    async def _carry(self, resource: Resource, retried: bool) -> bool:
        if resource.settled:
            return True
        journal = self._journal
        is_update = resource.touch is Touch.UPDATE
        action = Action.UPDATE if is_update else Action.CREATE
        previous = resource.before if is_update else None
        try:
            body = self.template.resources[resource.logical_id]
            signals = None if is_update else wanted_by(body, resource.model, self._evaluation.evaluate)
        except TemplateError as error:
            journal.tell(resource, f"{_verb(resource)}_FAILED", error.message)
            return False
        progress, ended = await self._steps.carry(action, resource, previous, retried)
        if progress.outcome is Outcome.SUCCESS and signals is not None:
            progress = await self._steps.until_signalled(ended, signals)
        verb = "CREATE" if resource.touch is Touch.CREATE else "UPDATE"
        if progress.outcome is Outcome.FAILED:
            journal.tell(ended, f"{verb}_FAILED", said_of(progress, journal.stack_id, ended))
            return False
        if is_update and resource.before is not None and ended.physical_id != resource.before.physical_id:
            ended = self._taken_over(ended)
        journal.tell(ended, f"{verb}_COMPLETE", settled=True, callback={})
        return True

    def _taken_over(self, resource: Resource) -> Resource:
        """An update has made another physical resource (custom resources do): the old one is to go like any that was
        replaced."""
        journal = self._journal
        journal.amend(made=journal.stack.made + 1)
        return replace(resource, touch=Touch.REPLACE, generation=journal.stack.made)

    def _sentence(self, bad: list[str]) -> str:
        resources = self._journal.store.resources(self._journal.stack_id)
        created = [name for name in bad if name not in resources or resources[name].touch is Touch.CREATE]
        updated = [name for name in bad if name not in created]
        said = f"The following resource(s) failed to create: [{', '.join(created)}]. " if created else ""
        said += f"The following resource(s) failed to update: [{', '.join(updated)}]. " if updated else ""
        operation = self._journal.operation
        turns_back = operation.of_create and operation.on_failure == "ROLLBACK"
        return said + ("Rollback requested by user." if turns_back else "")

    def _outputs(self) -> list[Output]:
        outputs = []
        others = self._surveyor.exports()
        for key, body in self.template.outputs.items():
            if "Condition" in body and not self._evaluation.holds(str(body["Condition"])):
                continue
            value = self._evaluation.evaluate(body["Value"])
            if value is None or isinstance(value, list | Mapping):
                raise TemplateError(f"Template format error: Output {key} is malformed. The Value should be a string.")
            export = self._evaluation.evaluate((body.get("Export") or {}).get("Name")) or ""
            if export in others and others[export][0].id != self._journal.stack_id:
                raise TemplateError(f"Export with name {export} is already exported by stack {others[export][0].name}.")
            description = str(body.get("Description") or "")
            output = Output(key=key, value=scalar_text(value) or "", description=description, export=str(export))
            outputs.append(output)
        self._check_used(outputs)
        return outputs

    def _check_used(self, outputs: list[Output]) -> None:
        """Exports that others import stay as they are."""
        fresh = {each.export: each.value for each in outputs if each.export}
        for output in self._journal.stack.outputs:
            users = self._surveyor.importers(output.export) if output.export else []
            if users and fresh.get(output.export) != output.value:
                verb = "updated" if output.export in fresh else "deleted"
                raise TemplateError(f"Export {output.export} cannot be {verb} as it is in use by {', '.join(users)}")


def _verb(known: Resource | None) -> str:
    return "CREATE" if known is None or known.touch is Touch.CREATE else "UPDATE"
