"""Sets of characters in the patterns of the cluster query language: ``[a-z]``, ``\\d``, ``\\p{Alpha}`` and
single ones.

Kept apart from pattern.py, which knows how pieces combine; this file knows what one character may be.
"""

from __future__ import annotations

import string
from dataclasses import dataclass


class PatternError(ValueError):
    """Text that is no pattern: what is wrong, and the offset in the pattern where it is."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


@dataclass(frozen=True, slots=True)
class CharSet:
    """Characters by ranges, or all but those."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    @staticmethod
    def of(characters: str) -> CharSet:
        return CharSet(tuple((c, c) for c in characters))

    @staticmethod
    def any() -> CharSet:
        """Java's dot: everything but line ends."""
        return CharSet.of("\n\r\u0085\u2028\u2029").complement()

    def complement(self) -> CharSet:
        return CharSet(self.ranges, not self.negated)

    def has(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) is not self.negated


_DIGITS = CharSet((("0", "9"),))
_WORD = CharSet((("a", "z"), ("A", "Z"), ("0", "9"), ("_", "_")))
_BLANKS = CharSet.of(" \t\n\x0b\f\r")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _BLANKS, "h": CharSet.of(" \t\xa0")}
_POSIX = {
    "Lower": CharSet((("a", "z"),)),
    "Upper": CharSet((("A", "Z"),)),
    "Alpha": CharSet((("a", "z"), ("A", "Z"))),
    "Digit": _DIGITS,
    "Alnum": CharSet((("a", "z"), ("A", "Z"), ("0", "9"))),
    "Punct": CharSet.of(string.punctuation),
    "Space": _BLANKS,
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def class_escape(text: str, start: int) -> tuple[CharSet, int]:
    """The characters that the escape at ``start`` means, and the offset after it."""
    if start + 1 >= len(text):
        raise PatternError("a '\\' ends the pattern", start)
    letter, end = text[start + 1], start + 2
    lower = letter.lower()
    if lower in _CLASSES:
        return (_CLASSES[lower] if letter == lower else _CLASSES[lower].complement()), end
    if lower == "p":
        close = text.find("}", end)
        name = text[end + 1 : close] if text.startswith("{", end) and close > 0 else ""
        if name not in _POSIX:
            raise PatternError(f"\\{letter} knows {{{'}, {'.join(_POSIX)}}} only", start)
        return (_POSIX[name] if letter == "p" else _POSIX[name].complement()), close + 1
    if letter in _CONTROLS:
        return CharSet.of(_CONTROLS[letter]), end
    if letter.isalnum():
        raise PatternError(f"the escape \\{letter} is not supported", start)
    return CharSet.of(letter), end


def read_class(text: str, start: int) -> tuple[CharSet, int]:
    """The characters of the bracket expression that opens at ``start``, and the offset after its ``]``."""
    at = start + 1
    negated = text.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while at < len(text) and text[at] != "]":
        if text[at] == "[" or text.startswith("&&", at):
            raise PatternError("unions and intersections of classes are not supported; escape '[' as '\\['", at)
        low, at = _class_member(text, at)
        if low.negated or len(low.ranges) > 1:
            if low.negated:
                raise PatternError("a negated escape inside [...] is not supported", at - 2)
            ranges += low.ranges
        elif text.startswith("-", at) and at + 1 < len(text) and text[at + 1] != "]":
            high, after = _class_member(text, at + 1)
            first, last = low.ranges[0][0], high.ranges[-1][1]
            if len(high.ranges) > 1 or high.negated or last < first:
                raise PatternError("a range needs two characters in order", at)
            ranges.append((first, last))
            at = after
        else:
            ranges += low.ranges
    if at >= len(text) or not ranges:
        raise PatternError("a '[' is not closed, or encloses nothing", start)
    return CharSet(tuple(ranges), negated), at + 1


def _class_member(text: str, at: int) -> tuple[CharSet, int]:
    return class_escape(text, at) if text[at] == "\\" else (CharSet.of(text[at]), at + 1)
