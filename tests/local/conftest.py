from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.moto_world import MotoWorld, moto_world
from tests.support.moto_process import moto_process


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of a moto that all tests of this folder share: it takes seconds to load its services."""
    with moto_process() as url:
        yield url


@pytest.fixture(scope="module")
def moto_inside() -> Iterator[MotoWorld]:
    """A moto in this process, with its own clock."""
    with moto_world() as made:
        yield made


@pytest.fixture
def world(moto_inside: MotoWorld) -> Iterator[MotoWorld]:
    """That moto, left without groups."""
    yield moto_inside
    moto_inside.clear()
