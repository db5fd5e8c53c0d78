"""Hypothesis strategies made from a service model: inputs of an operation that are valid, and inputs that are not.

`inputs_for("RunTask")` draws valid inputs as a client would build them; `mutated_inputs_for("RunTask")` draws JSON
values near them: wrong types, missing and null and unknown members, enumerations and bounds that are not kept.
Both are plain JSON values, ready for `json.dumps`. `outputs_for` draws outputs.
"""

from functools import lru_cache
from typing import Any

import botocore.loaders
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from hypothesis import strategies as st

#: What a client can put into a string: any text that has a UTF-8 form.
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)

#: JSON values of every kind, with the numbers and strings that break careless code.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1, 2**31, 2**63, -(2**63) - 1, 1e308, 0.5, "", " ", "\x00", "a" * 300, "../..", "😀"])
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)

_MAX_TIME = 253_402_300_799


@lru_cache(maxsize=1)
def service_model() -> ServiceModel:
    """botocore's model of ECS."""
    return ServiceModel(botocore.loaders.Loader().load_service_model("ecs", "service-2"), "ecs")


@lru_cache(maxsize=256)
def inputs_for(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    """Valid inputs of an operation; times are numbers."""
    return values_of(service_model().operation_model(operation).input_shape)


@lru_cache(maxsize=256)
def outputs_for(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    """Outputs of an operation, in the model's shape; times are numbers."""
    shape = service_model().operation_model(operation).output_shape
    return st.just({}) if shape is None else values_of(shape)


@lru_cache(maxsize=256)
def mutated_inputs_for(operation: str) -> st.SearchStrategy[Any]:
    """Inputs of an operation with one to three places changed into something else; some are still valid."""
    return st.builds(_mutate, inputs_for(operation), st.lists(_CHANGES, min_size=1, max_size=3))


def values_of(shape: Shape) -> st.SearchStrategy[Any]:
    """Values that fit a shape of the model."""
    if isinstance(shape, StructureShape):
        return _structures(shape)
    if isinstance(shape, ListShape):
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 3)
        return st.lists(st.deferred(lambda: values_of(shape.member)), min_size=low, max_size=max(low, min(high, 3)))
    if isinstance(shape, MapShape):
        return st.dictionaries(TEXT, st.deferred(lambda: values_of(shape.value)), max_size=2)
    return _scalars(shape)


def _structures(shape: StructureShape) -> st.SearchStrategy[Any]:
    if shape.is_document_type:
        return st.dictionaries(TEXT, JSON, max_size=2)
    members = {name: st.deferred(lambda member=member: values_of(member)) for name, member in shape.members.items()}
    if shape.is_tagged_union:
        return st.one_of([st.fixed_dictionaries({name: value}) for name, value in members.items()])
    required = {name: value for name, value in members.items() if name in shape.required_members}
    optional = {name: value for name, value in members.items() if name not in required}
    # A handful of the optional members at a time: a task definition has hundreds.
    return st.lists(st.sampled_from(sorted(optional) or [""]), max_size=5, unique=True).flatmap(
        lambda names: st.fixed_dictionaries(required | {name: optional[name] for name in names if name})
    )


def _scalars(shape: Shape) -> st.SearchStrategy[Any]:
    kind = shape.type_name
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if kind == "string":
        if getattr(shape, "enum", ()):
            return st.sampled_from(shape.enum)
        return st.text(st.characters(codec="utf-8"), min_size=low or 0, max_size=min(high or 12, 12))
    if kind in ("integer", "long"):
        limit = 2**31 if kind == "integer" else 2**63
        return st.integers(-limit if low is None else low, limit - 1 if high is None else high)
    if kind in ("float", "double"):
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if kind == "boolean":
        return st.booleans()
    if kind == "timestamp":
        return st.integers(0, _MAX_TIME) | st.floats(0, _MAX_TIME)
    raise TypeError(f"no strategy for shapes of type {kind!r}")


# --- mutations --------------------------------------------------------------------------------------------------------

#: (which of the places in the value, what to do there, a value to do it with)
_CHANGES = st.tuples(st.integers(0, 10_000), st.sampled_from(["replace", "remove", "null", "add", "wrap"]), JSON)


def _mutate(value: Any, changes: list[tuple[int, str, Any]]) -> Any:
    for place, action, other in changes:
        places = _places(value)
        value = _change(value, places[place % len(places)], action, other)
    return value


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside `value`, itself first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in _places(each, (*path, key)))]


def _change(value: Any, path: tuple[Any, ...], action: str, other: Any) -> Any:
    if path:
        key, rest = path[0], path[1:]
        copy = value.copy()
        if action == "remove" and not rest:
            del copy[key]
        else:
            copy[key] = _change(value[key], rest, action, other)
        return copy
    if action == "null":
        return None
    if action == "wrap":
        return [value]
    if action == "add" and isinstance(value, dict):
        return value | {"unknownMember": other}
    if action == "add" and isinstance(value, list):
        return [*value, other]
    return other
