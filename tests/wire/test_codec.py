"""The codec against botocore's own serializer and parser, for every operation; and everything that does not fit."""

import contextlib
import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import botocore.parsers
import botocore.serialize
import pytest
from botocore.model import ListShape, MapShape, Shape, ShapeResolver, StructureShape
from dateutil.tz import tzutc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awsorch.wire.codec import Codec
from awsorch.wire.errors import WireError
from awsorch.wire.readers import ReaderCompiler, Unfit
from tests.support.shapes import JSON, inputs_for, mutated_inputs_for, outputs_for, service_model

CODEC = Codec.load("ecs")
OPERATIONS = sorted(service_model().operation_names)
quick = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def decode(operation: str, value: Any) -> dict[str, Any]:
    return CODEC.decode(operation, json.dumps(value).encode())


def refusal(operation: str, value: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        decode(operation, value)
    assert caught.value.status == 400
    return caught.value


def with_datetimes(shape: Shape, value: Any) -> Any:
    """What a user of botocore passes or gets: times as datetime."""
    if isinstance(shape, StructureShape):
        if shape.is_document_type:
            return value
        return {name: with_datetimes(shape.members[name], each) for name, each in value.items()}
    if isinstance(shape, ListShape):
        return [with_datetimes(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: with_datetimes(shape.value, each) for key, each in value.items()}
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, tzutc())
    return value


def whole_seconds(shape: Shape, value: Any) -> Any:
    """The value with times cut to seconds: botocore sends times to the millisecond at best."""
    if isinstance(shape, StructureShape):
        if shape.is_document_type:
            return value
        return {name: whole_seconds(shape.members[name], each) for name, each in value.items()}
    if isinstance(shape, ListShape):
        return [whole_seconds(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: whole_seconds(shape.value, each) for key, each in value.items()}
    return int(value) if shape.type_name == "timestamp" else value


@pytest.mark.parametrize("operation", OPERATIONS)
@quick
@given(data=st.data())
def test_what_botocore_sends_is_what_we_read(operation, data):
    model = service_model().operation_model(operation)
    given_input = whole_seconds(model.input_shape, data.draw(inputs_for(operation)))
    serializer = botocore.serialize.create_serializer("json", include_validation=True)
    request = serializer.serialize_to_request(with_datetimes(model.input_shape, given_input), model)
    assert CODEC.decode(operation, request["body"]) == given_input


@pytest.mark.parametrize("operation", OPERATIONS)
@quick
@given(data=st.data())
def test_what_we_answer_is_what_botocore_reads(operation, data):
    model = service_model().operation_model(operation)
    output = data.draw(outputs_for(operation))
    if model.output_shape is not None:
        output = whole_seconds(model.output_shape, output)
    CODEC.check_output(operation, output)
    response = {"status_code": 200, "headers": {}, "body": CODEC.encode(output), "context": {}}
    parsed = botocore.parsers.create_parser("json").parse(response, model.output_shape)
    parsed.pop("ResponseMetadata")
    assert parsed == (with_datetimes(model.output_shape, output) if model.output_shape is not None else {})


@pytest.mark.parametrize("operation", OPERATIONS)
@quick
@given(data=st.data())
def test_a_mutated_input_is_read_or_refused(operation, data):
    value = data.draw(mutated_inputs_for(operation))
    with contextlib.suppress(WireError):
        result = decode(operation, value)
        assert decode(operation, result) == result


@given(value=JSON)
def test_any_json_value_is_read_or_refused(value):
    with contextlib.suppress(WireError):
        decode("RegisterTaskDefinition", value)


@given(body=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body):
    with contextlib.suppress(WireError):
        CODEC.decode("ListTasks", body)


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}", b"null", b'{"nothing":{"of":["ours"]}}', b'{"cluster":null}'])
def test_an_empty_input_is_fine(body):
    assert CODEC.decode("ListTasks", body) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{} x",
        b'{"cluster":NaN}',
        b'{"cluster":Infinity}',
        b'{"cluster":"\\ud800"}',
        b'{"cluster":"\\udc00x"}',
        b'{"cluster":"\xed\xa0\x80"}',
        b"\xff\xfe{}",
        b'{"cluster":1e999}',
        b'{"cluster":' + b"9" * 6000 + b"}",
        b'{"cluster":' + b"[" * 100_000,
        b'{"x":' * 100_000,
        b'{"cluster":"a"' + b" " * 10,
        b"[]",
        b'"text"',
        b"7",
        b"true",
    ],
)
def test_what_is_not_a_json_object_is_a_serialization_error(body):
    with pytest.raises(WireError) as caught:
        CODEC.decode("ListTasks", body)
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)
    assert caught.value.message


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("count", "1", "STRING_VALUE can not be converted to an Integer: count must be an Integer"),
        ("count", 1.0, "DECIMAL_VALUE can not be converted to an Integer: count must be an Integer"),
        ("count", True, "TRUE_VALUE can not be converted to an Integer: count must be an Integer"),
        (
            "count",
            2**31,
            "NUMBER_VALUE can not be converted to an Integer: count must be from -2147483648 to 2147483647",
        ),
        ("group", 7, "NUMBER_VALUE can not be converted to a String: group must be a String"),
        ("group", {}, "Start of structure or map found where not expected: group must be a String"),
        ("tags", {}, "Start of structure or map found where not expected: tags must be a List"),
        ("tags", "x", "STRING_VALUE can not be converted to a List: tags must be a List"),
        ("overrides", [], "Start of list found where not expected: overrides must be a structure"),
        (
            "enableExecuteCommand",
            0,
            "NUMBER_VALUE can not be converted to a Boolean: enableExecuteCommand must be a Boolean",
        ),
        ("launchType", 3, "NUMBER_VALUE can not be converted to a String: launchType must be a String"),
        (
            "overrides",
            {"containerOverrides": [{}, {"environment": [{"name": 1}]}]},
            "NUMBER_VALUE can not be converted to a String: "
            "overrides.containerOverrides[1].environment[0].name must be a String",
        ),
    ],
)
def test_a_member_of_the_wrong_type_is_named(member, value, message):
    error = refusal("RunTask", {"taskDefinition": "web", member: value})
    assert (error.code, error.message) == ("SerializationException", message)


@pytest.mark.parametrize(
    ("operation", "value", "message"),
    [
        ("RunTask", {}, "taskDefinition can not be blank."),
        ("RunTask", {"taskDefinition": None}, "taskDefinition can not be blank."),
        ("PutAttributes", {"attributes": [{"value": "x"}]}, "attributes[0].name can not be blank."),
        ("DescribeTasks", {"tasks": ["a", None]}, "tasks[1] can not be blank."),
        (
            "RunTask",
            {"taskDefinition": "a", "launchType": "MOON"},
            "launch type should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]",
        ),
        ("DescribeTasks", {"tasks": ["a"], "include": ["TAGS", "x"]}, "include should be one of [TAGS]"),
        (
            "TagResource",
            {"resourceArn": "a", "tags": [{"key": ""}]},
            "Value at 'tags[0].key' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "TagResource",
            {"resourceArn": "a", "tags": [{"key": "k", "value": "v" * 257}]},
            "Value at 'tags[0].value' failed to satisfy constraint: Member must have length less than or equal to 256",
        ),
        (
            "RunTask",
            {"taskDefinition": "a", "capacityProviderStrategy": [{"capacityProvider": "c", "weight": 1001}]},
            "Value at 'capacityProviderStrategy[0].weight' failed to satisfy constraint: "
            "Member must have value less than or equal to 1000",
        ),
        (
            "RunTask",
            {"taskDefinition": "a", "capacityProviderStrategy": [{"capacityProvider": "c", "base": -1}]},
            "Value at 'capacityProviderStrategy[0].base' failed to satisfy constraint: "
            "Member must have value greater than or equal to 0",
        ),
    ],
)
def test_a_value_that_is_not_allowed_is_named(operation, value, message):
    error = refusal(operation, value)
    assert (error.code, error.message) == ("InvalidParameterException", message)


@pytest.mark.parametrize("members", [{}, {"alb": {}, "other": {}}])
def test_a_union_has_exactly_one_member(members):
    """ECS's unions change with its newest operations, so this one is made up."""
    leaf = {"type": "structure", "members": {}}
    union = {"type": "structure", "union": True, "members": {"alb": {"shape": "Leaf"}, "other": {"shape": "Leaf"}}}
    shapes = ShapeResolver({"Union": union, "Leaf": leaf})
    read = ReaderCompiler().compile(shapes.get_shape_by_name("Union"))
    assert read({"alb": {}}) == {"alb": {}}
    with pytest.raises(Unfit) as caught:
        read(members)
    assert caught.value.to_wire().code == "InvalidParameterException"
    assert caught.value.to_wire().message.endswith(f"must have one of [alb,other], but has {len(members)} of them.")


def test_a_recursive_structure_can_be_read():
    node = {"type": "structure", "members": {"inner": {"shape": "Node"}}}
    read = ReaderCompiler().compile(ShapeResolver({"Node": node}).get_shape_by_name("Node"))
    assert read({"inner": {"inner": {"x": 1}}}) == {"inner": {"inner": {}}}


def test_a_kind_of_shape_that_the_model_does_not_have_is_said_at_start():
    with pytest.raises(TypeError, match="blob"):
        ReaderCompiler().compile(ShapeResolver({"B": {"type": "blob"}}).get_shape_by_name("B"))


def test_a_document_is_kept_as_it_is_unless_it_is_too_deep():
    document = {"type": "structure", "document": True, "members": {}}
    read = ReaderCompiler().compile(ShapeResolver({"D": document}).get_shape_by_name("D"))
    assert read({"a": [None, {"b": 1.5}]}) == {"a": [None, {"b": 1.5}]}
    deep: Any = {}
    for _ in range(100):
        deep = {"a": [deep]}
    with pytest.raises(Unfit):
        read(deep)


def test_times_are_float_seconds():
    read = decode("SubmitTaskStateChange", {"executionStoppedAt": 1714446042, "pullStartedAt": 1714446042.816})
    assert read == {"executionStoppedAt": 1714446042.0, "pullStartedAt": 1714446042.816}
    assert type(read["executionStoppedAt"]) is float


@pytest.mark.parametrize("time", ["2024-01-01T00:00:00Z", 1e300, -(2**64), 10**400, True, {}])
def test_what_is_not_a_time_is_refused(time):
    assert refusal("SubmitTaskStateChange", {"executionStoppedAt": time}).code == "SerializationException"


def test_unknown_members_and_nulls_are_dropped_at_any_depth():
    value = {
        "taskDefinition": "a",
        "shiny": {"new": [None, {"x": 1}]},
        "group": None,
        "overrides": {"cpu": None, "also": 1, "containerOverrides": [{"name": "c", "further": "x", "cpu": None}]},
    }
    assert decode("RunTask", value) == {
        "taskDefinition": "a",
        "overrides": {"containerOverrides": [{"name": "c"}]},
    }


def test_an_unknown_operation_is_refused():
    assert refusal("MakeCoffee", {}).code == "UnknownOperationException"


def test_any_object_can_be_read_without_a_model():
    assert CODEC.decode_any(b'{"a":{"b":null}}') == {"a": {"b": None}}
    assert CODEC.decode_any(b"") == {}
    with pytest.raises(WireError):
        CODEC.decode_any(b"[]")


def test_none_is_left_out_of_answers_at_any_depth():
    value: Mapping[str, Any] = {
        "a": None,
        "b": [{"c": None, "d": "null"}],
        "e": MappingProxyType({"f": None, "g": 0, "h": False, "i": ""}),
        "j": (),
    }
    assert json.loads(CODEC.encode(value)) == {"b": [{"d": "null"}], "e": {"g": 0, "h": False, "i": ""}, "j": []}


@pytest.mark.parametrize(
    ("operation", "value"),
    [
        ("ListTasks", {"taskArns": "x"}),
        ("ListTasks", {"taskArns": [1]}),
        ("ListTasks", {"tasks": []}),
        ("DescribeTasks", {"tasks": [{"createdAt": "now"}]}),
        ("DescribeTasks", {"tasks": [{"createdAt": float("nan")}]}),
        ("DescribeTasks", {"tasks": [{"launchType": "MOON"}]}),
        ("DescribeTasks", {"tasks": [{"cpu": 256}]}),
        ("DescribeTasks", {"tasks": [{"enableExecuteCommand": 1}]}),
        ("DescribeTasks", {"tasks": [{"containers": [{"exitCode": 1.0}]}]}),
        ("DescribeTasks", {"tasks": [{"containers": [{"exitCode": True}]}]}),
        ("DescribeTasks", {"tasks": {}}),
        ("DescribeTasks", {"tasks": [None]}),
    ],
)
def test_an_answer_that_does_not_fit_is_found(operation, value):
    with pytest.raises(AssertionError, match=operation):
        CODEC.check_output(operation, value)
