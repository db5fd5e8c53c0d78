"""What LocalStack runs when it starts: from then on awsorch answers ECS.

Calls are taken before LocalStack parses them, so that operations which its botocore does not know pass as well, in
every protocol. Source: LocalStack's source, `localstack.aws.handlers.preprocess_request` and `localstack.runtime.hooks`
(Apache-2.0).
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import uuid
from typing import Any

from plux import plugin

from localstack_awsorch.awsorch import Away, endpoint, send

LOG = logging.getLogger(__name__)
SERVICE = "AmazonEC2ContainerServiceV20141113"
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/[^/,\s]+/ecs/aws4_request")


@plugin(namespace="localstack.hooks.on_infra_start", name="awsorch")
def in_localstack() -> None:
    """The hook of LocalStack."""
    _begin("localstack")


@plugin(namespace="localemu.hooks.on_infra_start", name="awsorch")
def in_localemu() -> None:
    """The hook of LocalEmu, which has an ECS of its own."""
    _begin("localemu")


for _hook in (in_localstack, in_localemu):
    _hook.hook_priority = 0  # its turn among others


def _begin(runtime: str) -> None:
    handlers = importlib.import_module(f"{runtime}.aws.handlers")
    handlers.preprocess_request.append(pass_on)
    LOG.info("Amazon ECS is awsorch's, at %s", endpoint())


def is_ecs(headers: Any, path: str) -> bool:
    """Whether a request is a call of ECS."""
    if headers.get("X-Amz-Target", "").startswith(f"{SERVICE}.") or path.startswith(f"/service/{SERVICE}/"):
        return True
    return _SCOPE.search(headers.get("Authorization", "")) is not None


def pass_on(chain: Any, context: Any, response: Any) -> None:
    """A handler of LocalStack's gateway: what is ECS's is answered by awsorch, and no other handler sees it."""
    request = context.request
    if not is_ecs(request.headers, request.path):
        return
    try:
        status, headers, body = send(
            request.method, request.full_path.rstrip("?"), dict(request.headers.items()), request.get_data(cache=True)
        )
    except Away as away:
        status, body = 503, json.dumps({"__type": "ServiceUnavailableException", "message": str(away)}).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
    response.status_code = status
    response.data = body
    for name in list(response.headers.keys()):
        response.headers.remove(name)
    response.headers.update(headers)
    chain.stop()
