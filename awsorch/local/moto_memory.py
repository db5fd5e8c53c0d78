"""What moto knows, kept on disk for the next moto.

moto keeps everything in memory only. What makes up an environment (instances and their groups, launch templates, load
balancers, roles, secrets, parameters, stacks) is what task definitions, services and capacity providers refer to, so a
moto that is started again has to have it again as it was. It is written to a file before the answer goes out of each
call that may have changed it, and read when moto starts. The file belongs to one version of moto, whose objects these
are: another version begins without it and puts it aside. What is kept of which service is `moto_objects`' business.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import moto

from awsorch.local import moto_objects
from awsorch.local.files import write_private
from awsorch.local.moto_requests import may_change, service_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

_ATTEMPTS = 5
_CONCERNED = moto_objects.KEPT | {"tagging"}
"""Services whose calls may change what is kept; tagging is of any."""


class MotoMemory:
    """The file. `restore` once, before moto answers; `around` keeps it true. `turn` is held by whoever changes groups
    and instances."""

    def __init__(self, path: Path, turn: threading.Condition) -> None:
        self._path = path
        self._turn = turn
        self._written = b""
        self._there: list[tuple[str, str, str]] = []
        self._said = ""

    def restore(self) -> None:
        """Give moto what the file has. A file that cannot be read is put aside, and said in the log."""
        try:
            head, _, objects = self._path.read_bytes().partition(b"\n")
            kept = dict(json.loads(head))
        except FileNotFoundError:
            return
        except (TypeError, ValueError) as error:
            self._put_aside(f"it does not begin as it should: {error}")
            return
        expected = _head(objects)
        for part, name in (("moto", "moto"), ("python", "Python")):
            if kept.get(part) != expected[part]:
                self._put_aside(f"it is of {name} {kept.get(part)}, this is {expected[part]}")
                return
        if kept.get("sha256") != expected["sha256"]:
            self._put_aside("it is damaged")
            return
        try:
            moto_objects.restore(objects)
        except Exception as error:  # whatever objects make pickle raise that are not what this moto has
            self._put_aside(f"{type(error).__name__}: {error}")

    def around(self, application: WSGIApplication, spares: Callable[[WSGIEnvironment], bool]) -> WSGIApplication:
        """The application, with the file written before an answer goes out that may have changed something. Such calls
        come one at a time, so that nothing is written half changed. Calls that `spares` picks are not waited for: their
        callers would make them again.
        """

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if service_of(environ) not in _CONCERNED or not may_change(environ):
                answer = application(environ, start_response)
                if moto_objects.backends_there() != self._there:  # its first call in a region makes its default VPC
                    self.save()
                return answer
            with self._turn:
                spared = spares(environ)
                answer = application(environ, start_response)
                if not spared:
                    self.save()
                return answer

        return call

    def after(self, work: Callable[[], float | None]) -> Callable[[], float | None]:
        """Work that may change something, with the file written in the end."""

        def then_save() -> float | None:
            try:
                return work()
            finally:
                self.save()

        return then_save

    def save(self) -> None:
        """Write what there is, where it is not written. What cannot be kept is said in the log, once."""
        with self._turn:
            there = moto_objects.backends_there()
            try:
                objects = _dumped()
                if objects != self._written:
                    write_private(self._path, json.dumps(_head(objects)).encode() + b"\n" + objects)
            except Exception as error:  # whatever pickle makes of what a service keeps; moto itself goes on
                if str(error) != self._said:
                    self._said = str(error)
                    _log.error("what changes now will not outlive this moto: %s: %s", type(error).__name__, error)
                return
            self._written, self._there, self._said = objects, there, ""

    def _put_aside(self, why: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.unreadable")
        self._path.replace(aside)
        _log.error("what moto knew in earlier runs is lost, and kept as %s: %s", aside, why)


def _head(objects: bytes) -> dict[str, str]:
    return {
        "moto": moto.__version__,
        "python": ".".join(map(str, sys.version_info[:2])),
        "sha256": hashlib.sha256(objects).hexdigest(),
    }


def _dumped() -> bytes:
    """What there is now. A call of a service that is not kept may change it meanwhile: then it is read again."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return moto_objects.dump()
        except RuntimeError as error:
            _log.info("moto's objects changed while they were written: %s", error)
    return moto_objects.dump()
