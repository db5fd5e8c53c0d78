"""Docker's event stream: everything that happens to this instance's containers, told in the agent's event loop."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from docker import APIClient
from docker.errors import DockerException
from docker.types.daemon import CancellableStream

from awsorch.agent.docker_errors import BROKEN_OFF, MALFORMED
from awsorch.agent.engine import Connected, Occurrence, Sink
from awsorch.agent.states import Health

LOG = logging.getLogger(__name__)

RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)
HEALTH = {"healthy": Health.HEALTHY, "unhealthy": Health.UNHEALTHY}
_WATCHED = ("start", "die", "oom", "destroy", "health_status")


class EventStream(threading.Thread):
    """Reads the engine's events in a thread, for as long as the agent lives, and hands them to the loop."""

    def __init__(self, connect: Callable[[], APIClient], labels: Mapping[str, str], sink: Sink) -> None:
        super().__init__(name="events", daemon=True)
        self._connect = connect
        self._filters = {"type": ["container"], "label": label_filter(labels), "event": list(_WATCHED)}
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._closed = threading.Event()
        self._stream: CancellableStream[Any] | None = None

    def run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._stream = self._connect().events(decode=True, filters=self._filters, since=int(time.time()) - 1)
                self._hand_over(Connected())
                failures = 0
                for event in self._stream:
                    self._take(event)
            except (DockerException, OSError, *BROKEN_OFF, *MALFORMED) as error:
                LOG.debug("the engine's event stream broke: %s", error)
            if not failures and not self._closed.is_set():
                LOG.warning("the engine's event stream ended; connecting again")
            self._closed.wait(RECONNECT_DELAYS[min(failures, len(RECONNECT_DELAYS) - 1)])
            failures += 1

    def close(self) -> None:
        self._closed.set()
        if self._stream is not None:
            try:
                self._stream.close()
            except (OSError, AttributeError, DockerException):
                pass  # it ended by itself

    def _take(self, event: Any) -> None:
        """One that makes no sense may have told anything: all containers are looked at, as after a new connection."""
        try:
            what = _occurrence(event)
        except MALFORMED as error:
            LOG.warning("an event of the engine was not understood: %s: %s", type(error).__name__, error)
            what = Connected()
        if what is not None:
            self._hand_over(what)

    def _hand_over(self, what: Occurrence | Connected) -> None:
        try:
            self._loop.call_soon_threadsafe(self._sink, what)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._closed.set()


def label_filter(labels: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in labels.items()]


def _occurrence(event: Mapping[str, Any]) -> Occurrence | Connected | None:
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    what, _, detail = str(event.get("Action", "")).partition(": ")
    if what not in _WATCHED:
        return None
    code = attributes.get("exitCode")
    return Occurrence(
        what="health" if what == "health_status" else what,
        id=str(actor.get("ID", "")),
        labels=attributes,
        at=event["timeNano"] / 1e9,
        exit_code=int(code) if code is not None else None,
        health=HEALTH.get(detail, Health.UNKNOWN),
    )
