"""What a local cloud says of itself when it is ready, to the process that started it and to other
commands.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyInstance:
    """A local instance, as people see it."""

    id: str
    instance_type: str
    zone: str
    address: str
    cluster: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The endpoint for AWS clients, the environment that points them there, the instances, the
    supervisor's id.
    """

    endpoint: str
    environment: dict[str, str]
    instances: tuple[ReadyInstance, ...]
    process_id: int


def ready_text(ready: Ready) -> str:
    """As JSON."""
    return msgspec.json.encode(ready).decode()


def read_ready(text: str) -> Ready:
    """From JSON. Raises ValueError where it is none."""
    try:
        return msgspec.json.decode(text, type=Ready)
    except msgspec.DecodeError as error:
        raise ValueError(f"not what a local cloud says when it is ready: {error}") from error
