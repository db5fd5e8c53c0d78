"""Whatever has the shape of a RegisterTaskDefinition request is prepared or refused, and preparing is a fixed point."""

from __future__ import annotations

from typing import Any

import botocore.session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awsorch.core.definitions.overrides import prepare_overrides
from awsorch.core.definitions.register import COMPUTED, prepare
from awsorch.core.errors import Refusal
from tests.core.definition_requests import ACCOUNT, REGION, ROLE, a_container, a_request

MODEL = botocore.session.get_session().get_service_model("ecs")

#: Text that makes sense somewhere, so that many requests get past the first rules, and text that never does.
_SIZES = ("1", "256", "512", "1 vCPU", "0.5GB", "80-90", "ALL")
_NAMES = ("a", "b", "app", "a:b", "worker", ROLE, "/data", "arn:aws:s3:::b/a.env")
_OPTIONS = ("CMD", "memberOf", "SYS_PTRACE", "nofile", "s3", "net.core.x", "awslogs-group", "mode", "blocking")
WORDS = st.sampled_from((*_SIZES, *_NAMES, *_OPTIONS))
TEXT = st.one_of(WORDS, WORDS, WORDS, st.text(max_size=6))
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 5, 30, 64, 80, 128, 256, 512, 8080]), st.integers(min_value=-(2**31), max_value=2**31 - 1)
)


def values(shape: Any) -> st.SearchStrategy[Any]:
    """What the codec may hand over for this shape: types, enums and required members are as in the model."""
    kind = shape.type_name
    if kind == "structure":
        members = {name: values(member) for name, member in shape.members.items() if name != "tags"}
        required = {name: strategy for name, strategy in members.items() if name in shape.required_members}
        optional = {name: strategy for name, strategy in members.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "list":
        return st.lists(values(shape.member), max_size=3)
    if kind == "map":
        return st.dictionaries(TEXT, TEXT, max_size=2)
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long"):
        return NUMBERS
    assert kind == "string"
    return st.sampled_from(shape.enum) if shape.enum else TEXT


REQUEST = MODEL.operation_model("RegisterTaskDefinition").input_shape
CONTAINER = REQUEST.members["containerDefinitions"].member


@st.composite
def changed_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A valid request in which a few members, of the task or of a container, are anything of their shape."""
    container, request = a_container(), a_request(executionRoleArn=ROLE)
    for name in draw(st.lists(st.sampled_from(sorted(CONTAINER.members)), max_size=3)):
        container[name] = draw(values(CONTAINER.members[name]))
    request["containerDefinitions"] = [container, a_container("b")]
    for name in draw(st.lists(st.sampled_from(sorted(set(REQUEST.members) - {"tags"})), max_size=2)):
        request[name] = draw(values(REQUEST.members[name]))
    return request


def check_fixed_point(request: dict[str, Any]) -> None:
    try:
        prepared = prepare(request, region=REGION, account=ACCOUNT)
    except Refusal:
        return
    bare = {name: value for name, value in prepared.items() if name not in COMPUTED}
    assert prepare(bare, region=REGION, account=ACCOUNT) == prepared
    assert prepare(prepared, region=REGION, account=ACCOUNT) == prepared


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=values(REQUEST))
def test_any_request(request: dict[str, Any]) -> None:
    check_fixed_point(request)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=changed_requests())
def test_a_valid_request_with_a_few_changes(request: dict[str, Any]) -> None:
    check_fixed_point(request)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(overrides=values(MODEL.shape_for("TaskOverride")))
def test_any_overrides(overrides: dict[str, Any]) -> None:
    definition = prepare(
        a_request(a_container("a"), a_container("b"), a_container("app")), region=REGION, account=ACCOUNT
    )
    try:
        prepared = prepare_overrides(definition, overrides, region=REGION, account=ACCOUNT)
    except Refusal:
        return
    assert [override["name"] for override in prepared["containerOverrides"]] == ["a", "b", "app"]
    assert prepare_overrides(definition, prepared, region=REGION, account=ACCOUNT) == prepared
