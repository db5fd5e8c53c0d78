"""Which resource needs which; circles are named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.graph import circular, graph_of, in_order
from awsorch.local.stacks.template import parse


def resource(properties: Any = None, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": properties}, **more}


def graph(conditions: frozenset[str] = frozenset(), **resources: Any) -> dict[str, frozenset[str]]:
    named = {"On": {"Fn::Equals": [1, 1]}}
    template = parse(json.dumps({"Conditions": named, "Resources": resources}))
    return graph_of(template, lambda name: name in conditions)


def test_references_of_every_kind_count() -> None:
    found = graph(
        A=resource(),
        B=resource({"Ref": "A"}),
        C=resource({"Fn::GetAtt": ["B", "Arn"]}),
        D=resource({"Fn::Sub": ["${A.Arn}${x}", {"x": {"Ref": "C"}}]}),
        E=resource(DependsOn="D"),
    )
    assert found == {
        "A": frozenset(),
        "B": frozenset("A"),
        "C": frozenset("B"),
        "D": frozenset("AC"),
        "E": frozenset("D"),
    }
    assert list(in_order(found)) == [frozenset("A"), frozenset("B"), frozenset("C"), frozenset("D"), frozenset("E")]


def test_conditions_take_resources_and_branches_away() -> None:
    resources = {"A": resource(Condition="On"), "B": resource({"Fn::If": ["On", {"Ref": "A"}, "x"]}, DependsOn="A")}
    assert graph(frozenset({"On"}), **resources) == {"A": frozenset(), "B": frozenset("A")}
    assert graph(**resources) == {"B": frozenset()}


def test_a_reference_to_what_is_not_made_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"Unresolved resource dependencies \[A\] in the Resources block"):
        graph(A=resource(Condition="On"), B=resource({"Ref": "A"}))


def test_a_circle_is_named_without_what_hangs_on_it() -> None:
    with pytest.raises(TemplateError) as refusal:
        graph(
            Free=resource(),
            B=resource({"Fn::Sub": "${A}${Free}"}),
            A=resource(DependsOn="B"),
            Hangs=resource({"Ref": "A"}),
        )
    assert refusal.value.message == "Circular dependency between resources: [A, B]"
    assert circular({"A": frozenset("A")}) == ["A"]
