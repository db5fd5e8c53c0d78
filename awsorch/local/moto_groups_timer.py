"""Time for the local cloud's Auto Scaling groups: one thread that does what falls due, and turns between it and calls.

moto answers calls only. What a group does by itself (a hook whose heartbeat is late, a launch tried again) needs
somebody to do it; and since moto's objects bear one hand at a time, calls that touch groups, instances or load
balancers and this thread take turns. What is due, and when, is not known here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from awsorch.local.moto_requests import may_change, service_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

_CONCERNED = frozenset({"ec2", "autoscaling", "elbv2", "cloudformation", "tagging"})
"""Services whose calls touch them."""
_AFTER_A_FAULT_S = 5.0


class GroupTimer:
    """`mind` does what is due and returns in how many seconds it wants to be called again, None for not by itself.
    `alone` is what the thread calls in its place when no call made something due.
    """

    def __init__(self, mind: Callable[[], float | None]) -> None:
        self.mind = mind
        self.alone = mind
        self.turn = threading.Condition(threading.RLock())
        self._due: float | None = 0.0

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """The application, whose calls about what groups are made of come one at a time, each with what it makes due
        done before its answer.
        """

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if service_of(environ) not in _CONCERNED:
                return application(environ, start_response)
            changes = may_change(environ)
            with self.turn:
                try:
                    return application(environ, start_response)
                finally:
                    if changes:
                        self._look(self.mind)
                        self.turn.notify()

        return call

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        threading.Thread(target=self._run, name="groups", daemon=True).start()

    def _run(self) -> None:
        with self.turn:
            while True:
                pause = None if self._due is None else self._due - time.monotonic()
                if pause is not None and pause <= 0:
                    self._look(self.alone)
                else:
                    self.turn.wait(pause)

    def _look(self, mind: Callable[[], float | None]) -> None:
        try:
            pause = mind()
        except Exception:
            _log.exception("a group could not be minded; it will be tried again")
            pause = _AFTER_A_FAULT_S
        self._due = None if pause is None else time.monotonic() + pause
