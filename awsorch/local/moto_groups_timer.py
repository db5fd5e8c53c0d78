"""Time for the local cloud's Auto Scaling groups: one thread that does what falls due, and turns between it and calls.

moto answers calls only. What a group does by itself (a hook whose heartbeat is late, a launch tried again) needs
somebody to do it; and since moto's objects bear one hand at a time, calls that touch groups, instances or load
balancers and this thread take turns. What is due, and when, is not known here.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

_SCOPE = re.compile(r"/(ec2|autoscaling|elasticloadbalancing|cloudformation|tagging)/aws4_request")
_AFTER_A_FAULT_S = 5.0


class GroupTimer:
    """`mind` does what is due and returns in how many seconds it wants to be called again, None for not by itself."""

    def __init__(self, mind: Callable[[], float | None]) -> None:
        self.mind = mind
        self._turn = threading.Condition(threading.RLock())

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """The application, whose calls about what groups are made of come one at a time."""

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if not _SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")):
                return application(environ, start_response)
            with self._turn:
                try:
                    return application(environ, start_response)
                finally:
                    self._turn.notify()

        return call

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        threading.Thread(target=self._run, name="groups", daemon=True).start()

    def _run(self) -> None:
        with self._turn:
            while True:
                self._turn.wait(self._look())

    def _look(self) -> float | None:
        try:
            return self.mind()
        except Exception:
            _log.exception("a group could not be minded; it will be tried again")
            return _AFTER_A_FAULT_S
