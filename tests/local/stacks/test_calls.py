"""The API as boto3 sees it: shapes through the wire, errors in CloudFormation's words, change sets, exports."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import ClientError

from awsorch.local.door import Door
from awsorch.local.stacks.calls import StackCalls
from tests.local.serving import fronting
from tests.local.stacks.world import StackWorld, queue, request

Use = Callable[[Any, StackWorld], None]
TEMPLATE = json.dumps(
    {
        "Description": "Two queues",
        "Parameters": {
            "Delay": {"Type": "Number", "Default": 1, "Description": "Seconds"},
            "Secret": {"Type": "String", "Default": "x", "NoEcho": True},
        },
        "Resources": {"A": queue({"Ref": "Delay"}), "B": queue({"Ref": "A"})},
        "Outputs": {"Id": {"Value": {"Ref": "A"}, "Export": {"Name": "a-id"}}},
    }
)
SHOP = {"StackName": "shop"}


@pytest.fixture
def api(tmp_path: Path) -> Callable[[Use], None]:
    """Lets boto3 call a door in front of a world."""

    async def nobody(_: web.BaseRequest) -> web.Response:
        raise AssertionError("nobody asked for ECS")

    def play(use: Use) -> None:
        async def scene() -> None:
            world = StackWorld(tmp_path)
            door = Door(upstream="http://127.0.0.1:9", ecs=nobody, verifier=None)
            door.own.append(
                StackCalls(region="us-east-1", stacks=world.stacks, change_sets=world.sets, readings=world.reads)
            )
            async with fronting(door.handle) as url:
                await asyncio.to_thread(use, client(url), world)
            await door.close()
            await world.close()

        asyncio.run(asyncio.wait_for(scene(), 30))

    return play


def client(url: str) -> Any:
    return boto3.client(
        "cloudformation",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def test_a_stack_is_made_described_and_deleted(api: Callable[[Use], None]) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        before = time.time()
        tags = [{"Key": "team", "Value": "a"}]
        id = stacks.create_stack(**SHOP, TemplateBody=TEMPLATE, Tags=tags)["StackId"]
        assert id.startswith("arn:aws:cloudformation:us-east-1:123456789012:stack/shop/")
        (stack,) = stacks.describe_stacks(**SHOP)["Stacks"]
        assert (stack["StackStatus"], stack["Tags"], stack["Description"]) == ("CREATE_COMPLETE", tags, "Two queues")
        shown = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
        assert shown == {"Delay": "1", "Secret": "****"}
        assert stack["CreationTime"].timestamp() < before
        resources = stacks.describe_stack_resources(**SHOP)["StackResources"]
        assert [each["LogicalResourceId"] for each in resources] == ["A", "B"]
        physical = resources[0]["PhysicalResourceId"]
        found = stacks.describe_stack_resources(PhysicalResourceId=physical)["StackResources"]
        assert [each["StackName"] for each in found] == ["shop", "shop"]
        detail = stacks.describe_stack_resource(**SHOP, LogicalResourceId="A")["StackResourceDetail"]
        assert (detail["PhysicalResourceId"], detail["ResourceStatus"]) == (physical, "CREATE_COMPLETE")
        assert len(stacks.list_stack_resources(**SHOP)["StackResourceSummaries"]) == 2
        assert json.dumps(stacks.get_template(**SHOP)["TemplateBody"]) == TEMPLATE
        assert stacks.list_exports()["Exports"] == [{"ExportingStackId": id, "Name": "a-id", "Value": physical}]
        events = stacks.describe_stack_events(**SHOP)["StackEvents"]
        assert [each["ResourceStatus"] for each in (events[0], events[-1])] == ["CREATE_COMPLETE", "CREATE_IN_PROGRESS"]
        stacks.delete_stack(**SHOP)
        code, message = refused(lambda: stacks.describe_stacks(**SHOP))
        assert (code, message) == ("ValidationError", "Stack with id shop does not exist")
        (gone,) = stacks.describe_stacks(StackName=id)["Stacks"]
        assert gone["StackStatus"] == "DELETE_COMPLETE"
        kept = stacks.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
        assert [each["StackName"] for each in kept] == ["shop"]
        stacks.delete_stack(**SHOP)

    api(use)


def test_change_sets_show_and_do(api: Callable[[Use], None]) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        first = {**SHOP, "ChangeSetName": "first"}
        stacks.create_change_set(**first, ChangeSetType="CREATE", TemplateBody=TEMPLATE)
        assert stacks.describe_stacks(**SHOP)["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
        changes = [each["ResourceChange"] for each in stacks.describe_change_set(**first)["Changes"]]
        assert [(each["Action"], each["LogicalResourceId"]) for each in changes] == [("Add", "A"), ("Add", "B")]
        stacks.execute_change_set(**first)
        assert stacks.describe_stacks(**SHOP)["Stacks"][0]["Outputs"][0]["ExportName"] == "a-id"

        second = {**SHOP, "ChangeSetName": "second"}
        parameters = [{"ParameterKey": "Delay", "ParameterValue": "5"}]
        stacks.create_change_set(**second, UsePreviousTemplate=True, Parameters=parameters)
        (change,) = (each["ResourceChange"] for each in stacks.describe_change_set(**second)["Changes"])
        assert (change["Action"], change["LogicalResourceId"], change["Replacement"]) == ("Modify", "A", "False")
        assert change["Details"][0]["Target"]["Name"] == "DelaySeconds"
        stacks.execute_change_set(**second)
        assert [each["ExecutionStatus"] for each in stacks.list_change_sets(**SHOP)["Summaries"]] == [
            "EXECUTE_COMPLETE"
        ]

        third = {**SHOP, "ChangeSetName": "third"}
        previous = [{"ParameterKey": "Delay", "UsePreviousValue": True}]
        stacks.create_change_set(**third, TemplateBody=TEMPLATE, Parameters=previous)
        nothing = stacks.describe_change_set(**third)
        assert (nothing["Status"], nothing["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
        assert nothing["StatusReason"].startswith("The submitted information didn't contain changes.")
        assert refused(lambda: stacks.execute_change_set(**third))[0] == "InvalidChangeSetStatus"
        stacks.delete_change_set(**third)
        assert refused(lambda: stacks.describe_change_set(**third)) == (
            "ChangeSetNotFound",
            "ChangeSet [third] does not exist",
        )

    api(use)


def test_exports_in_use_stay(api: Callable[[Use], None]) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        stacks.create_stack(**SHOP, TemplateBody=TEMPLATE)
        importing = json.dumps({"Resources": {"C": queue({"Fn::ImportValue": "a-id"})}})
        stacks.create_stack(StackName="user", TemplateBody=importing)
        assert stacks.list_imports(ExportName="a-id")["Imports"] == ["user"]
        stacks.delete_stack(**SHOP)
        (stack,) = stacks.describe_stacks(**SHOP)["Stacks"]
        assert (stack["StackStatus"], stack["StackStatusReason"]) == (
            "DELETE_FAILED",
            "Export a-id cannot be deleted as it is in use by user",
        )
        stacks.create_stack(StackName="other", TemplateBody=TEMPLATE)
        (other,) = stacks.describe_stacks(StackName="other")["Stacks"]
        assert other["StackStatus"] == "ROLLBACK_COMPLETE"
        unknown = json.dumps({"Resources": {"C": queue({"Fn::ImportValue": "none"})}})
        said = refused(lambda: stacks.create_stack(StackName="more", TemplateBody=unknown))
        assert said == ("ValidationError", "No export named none found.")

    api(use)


def test_templates_are_summed_up(api: Callable[[Use], None]) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        summary = stacks.get_template_summary(TemplateBody=TEMPLATE)
        assert summary["ResourceTypes"] == ["AWS::SQS::Queue"]
        assert summary["Parameters"][0]["DefaultValue"] == "1"
        assert stacks.validate_template(TemplateBody=TEMPLATE)["Parameters"][1]["NoEcho"] is True
        stacks.create_stack(**SHOP, TemplateBody=TEMPLATE)
        assert stacks.get_template_summary(**SHOP)["Description"] == "Two queues"

    api(use)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            {"X": {"Type": "AWS::Rain::Cloud"}},
            "Template format error: Unrecognized resource types: [AWS::Rain::Cloud]",
        ),
        (
            {"X": {"Type": "AWS::SQS::Queue", "Properties": {"Colour": "red", "DelaySeconds": [1]}}},
            "Properties validation failed for resource X with message:[#: extraneous key [Colour] is not permitted, "
            "#/DelaySeconds: expected type: Integer, found: JSONArray]",
        ),
        (
            {"A": queue({"Ref": "B"}), "B": queue({"Ref": "A"})},
            "Circular dependency between resources: [A, B]",
        ),
        (
            {"A": queue(), "B": queue({"Fn::GetAtt": ["A", "Colour"]})},
            "Template error: resource A does not support attribute type Colour in Fn::GetAtt",
        ),
        (
            {"A": queue({"Ref": "Gone"})},
            "Template format error: Unresolved resource dependencies [Gone] in the Resources block of the template",
        ),
    ],
)
def test_a_wrong_template_is_refused_before_anything_is_made(
    api: Callable[[Use], None], resources: dict[str, Any], message: str
) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        body = json.dumps({"Resources": resources})
        assert refused(lambda: stacks.create_stack(**SHOP, TemplateBody=body)) == ("ValidationError", message)
        assert refused(lambda: stacks.describe_stacks(**SHOP))[1] == "Stack with id shop does not exist"
        assert world.cloud.did == []

    api(use)


def test_calls_that_do_not_fit_are_refused(api: Callable[[Use], None]) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        stacks.create_stack(**SHOP, TemplateBody=TEMPLATE, EnableTerminationProtection=True)
        assert refused(lambda: stacks.create_stack(**SHOP, TemplateBody=TEMPLATE)) == (
            "AlreadyExistsException",
            "Stack [shop] already exists",
        )
        assert refused(lambda: stacks.update_stack(**SHOP, TemplateBody=TEMPLATE)) == (
            "ValidationError",
            "No updates are to be performed.",
        )
        assert refused(lambda: stacks.delete_stack(**SHOP))[1] == (
            "Stack [shop] cannot be deleted while TerminationProtection is enabled"
        )
        stacks.update_termination_protection(**SHOP, EnableTerminationProtection=False)
        role = json.dumps({"Resources": {"R": {"Type": "AWS::IAM::Role"}}})
        assert refused(lambda: stacks.create_stack(StackName="iam", TemplateBody=role)) == (
            "InsufficientCapabilitiesException",
            "Requires capabilities : [CAPABILITY_IAM]",
        )
        assert refused(lambda: stacks.create_stack(StackName="9", TemplateBody=TEMPLATE))[0] == "ValidationError"
        assert refused(lambda: stacks.update_stack(StackName="none", TemplateBody=TEMPLATE))[1] == (
            "Stack [none] does not exist"
        )
        assert refused(lambda: stacks.cancel_update_stack(**SHOP))[1] == (
            "CancelUpdateStack cannot be called from current stack status"
        )
        assert refused(lambda: stacks.detect_stack_drift(**SHOP))[0] == "InvalidAction"
        assert refused(lambda: stacks.list_imports(ExportName="a-id"))[1] == (
            "Export 'a-id' is not imported by any stack."
        )
        large = json.dumps({"Description": "é" * 512, "Resources": {f"Q{n}": queue() for n in range(1500)}})
        assert (
            "at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200"
            in (refused(lambda: stacks.create_stack(StackName="large", TemplateBody=large))[1])
        )
        odd = json.dumps({"Resources": {"A": {"Type": "AWS::SQS::Queue"}}, "Parameters": {"P": {"Type": "String"}}})
        assert refused(lambda: stacks.validate_template(TemplateBody="no"))[1] == (
            "Template format error: unsupported structure."
        )
        assert refused(lambda: stacks.create_stack(StackName="odd", TemplateBody=odd))[1] == (
            "Parameters: [P] must have values"
        )

    api(use)


def test_ssm_parameters_are_resolved(api: Callable[[Use], None]) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        declared = {"Seconds": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/seconds"}}
        body = json.dumps({"Parameters": declared, "Resources": {"A": queue({"Ref": "Seconds"})}})
        assert refused(lambda: stacks.create_stack(**SHOP, TemplateBody=body))[1] == (
            "Unable to fetch parameters [/seconds] from parameter store for this account."
        )
        world.cloud.parameters = {"/seconds": "7", "/name": "hush"}
        stacks.create_stack(**SHOP, TemplateBody=body)
        assert list(world.cloud.there.values()) == [{"DelaySeconds": "7"}]
        named = json.dumps({"Resources": {"B": queue(name="x-{{resolve:ssm:/name}}")}})
        stacks.create_stack(StackName="named", TemplateBody=named)
        assert {"QueueName": "x-hush"} in world.cloud.there.values()
        assert not any(
            "hush" in str(each) for stack in world.store.stacks() for each in world.store.resources(stack.id).values()
        )

    api(use)


def test_stacks_are_resources_of_stacks(tmp_path: Path) -> None:
    """The inner one's template comes from S3; it is made, changed, failed and removed with the outer one."""

    async def scene() -> None:
        world = StackWorld(tmp_path)
        world.nest({"inner.yaml": TEMPLATE})
        inner = {"TemplateURL": "https://s3.amazonaws.com/bucket/inner.yaml", "Parameters": {"Delay": 3}}
        resources = {
            "Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": inner},
            "User": queue({"Fn::GetAtt": ["Inner", "Outputs.Id"]}),
        }
        await world.stacks.create_stack(request(resources, StackName="outer"))
        statuses = {each.name.partition("-")[0]: each for each in world.store.stacks()}
        assert statuses["outer"].status == "CREATE_COMPLETE"
        assert world.cloud.names() == {"A", "B", "User"}
        nested = next(each for each in world.store.stacks() if each.name.startswith("outer-Inner-"))
        assert {"DelaySeconds": nested.outputs[0].value} in world.cloud.there.values()

        inner["Parameters"] = {"Delay": 4}
        await world.stacks.update_stack(request(resources, StackName="outer"))
        assert {"DelaySeconds": "4"} in world.cloud.there.values()
        world.cloud.refused = [{"DelaySeconds": "5"}]
        inner["Parameters"] = {"Delay": 5}
        await world.stacks.update_stack(request(resources, StackName="outer"))
        outer = world.store.find("outer")
        assert outer is not None
        assert outer.status == "UPDATE_ROLLBACK_COMPLETE"
        assert world.store.get(nested.id).status == "UPDATE_ROLLBACK_COMPLETE"

        world.cloud.failing = {("UPDATE", "A")}
        await world.stacks.update_stack(request(resources, StackName="outer"))
        assert world.store.get(outer.id).status == "UPDATE_ROLLBACK_FAILED"
        assert world.store.get(nested.id).status == "UPDATE_ROLLBACK_FAILED"
        world.cloud.failing.clear()
        await world.stacks.continue_update_rollback({"StackName": "outer"})
        assert world.store.get(outer.id).status == "UPDATE_ROLLBACK_COMPLETE"
        assert {"DelaySeconds": "4"} in world.cloud.there.values()
        await world.stacks.delete_stack({"StackName": "outer"})
        assert world.cloud.there == {}
        assert {each.status for each in world.store.stacks()} == {"DELETE_COMPLETE"}
        await world.close()

    asyncio.run(asyncio.wait_for(scene(), 30))


LOOP = """
Transform: AWS::LanguageExtensions
Parameters: {Names: {Type: CommaDelimitedList}}
Resources:
  Fn::ForEach::Queues:
    - Name
    - !Ref Names
    - Queue${Name}: {Type: AWS::SQS::Queue}
"""
EXPAND = {"Capabilities": ["CAPABILITY_AUTO_EXPAND"]}


def names(*values: str) -> list[dict[str, Any]]:
    return [{"ParameterKey": "Names", "ParameterValue": ",".join(values)}]


def test_a_template_is_transformed_before_it_is_deployed(api: Callable[[Use], None]) -> None:
    def use(stacks: Any, world: StackWorld) -> None:
        asked = {**SHOP, "TemplateBody": LOOP, "Parameters": names("A", "B")}
        assert refused(lambda: stacks.create_stack(**asked)) == (
            "InsufficientCapabilitiesException",
            "Requires capabilities : [CAPABILITY_AUTO_EXPAND]",
        )
        stacks.create_stack(**asked, **EXPAND)

        def there() -> list[str]:
            found = stacks.describe_stack_resources(**SHOP)["StackResources"]
            return [each["LogicalResourceId"] for each in found]

        assert there() == ["QueueA", "QueueB"]
        assert stacks.get_template(**SHOP, TemplateStage="Original")["TemplateBody"] == LOOP
        processed = stacks.get_template(**SHOP)["TemplateBody"]
        assert list(processed["Resources"]) == ["QueueA", "QueueB"]
        assert stacks.get_template_summary(**SHOP)["DeclaredTransforms"] == ["AWS::LanguageExtensions"]
        summary = stacks.get_template_summary(TemplateBody=LOOP)
        assert (summary["DeclaredTransforms"], summary["Capabilities"]) == (
            ["AWS::LanguageExtensions"],
            ["CAPABILITY_AUTO_EXPAND"],
        )
        assert stacks.validate_template(TemplateBody=LOOP)["Parameters"][0]["ParameterKey"] == "Names"
        # The text that was given is transformed again, with other parameters.
        stacks.create_change_set(**SHOP, ChangeSetName="more", UsePreviousTemplate=True, Parameters=names("B", "C"))
        changes = stacks.describe_change_set(**SHOP, ChangeSetName="more")["Changes"]
        assert {
            (each["ResourceChange"]["Action"], each["ResourceChange"]["LogicalResourceId"]) for each in changes
        } == {
            ("Remove", "QueueA"),
            ("Add", "QueueC"),
        }
        stacks.execute_change_set(**SHOP, ChangeSetName="more")
        assert there() == ["QueueB", "QueueC"]

    api(use)


def test_a_macro_of_one_stack_transforms_another(api: Callable[[Use], None]) -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:slow"
    macro = json.dumps(
        {
            "Resources": {
                "M": {"Type": "AWS::CloudFormation::Macro", "Properties": {"Name": "Slow", "FunctionName": arn}}
            }
        }
    )
    slowed = json.dumps({"Transform": "Slow", "Resources": {"A": {"Type": "AWS::SQS::Queue"}}})

    def use(stacks: Any, world: StackWorld) -> None:
        asked = {**SHOP, "TemplateBody": slowed, **EXPAND}
        assert refused(lambda: stacks.create_stack(**asked))[1] == "No transform named 123456789012::Slow found."
        stacks.create_stack(StackName="macros", TemplateBody=macro)
        stacks.create_stack(**asked)
        assert [model.get("DelaySeconds") for model in world.cloud.there.values()] == [9]
        ((invoked, event),) = world.functions.invoked
        assert (invoked, event["transformId"]) == (arn, "123456789012::Slow")
        second = stacks.create_stack(StackName="again", TemplateBody=macro, OnFailure="DO_NOTHING")["StackId"]
        assert stacks.describe_stacks(StackName=second)["Stacks"][0]["StackStatus"] == "CREATE_FAILED"
        world.functions.failing = "Task timed out after 3.00 seconds"
        assert refused(lambda: stacks.update_stack(**asked))[1] == (
            "Transform 123456789012::Slow failed with: Task timed out after 3.00 seconds"
        )
        stacks.delete_stack(StackName="macros")
        assert "No transform named" in refused(lambda: stacks.update_stack(**asked))[1]

    api(use)
