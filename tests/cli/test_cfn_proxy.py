"""`awsorch cfn proxy`: clients that know nothing of awsorch deploy through it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from awsorch.cli.cfn_proxy import VARIABLE
from tests.cli.cfn_account import LONG_S, TOPIC, Account, client, mine, through, with_account

__all__ = ["mine"]

CLUSTER = {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterName": "shop"}}
QUEUE = {"Type": "AWS::SQS::Queue"}
SHOP = {"StackName": "shop"}
PROXY = (sys.executable, "-c", "from awsorch.cli.main import main; main()", "cfn", "proxy")
BUCKET = "https://bucket.s3.eu-west-1.amazonaws.com/"


def nested(url: Any) -> dict[str, Any]:
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}


def text(**resources: Any) -> str:
    return json.dumps({"Resources": resources})


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def test_templates_are_transformed_and_all_else_is_passed_on(tmp_path: Path) -> None:
    told: list[str] = []

    def use(stacks: Any, account: Account) -> None:
        template = text(C=CLUSTER, Q=QUEUE)
        summary = stacks.get_template_summary(TemplateBody=template)
        assert summary["ResourceTypes"] == ["Custom::AwsorchEcsCluster", "AWS::SQS::Queue"]
        assert stacks.validate_template(TemplateBody=template)["Parameters"] == []
        tags = [{"Key": "who", "Value": "a+b & ü"}]
        stacks.create_stack(**SHOP, TemplateBody=template, Tags=tags)
        (stack,) = stacks.describe_stacks(**SHOP)["Stacks"]
        assert (stack["StackStatus"], stack["Tags"]) == ("CREATE_COMPLETE", tags)
        assert (account.asked(), account.models()) == ([("Create", "C")], {"C": {"ClusterName": "shop"}})
        assert refused(lambda: stacks.update_stack(**SHOP, TemplateBody=template)) == (
            "ValidationError",
            "No updates are to be performed.",
        )
        stacks.create_change_set(**SHOP, ChangeSetName="one", TemplateBody=template.replace("shop", "mall"))
        (change,) = stacks.describe_change_set(**SHOP, ChangeSetName="one")["Changes"]
        assert change["ResourceChange"]["ResourceType"] == "Custom::AwsorchEcsCluster"
        plain = text(Q=QUEUE) + "\n  "
        stacks.create_stack(StackName="plain", TemplateBody=plain)
        assert account.calls[-1]["TemplateBody"] == plain, "what has nothing of ECS is left as it is"
        assert set(account.signers) == {"mine"}
        previous = {**SHOP, "UsePreviousTemplate": True, "Tags": tags}
        assert refused(lambda: stacks.update_stack(**previous))[1] == "No updates are to be performed."
        assert refused(lambda: stacks.create_stack_set(StackSetName="s", TemplateBody=template))[0]
        assert told == ["CreateStackSet has a template, which is passed on as it is."]

    through(tmp_path, use, told)


def test_templates_in_s3_are_transformed_beside_what_they_were(tmp_path: Path) -> None:
    def use(stacks: Any, account: Account) -> None:
        inner = {"Fn::Sub": "https://${Bucket}.s3.${AWS::Region}.amazonaws.com/deep/inner.json"}
        outer = {"Parameters": {"Bucket": {"Type": "String"}}, "Resources": {"N": nested(inner)}}
        account.objects["a b/outer.json"] = json.dumps(outer)
        account.objects["deep/inner.json"] = text(C=CLUSTER)
        parameter = {"ParameterKey": "Bucket", "ParameterValue": "bucket"}
        url = {"TemplateURL": f"{BUCKET}a%20b/outer.json"}
        stacks.create_stack(**SHOP, **url, Parameters=[parameter])
        (stack,) = stacks.describe_stacks(**SHOP)["Stacks"]
        assert (stack["StackStatus"], account.asked()) == ("CREATE_COMPLETE", [("Create", "C")])
        deep, high = account.uploads
        assert (deep.rpartition("/")[0], high.rpartition("/")[0]) == ("deep", "a b")
        (call,) = [each for each in account.calls if each.get("StackName") == "shop" and "TemplateURL" in each]
        assert call["TemplateURL"] == BUCKET + high.replace(" ", "%20")
        assert json.loads(account.objects[high])["Resources"]["N"]["Properties"]["TemplateURL"] == (
            f"https://bucket.s3.us-east-1.amazonaws.com/{deep}"
        )
        kept = {"ParameterKey": "Bucket", "UsePreviousValue": True}
        again = {"ChangeSetName": "again", **url, "Parameters": [kept]}
        stacks.create_change_set(**SHOP, **again)
        assert account.uploads == [deep, high], "the stack knows the bucket, and nothing has changed"

    through(tmp_path, use)


def test_what_becomes_too_large_for_a_call_goes_to_the_bucket(tmp_path: Path) -> None:
    large = json.dumps({"Resources": {"C": CLUSTER}, "Description": "x" * 900, "Metadata": {"Long": "x" * 50_100}})

    def use(stacks: Any, account: Account) -> None:
        code, why = refused(lambda: stacks.create_stack(**SHOP, TemplateBody=large))
        assert (code, why) == (
            "ValidationError",
            "awsorch: The template must go to S3 to be deployed; say which bucket: --s3-bucket.",
        )

    def put(stacks: Any, account: Account) -> None:
        stacks.create_stack(**SHOP, TemplateBody=large)
        assert account.calls[-1]["TemplateURL"] == f"{account.url}/bucket/{account.uploads[0]}"
        assert account.asked() == [("Create", "C")]

    through(tmp_path / "none", use)
    through(tmp_path / "one", put, bucket="bucket")


def test_what_can_t_be_done_is_an_error_of_cloudformation_s(tmp_path: Path) -> None:
    def use(stacks: Any, account: Account) -> None:
        wrong = text(D={"Type": "AWS::ECS::Daemon"})
        code, why = refused(lambda: stacks.create_stack(**SHOP, TemplateBody=wrong))
        assert (code, why.startswith("awsorch: Resource D: awsorch does not support")) == ("ValidationError", True)
        absent = {"ChangeSetName": "one", "TemplateURL": f"{BUCKET}none"}
        assert "NoSuchKey" in refused(lambda: stacks.create_change_set(**SHOP, **absent))[1]
        assert account.calls == [], "none of these reached CloudFormation"
        assert refused(lambda: stacks.describe_stacks(**SHOP))[1] == "Stack with id shop does not exist"
        assert refused(lambda: client(stacks.meta.endpoint_url, "sqs").list_queues())[0] == "InvalidAction"
        with pytest.raises(HTTPError) as error:
            urllib.request.urlopen(stacks.meta.endpoint_url.rpartition("/")[0] + "/guess", data=b"Action=ListStacks")
        assert error.value.code == 403

    through(tmp_path / "there", use)

    def alone(stacks: Any, account: Account) -> None:
        code, why = refused(stacks.list_stacks)
        assert (code, "http://127.0.0.1:9" in why) == ("ServiceUnavailable", True)

    through(tmp_path / "away", alone, away=True)


def test_the_aws_cli_deploys_through_it(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("Resources:\n  C:\n    Type: AWS::ECS::Cluster\nOutputs:\n  Arn: {Value: !GetAtt C.Arn}\n")
    aws = str(Path(sys.executable).with_name("aws"))

    def use(account: Account) -> None:
        environment = {**os.environ, "AWS_ENDPOINT_URL": account.url, "AWSORCH_SERVICE_TOKEN": TOPIC}
        deploy = (aws, "cloudformation", "deploy", "--template-file", str(path), "--stack-name", "shop")
        done = subprocess.run((*PROXY, "--", *deploy), env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (stack,) = account.client("cloudformation").describe_stacks(**SHOP)["Stacks"]
        assert stack["Outputs"] == [{"OutputKey": "Arn", "OutputValue": "arn:C"}]
        assert account.asked() == [("Create", "C")]
        shown = f"import os, sys; sys.exit(len(os.environ['{VARIABLE}']) > 40 and 7)"
        ran = subprocess.run((*PROXY, "--", sys.executable, "-c", shown), env=environment, check=False)
        assert ran.returncode == 7

    with_account(tmp_path, use)


def test_it_says_where_it_is_until_it_is_interrupted(tmp_path: Path) -> None:
    def use(account: Account) -> None:
        environment = {**os.environ, "AWS_ENDPOINT_URL": account.url, "AWSORCH_SERVICE_TOKEN": TOPIC}
        running = subprocess.Popen((*PROXY, "--port", "0"), env=environment, stdout=subprocess.PIPE, text=True)
        with running:
            assert running.stdout is not None
            assert "until Ctrl-C" in running.stdout.readline()
            url = running.stdout.readline().partition(f"export {VARIABLE}=")[2].strip()
            assert client(url).list_stacks()["StackSummaries"] == []
            port = str(urlsplit(url).port)
            second = subprocess.run(
                (*PROXY, "--port", port), env=environment, capture_output=True, text=True, check=False
            )
            assert (second.returncode, "address already in use" in second.stderr) == (1, True), second.stderr
            running.send_signal(signal.SIGINT)
            assert running.wait(LONG_S) == 0

    with_account(tmp_path, use)
