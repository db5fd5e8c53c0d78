"""The containers of tasks on this machine's Docker Engine, for reading what they print.

ECS has no operation that returns logs; with a log driver that keeps them on the instance they are read where they are.
So this works for containers of the engine that DOCKER_HOST or the default socket leads to, and of the engines of local
instances that are hosts of their own; it says so for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from awsorch.cli.faults import Fault

INSTANCES, INSTANCE_SOCKETS = Path("/run/awsorch"), "*/*/docker.sock"
REMOTE_DRIVERS = {
    "awslogs": "its lines are in CloudWatch Logs",
    "awsfirelens": "its lines go through FireLens",
    "fluentd": "its lines go to Fluentd",
    "gelf": "its lines go to a GELF server",
    "splunk": "its lines are in Splunk",
    "syslog": "its lines go to syslog",
    "none": "it keeps no lines",
}


class Unreadable(Fault):
    """What a container printed can't be read here; the message says why."""


def open_engine() -> Any:
    """A client of this machine's Docker Engine. Raises Unreadable when none answers."""
    import docker
    from docker.errors import DockerException

    try:
        engine = docker.from_env()
        engine.ping()
    except (DockerException, OSError) as error:
        raise Unreadable(f"logs are read from this machine's Docker Engine, and it does not answer: {error}") from None
    return engine


def find_container(engine: Any, runtime_id: str, name: str) -> Any:
    """The container, of this engine or of a local instance's. Raises Unreadable when none has it or keeps its logs."""
    container = ask_engine(engine, runtime_id) or next(filter(None, ask_instances(runtime_id)), None)
    if container is None and isinstance(engine, Unreadable):
        raise engine
    if container is None:
        raise Unreadable(
            f"container {name} ({runtime_id[:12]}) is not on this machine's Docker Engine: it runs elsewhere, is "
            "simulated, or was cleaned up"
        )
    driver = container.attrs["HostConfig"]["LogConfig"]["Type"]
    if driver in REMOTE_DRIVERS:
        raise Unreadable(f"container {name} logs with {driver}: {REMOTE_DRIVERS[driver]}")
    return container


def ask_engine(engine: Any, runtime_id: str) -> Any:
    """The engine's container; None where it has none, or there is no engine. Raises Unreadable."""
    from docker.errors import DockerException, NotFound

    if isinstance(engine, Unreadable):
        return None
    try:
        return engine.containers.get(runtime_id)
    except NotFound:
        return None
    except DockerException as error:
        raise Unreadable(f"Docker Engine: {error}") from None


def ask_instances(runtime_id: str) -> Iterator[Any]:
    """What the engines of local instances have of this id: container or None."""
    import docker
    from docker.errors import DockerException

    for socket in sorted(INSTANCES.glob(INSTANCE_SOCKETS)):
        try:
            yield ask_engine(docker.DockerClient(f"unix://{socket}"), runtime_id)
        except (DockerException, OSError, Unreadable):
            continue  # that instance is being switched off


def read_lines(container: Any, follow: bool, tail: int | None, since: datetime | None) -> Iterator[str]:
    """What the container printed, line by line; with `follow` until it ends. Raises Unreadable."""
    from docker.errors import DockerException

    arguments: dict[str, Any] = {"since": since} if since else {}
    try:
        chunks = container.logs(stream=True, follow=follow, tail="all" if tail is None else tail, **arguments)
        yield from split_lines(chunks)
    except (DockerException, OSError) as error:
        raise Unreadable(f"container {container.name}: {error}") from None


def split_lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines of a stream that comes in pieces of any size; the last one need not end in a line feed."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def copy_lines(lines: Iterator[str], label: str, write: Callable[[str], None]) -> None:
    """Write every line, with a label in front when there is one."""
    for line in lines:
        write(f"{label} | {line}" if label else line)
