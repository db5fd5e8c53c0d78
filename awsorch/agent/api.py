"""ECS's HTTP API as an agent calls it: AWS JSON 1.1, signed, with the agent's rules for trying again."""

import asyncio
import json
import logging
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from awsorch.agent import AGENT_HASH, AGENT_VERSION
from awsorch.agent.credentials import CredentialSource
from awsorch.agent.reports import RefusedError
from awsorch.agent.state_file import SavedReport
from awsorch.wire.sigv4 import Credentials, sign

LOG = logging.getLogger(__name__)

TARGET = "AmazonEC2ContainerServiceV20141113."
SERVICE = "ecs"
USER_AGENT = f"Amazon ECS Agent - v{AGENT_VERSION} (*{AGENT_HASH}) (linux; LINUX) (+http://aws.amazon.com/ecs/)"
ROUND_TRIP = aiohttp.ClientTimeout(total=42, sock_connect=5)
TRIES = 3
POLL_ENDPOINT_SECONDS = 12 * 3600.0
REGISTRATION_PATIENCE = 3600.0
REGISTRATION_DELAYS = (3.0, 192.0)
RETRY_DELAY = 0.2
_REGISTRATION_RETRIABLE = ("ThrottlingException", "ServerException", "LimitExceededException")
_TERMINAL = ("InvalidParameterException", "ClientException", "AttributeError")
_TYPE_CHANGED = "Container instance type changes are not supported."


class APIError(Exception):
    """ECS answered with an error; `code` is its name. An empty code: nobody answered, or not as ECS does."""

    def __init__(self, code: str, message: str, status: int = 0, request_id: str = "") -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id

    @property
    def is_transient(self) -> bool:
        return self.status >= 500 or not self.code or self.code.startswith("Throttling")


class TerminalError(Exception):
    """The registration can never succeed: the agent must end and not be started again (exit code 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollEndpoint:
    """Base URLs of ACS and TCS."""

    control: str
    telemetry: str


class ECS:
    """The API at one endpoint for one region."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        endpoint: str,
        region: str,
        credentials: CredentialSource,
        clock: Callable[[], float],
    ) -> None:
        self._http = http
        self._endpoint = endpoint.rstrip("/") + "/"
        self._region = region
        self._credentials = credentials
        self._clock = clock
        self._poll_endpoints: dict[str, tuple[float, PollEndpoint]] = {}

    async def register(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """RegisterContainerInstance: `request` without clientToken; returns the containerInstance.

        Raises TerminalError, or APIError when an hour of trying did not help.
        """
        started, (delay, longest) = self._clock(), REGISTRATION_DELAYS
        while True:
            try:
                answer = await self.call("RegisterContainerInstance", {**request, "clientToken": str(uuid.uuid4())})
                break
            except APIError as error:
                if error.code in _TERMINAL or error.message == _TYPE_CHANGED:
                    raise TerminalError(str(error)) from error
                if error.code not in _REGISTRATION_RETRIABLE or self._clock() - started > REGISTRATION_PATIENCE:
                    raise
                LOG.warning("registration: %s; trying again in %g s", error, delay)
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))
            delay = min(delay * 2, longest)
        instance = answer.get("containerInstance")
        if not isinstance(instance, dict) or not instance.get("containerInstanceArn"):
            raise APIError("ServerException", "the answer to RegisterContainerInstance has no containerInstance", 500)
        _check_attributes(request.get("attributes", ()), instance.get("attributes") or ())
        return instance

    async def discover_poll_endpoint(self, cluster: str, instance: str, zone_id: str) -> PollEndpoint:
        """The websockets' base URLs; kept for 12 hours, and used even longer while the call fails."""
        kept = self._poll_endpoints.get(instance)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        try:
            answer = await self.call(
                "DiscoverPollEndpoint",
                {"cluster": cluster, "containerInstance": instance, "zoneId": zone_id},
            )
            found = PollEndpoint(control=answer["endpoint"], telemetry=answer["telemetryEndpoint"])
        except (APIError, KeyError) as error:
            if kept is None:
                raise APIError("", f"DiscoverPollEndpoint: {error}") from error
            LOG.warning("DiscoverPollEndpoint: %s; the endpoint known so far is used", error)
            return kept[1]
        self._poll_endpoints[instance] = (self._clock() + POLL_ENDPOINT_SECONDS, found)
        return found

    async def submit(self, report: SavedReport) -> None:
        """SubmitTaskStateChange. Raises RefusedError when it will never be accepted, APIError otherwise."""
        try:
            await self.send("SubmitTaskStateChange", report.body)
        except APIError as error:
            if error.code == "InvalidParameterException":
                raise RefusedError(str(error)) from error
            raise

    async def call(
        self, operation: str, request: Mapping[str, Any], signer: Credentials | None = None
    ) -> dict[str, Any]:
        """One operation, in the agent's own name if no `signer` is given. Raises APIError."""
        return await self.send(operation, json.dumps(request).encode(), signer)

    async def send(self, operation: str, body: bytes, signer: Credentials | None = None) -> dict[str, Any]:
        """One operation with up to three attempts at what may pass. Raises APIError."""
        for attempt in range(1, TRIES + 1):
            try:
                return await self._send_once(operation, body, signer)
            except APIError as error:
                if attempt == TRIES or not error.is_transient:
                    raise
            await asyncio.sleep(RETRY_DELAY * random.uniform(0.5, 1.5) * 2**attempt)
        raise AssertionError("unreachable")

    async def _send_once(self, operation: str, body: bytes, signer: Credentials | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET + operation}
        signature = sign(
            method="POST",
            url=self._endpoint,
            headers=headers,
            body=body,
            credentials=signer or await self._credentials.get(),
            region=self._region,
            service=SERVICE,
            now=datetime.fromtimestamp(self._clock(), UTC),
        )
        headers.update(signature)
        headers["User-Agent"] = USER_AGENT
        try:
            async with self._http.post(
                self._endpoint, data=body, headers=headers, timeout=ROUND_TRIP, raise_for_status=False
            ) as response:
                answer = await response.read()
                status, request_id = response.status, response.headers.get("x-amzn-RequestId", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise APIError(
                "", f"{operation}: no answer from {self._endpoint}: {error or type(error).__name__}"
            ) from error
        return read_answer(operation, status, answer, request_id)

    async def websocket_headers(self, url: str) -> dict[str, str]:
        """The signature for opening a websocket at `url`."""
        return sign(
            method="GET",
            url=url,
            headers={},
            body=b"",
            credentials=await self._credentials.get(),
            region=self._region,
            service=SERVICE,
            now=datetime.fromtimestamp(self._clock(), UTC),
        )


def read_answer(operation: str, status: int, answer: bytes, request_id: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises APIError for an error, and for what no controller answers."""
    try:
        value = json.loads(answer or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise APIError("", f"{operation}: the answer is no JSON object (HTTP {status})", status, request_id)
    if status >= 400:
        code = str(value.get("__type", "ServerException")).rpartition("#")[2]
        raise APIError(code, str(value.get("message") or value.get("Message") or ""), status, request_id)
    return value


def _check_attributes(sent: Any, returned: Any) -> None:
    """ECS must know every attribute with a value as it was sent."""
    known = {each.get("name"): each.get("value") for each in returned}
    for each in sent:
        if each.get("value") and known.get(each["name"]) != each["value"]:
            raise TerminalError(
                f"AttributeError: attribute {each['name']} was registered as {known.get(each['name'])!r}, "
                f"not as {each['value']!r}"
            )
