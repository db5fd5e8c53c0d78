"""Task definitions in files: JSON or YAML of the shape of RegisterTaskDefinition, checked before anything is sent.

The API refuses a wrong document too, but it cannot say in which file and on which line. So a document is read here as a
tree of nodes that know their lines and is matched with botocore's model of the request: members that do not exist,
wrong types, values outside an enumeration and missing members are all named, everything wrong at once. Whether the
values make sense together is for the API to judge.

In YAML an unquoted value is what the model says it is: `cpu: 256` and `value: yes` are strings where ECS wants strings.
JSON is taken literally.
"""

from __future__ import annotations

import difflib
import functools
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from awsorch.cli.faults import Fault

STANDARD_INPUT = "-"
TAG = "tag:yaml.org,2002:"
ABSENT = object()
"""What a null, or anything wrong, is read as: the member is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One task definition of a file. `line` is where it begins, counted from 1."""

    file: str
    line: int
    value: dict[str, Any]


def read_documents(files: list[str]) -> list[Document]:
    """Every task definition of these files ("-" is standard input), in order. Raises Fault naming all that is wrong."""
    documents: list[Document] = []
    problems: list[str] = []
    for file in files:
        reader = Reader(file=name_of(file))
        documents += reader.read(read_text(file))
        problems += reader.problems
    if problems:
        raise Fault("\n".join(problems))
    return documents


def name_of(file: str) -> str:
    return "standard input" if file == STANDARD_INPUT else file


def read_text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Fault(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise Fault(f"{name_of(file)}: byte {error.start} is not UTF-8 text") from None


@functools.cache
def request_shape(operation: str) -> Any:
    """botocore's model of what an operation of ECS takes."""
    from botocore.session import get_session

    return get_session().get_service_model("ecs").operation_model(operation).input_shape


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads one file and collects what is wrong with it, a line each, in `problems`."""

    file: str
    problems: list[str] = field(default_factory=list)
    literal: bool = False

    def read(self, text: str) -> list[Document]:
        roots = self.compose(text)
        if not roots and not self.problems:
            self.problems.append(f"{self.file}: no task definition in it")
        shape = request_shape("RegisterTaskDefinition") if roots else None
        documents = []
        for root in roots:
            value = self.value(root, shape, "")
            documents.append(Document(file=self.file, line=line_of(root), value=value))
        return documents

    def compose(self, text: str) -> list[yaml.Node]:
        """The documents of the text as trees of nodes; a list at the top counts as several documents."""
        self.literal = is_json(self.file, text)
        try:
            if self.literal:
                json.loads(text)
                # JSON is YAML but for tabs between values, and a JSON string holds no raw tab.
                text = text.replace("\t", " ")
            roots = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        except json.JSONDecodeError as error:
            self.problems.append(f"{self.file}:{error.lineno}: not JSON: {error.msg} (column {error.colno})")
            return []
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{self.file}:{mark.line + 1}" if mark else self.file
            self.problems.append(f"{place}: not YAML: {error.problem or error.context}")
            return []
        except (yaml.YAMLError, RecursionError) as error:
            self.problems.append(f"{self.file}: not YAML: {' '.join(str(error).split()) or 'nested too deeply'}")
            return []
        return [
            one
            for root in roots
            for one in (root.value if isinstance(root, yaml.SequenceNode) else [root])
            if not is_null(one)
        ]

    def value(self, node: yaml.Node, shape: Any, path: str) -> Any:
        """What a node says, as the model wants it."""
        if is_null(node):
            return ABSENT
        match shape.type_name:
            case "structure":
                return self.structure(node, shape, path)
            case "map":
                return self.mapping(node, shape, path)
            case "list":
                return self.sequence(node, shape, path)
            case _:
                return self.scalar(node, shape, path)

    def structure(self, node: yaml.Node, shape: Any, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, child in self.members(node, path):
            if key.value not in shape.members:
                self.report(key, path, f"no member {key.value!r} exists here{suggest(key.value, shape.members)}")
                continue
            value = self.value(child, shape.members[key.value], join(path, key.value))
            if value is not ABSENT:
                result[key.value] = value
        given = {key.value for key, _ in self.members(node, path, quiet=True)}
        for name in shape.required_members:
            if name not in given:
                self.report(node, path, f"{name!r} is missing")
        return result

    def mapping(self, node: yaml.Node, shape: Any, path: str) -> dict[str, Any]:
        pairs = [
            (key.value, self.value(child, shape.value, join(path, key.value)))
            for key, child in self.members(node, path)
        ]
        return {key: value for key, value in pairs if value is not ABSENT}

    def sequence(self, node: yaml.Node, shape: Any, path: str) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            self.report(node, path, f"a list is wanted, not {describe(node)}")
            return []
        items = [self.value(child, shape.member, f"{path}[{index}]") for index, child in enumerate(node.value)]
        return [item for item in items if item is not ABSENT]

    def scalar(self, node: yaml.Node, shape: Any, path: str) -> Any:
        wanted = SCALARS[shape.type_name]
        if not isinstance(node, yaml.ScalarNode):
            self.report(node, path, f"{wanted} is wanted, not {describe(node)}")
            return ABSENT
        value = self.convert(node, shape.type_name)
        if value is ABSENT:
            hint = f'; write "{node.value}"' if wanted == "a string" else ""
            self.report(node, path, f"{wanted} is wanted, not {describe(node)}{hint}")
        elif shape.type_name == "string" and shape.enum and value not in shape.enum:
            choices = ", ".join(shape.enum)
            self.report(node, path, f"{value!r} is not one of {choices}{suggest(value, shape.enum)}")
        return value

    def convert(self, node: yaml.ScalarNode, kind: str) -> Any:
        quoted = node.style is not None
        tag = node.tag.removeprefix(TAG)
        if kind == "string":
            return ABSENT if self.literal and not quoted else join_surrogates(node.value)
        if quoted:
            return ABSENT
        try:
            if kind == "boolean":
                return SafeConstructor.bool_values[node.value.lower()] if tag == "bool" else ABSENT
            return int(node.value, 10) if kind in ("integer", "long") else float(node.value)
        except ValueError:
            return ABSENT

    def members(self, node: yaml.Node, path: str, quiet: bool = False) -> list[tuple[yaml.Node, yaml.Node]]:
        """Keys and values of a mapping, merge keys (<<) resolved; what is wrong with the keys is reported once."""
        problems = [] if quiet else self.problems
        if not isinstance(node, yaml.MappingNode):
            problems.append(self.problem(node, path, f"an object is wanted, not {describe(node)}"))
            return []
        own = {id(key) for key, _ in node.value}
        try:
            SafeConstructor().flatten_mapping(node)
        except ConstructorError as error:
            problems.append(self.problem(node, path, str(error.problem)))
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problems.append(self.problem(key, path, "the name of a member is a string"))
            elif key.value in pairs and id(pairs[key.value][0]) in own:
                problems.append(self.problem(key, path, f"{key.value!r} is given twice"))
            else:
                pairs[key.value] = (key, child)
        return list(pairs.values())

    def report(self, node: yaml.Node, path: str, text: str) -> None:
        self.problems.append(self.problem(node, path, text))

    def problem(self, node: yaml.Node, path: str, text: str) -> str:
        return f"{self.file}:{line_of(node)}: {path + ': ' if path else ''}{text}"


SCALARS = {
    "string": "a string",
    "integer": "a whole number",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
}


def is_json(file: str, text: str) -> bool:
    """Whether a file means to be JSON: by its name, else because it is."""
    if Path(file).suffix.lower() in (".yaml", ".yml"):
        return False
    if Path(file).suffix.lower() == ".json":
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == TAG + "null" and node.style is None


def line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def describe(node: yaml.Node) -> str:
    """What a node is, in words: "the number 80", "a list"."""
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if isinstance(node, yaml.MappingNode):
        return "an object"
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    kind = "string" if quoted else node.tag.removeprefix(TAG)
    match kind:
        case "int" | "float":
            return f"the number {node.value}"
        case "bool":
            return str(node.value)
        case _:
            return f"the string {node.value!r}"


def suggest(name: str, known: Any) -> str:
    """`; did you mean …?` when something known looks much like this name, else nothing."""
    lowered = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.75)
    return f"; did you mean {lowered[close[0]]!r}?" if close else ""


def join_surrogates(text: str) -> str:
    r"""JSON writes characters beyond U+FFFF as two \u escapes, which YAML reads as two characters."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
