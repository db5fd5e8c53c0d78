"""What has to be done to a stack's resources so that they are what a template says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.cfn.contract import Provider, same
from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.graph import graph_of, in_order
from awsorch.local.stacks.group_updates import Policy, replaces
from awsorch.local.stacks.intrinsics import UNKNOWN, Evaluation, Surroundings, has_unknown
from awsorch.local.stacks.records import Change, Resource, Touch
from awsorch.local.stacks.template import Template


def decide(
    provider: Provider, known: Resource, model: Mapping[str, Any], tags: Mapping[str, str], policy: Policy
) -> tuple[Touch, frozenset[str]]:
    """What an operation does to a resource that is there, by its update `policy`, and the properties that differ."""
    names = known.model.keys() | model.keys()
    differing = frozenset(name for name in names if not same(known.model.get(name), model.get(name)))
    if differing and (provider.replaced_by(known.type, known.model, model) or replaces(policy, differing)):
        return Touch.REPLACE, differing
    if differing or known.tags != tags:
        return Touch.UPDATE, differing
    return Touch.NONE, differing


@dataclass(slots=True, kw_only=True)
class Foreseen:
    """Implements Deployed for a plan: what is new or takes another's place is not known yet."""

    resources: Mapping[str, Resource]
    fresh: set[str]

    def ref(self, logical_id: str) -> Any:
        return UNKNOWN if self._is_fresh(logical_id) else self.resources[logical_id].physical_id

    def attribute(self, logical_id: str, name: str) -> Any:
        return UNKNOWN if self._is_fresh(logical_id) else self.resources[logical_id].attributes.get(name, UNKNOWN)

    def _is_fresh(self, logical_id: str) -> bool:
        return logical_id in self.fresh or logical_id not in self.resources


def foresee(
    template: Template,
    around: Surroundings,
    resources: Mapping[str, Resource],
    providers: Mapping[str, Provider],
    tags: Mapping[str, str],
) -> tuple[list[Change], dict[str, tuple[Any, Any]]]:
    """The changes in the order in which they would begin; and each output's value and export, which may be UNKNOWN.
    Raises TemplateError."""
    foreseen = Foreseen(resources=resources, fresh=set())
    evaluation = Evaluation(template, around, foreseen)
    changes = []
    graph = graph_of(template, evaluation.holds)
    for wave in in_order(graph):
        for name in sorted(wave):
            model = evaluation.evaluate(template.resources[name].get("Properties") or {})
            policy = evaluation.evaluate(template.resources[name].get("UpdatePolicy") or {})
            change = _change(name, template, model, resources, providers, tags, policy)
            if change is not None:
                changes.append(change)
                if change.action == "Add" or change.replacement != "False":
                    foreseen.fresh.add(name)
    outputs = {
        key: (evaluation.evaluate(output["Value"]), evaluation.evaluate((output.get("Export") or {}).get("Name")))
        for key, output in template.outputs.items()
        if "Condition" not in output or evaluation.holds(str(output["Condition"]))
    }
    for name in sorted(resources.keys() - graph.keys()):
        known = resources[name]
        changes.append(Change(action="Remove", logical_id=name, type=known.type, physical_id=known.physical_id))
    return changes, outputs


def _change(
    name: str,
    template: Template,
    model: Mapping[str, Any],
    resources: Mapping[str, Resource],
    providers: Mapping[str, Provider],
    tags: Mapping[str, str],
    policy: Policy,
) -> Change | None:
    type = str(template.resources[name]["Type"])
    known = resources.get(name)
    if known is None:
        return Change(action="Add", logical_id=name, type=type)
    if known.type != type:
        raise TemplateError(
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{name}]"
        )
    touch, differing = decide(providers[type], known, model, tags, policy)
    if touch is Touch.NONE:
        return None
    replacing = providers[type].replaced_by(type, known.model, model)
    if replaces(policy, differing):
        replacing |= differing
    replacement = "False"
    if replacing:
        certain = any(not has_unknown(model.get(each)) for each in replacing)
        replacement = "True" if certain else "Conditional"
    return Change(
        action="Modify",
        logical_id=name,
        type=type,
        physical_id=known.physical_id,
        replacement=replacement,
        names=tuple(sorted(differing)),
        replacing=tuple(sorted(replacing)),
    )
