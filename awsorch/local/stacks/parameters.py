"""Parameters: what is given, what the template defaults to, and what they may be.

Source: AWS CloudFormation user guide, "Parameters" (types, constraints, and the types that name an SSM parameter).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.cfn.contract import scalar_text
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.template import Template

HIDDEN = "****"
_SSM = re.compile(r"AWS::SSM::Parameter::Value<(.+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a call says of a parameter: a value, or that the stack's last one stays."""

    value: str | None = None
    use_previous: bool = False


def settle(template: Template, given: Mapping[str, Given], previous: Mapping[str, str]) -> dict[str, str]:
    """Every parameter's value as text. Raises StackRefused with CloudFormation's words."""
    unknown = [name for name in given if name not in template.parameters]
    if unknown:
        raise StackRefused(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values: dict[str, str] = {}
    missing = []
    for name, declared in template.parameters.items():
        value = _value(name, declared, given.get(name), previous)
        if value is None:
            missing.append(name)
        else:
            values[name] = value
    if missing:
        raise StackRefused(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in values.items():
        _check(name, template.parameters[name], value)
    return values


def ssm_names(template: Template, values: Mapping[str, str]) -> dict[str, str]:
    """Parameter to the name of the SSM parameter that has its value."""
    return {
        name: values[name]
        for name, declared in template.parameters.items()
        if _SSM.fullmatch(str(declared["Type"])) and name in values
    }


def typed(template: Template, values: Mapping[str, str], resolved: Mapping[str, str]) -> dict[str, Any]:
    """The values as Ref gives them: lists are split, SSM's resolved ones stand for their names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        declared = str(template.parameters[name]["Type"])
        inner = _SSM.fullmatch(declared)
        text = resolved.get(name, value)
        is_list = (inner.group(1) if inner else declared).startswith(("List<", "CommaDelimitedList"))
        found[name] = ([each.strip() for each in text.split(",")] if text else []) if is_list else text
    return found


def shown(template: Template, values: Mapping[str, str], resolved: Mapping[str, str]) -> list[dict[str, str]]:
    """The values as DescribeStacks shows them: NoEcho ones hidden."""
    shown = []
    for name, value in values.items():
        hidden = scalar_text(template.parameters.get(name, {}).get("NoEcho")) == "true"
        each = {"ParameterKey": name, "ParameterValue": HIDDEN if hidden else value}
        if name in resolved:
            each["ResolvedValue"] = resolved[name]
        shown.append(each)
    return shown


def _value(name: str, declared: Mapping[str, Any], given: Given | None, previous: Mapping[str, str]) -> str | None:
    if given is not None and given.use_previous:
        if name not in previous:
            raise StackRefused(f"Parameter '{name}' has no previous value: UsePreviousValue needs one.")
        return previous[name]
    if given is not None and given.value is not None:
        return given.value
    default = declared.get("Default")
    if isinstance(default, list):
        return ",".join(scalar_text(each) or "" for each in default)
    return scalar_text(default)


def _check(name: str, declared: Mapping[str, Any], value: str) -> None:
    kind = str(declared["Type"])
    if _SSM.fullmatch(kind):
        return
    allowed = [scalar_text(each) for each in declared.get("AllowedValues") or []]
    each_value = [each.strip() for each in value.split(",")] if kind.startswith(("List<", "CommaD")) else [value]
    for each in each_value:
        if allowed and each not in allowed:
            _refuse(name, declared, f"must be one of AllowedValues [{', '.join(map(str, allowed))}]")
        if kind in ("Number", "List<Number>"):
            _check_number(name, declared, each)
        pattern = declared.get("AllowedPattern")
        if pattern and not re.fullmatch(str(pattern), each):
            _refuse(name, declared, f"must match pattern {pattern}")
        if kind == "String":
            _check_length(name, declared, each)


def _check_number(name: str, declared: Mapping[str, Any], value: str) -> None:
    try:
        number = float(value)
    except ValueError:
        raise StackRefused(f"Parameter '{name}' must be a number.") from None
    if "MinValue" in declared and number < float(declared["MinValue"]):
        _refuse(name, declared, f"must be a number not less than {declared['MinValue']}")
    if "MaxValue" in declared and number > float(declared["MaxValue"]):
        _refuse(name, declared, f"must be a number not greater than {declared['MaxValue']}")


def _check_length(name: str, declared: Mapping[str, Any], value: str) -> None:
    if "MinLength" in declared and len(value) < int(declared["MinLength"]):
        _refuse(name, declared, f"must contain at least {declared['MinLength']} characters")
    if "MaxLength" in declared and len(value) > int(declared["MaxLength"]):
        _refuse(name, declared, f"must contain at most {declared['MaxLength']} characters")


def _refuse(name: str, declared: Mapping[str, Any], rule: str) -> None:
    described = declared.get("ConstraintDescription")
    said = f"failed to satisfy constraint: {described}" if described else rule
    raise StackRefused(f"Parameter '{name}' {said}")
