"""moto as it is reached through the door: boto3 gets answers, and errors that it can read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import ClientError

from awsorch.local.door import Door
from awsorch.local.signatures import ServiceVerifier
from tests.local.serving import fronting

KEYS = {"AKIDLOCAL": "a-secret"}


async def no_ecs(_request: web.BaseRequest) -> web.Response:
    raise AssertionError("nobody asked for ECS")


def client_of(url: str, service: str, secret: str = "a-secret") -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIDLOCAL",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, s3={"addressing_style": "path"}),
    )


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call()
    return dict(error.value.response["Error"])


def use_buckets(url: str) -> None:
    s3 = client_of(url, "s3")
    s3.create_bucket(Bucket="bucket")
    for key in ("plain", "a b/ü%2F//c+d~", "trailing/"):
        s3.put_object(Bucket="bucket", Key=key, Body=key.encode() * 1000, ContentEncoding="gzip")
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == key.encode() * 1000
        assert s3.head_object(Bucket="bucket", Key=key)["ContentLength"] == len(key.encode()) * 1000
    assert len(s3.list_objects_v2(Bucket="bucket")["Contents"]) == 3
    large = bytes(3 * 1024 * 1024)
    s3.put_object(Bucket="bucket", Key="large", Body=large)
    assert s3.get_object(Bucket="bucket", Key="large")["Body"].read() == large
    assert refused(lambda: s3.get_object(Bucket="bucket", Key="none"))["Code"] == "NoSuchKey"


def use_other_protocols(url: str) -> None:
    client_of(url, "cloudwatch").put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1.0}])
    client_of(url, "secretsmanager").create_secret(Name="s", SecretString="x")
    assert client_of(url, "lambda").list_functions()["Functions"] == []
    assert client_of(url, "ec2").describe_vpcs()["Vpcs"][0]["IsDefault"]


def meet_what_moto_has_not_built(url: str) -> None:
    errors = {
        "StartSession of ssm": lambda: client_of(url, "ssm").start_session(Target="i-1"),
        "SimulatePrincipalPolicy of iam": lambda: client_of(url, "iam").simulate_principal_policy(
            PolicySourceArn="arn:aws:iam::123456789012:user/x", ActionNames=["s3:GetObject"]
        ),
        "DescribeReservedInstances of ec2": lambda: client_of(url, "ec2").describe_reserved_instances(),
    }
    for words, call in errors.items():
        error = refused(call)
        assert error["Code"] in {"NotImplemented", "501"}, error
        assert words in error["Message"]


def write_at_once(url: str) -> None:
    """Conditional writes of eight clients: none may be lost, which is what taking turns is for."""
    table = client_of(url, "dynamodb")
    table.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def add(_: int) -> None:
        table.update_item(
            TableName="t",
            Key={"k": {"S": "one"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    assert table.get_item(TableName="t", Key={"k": {"S": "one"}})["Item"]["n"]["N"] == "80"


def wait_for_a_message(url: str) -> None:
    """A long poll does not keep the message away that it waits for."""
    sqs = client_of(url, "sqs")
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=20)
        sqs.send_message(QueueUrl=queue, MessageBody="hello")
        assert waiting.result(15)["Messages"][0]["Body"] == "hello"


def be_refused_with_a_wrong_key(url: str) -> None:
    assert refused(client_of(url, "s3", "guess").list_buckets)["Code"] == "SignatureDoesNotMatch"
    assert refused(client_of(url, "sts", "guess").get_caller_identity)["Code"] == "InvalidSignatureException"


@pytest.mark.parametrize(
    "use",
    [
        use_buckets,
        use_other_protocols,
        meet_what_moto_has_not_built,
        write_at_once,
        wait_for_a_message,
        be_refused_with_a_wrong_key,
    ],
)
def test_boto3_works_through_the_closed_door(moto_url: str, use: Callable[[str], None]) -> None:
    async def scene() -> None:
        verifier = ServiceVerifier(KEYS, clock=lambda: datetime.now(UTC))
        door = Door(upstream=moto_url, ecs=no_ecs, verifier=verifier)
        async with fronting(door.handle) as url:
            await asyncio.to_thread(use, url)
        await door.close()

    asyncio.run(asyncio.wait_for(scene(), 60))
