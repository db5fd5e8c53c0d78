"""Whether a value is what a service model says an operation answers. For tests: clients would fail on less."""

from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

_UNLISTED = {"SettingName": ("dualStackIPv6",)}
"""What an enumeration lacks, though the model's own texts have it (PutAccountSetting)."""
_LIMITS = {"integer": 2**31, "long": 2**63}


def check_value(shape: Shape | None, value: Any, where: str) -> None:
    """Raises AssertionError naming the place in `value` that does not fit `shape`; members that are None are absent.

    Enumerations are checked; bounds and required members, which services themselves do not keep, are not.
    """
    if shape is None:
        _expect(not value, where, "no members", value)
    elif isinstance(shape, StructureShape):
        _check_structure(shape, value, where)
    elif isinstance(shape, ListShape):
        _expect(isinstance(value, list | tuple), where, "a list", value)
        for index, each in enumerate(value):
            check_value(shape.member, each, f"{where}[{index}]")
    elif isinstance(shape, MapShape):
        _expect(isinstance(value, Mapping), where, "a map", value)
        for key, each in value.items():
            _expect(isinstance(key, str), where, "string keys", key)
            check_value(shape.value, each, f"{where}.{key}")
    else:
        _check_scalar(shape, value, where)


def _check_structure(shape: StructureShape, value: Any, where: str) -> None:
    _expect(isinstance(value, Mapping), where, "a structure", value)
    if shape.is_document_type:
        return
    for name, member in value.items():
        known = shape.members.get(name)
        _expect(known is not None, where, f"only members of {shape.name}", name)
        if member is not None:
            check_value(known, member, f"{where}.{name}")


def _check_scalar(shape: Shape, value: Any, where: str) -> None:
    kind = shape.type_name
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "string":
        _expect(isinstance(value, str), where, "a string", value)
        allowed = getattr(shape, "enum", ())
        allowed = [*allowed, *_UNLISTED.get(shape.name, ())] if allowed else ()
        _expect(not allowed or value in allowed, where, f"one of {allowed}", value)
    elif kind == "boolean":
        _expect(isinstance(value, bool), where, "a boolean", value)
    elif kind in _LIMITS:
        limit = _LIMITS[kind]
        _expect(isinstance(value, int) and is_number and -limit <= value < limit, where, f"a {kind}", value)
    else:
        _expect(is_number and value - value == 0, where, "a finite number", value)


def _expect(holds: bool, where: str, wanted: str, found: Any) -> None:
    if not holds:
        raise AssertionError(f"{where}: expected {wanted}, found {found!r:.200}")
