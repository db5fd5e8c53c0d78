"""moto's objects as bytes, and back: what services keep of an account is one graph, written and read as a whole.

An Auto Scaling group holds its EC2 instances, those their subnets, a stack all of them; so the objects of all services
are pickled together, and what was one object is one object again. What belongs to the process and not to the account
(backends, locks, Amazon's own images) is named instead of written. Nothing here knows of files or requests.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import pickle
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import MethodType
from typing import Any

KEPT = frozenset(
    {
        *("ec2", "autoscaling", "elb", "elbv2", "applicationautoscaling", "cloudformation", "cloudwatch", "events"),
        *("iam", "kms", "acm", "ssm", "secretsmanager", "ecr", "efs", "route53", "servicediscovery", "scheduler"),
        *("stepfunctions", "codedeploy", "wafv2"),
    }
)
"""The packages of moto whose objects are kept: what describes an environment. What passes through it (objects in S3,
messages, log events, rows, metrics) may be large and changes all the time."""

_LEFT_OUT = {"cloudwatch": ("metric_data",), "ec2": ("awsorch_given",)}
_GIVEN = {"ec2": ("amis", "snapshots"), "ssm": ("_parameters",)}
"""Attributes of which moto itself fills a part, which is not written."""
_PUBLIC = "/aws/"
"""What the names of Amazon's own parameters begin with."""
_TERMINATED_KEPT = timedelta(hours=1)

_TRUSTED = re.compile(
    r"(moto\.|awsorch\.local\.moto_|(collections|datetime|decimal|ipaddress|uuid|re|zoneinfo|copyreg|builtins)$)"
)
"""Modules whose classes bytes may name."""
_TRUSTED_BUILTINS = frozenset({"dict", "list", "set", "frozenset", "tuple", "object", "bytearray", "range", "complex"})

Parts = dict[tuple[str, str, str], dict[str, Any]]
"""The module of a backend's class, its account and region → its attributes."""


def note_given() -> None:
    """Have EC2 remember what it began with. Before anything asks moto; raises AttributeError where it has changed."""
    from moto.ec2.models import EC2Backend

    begin = EC2Backend.__init__

    def __init__(self: Any, region_name: str, account_id: str) -> None:
        begin(self, region_name, account_id)
        self.awsorch_given = frozenset(key for name in _GIVEN["ec2"] for key in getattr(self, name))

    EC2Backend.__init__ = __init__


def backends_there() -> list[tuple[str, str, str]]:
    """The backends whose objects are kept, as they are named in bytes."""
    return [(type(backend).__module__, account, region) for account, region, backend in _kept_backends()]


def dump() -> bytes:
    """All that is kept, now. Raises what pickle does of objects that cannot be written, and RuntimeError where somebody
    changes them meanwhile.
    """
    parts: Parts = {}
    for account, region, backend in _kept_backends():
        package = _package(type(backend).__module__)
        left_out = _LEFT_OUT.get(package, ())
        parts[type(backend).__module__, account, region] = {
            name: _without_given(backend, value) if name in _GIVEN.get(package, ()) else value
            for name, value in vars(backend).items()
            if name not in left_out
        }
    written = io.BytesIO()
    pickler = pickle.Pickler(written, protocol=5)
    pickler.dispatch_table = _dispatch_table()
    pickler.dump(parts)
    return written.getvalue()


def restore(data: bytes) -> None:
    """Make moto what `dump` saw. Raises whatever pickle does of damaged bytes; moto is then as it was."""
    parts: Parts = _Unpickler(io.BytesIO(data)).load()
    for name, attributes in parts.items():
        backend = _backend(*name)
        for attribute, value in attributes.items():
            if attribute in _GIVEN.get(_package(name[0]), ()):
                getattr(backend, attribute).update(value)
                continue
            if isinstance(value, defaultdict) and value.default_factory is None:
                value.default_factory = getattr(getattr(backend, attribute, None), "default_factory", None)
            setattr(backend, attribute, value)
        if _package(name[0]) == "ec2":
            _forget_terminated(backend)


def _kept_backends() -> Iterator[tuple[str, str, Any]]:
    from moto.core.base_backend import BackendDict

    for backends in list(BackendDict._instances):
        if _package(backends.backend.__module__) in KEPT:
            for account, regions in list(backends.items()):
                for region, backend in list(regions.items()):
                    yield account, region, backend


def _package(module: str) -> str:
    return module.split(".")[1]


def _without_given(backend: Any, value: dict[str, Any]) -> dict[str, Any]:
    given: frozenset[str] = getattr(backend, "awsorch_given", frozenset())
    return {key: each for key, each in value.items() if key not in given and not key.startswith(_PUBLIC)}


def _forget_terminated(backend: Any) -> None:
    """EC2 shows a terminated instance for about an hour."""
    for key, reservation in list(backend.reservations.items()):
        reservation.instances = [each for each in reservation.instances if not _is_long_gone(each)]
        if not reservation.instances:
            del backend.reservations[key]


def _is_long_gone(instance: Any) -> bool:
    ended = re.search(r"\((\S+ \S+) UTC\)", instance.state_transition_reason or "")
    if instance.state != "terminated" or ended is None:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(f"{ended[1]}+00:00") > _TERMINATED_KEPT


# --- what is named instead of written ---------------------------------------------------------------------------------


def _dispatch_table() -> dict[type, Callable[[Any], Any]]:
    from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend

    table: dict[type, Callable[[Any], Any]] = {
        **copyreg.dispatch_table,
        BackendDict: lambda each: (_backends, (each.backend.__module__,)),
        AccountSpecificBackend: lambda each: (_account, (each.backend.__module__, each.account_id)),
        defaultdict: _reduce_defaultdict,
        MethodType: lambda each: (_method, (each.__self__, each.__name__)),
        type(threading.Lock()): lambda each: (_lock, ()),
        type(threading.RLock()): lambda each: (_reentrant_lock, ()),
    }
    for one in _with_subclasses(BaseBackend):
        table[one] = lambda each: (_backend, (type(each).__module__, each.account_id, each.region_name))
    return table


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    for each in list[type](kind.__subclasses__()):
        yield from _with_subclasses(each)


def _reduce_defaultdict(value: defaultdict[Any, Any]) -> Any:
    """A function that has no name cannot be written; the attribute that moto itself makes has it again."""
    factory: Any = value.default_factory
    module = sys.modules.get(getattr(factory, "__module__", ""))
    named = getattr(module, getattr(factory, "__qualname__", ""), None) is factory
    return defaultdict, (factory if named else None,), None, None, iter(value.items())


def _backends(module: str) -> Any:
    """The accounts of a service, by the module of its backend's class."""
    from moto.core.base_backend import BackendDict

    for each in vars(importlib.import_module(module)).values():
        if isinstance(each, BackendDict) and each.backend.__module__ == module:
            return each
    raise pickle.UnpicklingError(f"{module} has no backends")


def _account(module: str, account: str) -> Any:
    return _backends(module)[account]


def _backend(module: str, account: str, region: str) -> Any:
    return _backends(module)[account][region]


def _method(owner: Any, name: str) -> Any:
    """A method that an object keeps. Python's own way would have bytes name `getattr`."""
    if not type(owner).__module__.startswith("moto."):
        raise pickle.UnpicklingError(f"{type(owner).__name__}.{name} is nothing of moto's")
    return getattr(owner, name)


def _lock() -> Any:
    return threading.Lock()


def _reentrant_lock() -> Any:
    return threading.RLock()


class _Unpickler(pickle.Unpickler):
    """Reads moto's classes and plain containers, and nothing else that bytes might name."""

    def find_class(self, module: str, name: str) -> Any:
        if not _TRUSTED.match(module) or (module == "builtins" and name not in _TRUSTED_BUILTINS):
            raise pickle.UnpicklingError(f"{module}.{name} is nothing of moto's")
        return super().find_class(module, name)
