"""The intrinsic functions, and what they make of a template's values.

What only a resource that is not there yet could tell becomes UNKNOWN, and so does whatever is made of it: that is how
a change set is planned. Source: AWS CloudFormation user guide, "Intrinsic function reference".
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from awsorch.cfn.contract import scalar_text
from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.references import SUB_NAME, attribute_parts, sub_parts
from awsorch.local.stacks.template import Template


class _Unknown:
    """The value of what is not there yet."""

    def __repr__(self) -> str:
        return "(known after apply)"


UNKNOWN = _Unknown()
"""Stands for a value that nobody knows yet."""

_NO_VALUE = object()


class Deployed(Protocol):
    """What the stack's resources are now."""

    def ref(self, logical_id: str) -> Any:
        """The physical id, or UNKNOWN."""

    def attribute(self, logical_id: str, name: str) -> Any:
        """An attribute, or UNKNOWN. Raises TemplateError for one that the type does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a template's functions look at outside the template: parameters' values as Ref gives them, pseudo
    parameters' (`AWS::Region`), region to zones, and other stacks' exports."""

    parameters: Mapping[str, Any]
    pseudo: Mapping[str, Any]
    zones: tuple[str, ...] = ()
    exports: Mapping[str, str] = field(default_factory=dict)


class Evaluation:
    """Evaluates parts of one template. `imported`: the exports that were used."""

    def __init__(self, template: Template, around: Surroundings, deployed: Deployed) -> None:
        self._template = template
        self._around = around
        self._deployed = deployed
        self._conditions: dict[str, bool] = {}
        self._open: list[str] = []
        self.imported: set[str] = set()
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self.holds,
            "Fn::And": lambda argument: all(self._truths("Fn::And", argument, 2, 10)),
            "Fn::Base64": self._base64,
            "Fn::Cidr": self._cidr,
            "Fn::Equals": self._equals,
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAZs": self._zones,
            "Fn::GetAtt": self._attribute,
            "Fn::If": self._if,
            "Fn::ImportValue": self._import,
            "Fn::Join": self._join,
            "Fn::Length": self._length,
            "Fn::Not": lambda argument: not self._truths("Fn::Not", argument, 1, 1)[0],
            "Fn::Or": lambda argument: any(self._truths("Fn::Or", argument, 2, 10)),
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::Sub": self._sub,
            "Fn::ToJsonString": self._as_json,
        }

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template holds. Raises TemplateError."""
        known = self._conditions.get(condition)
        if known is not None:
            return known
        if condition not in self._template.conditions:
            raise TemplateError(f"Template format error: Unresolved condition dependency {condition}")
        if condition in self._open:
            raise TemplateError(f"Template format error: Circular dependency between conditions: {self._open}")
        self._open.append(condition)
        try:
            value = self.evaluate(self._template.conditions[condition])
        finally:
            self._open.pop()
        self._conditions[condition] = _truth(value)
        return self._conditions[condition]

    def evaluate(self, value: Any) -> Any:
        """The value with its functions carried out. Raises TemplateError."""
        found = self._evaluate(value)
        return None if found is _NO_VALUE else found

    def _evaluate(self, value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in map(self._evaluate, value) if each is not _NO_VALUE]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            function = self._functions.get(name)
            if function is not None and not (name == "Condition" and not isinstance(argument, str)):
                return function(argument)
            if name.startswith("Fn::"):
                raise TemplateError(f"Template error: the function {name} is not supported.")
        evaluated = {key: self._evaluate(each) for key, each in value.items()}
        return {key: each for key, each in evaluated.items() if each is not _NO_VALUE}

    def _ref(self, name: Any) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._around.pseudo:
            return self._around.pseudo[name]
        if name in self._around.parameters:
            return self._around.parameters[name]
        if name in self._template.resources:
            return self._deployed.ref(name)
        raise TemplateError(f"Template format error: Unresolved resource dependencies [{name}]")

    def _attribute(self, argument: Any) -> Any:
        logical, name = attribute_parts(argument)
        name = self._evaluate(name)
        if not logical or not isinstance(name, str):
            raise TemplateError(
                "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the "
                "resource attribute"
            )
        return self._deployed.attribute(logical, name)

    def _sub(self, argument: Any) -> Any:
        text, own = sub_parts(argument)
        if not isinstance(argument, str | list):
            raise TemplateError(
                "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a "
                "string as first argument, and an optional second argument to specify a mapping of values to replace "
                "in the string"
            )
        unknown = False

        def replaced(written: str) -> str:
            nonlocal unknown
            name = written.strip()
            if name in own:
                value = self._evaluate(own[name])
            elif "." in name and name not in self._around.pseudo:
                value = self._attribute(name)
            else:
                value = self._ref(name)
            unknown = unknown or value is UNKNOWN
            return ",".join(map(str, value)) if isinstance(value, list) else (scalar_text(value) or "")

        made = SUB_NAME.sub(lambda found: f"${{{found[2]}}}" if found[1] else replaced(found[2]), text)
        return UNKNOWN if unknown else made

    def _join(self, argument: Any) -> Any:
        wrong = TemplateError(
            "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of "
            "strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
        )
        if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str):
            raise wrong
        parts = self._evaluate(argument[1])
        if parts is UNKNOWN:
            return UNKNOWN
        if not isinstance(parts, list) or any(isinstance(part, list | Mapping) for part in parts):
            raise wrong
        return UNKNOWN if UNKNOWN in parts else argument[0].join(scalar_text(part) or "" for part in parts)

    def _split(self, argument: Any) -> Any:
        value = self._evaluate(argument)
        if isinstance(value, list) and len(value) == 2 and UNKNOWN in value:
            return UNKNOWN
        if not isinstance(value, list) or len(value) != 2 or not all(isinstance(each, str) for each in value):
            raise TemplateError(
                "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a "
                "string to be split or a function that returns a string to be split."
            )
        return value[1].split(value[0])

    def _select(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 2:
            raise TemplateError(
                "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
            )
        index, values = self._evaluate(argument[0]), self._evaluate(argument[1])
        if index is UNKNOWN or values is UNKNOWN:
            return UNKNOWN
        text = scalar_text(index) or ""
        if not text.isdecimal() or not isinstance(values, list):
            raise TemplateError(
                "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
            )
        if int(text) >= len(values):
            raise TemplateError(f"Template error: Fn::Select  cannot select nonexistent value at index {text}")
        return values[int(text)]

    def _if(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
            raise TemplateError("Template error: Fn::If requires a list argument with three elements")
        return self._evaluate(argument[1] if self.holds(argument[0]) else argument[2])

    def _equals(self, argument: Any) -> bool:
        values = self._evaluate(argument)
        if not isinstance(values, list) or len(values) != 2:
            raise TemplateError("Template error: every Fn::Equals object requires a list of 2 string parameters.")
        one, other = (each if isinstance(each, list | Mapping) else scalar_text(each) for each in values)
        return bool(one == other)

    def _truths(self, name: str, argument: Any, least: int, most: int) -> list[bool]:
        if not isinstance(argument, list) or not least <= len(argument) <= most:
            wanted = f"{least}" if least == most else f"at least {least} and at most {most}"
            raise TemplateError(f"Template error: every {name} object requires a list of {wanted} boolean parameters.")
        return [_truth(self._evaluate(each)) for each in argument]

    def _find_in_map(self, argument: Any) -> Any:
        keys = self._evaluate(argument)
        if not isinstance(keys, list) or len(keys) not in (3, 4):
            raise TemplateError(
                "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the "
                "attribute for return value"
            )
        found: Any = self._template.mappings
        for key in keys[:3]:
            if not isinstance(found, Mapping) or scalar_text(key) not in found:
                if len(keys) == 4 and isinstance(keys[3], Mapping) and "DefaultValue" in keys[3]:
                    return keys[3]["DefaultValue"]
                named = "::".join(str(each) for each in keys[:3])
                raise TemplateError(f"Template error: Unable to get mapping for {named}")
            found = found[scalar_text(key)]
        return found

    def _length(self, argument: Any) -> Any:
        values = self._evaluate(argument)
        if values is UNKNOWN:
            return UNKNOWN
        if not isinstance(values, list):
            raise TemplateError("Template error: Fn::Length requires a list.")
        return len(values)

    def _as_json(self, argument: Any) -> Any:
        value = self._evaluate(argument)
        if not isinstance(value, list | Mapping) and value is not UNKNOWN:
            raise TemplateError("Template error: Fn::ToJsonString requires an object or a list.")
        return UNKNOWN if has_unknown(value) else json.dumps(value, separators=(",", ":"))

    def _base64(self, argument: Any) -> Any:
        value = self._evaluate(argument)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, list | Mapping):
            raise TemplateError("Template error: every Fn::Base64 object must have a String-typed value.")
        return base64.b64encode((scalar_text(value) or "").encode()).decode()

    def _cidr(self, argument: Any) -> Any:
        values = self._evaluate(argument)
        if isinstance(values, list) and UNKNOWN in values:
            return UNKNOWN
        try:
            block, count = ipaddress.ip_network(str(values[0]), strict=False), int(values[1])
            bits = int(values[2]) if len(values) > 2 else (8 if block.version == 4 else 64)
            subnets = block.subnets(new_prefix=block.max_prefixlen - bits)
            found = [str(each) for each, _ in zip(subnets, range(count), strict=False)]
        except (ValueError, IndexError, TypeError, KeyError):
            found, count = [], 1
        if len(found) < count:
            said = json.dumps(values, default=str)
            raise TemplateError(f"Template error: Fn::Cidr can't divide {said} into that many blocks of that size.")
        return found

    def _zones(self, argument: Any) -> list[str]:
        region = self._evaluate(argument) or self._around.pseudo["AWS::Region"]
        if region != self._around.pseudo["AWS::Region"]:
            return [f"{region}{letter}" for letter in "abc"]
        return list(self._around.zones)

    def _import(self, argument: Any) -> Any:
        name = self._evaluate(argument)
        if name is UNKNOWN:
            return UNKNOWN
        if name not in self._around.exports:
            raise TemplateError(f"No export named {name} found.")
        self.imported.add(str(name))
        return self._around.exports[str(name)]


def _truth(value: Any) -> bool:
    text = scalar_text(value) if not isinstance(value, list | Mapping) else None
    if text not in ("true", "false"):
        raise TemplateError("Template error: conditions should be true or false.")
    return text == "true"


def has_unknown(value: Any) -> bool:
    """Whether some part of a value is not known yet."""
    if isinstance(value, list):
        return any(map(has_unknown, value))
    if isinstance(value, Mapping):
        return any(map(has_unknown, value.values()))
    return value is UNKNOWN
