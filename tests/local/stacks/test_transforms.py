"""Transforms: loops, included snippets, SAM and macros, before a template is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from awsorch.local.stacks.documents import read_template
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.template import parse
from awsorch.local.stacks.transforms import Transforms, needs_transforms, no_macros

PSEUDO = {"AWS::Region": "us-east-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws"}
FAILED = "Transform AWS::Include failed with"
SNIPPETS = {
    "s3://snippets/alarm.yaml": "Type: AWS::SNS::Topic\nProperties:\n  DisplayName: !Sub '${AWS::StackName}'\n",
    "s3://snippets/more.json": '{"Resources": {"More": {"Type": "AWS::SQS::Queue"}}, "Outputs": {"X": {"Value": "x"}}}',
    "s3://snippets/deep.yaml": (
        "Fn::Transform:\n  Name: AWS::Include\n  Parameters:\n    Location: s3://snippets/alarm.yaml\n"
    ),
}


async def fetch(url: str) -> str:
    if url not in SNIPPETS:
        raise StackRefused(f"S3 error: {url} is not there")
    return SNIPPETS[url]


def carried_out(template: str, macros: Any = no_macros, **values: Any) -> dict[str, Any]:
    """The template that comes of it, which has to be one."""
    assert needs_transforms(template)
    text = asyncio.run(Transforms(template, values, PSEUDO, fetch, macros).carried_out())
    parse(text)
    made: dict[str, Any] = json.loads(text)
    return made


def refusal_of(template: str, macros: Any = no_macros, **values: Any) -> str:
    with pytest.raises(StackRefused) as refused:
        carried_out(template, macros, **values)
    return refused.value.message


LOOPS = """
Transform: AWS::LanguageExtensions
Parameters:
  Names: {Type: CommaDelimitedList}
  Keep: {Type: String}
Mappings:
  Sizes: {small: {Delay: 5}}
Conditions:
  Fn::ForEach::Checks:
    - Name
    - [a, b]
    - Is${Name}: !Equals [!Ref Keep, !Ref Name]
Resources:
  Fn::ForEach::Queues:
    - Name
    - !Ref Names
    - Queue&{Name}:
        Type: AWS::SQS::Queue
        DeletionPolicy: !If [Isa, Retain, Delete]
        Properties:
          QueueName: !Sub '${Name}-${AWS::StackName}'
          DelaySeconds: !FindInMap [Sizes, large, Delay, {DefaultValue: 7}]
          Fn::ForEach::Periods:
            - Which
            - [VisibilityTimeout, MessageRetentionPeriod]
            - ${Which}: 60
  Fn::ForEach::Outer:
    - A
    - ['1', '2']
    - Fn::ForEach::Inner:
        - B
        - [x, y]
        - Topic${A}${B}:
            Type: AWS::SNS::Topic
            Properties: {DisplayName: !Ref B}
Outputs:
  Fn::ForEach::Urls:
    - Name
    - !Ref Names
    - Url&{Name}:
        Value: !GetAtt Queue&{Name}.Arn
"""


def test_loops_are_written_out() -> None:
    made = carried_out(LOOPS, Names=["eu-west", "us"], Keep="a")
    assert set(made["Resources"]) == {"Queueeuwest", "Queueus", "Topic1x", "Topic1y", "Topic2x", "Topic2y"}
    queue = made["Resources"]["Queueeuwest"]
    assert queue["DeletionPolicy"] == "Retain"
    assert queue["Properties"]["QueueName"] == {"Fn::Sub": "eu-west-${AWS::StackName}"}
    assert (queue["Properties"]["VisibilityTimeout"], queue["Properties"]["MessageRetentionPeriod"]) == (60, 60)
    assert made["Resources"]["Topic2y"]["Properties"] == {"DisplayName": "y"}
    assert made["Conditions"]["Isb"] == {"Fn::Equals": [{"Ref": "Keep"}, "b"]}
    assert made["Outputs"]["Urlus"] == {"Value": {"Fn::GetAtt": ["Queueus", "Arn"]}}
    assert "Transform" not in made


def looping(loop: Any) -> str:
    return json.dumps({"Transform": "AWS::LanguageExtensions", "Resources": {"Fn::ForEach::L": loop}})


QUEUE = {"Type": "AWS::SQS::Queue"}


@pytest.mark.parametrize(
    ("loop", "why"),
    [
        (["X", ["a"]], "Fn::ForEach layout is incorrect"),
        (["X-", ["a"], {"Q${X-}": QUEUE}], "Fn::ForEach layout is incorrect"),
        (["X", "a", {"Q${X}": QUEUE}], "Fn::ForEach::L should go over a list"),
        (["X", [["a", {}]], {"Q${X}": QUEUE}], "Fn::ForEach::L can only go over texts"),
        (["X", ["a", "a"], {"Q${X}": QUEUE}], "the items of Fn::ForEach::L should be different"),
        (["X", ["a", "b"], {"Q": QUEUE}], "Fn::ForEach makes Q more than once; its name should have ${X} in it"),
        (["X", [{"Ref": "Gone"}], {"Q${X}": QUEUE}], "Unresolved resource dependencies [Gone]"),
    ],
)
def test_what_is_no_loop_is_refused(loop: Any, why: str) -> None:
    said = refusal_of(looping(loop))
    assert said.startswith("Transform AWS::LanguageExtensions failed with: ")
    assert why in said


def test_loops_go_five_deep() -> None:
    body: dict[str, Any] = {"Q${A}${B}${C}${D}${E}${F}": QUEUE}
    for name in "FEDCB":
        body = {f"Fn::ForEach::{name}": [name, ["1"], body]}
    assert "can be nested 5 deep at most" in refusal_of(looping(["A", ["1"], body]))


def test_snippets_are_included() -> None:
    template = """
    Transform: {Name: 'AWS::Include', Parameters: {Location: !Sub 's3://${Where}/more.json'}}
    Parameters: {Where: {Type: String}}
    Resources:
      Topic:
        DeletionPolicy: Retain
        Fn::Transform: {Name: 'AWS::Include', Parameters: {Location: s3://snippets/deep.yaml}}
    """
    made = carried_out(template, Where="snippets")
    assert made["Resources"] == {
        "Topic": {
            "DeletionPolicy": "Retain",
            "Type": "AWS::SNS::Topic",
            "Properties": {"DisplayName": {"Fn::Sub": "${AWS::StackName}"}},
        },
        "More": {"Type": "AWS::SQS::Queue"},
    }
    assert made["Outputs"] == {"X": {"Value": "x"}}


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("s3://snippets/gone", f"{FAILED}: S3 error"),
        (["x"], f"{FAILED}: The location parameter should be an S3 URL."),
        (
            "s3://snippets/more.json",
            f"{FAILED}: Type is in the template and in what it includes.",
        ),
    ],
)
def test_what_cannot_be_included_is_refused(location: Any, why: str) -> None:
    included = {"Name": "AWS::Include", "Parameters": {"Location": location}}
    top = {"Resources": {"More": QUEUE}, "Transform": included}
    assert refusal_of(json.dumps(top)).startswith(why)


SAM = """
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Timeout: 9}}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      InlineCode: 'def handler(event, context): return 1'
  Table: {Type: AWS::Serverless::SimpleTable}
"""


def test_sam_becomes_plain() -> None:
    made = carried_out(SAM)
    types = {name: resource["Type"] for name, resource in made["Resources"].items()}
    assert types == {"Hello": "AWS::Lambda::Function", "HelloRole": "AWS::IAM::Role", "Table": "AWS::DynamoDB::Table"}
    assert made["Resources"]["Hello"]["Properties"]["Timeout"] == 9
    broken = SAM.replace("Handler: index.handler", "Events: {X: {Type: None}}")
    assert refusal_of(broken).startswith(
        "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification document."
    )


def test_macros_make_of_the_template_what_they_want() -> None:
    asked: list[Mapping[str, Any]] = []

    async def macros(name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(event)
        fragment = json.loads(json.dumps(event["fragment"]))
        if name == "Name":
            return {"requestId": event["requestId"], "status": "success", "fragment": event["params"]["To"]}
        fragment["Resources"][name] = QUEUE
        return {"requestId": event["requestId"], "status": "SUCCESS", "fragment": fragment}

    template = """
    Transform: [First, {Name: Second, Parameters: {P: !Ref Who}}]
    Parameters: {Who: {Type: String}}
    Resources:
      Queue:
        Type: AWS::SQS::Queue
        Properties:
          QueueName: {Fn::Transform: {Name: Name, Parameters: {To: !Sub '${Who}-queue'}}}
    """
    made = carried_out(template, macros, Who="me")
    assert list(made["Resources"]) == ["Queue", "First", "Second"]
    assert made["Resources"]["Queue"]["Properties"] == {"QueueName": "me-queue"}
    inline, first, second = asked
    assert (inline["transformId"], inline["accountId"], inline["region"]) == (
        "123456789012::Name",
        "123456789012",
        "us-east-1",
    )
    assert second["params"] == {"P": "me"}
    assert first["templateParameterValues"] == {"Who": "me"}
    assert "Transform" not in first["fragment"]


def test_macros_that_fail_are_told() -> None:
    answers: dict[str, Any] = {}

    async def macros(name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"requestId": event["requestId"], **answers}

    template = json.dumps({"Transform": "M", "Resources": {"Q": QUEUE}})
    answers = {"status": "failed", "errorMessage": "no luck"}
    assert refusal_of(template, macros) == "Transform M failed with: no luck"
    answers = {"status": "success", "fragment": "text"}
    assert refusal_of(template, macros) == "Transform M failed with: the fragment should be a template."
    answers = {"status": "success", "fragment": {}, "requestId": "another"}
    assert refusal_of(template, macros) == "Transform M failed with: the answer is to another request."
    assert refusal_of(template) == "No transform named 123456789012::M found."


def test_ours_changes_nothing() -> None:
    template = json.dumps({"Transform": "Awsorch", "Resources": {"Q": QUEUE}})
    assert carried_out(template) == {"Resources": {"Q": QUEUE}}
    assert not needs_transforms(json.dumps({"Resources": {"Q": QUEUE}}))
    assert read_template(template)["Transform"] == "Awsorch"
