"""Regular expressions of the cluster query language (``=~`` and ``!~``), matched in linear time.

ECS documents Java patterns. The partition's one writer evaluates them, on patterns that any caller may send,
so a backtracking matcher (Python's ``re``) would let one request stop a cluster. Here a pattern becomes a
small automaton that is made deterministic as it meets characters: time grows with the length of the value,
whatever the pattern.

What Java has and this has not, because no such automaton exists for it or nobody needs it in a placement
constraint: back references, look-around, inline flags, named groups, ``\\b``, Unicode categories and
intersections of classes. They are refused by name. Lazy and possessive quantifiers are read; lazy ones mean
the same as greedy ones when a whole value must match, and possessive ones are refused because they do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from awsorch.core.placement.charset import CharSet, PatternError, class_escape, read_class

#: Automaton nodes that a pattern may need once its counted repetitions are written out.
MOST_NODES = 600
#: Deterministic states remembered for one pattern before it starts afresh.
MOST_STATES = 500
_DEEPEST = 40

__all__ = ["Pattern", "PatternError"]


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of an automaton under construction: its first node and its last, which nothing leaves yet."""

    first: int
    last: int


class _Automaton:
    """Nodes with either one set of characters to the next node, or free moves to some."""

    def __init__(self) -> None:
        self.eats: list[CharSet | None] = []
        self.moves: list[list[int]] = []

    def node(self, eats: CharSet | None = None) -> int:
        if len(self.eats) >= MOST_NODES:
            raise PatternError("the pattern is too large when its repetitions are written out", 0)
        self.eats.append(eats)
        self.moves.append([])
        return len(self.eats) - 1

    def one(self, characters: CharSet) -> _Part:
        first, last = self.node(characters), self.node()
        self.moves[first].append(last)
        return _Part(first, last)

    def empty(self) -> _Part:
        node = self.node()
        return _Part(node, node)

    def join(self, parts: list[_Part]) -> _Part:
        if not parts:
            return self.empty()
        for left, right in pairwise(parts):
            self.moves[left.last].append(right.first)
        return _Part(parts[0].first, parts[-1].last)

    def either(self, parts: list[_Part]) -> _Part:
        if len(parts) == 1:
            return parts[0]
        first, last = self.node(), self.node()
        for part in parts:
            self.moves[first].append(part.first)
            self.moves[part.last].append(last)
        return _Part(first, last)

    def optional(self, part: _Part) -> _Part:
        first, last = self.node(), self.node()
        self.moves[first] += [part.first, last]
        self.moves[part.last].append(last)
        return _Part(first, last)

    def repeated(self, part: _Part) -> _Part:
        """The part any number of times, none included."""
        first, last = self.node(), self.node()
        self.moves[first] += [part.first, last]
        self.moves[part.last].append(first)
        return _Part(first, last)

    def reach(self, nodes: set[int]) -> frozenset[int]:
        """The nodes and all that free moves lead to."""
        seen, waiting = set(nodes), list(nodes)
        while waiting:
            node = waiting.pop()
            if self.eats[node] is None:
                fresh = [n for n in self.moves[node] if n not in seen]
                seen.update(fresh)
                waiting += fresh
        return frozenset(seen)


class _Parser:
    """Recursive descent over a pattern's text; a repeated piece is read again for each time it is written out."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.automaton = _Automaton()

    def whole(self) -> _Part:
        part = self.alternatives()
        if self.at < len(self.text):
            raise PatternError("a ')' has no '('", self.at)
        return part

    def alternatives(self) -> _Part:
        parts = [self.sequence()]
        while self.text.startswith("|", self.at):
            self.at += 1
            parts.append(self.sequence())
        return self.automaton.either(parts)

    def sequence(self) -> _Part:
        parts: list[_Part] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            parts.append(self.quantified())
        return self.automaton.join(parts)

    def quantified(self) -> _Part:
        start = self.at
        part = self.atom()
        times = self.quantifier()
        if times is None:
            return part
        after = self.at
        least, most = times
        parts = [part]

        def again() -> _Part:
            self.at = start
            return self.atom()

        if most is None:
            parts = [*(again() for _ in range(least)), self.automaton.repeated(part)]
        else:
            rest = [again() for _ in range(most - 1)] if most else []
            copies = [part, *rest][:most]
            tail = self.automaton.empty()
            for copy in reversed(copies[least:]):
                tail = self.automaton.optional(self.automaton.join([copy, tail]))
            parts = [*copies[:least], tail]
        self.at = after
        return self.automaton.join(parts)

    def quantifier(self) -> tuple[int, int | None] | None:
        if self.at >= len(self.text):
            return None
        mark = self.text[self.at]
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if mark in simple:
            times = simple[mark]
            self.at += 1
        elif mark == "{":
            times = self.counted()
        else:
            return None
        if self.text.startswith("?", self.at):
            self.at += 1
        elif self.at < len(self.text) and self.text[self.at] in "+*{":
            raise PatternError("possessive and stacked quantifiers are not supported", self.at)
        return times

    def counted(self) -> tuple[int, int | None]:
        end = self.text.find("}", self.at)
        least, comma, most = self.text[self.at + 1 : max(end, 0)].partition(",")
        counts = [n for n in (least, most) if n]
        if end < 0 or not least or not all(n.isascii() and n.isdigit() and len(n) < 5 for n in counts):
            raise PatternError("a '{' needs a count: {n}, {n,} or {n,m}", self.at)
        low = int(least)
        high = int(most) if most else (None if comma else low)
        if high is not None and high < low:
            raise PatternError("a count's maximum is below its minimum", self.at)
        self.at = end + 1
        return low, high

    def atom(self) -> _Part:
        start, mark = self.at, self.text[self.at]
        if mark == "(":
            return self.group()
        if mark in "*+?{":
            raise PatternError(f"'{mark}' has nothing to repeat", start)
        if mark == "[":
            characters, self.at = read_class(self.text, start)
            return self.automaton.one(characters)
        if mark == "\\":
            characters, self.at = class_escape(self.text, start)
            return self.automaton.one(characters)
        self.at += 1
        if (mark == "^" and start == 0) or (mark == "$" and self.at == len(self.text)):
            return self.automaton.empty()  # the whole value must match anyway
        if mark in "^$":
            raise PatternError(f"'{mark}' is supported at the ends of a pattern only", start)
        return self.automaton.one(CharSet.any() if mark == "." else CharSet.of(mark))

    def group(self) -> _Part:
        start = self.at
        self.at += 1
        if self.text.startswith("?", self.at):
            if not self.text.startswith("?:", self.at):
                raise PatternError("look-around, flags and named groups are not supported", start)
            self.at += 2
        self.depth += 1
        if self.depth > _DEEPEST:
            raise PatternError(f"groups are nested more than {_DEEPEST} deep", start)
        part = self.alternatives()
        self.depth -= 1
        if not self.text.startswith(")", self.at):
            raise PatternError("a '(' is not closed", start)
        self.at += 1
        return part


class Pattern:
    """A compiled pattern. Raises PatternError (what is wrong, and where) for text that is none."""

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        part = parser.whole()
        self._automaton = parser.automaton
        self._last = part.last
        self._start = parser.automaton.reach({part.first})
        self._next: dict[frozenset[int], dict[str, frozenset[int]]] = {}

    def matches(self, value: str) -> bool:
        """Whether the whole value matches, as Java's ``Matcher.matches``."""
        state = self._start
        for character in value:
            moves = self._next.get(state)
            following = None if moves is None else moves.get(character)
            if following is None:
                following = self._step(state, character)
            if not following:
                return False
            state = following
        return self._last in state

    def _step(self, state: frozenset[int], character: str) -> frozenset[int]:
        automaton = self._automaton
        ahead: set[int] = set()
        for node in state:
            eats = automaton.eats[node]
            if eats is not None and eats.has(character):
                ahead.update(automaton.moves[node])
        if len(self._next) >= MOST_STATES:
            self._next.clear()
        following = automaton.reach(ahead)
        self._next.setdefault(state, {})[character] = following
        return following
