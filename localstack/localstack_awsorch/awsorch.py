"""awsorch as the plug-in calls it."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

DEFAULT = "http://127.0.0.1:4567"
#: A call of the ECS API may wait for a commit, no longer. Seconds.
SECONDS = 60.0
#: What belongs to a connection, not to what is asked or answered.
CONNECTION = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"})


class Away(Exception):
    """awsorch does not answer; the text says where it should."""


def endpoint() -> str:
    """Where awsorch listens."""
    return os.environ.get("AWSORCH_ENDPOINT", DEFAULT).rstrip("/")


def send(method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what awsorch answers to a request, which it gets as it is. Raises Away."""
    where = urlsplit(endpoint())
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.hostname or "", where.port, timeout=SECONDS)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() not in CONNECTION:
                connection.putheader(name, value)
        if not any(name.lower() == "host" for name in headers):
            connection.putheader("Host", where.netloc)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        told = {name: value for name, value in answer.getheaders() if name.lower() not in CONNECTION}
        return answer.status, told, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Away(f"awsorch does not answer at {endpoint()} (AWSORCH_ENDPOINT): {error}") from error
    finally:
        connection.close()


def step(asked: Mapping[str, Any], region: str) -> dict[str, Any]:
    """One step of a resource, as POST /awsorch/resources has it. Raises Away, and ValueError with what it refused."""
    body = json.dumps(asked).encode()
    request = AWSRequest(
        "POST", f"{endpoint()}/awsorch/resources", data=body, headers={"Host": urlsplit(endpoint()).netloc}
    )
    key = os.environ.get("AWSORCH_ACCESS_KEY_ID", "test"), os.environ.get("AWSORCH_SECRET_ACCESS_KEY", "test")
    SigV4Auth(Credentials(*key), "ecs", region).add_auth(request)
    status, _, answer = send("POST", "/awsorch/resources", dict(request.headers.items()), body)
    told: dict[str, Any] = json.loads(answer)
    if status != 200:
        raise ValueError(f"{told.get('__type', status)}: {told.get('message', '')}")
    return told
