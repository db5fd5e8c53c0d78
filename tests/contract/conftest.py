"""moto and PostgreSQL in processes of their own, and what the suites of the fleet's adapters run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.contract.fleets import FakeOutside, MotoOutside, Outside
from tests.support.moto_process import moto_process
from tests.support.postgresql import PostgresqlServer, postgresql


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with moto_process() as url:
        yield url


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql() as server:
        yield server


@pytest.fixture(params=["fake", "moto"])
def fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Outside]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    if request.param == "fake":
        return FakeOutside
    url = request.getfixturevalue("moto_url")
    return lambda: MotoOutside(url)
