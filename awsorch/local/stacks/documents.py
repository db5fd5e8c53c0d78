"""Templates as text: YAML, with the short forms of the intrinsic functions, or JSON; both become one long form.

Dates and "yes" stay text, as CloudFormation has it; keys that come twice are refused. Source: AWS CloudFormation user
guide, "Template formats", "Intrinsic function reference".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from awsorch.local.stacks.errors import TemplateError

_PLAIN = frozenset({"Ref", "Condition"})
"""Tags whose long form has no `Fn::` in front."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without what CloudFormation does not know: dates, octal numbers, yes and no."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (yaml's own way)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_template(text: str) -> dict[str, Any]:
    """The template in its long form. Raises TemplateError ("Template format error: …")."""
    document = _read_json(text) if text.lstrip()[:1] == "{" else _read_yaml(text)
    if not isinstance(document, dict):
        raise TemplateError("Template format error: unsupported structure.")
    return document


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return _read_yaml(text)  # what begins with a brace may be YAML's flow style
    except RecursionError:
        raise TemplateError("Template format error: unsupported structure.") from None


def _read_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"(line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        why = f" {error.problem}" if error.problem and "key" in error.problem else ""
        raise TemplateError(f"Template format error: YAML not well-formed. {where}{why}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise TemplateError("Template format error: YAML not well-formed.") from None


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _construct_tagged(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in _PLAIN or "::" in suffix else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if name == "Fn::GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = [loader.construct_object(each, deep=True) for each in node.value]
    else:
        value = _construct_mapping(loader, node)  # type: ignore[arg-type]
    return {name: value}


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
_Loader.add_multi_constructor("!", _construct_tagged)


def as_json(document: Mapping[str, Any]) -> str:
    """A template as text that reads as the same template."""
    return json.dumps(document, separators=(",", ":"))
