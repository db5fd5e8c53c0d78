"""The cluster query language: the expressions of ``memberOf`` constraints and of ListContainerInstances'
filter.

Text is parsed once and compiled to a predicate over an instance; both are remembered by text. Nothing here
knows of placement. What the ECS developer guide ("Create expressions to define container instances") leaves
open is decided so: ``and`` binds tighter than ``or``; a missing attribute fails every operator except
``!exists``, ``!=``, ``!in`` and ``!~``; attributes are ordered as numbers where both sides are numbers, else
as text; times without a zone are UTC and count in whole seconds; a bare argument ends at a blank or a
parenthesis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from awsorch.core.errors import invalid_parameter
from awsorch.core.model import ContainerInstance
from awsorch.core.placement.subjects import SUBJECTS, ArgumentError, Test, attribute_test

LONGEST_EXPRESSION = 2000
_DEEPEST = 50

_OPERATORS = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "exists": "exists",
    "not_exists": "!exists",
    "in": "in",
    "not_in": "!in",
    "matches": "=~",
    "not_matches": "!~",
}
_SYMBOL = re.compile(r"==|!=|>=|<=|=~|!~|>|<|!exists\b|!in\b")
_WORD = re.compile(r"[A-Za-z_]+")
_SUBJECT = re.compile(r"[A-Za-z]\w*(?::[\w./\\-]*)?", re.ASCII)
_BARE = re.compile(r"""(?:(?!&&|\|\|)[^\s()\[\],'"])+""")
_BARE_PATTERN = re.compile(r"""(?:(?!&&|\|\|)[^\s()'"])+""")
_BLANKS = re.compile(r"\s*")


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A compiled expression. ``dynamic``: whether its value can change without any change of the instance's record,
    because it asks about tasks. Equal by identity: one text is compiled once while it is remembered."""

    text: str
    test: Test
    dynamic: bool

    def holds(self, instance: ContainerInstance, running: int, groups: Collection[str]) -> bool:
        """Whether the instance satisfies it. ``running``: its tasks with desired status RUNNING; ``groups``: theirs."""
        return self.test(instance, running, groups)


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Expression:
    """Parse and compile. Raises InvalidParameterException "Invalid expression …" saying where and what was expected."""
    if len(text) > LONGEST_EXPRESSION:
        raise invalid_parameter(
            f"Invalid expression: it has {len(text)} characters and may have {LONGEST_EXPRESSION} at most."
        )
    parser = _Parser(text)
    test = parser.whole()
    return Expression(text, test, parser.dynamic)


def _join(tests: list[Test], decide: Callable[[object], bool]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda instance, running, groups: decide(test(instance, running, groups) for test in tests)


class _Parser:
    """Recursive descent; ``at`` is the offset of what comes next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.dynamic = False

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        found = self.text[at : at + 20]
        what = f"found '{found}{'…' if len(self.text) > at + 20 else ''}'" if found else "found its end"
        raise invalid_parameter(f"Invalid expression at position {at + 1}: expected {expected}, {what}.")

    def blanks(self) -> None:
        match = _BLANKS.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def take(self, symbol: str, word: str) -> bool:
        """Whether the symbol, or its word, comes next; if so it is consumed."""
        self.blanks()
        if symbol and self.text.startswith(symbol, self.at):
            self.at += len(symbol)
            return True
        match = _WORD.match(self.text, self.at)
        if match is not None and match.group() == word:
            self.at = match.end()
            return True
        return False

    def whole(self) -> Test:
        test = self.alternatives()
        self.blanks()
        if self.at < len(self.text):
            self.fail("'and', 'or' or the end")
        return test

    def alternatives(self) -> Test:
        tests = [self.conjunction()]
        while self.take("||", "or"):
            tests.append(self.conjunction())
        return _join(tests, any)  # type: ignore[arg-type]

    def conjunction(self) -> Test:
        tests = [self.factor()]
        while self.take("&&", "and"):
            tests.append(self.factor())
        return _join(tests, all)  # type: ignore[arg-type]

    def factor(self) -> Test:
        negated = False
        while self.take("!", "not"):
            negated = not negated
        test = self.parenthesis() if self.text.startswith("(", self.at) else self.simple()
        if negated:
            return lambda instance, running, groups: not test(instance, running, groups)
        return test

    def parenthesis(self) -> Test:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"no more than {_DEEPEST} parentheses inside one another")
        self.at += 1
        test = self.alternatives()
        self.blanks()
        if not self.text.startswith(")", self.at):
            self.fail("')', 'and' or 'or'")
        self.at += 1
        self.depth -= 1
        return test

    def simple(self) -> Test:
        start, subject = self.at, self.subject()
        operator = self.operator(subject)
        argument: str | tuple[str, ...] = ""
        self.blanks()
        argument_at = self.at
        if operator in ("in", "!in"):
            argument = self.items()
        elif operator not in ("exists", "!exists"):
            argument = self.literal(_BARE_PATTERN if operator in ("=~", "!~") else _BARE)
        try:
            if subject.startswith("attribute:"):
                return attribute_test(subject.removeprefix("attribute:"), operator, argument)
            described = SUBJECTS[subject]
            self.dynamic = self.dynamic or described.dynamic
            return described.compile(operator, argument)
        except ArgumentError as error:
            self.fail(f"{error} after '{self.text[start:argument_at].strip()}'", argument_at)

    def subject(self) -> str:
        match = _SUBJECT.match(self.text, self.at)
        subject = match.group() if match else ""
        if subject == "attribute:":
            self.fail("the name of an attribute after 'attribute:'", self.at + len(subject))
        if subject not in SUBJECTS and not subject.startswith("attribute:"):
            self.fail(f"a subject ({', '.join(SUBJECTS)} or attribute:<name>)")
        self.at += len(subject)
        return subject

    def operator(self, subject: str) -> str:
        self.blanks()
        allowed = SUBJECTS[subject].operators if subject in SUBJECTS else tuple(_OPERATORS.values())
        match = _SYMBOL.match(self.text, self.at) or _WORD.match(self.text, self.at)
        operator = _OPERATORS.get(match.group(), match.group()) if match else ""
        if match is None or operator not in allowed:
            self.fail(f"an operator ({' '.join(allowed)}) after '{subject}'")
        self.at = match.end()
        return operator

    def literal(self, bare: re.Pattern[str]) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote and quote in "'\"":
            end = self.text.find(quote, self.at + 1)
            if end < 0:
                self.fail(f"a closing {quote}", len(self.text))
            value = self.text[self.at + 1 : end]
            self.at = end + 1
            return value
        match = bare.match(self.text, self.at)
        if match is None:
            self.fail("a value")
        self.at = match.end()
        return match.group()

    def items(self) -> tuple[str, ...]:
        if not self.text.startswith("[", self.at):
            self.fail("a list such as [a, b]")
        self.at += 1
        items: list[str] = []
        while True:
            self.blanks()
            items.append(self.literal(_BARE))
            self.blanks()
            mark = self.text[self.at : self.at + 1]
            if mark not in (",", "]"):
                self.fail("',' or ']'")
            self.at += 1
            if mark == "]":
                return tuple(items)
