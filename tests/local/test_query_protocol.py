"""The query protocol from the server's side, read back by botocore as a client does."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from awsorch.local.query_protocol import QueryRefused, read_form, read_request, service_model, write_answer

V2, CLASSIC = "2015-12-01", "2012-06-01"


def operation(version: str, name: str) -> Any:
    return service_model(version).operation_model(name)


def sent(version: str, name: str, **arguments: Any) -> dict[str, str]:
    """The form that botocore sends."""
    request = create_serializer("query").serialize_to_request(arguments, operation(version, name))
    return {key: str(value) for key, value in request["body"].items()}


def test_a_request_is_read_as_botocore_writes_it() -> None:
    asked: dict[str, Any] = {
        "TargetGroupArn": "arn:x",
        "Targets": [{"Id": f"i-{number}", "Port": 8000 + number, "AvailabilityZone": "all"} for number in range(12)],
    }
    assert read_request(operation(V2, "RegisterTargets"), sent(V2, "RegisterTargets", **asked)) == asked
    classic = {"LoadBalancerName": "web", "Instances": [{"InstanceId": "i-1"}]}
    name = "RegisterInstancesWithLoadBalancer"
    assert read_request(operation(CLASSIC, name), sent(CLASSIC, name, **classic)) == classic


def test_an_answer_is_read_by_botocore() -> None:
    health = {"State": "unhealthy", "Reason": "Target.Timeout", "Description": "Request <timed> out & more"}
    answer = {"TargetHealthDescriptions": [{"Target": {"Id": "i-1", "Port": 80}, "TargetHealth": health}]}
    model = operation(V2, "DescribeTargetHealth")
    body = write_answer(model, answer, "request-1")
    parsed = create_parser("query").parse({"body": body, "headers": {}, "status_code": 200}, model.output_shape)
    assert parsed["TargetHealthDescriptions"] == answer["TargetHealthDescriptions"]
    assert parsed["ResponseMetadata"]["RequestId"] == "request-1"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "Value null at 'targetGroupArn'"),
        ({"TargetGroupArn": "arn:x"}, "Value null at 'targets'"),
        ({"TargetGroupArn": "arn:x", "Targets.member.x.Id": "i-1"}, "Value null at 'targets'"),
        (
            {"TargetGroupArn": "arn:x", "Targets.member.1.Id": "i-1", "Targets.member.1.Port": "http"},
            "Targets.member.1.Port should be a whole number",
        ),
    ],
)
def test_what_is_missing_or_malformed_is_named(form: dict[str, str], words: str) -> None:
    with pytest.raises(QueryRefused, match=words):
        read_request(operation(V2, "RegisterTargets"), form)


def test_parameters_are_found_in_the_body_and_in_the_query() -> None:
    assert read_form("Version=1&A=%20x", b"B=y&A=z&C=") == {"Version": "1", "A": " x", "B": "y", "C": ""}
    assert service_model("1999-01-01") is None
