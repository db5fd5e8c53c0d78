"""From what a container prints to events of CloudWatch Logs: lines put together, lines that belong together, portions.

Pure. Times are nanoseconds since the epoch, as Docker has them. Source: CloudWatch Logs API, PutLogEvents (limits);
Docker's documentation of the awslogs driver (multiline options).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import re2

EVENT_LIMIT = 262144 - 26
"""Bytes of one event's message."""
PORTION_LIMIT = 1048576
PORTION_EVENTS = 10000
OVERHEAD = 26
"""Bytes that each event counts for besides its message."""
SPAN = 23 * 3600 * 10**9
"""The events of one portion may be a day apart."""
_STRFTIME = {
    "%a": r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
    "%A": r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
    "%b": r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
    "%B": r"(?:January|February|March|April|May|June|July|August|September|October|November|December)",
    "%d": r"(?:0[1-9]|[12][0-9]|3[01])",
    "%f": r"\d+",
    "%H": r"(?:[01][0-9]|2[0-3])",
    "%I": r"(?:0[1-9]|1[0-2])",
    "%j": r"\d{3}",
    "%L": r"\.\d{3}",
    "%m": r"(?:0[1-9]|1[0-2])",
    "%M": r"[0-5][0-9]",
    "%p": r"[AP]M",
    "%S": r"[0-5][0-9]",
    "%w": r"[0-6]",
    "%y": r"\d{2}",
    "%Y": r"\d{4}",
    "%z": r"[+-]\d{4}",
    "%Z": r"[A-Z]{1,4}T",
    "%%": "%",
}
_DIRECTIVE = re.compile(r"%.")


_SILENT = re2.Options()
_SILENT.log_errors = False


class LineStart(Protocol):
    """A pattern. The engine's driver has Go's, which take time in proportion to the text, whatever they say; so does
    RE2, where Python's own might take for ever."""

    def search(self, text: str, /) -> object | None:
        """Whether it is found anywhere in the text."""


class PatternError(Exception):
    """Options that make no sense; the text is the engine's for them."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """What was printed ``at`` a time (ns)."""

    at: int
    message: str


def event_start(options: Mapping[str, str]) -> LineStart | None:
    """What an event's first line matches, by the log options; None where each line is an event. Raises PatternError."""
    form, pattern = options.get("awslogs-datetime-format", ""), options.get("awslogs-multiline-pattern", "")
    if form and pattern:
        raise PatternError(
            "you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time"
        )
    if form:
        parts = _DIRECTIVE.split(form)
        found = [_STRFTIME.get(each, re.escape(each)) for each in _DIRECTIVE.findall(form)]
        pattern = "".join(re.escape(part) + each for part, each in zip(parts, [*found, ""], strict=True))
    if not pattern:
        return None
    try:
        start: LineStart = re2.compile(pattern, _SILENT)
    except re2.error as error:
        why = error.args[0].decode(errors="replace") if error.args else ""
        raise PatternError(f"awslogs could not parse multiline pattern key {pattern!r}: {why}") from None
    return start


class Assembler:
    """Puts events together from what Docker hands out, piece by piece."""

    def __init__(self, start: LineStart | None) -> None:
        self._start = start
        self._line = b""
        self._line_at = 0
        self._event: list[str] = []
        self._event_size = 0
        self._event_at = 0

    def feed(self, at: int, piece: bytes) -> Iterator[LogEvent]:
        """Events that are complete with this piece of a line, or line."""
        if not self._line:
            self._line_at = at
        self._line += piece
        if not piece.endswith(b"\n") and len(self._line) < EVENT_LIMIT:
            return
        line, self._line = self._line.removesuffix(b"\n").removesuffix(b"\r"), b""
        yield from self._add(self._line_at, line.decode(errors="replace"))

    def _add(self, at: int, line: str) -> Iterator[LogEvent]:
        if self._start is None:
            yield from _cut(at, line)
            return
        if self._event and self._start.search(line):
            yield from self._complete()
        if not self._event:
            self._event_at = at
        self._event.append(line)
        self._event_size += len(line) + 1
        if self._event_size > EVENT_LIMIT:
            yield from self._complete()

    def rest(self) -> Iterator[LogEvent]:
        """What is left when nothing follows."""
        if self._line:
            line, self._line = self._line, b""
            yield from self._add(self._line_at, line.decode(errors="replace"))
        yield from self._complete()

    def _complete(self) -> Iterator[LogEvent]:
        event, self._event, self._event_size = self._event, [], 0
        yield from _cut(self._event_at, "\n".join(event))


def _cut(at: int, text: str) -> Iterator[LogEvent]:
    """Events of a length that is allowed; an empty line is none."""
    encoded = text.encode()
    if len(encoded) <= EVENT_LIMIT:
        if text:
            yield LogEvent(at, text)
        return
    for begin in range(0, len(encoded), EVENT_LIMIT):
        yield LogEvent(at, encoded[begin : begin + EVENT_LIMIT].decode(errors="replace"))


def portions(events: Iterable[LogEvent]) -> Iterator[list[LogEvent]]:
    """What one call of PutLogEvents each may have, in order of time."""
    portion: list[LogEvent] = []
    size = 0
    for event in sorted(events, key=lambda each: each.at // 10**6):
        length = len(event.message.encode()) + OVERHEAD
        is_full = size + length > PORTION_LIMIT or len(portion) == PORTION_EVENTS
        if portion and (is_full or event.at - portion[0].at > SPAN):
            yield portion
            portion, size = [], 0
        portion.append(event)
        size += length
    if portion:
        yield portion
