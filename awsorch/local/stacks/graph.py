"""Which resource needs which: from references and DependsOn, with conditions as they fall; cycles are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.references import references_in
from awsorch.local.stacks.template import Template, dependencies

Graph = Mapping[str, frozenset[str]]
"""Logical id to the logical ids that it needs."""


def graph_of(template: Template, holds: Callable[[str], bool]) -> dict[str, frozenset[str]]:
    """The resources whose condition holds, and what each needs. Raises TemplateError for a cycle, and for a reference
    to a resource that is not made."""
    there = [
        name
        for name, resource in template.resources.items()
        if "Condition" not in resource or holds(str(resource["Condition"]))
    ]
    graph = {}
    missing: dict[str, None] = {}
    for name in there:
        resource = template.resources[name]
        needs = set()
        for reference in references_in(resource.get("Properties") or {}, holds):
            if reference.kind != "condition" and reference.name in template.resources:
                needs.add(reference.name)
        missing |= dict.fromkeys(sorted(needs - set(there)))
        needs |= {each for each in dependencies(resource) if each in there}
        graph[name] = frozenset(needs)
    if missing:
        raise TemplateError(
            f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the Resources block of "
            "the template"
        )
    circle = circular(graph)
    if circle:
        raise TemplateError(f"Circular dependency between resources: [{', '.join(circle)}]")
    return graph


def circular(graph: Graph) -> list[str]:
    """The resources that need each other in a circle, by name; none where there is no circle."""
    left = set(graph)
    for side in (graph, _turned(graph)):
        # Whatever needs nothing (or is needed by nothing) is in no circle.
        while free := {name for name in left if not side[name] & left}:
            left -= free
    return sorted(left)


def in_order(graph: Graph) -> Iterable[frozenset[str]]:
    """The resources in waves: each needs only what came before."""
    left = dict(graph)
    while left:
        wave = frozenset(name for name, needs in left.items() if not needs & left.keys())
        yield wave
        left = {name: needs for name, needs in left.items() if name not in wave}


def _turned(graph: Graph) -> dict[str, set[str]]:
    turned: dict[str, set[str]] = {name: set() for name in graph}
    for name, needs in graph.items():
        for need in needs:
            turned.setdefault(need, set()).add(name)
    return turned
