"""The Rules section: assertions about parameters, checked before anything is begun.

Source: AWS CloudFormation user guide, "Rules section structure" and "Rule-specific intrinsic functions".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from awsorch.cfn.contract import AwsCalls, CallRefused, scalar_text
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.parameters import typed
from awsorch.local.stacks.template import Template

_CALLS = {
    "AWS::EC2::VPC::Id": ("DescribeVpcs", "VpcIds", "Vpcs", "VpcId"),
    "AWS::EC2::Subnet::Id": ("DescribeSubnets", "SubnetIds", "Subnets", "SubnetId"),
    "AWS::EC2::SecurityGroup::Id": ("DescribeSecurityGroups", "GroupIds", "SecurityGroups", "GroupId"),
}
"""The parameter types of which attributes may be asked (Fn::ValueOf), and who tells them."""
_KNOWS_ATTRIBUTES = ("Fn::ValueOf", "Fn::ValueOfAll")


async def check_rules(
    template: Template, values: Mapping[str, str], resolved: Mapping[str, str], pseudo: Mapping[str, Any], aws: AwsCalls
) -> None:
    """Check every rule whose condition holds. Raises StackRefused with the description of what does not hold,
    TemplateError for a rule that is malformed."""
    if not template.rules:
        return
    parameters = typed(template, values, resolved)
    found = await _descriptions(template, parameters, aws) if _mentions(template.rules) else {}
    rules = _Rules(template, {**pseudo, **parameters}, found)
    for name, rule in template.rules.items():
        _check_rule(name, rule, rules)


def _check_rule(name: str, rule: Any, rules: _Rules) -> None:
    assertions = rule.get("Assertions") if isinstance(rule, Mapping) else None
    if not isinstance(rule, Mapping) or not isinstance(assertions, list) or not assertions:
        raise TemplateError(f"Template format error: Rule {name} must have a list of Assertions. [/Rules/{name}]")
    if rule.keys() - {"Assertions", "RuleCondition"}:
        said = ", ".join(sorted(rule.keys() - {"Assertions", "RuleCondition"}))
        raise TemplateError(f"Template format error: Invalid property or properties [{said}] of rule {name}")
    if "RuleCondition" in rule and not rules.truth(rule["RuleCondition"]):
        return
    for number, each in enumerate(assertions):
        if not isinstance(each, Mapping) or "Assert" not in each:
            raise TemplateError(
                f"Template format error: Every assertion must contain an Assert member. [/Rules/{name}/{number}]"
            )
        if not rules.truth(each["Assert"]):
            raise StackRefused(str(each.get("AssertDescription") or f"Assertion {number} of rule {name} failed"))


class _Rules:
    """Evaluates what rules say; `found`: parameter to the attributes of each of its values."""

    def __init__(
        self, template: Template, refs: Mapping[str, Any], found: Mapping[str, list[Mapping[str, Any]]]
    ) -> None:
        self._template = template
        self._refs = refs
        self._found = found
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Fn::And": lambda argument: all(self._truths("Fn::And", argument, 2, 10)),
            "Fn::Contains": self._contains,
            "Fn::EachMemberEquals": self._each_equals,
            "Fn::EachMemberIn": self._each_in,
            "Fn::Equals": self._equals,
            "Fn::If": self._if,
            "Fn::Not": lambda argument: not self._truths("Fn::Not", argument, 1, 1)[0],
            "Fn::Or": lambda argument: any(self._truths("Fn::Or", argument, 2, 10)),
            "Fn::RefAll": self._ref_all,
            "Fn::ValueOf": self._value_of,
            "Fn::ValueOfAll": self._value_of_all,
            "Ref": self._ref,
        }

    def truth(self, value: Any) -> bool:
        """What a condition or assertion comes to. Raises TemplateError."""
        found = self._evaluate(value)
        text = None if isinstance(found, list) else scalar_text(found)
        if text not in ("true", "false"):
            raise TemplateError("Template error: conditions and assertions of rules should be true or false.")
        return text == "true"

    def _evaluate(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._evaluate(each) for each in value]
        if isinstance(value, Mapping):
            name, argument = next(iter(value.items())) if len(value) == 1 else ("", None)
            if name not in self._functions:
                said = name or ", ".join(value)
                raise TemplateError(f"Template format error: the Rules section does not support [{said}].")
            return self._functions[name](argument)
        return value

    def _ref(self, name: Any) -> Any:
        if name not in self._refs:
            raise TemplateError(f"Template format error: Unresolved dependencies [{name}] in the Rules block")
        return self._refs[name]

    def _ref_all(self, type: Any) -> list[str]:
        """The values of all parameters of a type, lists of it too."""
        named = [name for name, each in self._template.parameters.items() if _element(str(each["Type"])) == type]
        return [text for name in named for text in _texts(self._refs[name])]

    def _contains(self, argument: Any) -> bool:
        among, value = self._pair("Fn::Contains", argument)
        return set(_texts(value)) <= set(_texts(among))

    def _each_in(self, argument: Any) -> bool:
        members, among = self._pair("Fn::EachMemberIn", argument)
        return set(_texts(members)) <= set(_texts(among))

    def _each_equals(self, argument: Any) -> bool:
        members, value = self._pair("Fn::EachMemberEquals", argument)
        return all(_texts(value) == [each] for each in _texts(members))

    def _equals(self, argument: Any) -> bool:
        one, other = self._pair("Fn::Equals", argument)
        return _texts(one) == _texts(other)

    def _if(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            raise TemplateError("Template error: Fn::If requires a list argument with three elements")
        return self._evaluate(argument[1 if self.truth(argument[0]) else 2])

    def _value_of(self, argument: Any) -> Any:
        name, attribute = self._pair("Fn::ValueOf", argument)
        found = [_attribute(each, str(attribute)) for each in self._facts(str(name))]
        is_list = isinstance(self._refs[name], list)
        return found if is_list else found[0]

    def _value_of_all(self, argument: Any) -> list[str]:
        type, attribute = self._pair("Fn::ValueOfAll", argument)
        named = [name for name, each in self._template.parameters.items() if _element(str(each["Type"])) == type]
        return [_attribute(each, str(attribute)) for name in named for each in self._facts(name)]

    def _facts(self, name: str) -> list[Mapping[str, Any]]:
        if name not in self._found:
            known = ", ".join(_CALLS)
            raise TemplateError(
                f"Template error: attributes of parameter {name} are not known: its type is not {known}"
            )
        return self._found[name]

    def _pair(self, name: str, argument: Any) -> tuple[Any, Any]:
        if not isinstance(argument, list) or len(argument) != 2:
            raise TemplateError(f"Template error: every {name} object requires a list of 2 parameters.")
        return self._evaluate(argument[0]), self._evaluate(argument[1])

    def _truths(self, name: str, argument: Any, least: int, most: int) -> list[bool]:
        if not isinstance(argument, list) or not least <= len(argument) <= most:
            wanted = f"{least}" if least == most else f"at least {least} and at most {most}"
            raise TemplateError(f"Template error: every {name} object requires a list of {wanted} boolean parameters.")
        return [self.truth(each) for each in argument]


async def _descriptions(
    template: Template, parameters: Mapping[str, Any], aws: AwsCalls
) -> dict[str, list[Mapping[str, Any]]]:
    """What EC2 tells of the values of parameters, in the order of the values."""
    found = {}
    for name, declared in template.parameters.items():
        if _element(str(declared["Type"])) not in _CALLS:
            continue
        operation, ids, list_name, id = _CALLS[_element(str(declared["Type"]))]
        values = _texts(parameters[name])
        try:
            answer = await aws.call("ec2", operation, {ids: values})
        except CallRefused as error:
            raise StackRefused(f"Parameter {name}: {error}") from None
        told = {each[id]: each for each in answer[list_name]}
        found[name] = [told[value] for value in values if value in told]
        if len(found[name]) < len(values):
            raise StackRefused(f"Parameter {name}: {', '.join(sorted(set(values) - told.keys()))} does not exist")
    return found


def _attribute(facts: Mapping[str, Any], name: str) -> str:
    """An attribute, which may be `Tags.<key>`. A tag that is not there is empty."""
    if name.startswith("Tags."):
        tags = {each["Key"]: each["Value"] for each in facts.get("Tags", ())}
        return str(tags.get(name.removeprefix("Tags."), ""))
    if name not in facts or isinstance(facts[name], list | Mapping):
        raise TemplateError(f"Template error: Fn::ValueOf does not support attribute {name}")
    return scalar_text(facts[name]) or ""


def _element(type: str) -> str:
    return type.removeprefix("List<").removesuffix(">") if type.startswith("List<") else type


def _texts(value: Any) -> list[str]:
    return [scalar_text(each) or "" for each in (value if isinstance(value, list) else [value])]


def _mentions(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_mentions, value))
    return isinstance(value, Mapping) and any(
        key in _KNOWS_ATTRIBUTES or _mentions(each) for key, each in value.items()
    )
