"""`awsorch cfn deploy` and `package`, against stacks behind a door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.cfn_account import TOPIC, Account, mine, with_account

__all__ = ["mine"]

CLUSTER = "Resources:\n  C:\n    Type: AWS::ECS::Cluster\n    Properties: {ClusterName: shop}\n"
QUEUE = "  Q:\n    Type: AWS::SQS::Queue\n    DependsOn: C\n"
OUTPUT = "Outputs:\n  Arn: {Value: !GetAtt C.Arn}\n"


@pytest.fixture(autouse=True)
def quick(mine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awsorch.cli.cfn_stack.LOOK_SECONDS", 0.01)


def wrote(folder: Path, **files: str) -> Path:
    """Templates by their names; the folder."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def deploy(account: Account, path: Path, *more: str) -> tuple[int, str, str]:
    done = account.awsorch("deploy", "--template-file", str(path), "--stack-name", "shop", *more)
    return done.exit_code, done.stdout, done.stderr


def test_a_stack_is_made_changed_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    sized = "Parameters:\n  Size: {Type: Number, Default: 1}\n  Name: {Type: String, Default: x}\n"
    delay = "    Properties: {DelaySeconds: !Ref Size}\n"

    def use(account: Account) -> None:
        path.write_text(sized + CLUSTER + QUEUE + delay + OUTPUT)
        code, said, warned = deploy(account, path, "--parameter-overrides", "Size=2", "Name=a=b", "Gone=1")
        assert (code, warned) == (0, "Warning: the template has no parameter Gone.\n")
        lines = [line.split()[1:4] for line in said.splitlines() if "::" in line]
        assert lines[0] == ["CREATE_IN_PROGRESS", "AWS::CloudFormation::Stack", "shop"]
        assert ["CREATE_COMPLETE", "Custom::AwsorchEcsCluster", "C"] in lines
        assert len(lines) == len({tuple(each) for each in lines}) + 2, "begun twice: Resource creation Initiated"
        assert said.endswith("shop is in CREATE_COMPLETE\n  Arn = arn:C\n")
        assert account.models() == {"C": {"ClusterName": "shop"}}

        code, said, _ = deploy(account, path)
        assert (code, said) == (0, "No changes to deploy. Stack shop is up to date\n"), "values are kept"
        assert deploy(account, path, "--fail-on-empty-changeset")[0] == 255
        left = account.client("cloudformation").list_change_sets(StackName="shop")["Summaries"]
        assert [each for each in left if each["Status"] == "FAILED"] == []

        path.write_text((sized + CLUSTER + QUEUE + delay + OUTPUT).replace("shop", "mall"))
        code, said, _ = deploy(account, path, "--no-execute-changeset", "--tags", "team=a", "by=b")
        assert (code, account.asked()) == (0, [("Create", "C")])
        code, said, _ = deploy(account, path, "--parameter-overrides", "Size=3", "--tags", "team=a", "by=b")
        assert (code, said.splitlines()[-2]) == (0, "shop is in UPDATE_COMPLETE")
        assert account.models() == {"C": {"ClusterName": "mall"}}
        (stack,) = account.client("cloudformation").describe_stacks(StackName="shop")["Stacks"]
        assert {each["Key"]: each["Value"] for each in stack["Tags"]} == {"team": "a", "by": "b"}
        assert {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]} == {
            "Size": "3",
            "Name": "a=b",
        }

    with_account(tmp_path, use)


def test_what_failed_first_is_said_with_its_reason(tmp_path: Path) -> None:
    folder = wrote(tmp_path, t=CLUSTER + QUEUE, bad=CLUSTER.replace("ECS::Cluster", "ECS::Daemon"))

    def use(account: Account) -> None:
        account.refusing["C"] = "no capacity"
        code, said, why = deploy(account, folder / "t.yaml")
        assert (code, "ROLLBACK_IN_PROGRESS" in said) == (255, True)
        assert why.startswith(
            "awsorch: shop is in ROLLBACK_COMPLETE: C (Custom::AwsorchEcsCluster) CREATE_FAILED: Received response"
        )
        assert "no capacity" in why
        code, _, why = deploy(account, folder / "t.yaml")
        assert (code, "ROLLBACK_COMPLETE state and can not be updated" in why) == (1, True), why
        code, _, why = deploy(account, folder / "bad.yaml")
        assert (code, "bad.yaml: Resource C: awsorch does not support AWS::ECS::Daemon" in why) == (1, True)

    with_account(tmp_path, use)


def test_large_templates_come_from_s3_once(tmp_path: Path) -> None:
    folder = wrote(
        tmp_path, t=json.dumps({"Resources": {"C": {"Type": "AWS::ECS::Cluster"}}, "Metadata": {"Long": "x" * 52_000}})
    )

    def use(account: Account) -> None:
        code, _, why = deploy(account, folder / "t.yaml")
        assert (code, "must come from S3: give --s3-bucket" in why) == (1, True)
        assert [each["Action"] for each in account.calls] == ["DescribeStacks"]
        for _ in range(2):
            code, _, why = deploy(account, folder / "t.yaml", "--s3-bucket", "bucket", "--s3-prefix", "a/b")
            assert code == 0, why
        (key,) = account.uploads
        assert (key.startswith("a/b/"), account.asked()) == (True, [("Create", "C")])
        code, _, why = deploy(account, folder / "t.yaml", "--s3-bucket", "bucket", "--s3-prefix", "/closed/")
        assert (code, "can't be written: AccessDenied" in why) == (1, True)

    with_account(tmp_path, use)


OUTER = """
Parameters:
  Bucket: {Type: String, Default: bucket}
Resources:
  Near:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: inner.yaml, Parameters: {Bucket: !Ref Bucket}}
"""
INNER = """
Parameters:
  Bucket: {Type: String}
Resources:
  Far:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: !Sub "https://${Bucket}.s3.${AWS::Region}.${AWS::URLSuffix}/far/away.yaml"}
  Plain:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: "s3://bucket/plain.yaml"}
"""
PLAIN = "Resources:\n  Q: {Type: AWS::SQS::Queue}\n"


def test_nested_templates_are_packaged_to_the_last(tmp_path: Path) -> None:
    folder = wrote(tmp_path, outer=OUTER, inner=INNER)

    def use(account: Account) -> None:
        account.objects.update({"far/away.yaml": CLUSTER, "plain.yaml": PLAIN})
        package = ("package", "--template-file", str(folder / "outer.yaml"), "--s3-bucket", "bucket")
        done = account.awsorch(*package)
        assert done.exit_code == 0, done.stderr
        outer = json.loads(done.stdout)
        far, near = account.uploads
        assert outer["Resources"]["Near"]["Properties"]["TemplateURL"] == f"{account.url}/bucket/{near}"
        inner = json.loads(account.objects[near])["Resources"]
        assert inner["Far"]["Properties"]["TemplateURL"] == f"{account.url}/bucket/{far}"
        assert inner["Plain"]["Properties"]["TemplateURL"] == "s3://bucket/plain.yaml", "nothing of ECS is in there"
        made = json.loads(account.objects[far])["Resources"]["C"]
        assert (made["Type"], made["Properties"]["ServiceToken"]) == ("Custom::AwsorchEcsCluster", TOPIC)

        target = tmp_path / "packaged.json"
        assert account.awsorch(*package, "--output-template-file", str(target)).exit_code == 0
        assert (account.uploads, json.loads(target.read_text())) == ([far, near], outer), "nothing goes up twice"

        account.refusing["C"] = "no capacity"
        code, _, why = deploy(account, target)
        assert (code, "no capacity" in why) == (255, True)
        assert "C (Custom::AwsorchEcsCluster) of shop-Near-" in why, "the innermost one that failed"

    with_account(tmp_path, use)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("absent.yaml", "absent.yaml can't be read"),
        ("t.yaml", "nest each other in a circle"),
        ("https://s3.amazonaws.com/bucket/none", "https://s3.amazonaws.com/bucket/none can't be read: NoSuchKey"),
        ("https://example.com/", "is not the URL of an S3 object"),
        ("!Ref Url", "write its URL as text, or with parameters whose values are given: Template format error: Unres"),
        ("!GetAtt C.Arn", "C.Arn is not there yet"),
    ],
)
def test_a_nested_template_that_can_t_be_had_is_named(tmp_path: Path, url: str, why: str) -> None:
    nested = f"  N:\n    Type: AWS::CloudFormation::Stack\n    Properties: {{TemplateURL: {url}}}\n"
    folder = wrote(tmp_path, t="Parameters: {Url: {Type: String}}\n" + CLUSTER + nested)

    def use(account: Account) -> None:
        done = account.awsorch("package", "--template-file", str(folder / "t.yaml"), "--s3-bucket", "bucket")
        assert done.exit_code == 1
        assert "t.yaml: Resource N: " in done.stderr
        assert why in done.stderr

    with_account(tmp_path, use)


def test_pairs_and_profiles_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = wrote(tmp_path, t=CLUSTER)

    def use(account: Account) -> None:
        code, _, why = deploy(account, folder / "t.yaml", "--parameter-overrides", "Size")
        assert (code, "--parameter-overrides takes Key=Value, not 'Size'" in why) == (2, True)
        code, _, why = deploy(account, folder / "t.yaml", "--profile", "nobody")
        assert (code, "The config profile (nobody) could not be found" in why) == (1, True)

    with_account(tmp_path, use)
