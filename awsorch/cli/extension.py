"""Requests for what is awsorch's own, beside ECS's API: botocore does not know it, so they are signed and sent by
hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from awsorch.cli.faults import Fault, describe_refusal
from awsorch.cli.session import Session

PREFIX = "AwsorchV1"
CONTENT_TYPE = "application/x-amz-json-1.1"


def ask_own(session: Session, operation: str, **members: Any) -> dict[str, Any]:
    """The answer to an operation of awsorch's own, about the session's cluster: ECS's protocol and signature under
    another target prefix. Raises Fault with the API's code and message when it is refused."""
    headers = {"X-Amz-Target": f"{PREFIX}.{operation}", "Content-Type": CONTENT_TYPE}
    return call_own(session, "POST", "/", headers, json.dumps({"cluster": session.cluster, **members}))


def call_own(session: Session, method: str, path: str, headers: Mapping[str, str], body: str = "") -> dict[str, Any]:
    """The JSON object that a request is answered with. Raises Fault with the API's code and message when it is
    refused.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    request = AWSRequest(method=method, url=f"{session.endpoint.rstrip('/')}{path}", data=body, headers=dict(headers))
    SigV4Auth(session.boto.get_credentials(), "ecs", session.region).add_auth(request)
    response = URLLib3Session(timeout=60).send(request.prepare())
    try:
        answer = json.loads(response.content)
    except ValueError:
        raise Fault(f"{session.endpoint} does not answer as an ECS API does (HTTP {response.status_code})") from None
    if response.status_code != 200:
        code = str(answer.get("__type", "Unknown")).rpartition("#")[2]
        raise Fault(describe_refusal({"Code": code, "Message": answer.get("message") or answer.get("Message") or ""}))
    told: dict[str, Any] = answer
    return told
