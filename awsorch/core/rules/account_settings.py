"""Account settings: which there are, what they may be, and which value applies to whom.

A setting is stored for a user, a role, or the account's root, whose value is everybody's default.
Source: ECS API, PutAccountSetting, PutAccountSettingDefault, DeleteAccountSetting, ListAccountSettings; developer
guide, "Access Amazon ECS features with account settings".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from awsorch.core.arn import Scope
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.events_registry import DeleteAccountSetting, PutAccountSetting
from awsorch.core.model import AccountSetting
from awsorch.core.state import RegistryState, Transaction

Settings = Mapping[str, AccountSetting]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRule:
    """``values`` may be put; ``default`` applies where nobody put one. ``managed``: AWS alone changes it.
    ``root_only``: one value for the whole account."""

    values: tuple[str, ...]
    default: str
    managed: bool = False
    root_only: bool = False


#: Whether instances get an interface that carries those of many tasks.
TRUNKING = "awsvpcTrunking"
#: Whether tasks with interfaces of their own have IPv6 addresses where their subnets do.
DUAL_STACK = "dualStackIPv6"
_LONG_ARN = SettingRule(values=("enabled",), default="enabled")

RULES: Mapping[str, SettingRule] = {
    "serviceLongArnFormat": _LONG_ARN,
    "taskLongArnFormat": _LONG_ARN,
    "containerInstanceLongArnFormat": _LONG_ARN,
    TRUNKING: SettingRule(values=("enabled", "disabled"), default="disabled"),
    "containerInsights": SettingRule(values=("enabled", "enhanced", "disabled"), default="disabled"),
    "fargateFIPSMode": SettingRule(values=("enabled", "disabled"), default="disabled"),
    "tagResourceAuthorization": SettingRule(values=("on", "off"), default="on"),
    "fargateTaskRetirementWaitPeriod": SettingRule(values=("0", "7", "14"), default="7", root_only=True),
    "guardDutyActivate": SettingRule(values=("on", "off"), default="off", managed=True),
    "defaultLogDriverMode": SettingRule(values=("blocking", "non-blocking"), default="non-blocking"),
    "fargateEventWindows": SettingRule(values=("enabled", "disabled"), default="disabled"),
    DUAL_STACK: SettingRule(values=("enabled", "disabled"), default="enabled"),
}

_PRINCIPAL = re.compile(r"arn:[a-z-]+:iam::(?P<account>[0-9]{12}):(?:root|(?:user|role)/[\x21-\x7e]{1,512})")
_SESSION = re.compile(r"arn:(?P<partition>[a-z-]+):sts::(?P<account>[0-9]{12}):assumed-role/(?P<role>[^/]+)/.+")


def put_account_setting(tx: Transaction[RegistryState], event: PutAccountSetting) -> AccountSetting:
    """Store the value for the principal. Raises InvalidParameterException where it can't be put."""
    rule = rule_of(event.name)
    if rule.managed:
        raise invalid_parameter(f"The account setting {event.name} is managed by AWS and can't be changed.")
    if event.value not in rule.values:
        raise invalid_parameter(f"Invalid value for {event.name}: it should be one of [{','.join(rule.values)}]")
    if rule.root_only and not event.principal_arn.endswith(":root"):
        raise invalid_parameter(
            f"The account setting {event.name} can only be changed for the root user of the account."
        )
    setting = AccountSetting(name=event.name, principal_arn=event.principal_arn, value=event.value)
    tx.put(setting)
    return setting


def delete_account_setting(tx: Transaction[RegistryState], event: DeleteAccountSetting) -> None:
    """Take the principal's own value out, if there is one."""
    if rule_of(event.name).managed:
        raise invalid_parameter(f"The account setting {event.name} is managed by AWS and can't be changed.")
    setting = tx.state.settings.get(f"{event.principal_arn}|{event.name}")
    if setting is not None:
        tx.remove(setting)


def rule_of(name: str) -> SettingRule:
    """The rule of a setting. Raises InvalidParameterException for a name that no setting has."""
    rule = RULES.get(name)
    if rule is None:
        raise invalid_parameter(f"unknown should be one of [{','.join(RULES)}]")
    return rule


def effective_value(settings: Settings, name: str, principal_arn: str, scope: Scope) -> str:
    """The value that applies to a principal: its own, else the account's, else ECS's default."""
    for principal in (principal_arn, scope.root):
        setting = settings.get(f"{principal}|{name}")
        if setting is not None:
            return setting.value
    return rule_of(name).default


def settings_of(settings: Settings, principal_arn: str, scope: Scope, *, effective: bool) -> list[AccountSetting]:
    """A principal's settings: only its own, or every one as it applies to it."""
    own = [(name, settings.get(f"{principal_arn}|{name}")) for name in RULES]
    if not effective:
        return [setting for _, setting in own if setting is not None]
    return [
        setting
        or AccountSetting(
            name=name,
            principal_arn=principal_arn,
            value=effective_value(settings, name, principal_arn, scope),
        )
        for name, setting in own
    ]


def principal_of(caller_arn: str) -> str:
    """Whose settings a caller has: a session of a role has the role's."""
    session = _SESSION.fullmatch(caller_arn)
    if session is None:
        return caller_arn
    return f"arn:{session['partition']}:iam::{session['account']}:role/{session['role']}"


def named_principal(text: str | None, *, caller_arn: str, scope: Scope) -> str:
    """The principal that a request means: the named one, or the caller.

    Raises InvalidParameterException for what is no principal of this account, AccessDeniedException where the caller is
    neither the root user nor the principal.
    """
    caller = principal_of(caller_arn)
    if not text:
        return caller
    found = _PRINCIPAL.fullmatch(text)
    if found is None or found["account"] != scope.account:
        raise invalid_parameter(
            f"Invalid principalArn: {text}. Use the ARN of a user, a role or the root user of account {scope.account}."
        )
    if caller not in (text, scope.root):
        raise Refusal(
            "AccessDeniedException", f"User: {caller_arn} is not authorized to change the account settings of {text}"
        )
    return text
