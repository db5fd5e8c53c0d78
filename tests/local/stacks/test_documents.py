"""Templates as text become one long form."""

from __future__ import annotations

import json

import pytest

from awsorch.local.stacks.documents import as_json, read_template
from awsorch.local.stacks.errors import TemplateError

YAML = """
A: !Ref Vpc
B: !GetAtt Vpc.CidrBlock
C: !GetAtt [Vpc, CidrBlock]
D: !Sub "${A} and ${!B}"
E: !Base64
  Fn::Sub: text
F: !If [Prod, !Ref X, !Ref "AWS::NoValue"]
G: !And [!Condition One, !Not [!Condition Two]]
H: !GetAZs {Ref: AWS::Region}
I: 2012-10-17
J: !GetAtt Nested.Outputs.Url
K: &anchor {a: 1}
L: {<<: *anchor, b: true}
8080: port
"""


def test_short_forms_become_long_ones() -> None:
    assert read_template(YAML) == {
        "A": {"Ref": "Vpc"},
        "B": {"Fn::GetAtt": ["Vpc", "CidrBlock"]},
        "C": {"Fn::GetAtt": ["Vpc", "CidrBlock"]},
        "D": {"Fn::Sub": "${A} and ${!B}"},
        "E": {"Fn::Base64": {"Fn::Sub": "text"}},
        "F": {"Fn::If": ["Prod", {"Ref": "X"}, {"Ref": "AWS::NoValue"}]},
        "G": {"Fn::And": [{"Condition": "One"}, {"Fn::Not": [{"Condition": "Two"}]}]},
        "H": {"Fn::GetAZs": {"Ref": "AWS::Region"}},
        "I": "2012-10-17",
        "J": {"Fn::GetAtt": ["Nested", "Outputs.Url"]},
        "K": {"a": 1},
        "L": {"a": 1, "b": True},
        "8080": "port",
    }


def test_json_and_yaml_are_the_same_template() -> None:
    document = read_template(YAML)
    assert read_template(json.dumps(document)) == document
    assert read_template(as_json(document)) == document


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just text", "Template format error: unsupported structure."),
        ("[]", "Template format error: unsupported structure."),
        ("", "Template format error: unsupported structure."),
        ("A: [", "Template format error: YAML not well-formed. (line 1, column 5)"),
        ("A: 1\nA: 2", "Template format error: YAML not well-formed. (line 2, column 1) duplicate key 'A'"),
        ('{"A": ', "Template format error: YAML not well-formed. (line 1, column 7)"),
        ("{" * 5000, "Template format error: YAML not well-formed."),
        ("A: !!python/object:os.system {}", "Template format error: YAML not well-formed. (line 1, column 4)"),
    ],
)
def test_what_is_no_template_is_said(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as refusal:
        read_template(text)
    assert refusal.value.message == message
