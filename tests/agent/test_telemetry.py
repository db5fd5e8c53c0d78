"""The telemetry's rounds go on, whatever one of them ends in."""

from pathlib import Path

import pytest

from awsorch.agent import telemetry
from awsorch.agent.measurements import Measurements
from awsorch.agent.session import Backoff
from awsorch.wire import tcs
from tests.agent.bench import Bench, play


def test_a_round_that_ends_in_a_bug_is_followed_by_a_new_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Measurements.metrics
    calls = 0

    def fail_once(self: Measurements) -> list[tcs.TaskMetric]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("nobody thought of this")
        return measure(self)

    monkeypatch.setattr(Measurements, "metrics", fail_once)
    monkeypatch.setattr(telemetry, "BACKOFF", Backoff(first=0.01, last=0.01, growth=1.0))

    async def scenario(bench: Bench) -> None:
        await bench.start()
        first = await bench.backend.until(lambda: next(iter(bench.backend.from_telemetry), None))
        assert isinstance(first, tcs.PublishMetricsRequest)
        assert calls == 2

    play(tmp_path, scenario)
