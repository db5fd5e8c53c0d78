"""moto's load balancers, kept on disk for the next moto.

moto keeps everything in memory only. Load balancers, listeners, rules and target groups are what services refer to by
ARN, so a moto that is started again has to have them again as they were. Their objects are written to a file after
each call that may have changed them, and read when moto starts; what they refer to in EC2 (subnets) is kept by name,
since that is gone. The file belongs to one version of moto, whose objects these are: another version begins without it
and puts it aside.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import pickle
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import moto

from awsorch.local.files import write_private

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

_SCOPE = re.compile(r"/(elasticloadbalancing|cloudformation|autoscaling|tagging)/aws4_request")
_READING = re.compile(rb"(^|&)Action=(Describe|Get|List)")
_LARGEST_FORM = 1024 * 1024
_ATTEMPTS = 5
_KEPT = ("load_balancers", "target_groups", "tagging_service")
"""What of a backend is kept, where it has it."""
_TRUSTED = re.compile(r"(moto\.|collections$|datetime$|builtins$|copyreg$)")
"""Modules whose classes the file may name."""
_TRUSTED_BUILTINS = frozenset({"dict", "list", "set", "tuple", "object"})


class SubnetOnce:
    """A subnet that load balancers name and EC2 has forgotten."""

    def __init__(self, subnet_id: str, zone: str, vpc_id: str) -> None:
        self.id = subnet_id
        self.availability_zone = zone
        self.vpc_id = vpc_id


class ElbMemory:
    """The file. `restore` once, before moto answers; `around` keeps it true."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._written = b""

    def restore(self) -> None:
        """Give moto what the file has. A file that cannot be read is put aside, and said in the log."""
        try:
            kept = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return
        except ValueError as error:
            self._put_aside(f"it is no JSON: {error}")
            return
        if kept.get("moto") != moto.__version__:
            self._put_aside(f"it is of moto {kept.get('moto')}, this is {moto.__version__}")
            return
        try:
            backends = _Unpickler(io.BytesIO(base64.b64decode(kept["objects"]))).load()
        except Exception as error:  # whatever a damaged file makes pickle raise
            self._put_aside(f"{type(error).__name__}: {error}")
            return
        for (service, account, region), parts in backends.items():
            backend = _backends()[service][account][region]
            for name, value in parts.items():
                setattr(backend, name, value)

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """The application, with the file written before an answer goes out that may have changed something."""

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            concerned = _may_change(environ)
            answer = application(environ, start_response)
            if concerned:
                self._save()
            return answer

        return call

    def _save(self) -> None:
        with self._turn:
            objects = _pickled()
            if objects == self._written:
                return
            kept = {"moto": moto.__version__, "objects": base64.b64encode(objects).decode()}
            try:
                write_private(self._path, json.dumps(kept))
            except OSError as error:
                _log.error("load balancers will not outlive this moto: %s", error)
                return
            self._written = objects

    def _put_aside(self, why: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.unreadable")
        self._path.replace(aside)
        _log.error("the load balancers of earlier runs are lost, and kept as %s: %s", aside, why)


def _may_change(environ: WSGIEnvironment) -> bool:
    """Whether a request may change load balancers; its body stays to be read."""
    if not _SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")):
        return False
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= _LARGEST_FORM:
        return True
    body = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return not _READING.search(body)


def _backends() -> dict[str, Any]:
    from moto.elb.models import elb_backends
    from moto.elbv2.models import elbv2_backends

    return {"elbv2": elbv2_backends, "elb": elb_backends}


def _pickled() -> bytes:
    """What there is now. A call of another service may change it meanwhile: then it is read again."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return _pickle()
        except RuntimeError as error:
            _log.info("load balancers changed while they were written: %s", error)
    return _pickle()


def _pickle() -> bytes:
    parts = {
        (service, account, region): {name: getattr(backend, name) for name in _KEPT if hasattr(backend, name)}
        for service, accounts in _backends().items()
        for account, regions in accounts.items()
        for region, backend in regions.items()
    }
    written = io.BytesIO()
    _Pickler(written, protocol=5).dump(parts)
    return written.getvalue()


class _Pickler(pickle.Pickler):
    """Names subnets, which hang on all of EC2, instead of writing them."""

    def persistent_id(self, obj: Any) -> Any:
        from moto.ec2.models.subnets import Subnet

        if isinstance(obj, Subnet | SubnetOnce):
            return (obj.id, obj.availability_zone, obj.vpc_id)
        return None


class _Unpickler(pickle.Unpickler):
    """Reads moto's classes and plain containers, and nothing else that a file might name."""

    def persistent_load(self, pid: Any) -> SubnetOnce:
        return SubnetOnce(*pid)

    def find_class(self, module: str, name: str) -> Any:
        if not _TRUSTED.match(module) or (module == "builtins" and name not in _TRUSTED_BUILTINS):
            raise pickle.UnpicklingError(f"{module}.{name} is nothing of a load balancer's")
        return super().find_class(module, name)
