"""What the door changes in moto's answers about load balancers, and what it leaves."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.parsers import create_parser

from awsorch.local.elb_names import rename
from awsorch.local.query_protocol import service_model, write_answer

V2, CLASSIC = "2015-12-01", "2012-06-01"
ADDRESSES = {"arn:web": "127.9.192.1", "classic/old": "127.9.192.2"}
INSTANCES = {"old": [{"InstanceId": "i-1"}, {"InstanceId": "i-2"}]}


def renamed(version: str, name: str, answer: dict[str, Any], **form: str) -> Any:
    """What a client reads of an answer that went through the door."""
    operation = service_model(version).operation_model(name)
    body = rename(write_answer(operation, answer, "r"), form, ADDRESSES.__getitem__, INSTANCES.__getitem__)
    read = create_parser("query").parse({"body": body, "headers": {}, "status_code": 200}, operation.output_shape)
    del read["ResponseMetadata"]
    return read


@pytest.mark.parametrize("name", ["CreateLoadBalancer", "DescribeLoadBalancers"])
def test_a_load_balancer_is_where_it_listens(name: str) -> None:
    balancer = {"LoadBalancerArn": "arn:web", "LoadBalancerName": "web", "Type": "application"}
    assert renamed(V2, name, {"LoadBalancers": [balancer | {"DNSName": "web-1.us-east-1.elb.amazonaws.com"}]}) == {
        "LoadBalancers": [balancer | {"DNSName": "127.9.192.1"}]
    }


def test_a_classic_load_balancer_has_its_instances() -> None:
    name = "old.us-east-1.elb.amazonaws.com"
    described = {"LoadBalancerName": "old", "DNSName": name, "CanonicalHostedZoneName": name, "Instances": []}
    read = renamed(CLASSIC, "DescribeLoadBalancers", {"LoadBalancerDescriptions": [described]})
    assert read["LoadBalancerDescriptions"] == [
        {
            "LoadBalancerName": "old",
            "DNSName": "127.9.192.2",
            "CanonicalHostedZoneName": "127.9.192.2",
            "Instances": INSTANCES["old"],
        }
    ]
    assert renamed(CLASSIC, "CreateLoadBalancer", {"DNSName": name}, LoadBalancerName="old") == {
        "DNSName": "127.9.192.2"
    }


@pytest.mark.parametrize("answer", [b"", b"no XML", b"<Error><Code>Throttling</Code></Error>"])
def test_other_answers_stay(answer: bytes) -> None:
    assert rename(answer, {}, ADDRESSES.__getitem__, INSTANCES.__getitem__) == answer
