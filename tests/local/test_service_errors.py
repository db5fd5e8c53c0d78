from __future__ import annotations

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from awsorch.local.service_call import Protocol
from awsorch.local.service_errors import ServiceError, write_error

ERROR = ServiceError(status=503, code="ServiceUnavailable", message='It is <down> & "out": später.')


@pytest.mark.parametrize(
    ("protocol", "parser"),
    [
        (Protocol.JSON, "json"),
        (Protocol.REST_JSON, "rest-json"),
        (Protocol.REST_XML, "rest-xml"),
        (Protocol.QUERY, "query"),
        (Protocol.EC2, "ec2"),
        (Protocol.CBOR, "smithy-rpc-v2-cbor"),
    ],
)
def test_the_sdk_reads_the_error_in_every_protocol(protocol: Protocol, parser: str) -> None:
    answer = write_error(ERROR, protocol, "the-request")
    response = {"status_code": 503, "headers": {k.lower(): v for k, v in answer.headers.items()}, "body": answer.body}
    any_service = ServiceModel(Loader().load_service_model("sqs", "service-2"), "sqs")
    shape = any_service.operation_model("ListQueues").output_shape
    assert shape is not None
    parsed = create_parser(parser).parse(response, shape)
    assert parsed["Error"]["Code"] == "ServiceUnavailable"
    assert parsed["Error"]["Message"] == ERROR.message
