"""Account settings through boto3: own values, the account's, ECS's defaults."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsorch.api.views_task_definitions import setting_view
from awsorch.core.arn import Scope
from awsorch.core.rules.account_settings import settings_of
from awsorch.wire.codec import Codec

ACCOUNT = "arn:aws:iam::123456789012"
ROOT = f"{ACCOUNT}:root"
USER = f"{ACCOUNT}:user/ann"
NAME = "containerInsights"


def refused(code: str, text: str) -> Any:
    """Expect a ClientError of this code with exactly this message."""
    return pytest.raises(ClientError, match=rf"\({code}\) when calling the \w+ operation: {text}$")


def settings(ecs: Any, **request: Any) -> dict[str, str]:
    pages = ecs.get_paginator("list_account_settings").paginate(**request)
    return {setting["name"]: setting["value"] for page in pages for setting in page["settings"]}


def test_defaults(ecs: Any) -> None:
    assert settings(ecs) == {}
    effective = settings(ecs, effectiveSettings=True)
    assert effective["serviceLongArnFormat"] == effective["taskLongArnFormat"] == "enabled"
    assert (effective[NAME], effective["defaultLogDriverMode"]) == ("disabled", "non-blocking")
    assert list(effective) == sorted(effective)
    assert len(effective) > 10, "more than a page"


def test_every_setting_is_one_of_the_models() -> None:
    scope = Scope(region="us-east-1", account="123456789012")
    answer = {"settings": [setting_view(setting) for setting in settings_of({}, USER, scope, effective=True)]}
    Codec.load("ecs").check_output("ListAccountSettings", answer)


def test_own_value_then_the_accounts_then_the_default(ecs: Any) -> None:
    put = ecs.put_account_setting_default(name=NAME, value="enabled")["setting"]
    assert put == {"name": NAME, "value": "enabled", "principalArn": ROOT, "type": "user"}
    put = ecs.put_account_setting(name=NAME, value="enhanced", principalArn=USER)["setting"]
    assert put == {"name": NAME, "value": "enhanced", "principalArn": USER, "type": "user"}
    assert settings(ecs, principalArn=USER) == {NAME: "enhanced"}
    assert settings(ecs) == {NAME: "enabled"}

    deleted = ecs.delete_account_setting(name=NAME, principalArn=USER)["setting"]
    assert deleted == {"name": NAME, "value": "enabled", "principalArn": USER, "type": "user"}
    assert settings(ecs, principalArn=USER) == {}
    assert settings(ecs, principalArn=USER, effectiveSettings=True)[NAME] == "enabled"
    assert ecs.delete_account_setting(name=NAME, principalArn=ROOT)["setting"]["value"] == "disabled"
    assert ecs.delete_account_setting(name=NAME)["setting"]["value"] == "disabled"


def test_filters_and_pages(ecs: Any) -> None:
    found = ecs.list_account_settings(effectiveSettings=True, name=NAME)["settings"]
    assert [setting["value"] for setting in found] == ["disabled"]
    assert settings(ecs, effectiveSettings=True, name=NAME, value="enabled") == {}
    assert settings(ecs, effectiveSettings=True, maxResults=1) == settings(ecs, effectiveSettings=True)
    managed = ecs.list_account_settings(effectiveSettings=True, name="guardDutyActivate")["settings"][0]
    assert managed["type"] == "aws_managed"
    with refused("InvalidParameterException", "You must specify a setting name to filter by value."):
        ecs.list_account_settings(value="enabled")
    with refused("InvalidParameterException", ".*10.*"):
        ecs.list_account_settings(maxResults=11)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (NAME, "on", r"Invalid value for containerInsights: it should be one of \[enabled,enhanced,disabled\]"),
        ("taskLongArnFormat", "disabled", r"Invalid value for taskLongArnFormat: it should be one of \[enabled\]"),
        ("guardDutyActivate", "on", "The account setting guardDutyActivate is managed by AWS and can't be changed."),
    ],
)
def test_values_that_cannot_be_put(ecs: Any, name: str, value: str, text: str) -> None:
    with refused("InvalidParameterException", text):
        ecs.put_account_setting(name=name, value=value)


def test_the_retirement_period_is_one_for_the_account(ecs: Any) -> None:
    with refused("InvalidParameterException", ".*can only be changed for the root user of the account."):
        ecs.put_account_setting(name="fargateTaskRetirementWaitPeriod", value="14", principalArn=USER)
    ecs.put_account_setting_default(name="fargateTaskRetirementWaitPeriod", value="14")
    assert settings(ecs, effectiveSettings=True)["fargateTaskRetirementWaitPeriod"] == "14"


@pytest.mark.parametrize("principal", ["ann", "arn:aws:iam::999999999999:user/ann", f"{ACCOUNT}:group/all"])
def test_no_principal_of_the_account(ecs: Any, principal: str) -> None:
    with refused("InvalidParameterException", "Invalid principalArn: .*"):
        ecs.put_account_setting(name=NAME, value="enabled", principalArn=principal)
