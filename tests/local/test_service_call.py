from __future__ import annotations

import pytest

from awsorch.local.service_call import Protocol, is_own_path, read_call, signing_service


def signed(service: str) -> dict[str, str]:
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, "
        "SignedHeaders=host, Signature=00",
        "X-Amz-Date": "20260101T000000Z",
    }


def presigned(service: str) -> str:
    return (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential=test%2F20260101%2Fus-east-1%2F{service}%2Faws4_request"
        "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
    )


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("path", "headers", "query", "service"),
    [
        ("/", signed("ecs"), "", "ecs"),
        ("/", signed("S3"), "", "s3"),
        ("/bucket/key", {}, presigned("s3"), "s3"),
        ("/", {}, presigned("ecs"), "ecs"),
        ("/", {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}, "", "ecs"),
        ("/", {"X-Amz-Target": "AmazonSSM.GetParameter"}, "", None),
        ("/service/AmazonEC2ContainerServiceV20141113/operation/ListClusters", {}, "", "ecs"),
        ("/service/GraniteServiceVersion20100801/operation/PutMetricData", signed("monitoring"), "", "monitoring"),
        ("/bucket", {"Authorization": "AWS test:signature"}, "", None),
        ("/", {}, "", None),
    ],
)
def test_the_signature_says_which_service(path: str, headers: dict[str, str], query: str, service: str | None) -> None:
    assert signing_service(path, headers, query) == service


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "operation", "protocol"),
    [
        ("POST", "/", signed("ec2") | FORM, b"Action=RunInstances&Version=1", "RunInstances", Protocol.EC2),
        ("POST", "/", signed("sqs") | FORM, b"Version=1&Action=SendMessage", "SendMessage", Protocol.QUERY),
        ("POST", "/", signed("ssm") | {"X-Amz-Target": "AmazonSSM.StartSession"}, b"{}", "StartSession", Protocol.JSON),
        ("GET", "/bucket/key", signed("s3"), b"", "GET /bucket/key", Protocol.REST_XML),
        ("GET", "/bucket/key", {}, b"", "GET /bucket/key", Protocol.REST_XML),
        ("GET", "/2013-04-01/hostedzone", signed("route53"), b"", "GET /2013-04-01/hostedzone", Protocol.REST_XML),
        ("POST", "/2015-03-31/functions", signed("lambda"), b"{}", "POST /2015-03-31/functions", Protocol.REST_JSON),
        ("POST", "/service/X/operation/GetMetricData", signed("monitoring"), b"\xa0", "GetMetricData", Protocol.CBOR),
    ],
)
def test_the_request_says_which_operation_and_protocol(
    method: str, path: str, headers: dict[str, str], body: bytes, operation: str, protocol: Protocol
) -> None:
    call = read_call(method, path, headers, "", body)
    assert (call.operation, call.protocol) == (operation, protocol)


def test_an_action_in_the_query_counts_too() -> None:
    assert read_call("GET", "/", signed("sts"), "Action=GetCallerIdentity", b"").operation == "GetCallerIdentity"


@pytest.mark.parametrize("path", ["/awsorch/health", "/acs/ws", "/tcs/ws", "/awsorch"])
def test_some_paths_are_our_own(path: str) -> None:
    assert is_own_path(path)


@pytest.mark.parametrize("path", ["/", "/acsbucket/key", "/bucket/acs/ws", "/awsorchestra"])
def test_other_paths_are_not(path: str) -> None:
    assert not is_own_path(path)
