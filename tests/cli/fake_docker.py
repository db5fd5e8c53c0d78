"""Docker's SDK as far as reading logs goes, with knobs for what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from docker.errors import APIError, NotFound


@dataclass(slots=True, kw_only=True)
class FakeContainer:
    """A container that wrote these chunks; `error` breaks the stream at its end."""

    chunks: list[bytes]
    driver: str = "json-file"
    error: str = ""
    name: str = "fake"
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def attrs(self) -> dict[str, Any]:
        return {"HostConfig": {"LogConfig": {"Type": self.driver}}}

    def logs(self, **arguments: Any) -> Iterator[bytes]:
        self.asked.append(arguments)
        yield from self.chunks
        if self.error:
            raise APIError(self.error)


@dataclass(slots=True, kw_only=True)
class FakeContainers:
    found: dict[str, FakeContainer] = field(default_factory=dict)

    def get(self, runtime_id: str) -> FakeContainer:
        if runtime_id not in self.found:
            raise NotFound(f"No such container: {runtime_id}")
        return self.found[runtime_id]


@dataclass(slots=True, kw_only=True)
class FakeEngine:
    containers: FakeContainers = field(default_factory=FakeContainers)
