"""Input shapes of a service model compiled into functions that read a decoded JSON value, or say why it is unfit.

A reader drops unknown members and nulls, and checks types, enumerations, bounds and required members. Nothing is
converted but numbers that stand for times. Texts follow ECS's front end where it is known, and always name the
member. Shapes are compiled once; reading one value costs a function call.
"""

import re
from collections.abc import Callable
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from awsorch.wire.errors import WireError

Reader = Callable[[Any], Any]
Bounds = tuple[float | None, float | None]

SERIALIZATION = "SerializationException"
INVALID = "InvalidParameterException"

#: Times are seconds since the epoch, from the year 1 to the year 9999.
_TIMES = (-62_135_596_800, 253_402_300_799)
_INTEGERS = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
#: Free-form documents nest no deeper than this, so that everything that is kept can be written again.
_DOCUMENT_DEPTH = 64


class Unfit(Exception):
    """A value that does not fit its shape. `path` grows on the way out; `describe` makes the text from it."""

    def __init__(self, code: str, describe: Callable[[str], str]) -> None:
        super().__init__(code)
        self.code = code
        self.path: list[str | int] = []
        self._describe = describe

    def to_wire(self) -> WireError:
        """The error to answer, naming the member as `containerDefinitions[0].cpu`."""
        path = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(self.path)
        ).removeprefix(".")
        return WireError(self.code, self._describe(path))


class ReaderCompiler:
    """Compiles shapes; structures that occur many times are compiled once.

    Members in ``lenient``, as (structure, member), may be missing, and be any text where they are enumerations: their
    errors are left to those who know better words for them.
    """

    def __init__(self, lenient: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._structures: dict[str, Reader] = {}
        self._lenient = lenient

    def compile(self, shape: Shape) -> Reader:
        """The reader of any shape of the model. Raises TypeError for a kind that ECS's model does not have."""
        if isinstance(shape, StructureShape):
            if shape.is_document_type:
                return _read_document
            return self._structures.get(shape.name) or self._compile_structure(shape)
        if isinstance(shape, ListShape):
            return _list_reader(self.compile(shape.member), _bounds(shape))
        if isinstance(shape, MapShape):
            return _map_reader(self.compile(shape.value), _bounds(shape))
        kind = shape.type_name
        if kind == "string":
            return _string_reader(shape)
        if kind in _INTEGERS:
            return _integer_reader(kind, _bounds(shape))
        if kind in ("float", "double"):
            return _float_reader(kind, _bounds(shape))
        scalars = {"boolean": _read_boolean, "timestamp": _read_timestamp}
        if kind in scalars:
            return scalars[kind]
        raise TypeError(f"no reader for shapes of type {kind!r} ({shape.name})")

    def _compile_structure(self, shape: StructureShape) -> Reader:
        readers: dict[str, Reader] = {}
        required = tuple(name for name in shape.required_members if (shape.name, name) not in self._lenient)
        is_union = bool(shape.is_tagged_union)
        find = readers.get

        def read(value: Any) -> Any:
            if type(value) is not dict:
                raise _mistyped(value, "a structure")
            result: dict[str, Any] = {}
            for name, member in value.items():
                reader = find(name)
                if reader is None or member is None:
                    continue
                try:
                    result[name] = reader(member)
                except Unfit as error:
                    error.path.append(name)
                    raise
            for name in required:
                if name not in result:
                    raise _blank(name)
            if is_union and len(result) != 1:
                raise _not_one_of(tuple(readers), len(result))
            return result

        self._structures[shape.name] = read
        readers.update({name: self._compile_member(shape, name) for name in shape.members})
        return read

    def _compile_member(self, shape: StructureShape, name: str) -> Reader:
        member = shape.members[name]
        if (shape.name, name) in self._lenient and member.type_name == "string":
            return _text_reader(_bounds(member))
        return self.compile(member)


# --- containers -------------------------------------------------------------------------------------------------------


def _list_reader(item: Reader, bounds: Bounds) -> Reader:
    check = _length_check(bounds)

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _mistyped(value, "a List")
        check(value)
        result = []
        for index, each in enumerate(value):
            try:
                if each is None:
                    raise Unfit(INVALID, lambda path: f"{path} can not be blank.")
                result.append(item(each))
            except Unfit as error:
                error.path.append(index)
                raise
        return result

    return read


def _map_reader(item: Reader, bounds: Bounds) -> Reader:
    check = _length_check(bounds)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _mistyped(value, "a Map")
        check(value)
        result = {}
        for key, each in value.items():
            if each is None:
                continue
            try:
                result[key] = item(each)
            except Unfit as error:
                error.path.append(key)
                raise
        return result

    return read


def _read_document(value: Any) -> Any:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DOCUMENT_DEPTH:
            raise Unfit(SERIALIZATION, lambda path: f"{path} is nested deeper than {_DOCUMENT_DEPTH} levels")
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return value


# --- scalars ----------------------------------------------------------------------------------------------------------


def _string_reader(shape: Shape) -> Reader:
    allowed = tuple(getattr(shape, "enum", ()))
    return _enum_reader(allowed) if allowed else _text_reader(_bounds(shape))


def _text_reader(bounds: Bounds) -> Reader:
    check = _length_check(bounds)

    def read(value: Any) -> Any:
        if type(value) is not str:
            raise _mistyped(value, "a String")
        check(value)
        return value

    def read_unbounded(value: Any) -> Any:
        if type(value) is not str:
            raise _mistyped(value, "a String")
        return value

    return read if bounds != (None, None) else read_unbounded


def _enum_reader(allowed: tuple[str, ...]) -> Reader:
    values = frozenset(allowed)
    shown = ",".join(allowed)

    def read(value: Any) -> Any:
        if type(value) is not str:
            raise _mistyped(value, "a String")
        if value not in values:
            raise Unfit(INVALID, lambda path: f"{spaced_name(path)} should be one of [{shown}]")
        return value

    return read


def _integer_reader(kind: str, bounds: Bounds) -> Reader:
    lowest, highest = _INTEGERS[kind]
    check = _range_check(bounds)
    name = "an Integer" if kind == "integer" else "a Long"

    def read(value: Any) -> Any:
        if type(value) is not int:
            raise _mistyped(value, name)
        if not lowest <= value <= highest:
            raise Unfit(
                SERIALIZATION,
                lambda path: f"NUMBER_VALUE can not be converted to {name}: {path} must be from {lowest} to {highest}",
            )
        check(value)
        return value

    return read


def _float_reader(kind: str, bounds: Bounds) -> Reader:
    check = _range_check(bounds)

    def read(value: Any) -> Any:
        number = _number(value, f"a {kind.capitalize()}")
        check(number)
        return number

    return read


def _read_timestamp(value: Any) -> Any:
    number = _number(value, "a Timestamp (seconds since the epoch)")
    if not _TIMES[0] <= number <= _TIMES[1]:
        raise Unfit(
            SERIALIZATION,
            lambda path: f"NUMBER_VALUE can not be converted to a Timestamp: {path} is not in seconds since 1970",
        )
    return number


def _read_boolean(value: Any) -> Any:
    if value is not True and value is not False:
        raise _mistyped(value, "a Boolean")
    return value


def _number(value: Any, wanted: str) -> float:
    if type(value) is not float and type(value) is not int:
        raise _mistyped(value, wanted)
    try:
        return float(value)
    except OverflowError:
        raise _mistyped(value, wanted) from None


# --- bounds -----------------------------------------------------------------------------------------------------------


def _bounds(shape: Shape) -> Bounds:
    return shape.metadata.get("min"), shape.metadata.get("max")


def _length_check(bounds: Bounds) -> Callable[[Any], None]:
    lowest, highest = bounds

    def check(value: Any) -> None:
        if lowest is not None and len(value) < lowest:
            raise _out_of_bounds(f"have length greater than or equal to {lowest}")
        if highest is not None and len(value) > highest:
            raise _out_of_bounds(f"have length less than or equal to {highest}")

    return check


def _range_check(bounds: Bounds) -> Callable[[float], None]:
    lowest, highest = bounds

    def check(value: float) -> None:
        if lowest is not None and value < lowest:
            raise _out_of_bounds(f"have value greater than or equal to {lowest}")
        if highest is not None and value > highest:
            raise _out_of_bounds(f"have value less than or equal to {highest}")

    return check


# --- words ------------------------------------------------------------------------------------------------------------


def spaced_name(path: str) -> str:
    """The last member of a path as ECS writes it in sentences: `overrides.launchType` is "launch type"."""
    names = re.sub(r"\[\d+\]", "", path).split(".")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", names[-1]).lower()


def _mistyped(value: Any, wanted: str) -> Unfit:
    if isinstance(value, list):
        found = "Start of list found where not expected"
    elif isinstance(value, dict):
        found = "Start of structure or map found where not expected"
    else:
        found = f"{_token(value)} can not be converted to {wanted}"
    return Unfit(SERIALIZATION, lambda path: f"{found}: {path or 'the request'} must be {wanted}")


def _token(value: Any) -> str:
    """The kind of a JSON scalar, in the words of AWS's deserializer."""
    if value is None:
        return "NULL_VALUE"
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    return "DECIMAL_VALUE" if isinstance(value, float) else "NUMBER_VALUE"


def _blank(name: str) -> Unfit:
    error = Unfit(INVALID, lambda path: f"{path} can not be blank.")
    error.path.append(name)
    return error


def _not_one_of(names: tuple[str, ...], given: int) -> Unfit:
    return Unfit(INVALID, lambda path: f"{path} must have one of [{','.join(names)}], but has {given} of them.")


def _out_of_bounds(constraint: str) -> Unfit:
    return Unfit(INVALID, lambda path: f"Value at '{path}' failed to satisfy constraint: Member must {constraint}")
