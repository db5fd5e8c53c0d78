"""The shape of the code, as rules that every file is held to: who may import whom, sizes, names.

EXCEPTIONS may only shrink: a number that could be lower fails as one that is too low does.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "awsorch"

FILE_LINES = 400
FUNCTION_LINES = 50
CONSTRUCTOR_PARAMETERS = 6
PROTOCOL_METHODS = 8

#: What is larger than the rule allows, by "file" or "file:function", and how large it is.
EXCEPTIONS: dict[str, int] = {}

FORBIDDEN_WORDS = {"manager", "helper", "helpers", "util", "utils", "base"}


@dataclass(frozen=True)
class Rule:
    """What the files of one place may import: parts of awsorch, and packages from outside the standard library."""

    parts: tuple[str, ...]
    packages: tuple[str, ...] | None = ()
    not_even: tuple[str, ...] = ()


_IMPURE = ("asyncio", "logging", "multiprocessing", "os", "random", "secrets", "socket", "subprocess")
_IMPURE += ("threading", "time", "uuid")

RULES = {
    "core": Rule(("core",), not_even=_IMPURE),
    "wire": Rule(("wire",), ("botocore", "msgspec")),
    "engine": Rule(("core", "engine")),
    "store": Rule(("core", "engine.ports", "store"), ("asyncpg", "msgspec")),
    "adapters": Rule(("core", "engine.ports", "adapters"), None),
    "gateway": Rule(("core", "engine", "wire", "gateway"), ("aiohttp", "msgspec")),
    "api": Rule(("core", "engine", "wire", "api"), ("aiohttp", "msgspec", "prometheus_client")),
    "agent": Rule(("wire", "agent"), None),
    "cfn": Rule(("cfn",), ("botocore",)),
    "custom_resources": Rule(
        ("cfn", "core.model_custom_resources", "engine.ports", "custom_resources"), ("aiohttp", "yarl")
    ),
    "cli": Rule(("cli", "local", "cfn.fragments", "cfn.transform"), None),
    "local": Rule(("",), None),
    "testing": Rule(("testing", "local", "cli", "cfn.transform"), None),
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports, wherever in the file."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def why_not(rule: Rule, imported: str) -> str | None:
    """What is wrong with this import under this rule."""
    top, _, rest = imported.partition(".")
    if top == "awsorch":
        allowed = any(part == "" or rest == part or rest.startswith(f"{part}.") for part in rule.parts)
        return None if allowed else f"may import {', '.join(rule.parts)} of awsorch, not {imported}"
    if top in sys.stdlib_module_names:
        return f"must do without {top}" if top in rule.not_even else None
    if rule.packages is not None and top not in rule.packages:
        return f"may not import {top}"
    return None


def test_imports_point_inwards() -> None:
    wrong = []
    for path in sources():
        place = path.relative_to(PACKAGE).parts[0]
        rule = RULES.get(place)
        if rule is None:
            assert place.endswith(".py"), f"no import rule for awsorch/{place}"
            continue
        for line, imported in imports_of(path):
            complaint = why_not(rule, imported)
            if complaint:
                wrong.append(f"{name_of(path)}:{line}: {place} {complaint}")
    assert wrong == []


@pytest.mark.parametrize(
    ("place", "imported"),
    [
        ("core", "asyncio.sleep"),
        ("core", "msgspec"),
        ("core", "awsorch.engine.ports"),
        ("engine", "awsorch.store.memory.MemoryStore"),
        ("store", "awsorch.engine.partition"),
        ("agent", "awsorch.core.model"),
        ("cli", "awsorch.api.http"),
        ("wire", "aiohttp.web"),
    ],
)
def test_the_import_rule_sees_an_arrow_that_points_outwards(place: str, imported: str) -> None:
    assert why_not(RULES[place], imported)


def functions_of(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from functions_of(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions_of(node, f"{prefix}{node.name}.")
        else:
            yield from functions_of(node, prefix)


def sizes() -> Iterator[tuple[str, int, int]]:
    """(what, how large, how large it may be) of every file and function."""
    for path in sources():
        text = path.read_text()
        yield name_of(path), len(text.splitlines()), FILE_LINES
        for name, node in functions_of(ast.parse(text)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield f"{name_of(path)}:{name}", (node.end_lineno or first) - first + 1, FUNCTION_LINES


def test_files_and_functions_are_small() -> None:
    too_large = {}
    for what, size, limit in sizes():
        if size > EXCEPTIONS.get(what, limit):
            too_large[what] = f"{size} lines, at most {EXCEPTIONS.get(what, limit)}"
    assert too_large == {}


def test_exceptions_only_shrink() -> None:
    found = {what: (size, limit) for what, size, limit in sizes()}
    stale = {}
    for what, allowed in EXCEPTIONS.items():
        size, limit = found.get(what, (0, 0))
        if size <= limit:
            stale[what] = "is within the rule: take it off the list"
        elif size < allowed:
            stale[what] = f"has shrunk to {size}: lower the number"
    assert stale == {}


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield path, node


def test_constructors_take_few_parameters() -> None:
    crowded = []
    for path, cls in classes():
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                arguments = node.args
                count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
                if count > CONSTRUCTOR_PARAMETERS:
                    crowded.append(f"{name_of(path)}: {cls.name} takes {count}")
    assert crowded == []


def test_ports_are_narrow() -> None:
    wide = []
    protocols = 0
    for path, cls in classes():
        bases = {base.value if isinstance(base, ast.Subscript) else base for base in cls.bases}
        if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in bases):
            protocols += 1
            methods = [n for n in cls.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            if len(methods) > PROTOCOL_METHODS:
                wide.append(f"{name_of(path)}: {cls.name} has {len(methods)} methods")
    assert protocols
    assert wide == []


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)}


def test_names_say_what_things_are() -> None:
    vague = [f"{name_of(path)}: class {cls.name}" for path, cls in classes() if words_of(cls.name) & FORBIDDEN_WORDS]
    vague += [name_of(path) for path in sources() if words_of(path.stem) & FORBIDDEN_WORDS]
    assert vague == []


def test_every_module_says_why_it_exists() -> None:
    silent = [name_of(path) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_no_file_names_a_path_of_the_machine_that_it_was_written_on() -> None:
    paths = re.compile("|".join(("/wo" + r"rk/(main|shared)\b", "/tmp/" + "brief", "/ro" + r"ot/\.", "/fa" + "rm/")))
    places = ("awsorch", "tests", "docs", "scripts", "taskdefs", "benchmarks", ".ci")
    files = [file for place in places for file in (ROOT / place).rglob("*") if "__pycache__" not in file.parts]
    files += [file for file in ROOT.iterdir() if file.suffix in (".md", ".toml") or file.name == "Makefile"]
    named = []
    for file in files:
        if file.is_file():
            text = file.read_text(errors="replace")
            named += [f"{name_of(file)}: {found.group()}" for found in paths.finditer(text)]
    assert named == []


def test_a_controller_in_an_account_brings_no_local_cloud_along() -> None:
    """The extra `local` may be missing there, and what it needs would be memory for nothing."""
    script = "import awsorch.app, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"moto", "docker", "boto3", "cryptography", "rich"} & set(done.stdout.split())
