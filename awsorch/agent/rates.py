"""How often each caller may come: a token bucket for everyone who does."""

from collections.abc import Callable
from dataclasses import dataclass

KNOWN_CALLERS = 1024


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """`rate` calls a second, and `burst` at once, for each caller. `clock` gives seconds that only grow."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, caller: str) -> bool:
        """Whether the caller may come now; if so, that counts."""
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            if len(self._buckets) >= KNOWN_CALLERS:
                self._forget(now)
            bucket = self._buckets[caller] = _Bucket(self._burst, now)
        bucket.tokens = self._level(bucket, now)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _level(self, bucket: _Bucket, now: float) -> float:
        return min(bucket.tokens + (now - bucket.filled_at) * self._rate, self._burst)

    def _forget(self, now: float) -> None:
        """A full bucket says nothing that a new one does not."""
        self._buckets = {
            caller: bucket for caller, bucket in self._buckets.items() if self._level(bucket, now) < self._burst
        }
