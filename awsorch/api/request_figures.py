"""How many calls there were of each operation, what came of them, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator

#: Upper bounds of the classes of latency. Seconds.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OTHER = "unknown"
OK = "OK"


class RequestFigures:
    """``count`` one call after the other. Operations are those of the tables, so that there are never many."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self._classes: dict[str, list[int]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def count(self, operation: str, code: str, seconds: float) -> None:
        """A call has been answered. ``code`` is ECS's word for an error, or OK."""
        self.calls[operation, code] += 1
        classes = self._classes.setdefault(operation, [0] * (len(BOUNDS) + 1))
        classes[bisect_left(BOUNDS, seconds)] += 1
        self._seconds[operation] += seconds

    def latencies(self) -> Iterator[tuple[str, list[tuple[str, float]], float]]:
        """Of each operation: calls up to each bound ("+Inf" comes last), and the seconds of all together."""
        for operation, classes in self._classes.items():
            total, upto = 0, []
            for bound, number in zip((*map(str, BOUNDS), "+Inf"), classes, strict=True):
                total += number
                upto.append((bound, float(total)))
            yield operation, upto, self._seconds[operation]
