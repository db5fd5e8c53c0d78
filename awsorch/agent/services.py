"""AWS's services as the agent calls them for its tasks, in the name of their roles: AWS JSON 1.1, and objects of S3.

Where a service listens is found as SDKs do: AWS_ENDPOINT_URL_<SERVICE>, then AWS_ENDPOINT_URL, then the region's own.
Source: AWS SDKs reference guide, "Service-specific endpoints"; each service's API reference.
"""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import aiohttp

from awsorch.wire.sigv4 import Credentials, sign

T = TypeVar("T")

ROUND_TRIP = aiohttp.ClientTimeout(total=5)
TRIES = 3
RETRY_DELAY = 0.2
LARGEST_OBJECT = 4 * 1024 * 1024
_CODE, _MESSAGE = re.compile(r"<Code>(.*?)</Code>"), re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_THROTTLED = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown")


class ServiceError(Exception):
    """A call that failed. `code` is the service's word for it; empty: nobody answered."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code
        self.status = status

    @property
    def is_transient(self) -> bool:
        """Whether another try may succeed."""
        return not self.code or self.status >= 500 or self.code in _THROTTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: the id in its variable, the prefix of its operations, the name in signatures and in host names."""

    variable: str
    target: str
    name: str
    host: str = ""


SECRETS_MANAGER = Service(variable="SECRETS_MANAGER", target="secretsmanager", name="secretsmanager")
SSM = Service(variable="SSM", target="AmazonSSM", name="ssm")
ECR = Service(variable="ECR", target="AmazonEC2ContainerRegistry_V20150921", name="ecr", host="api.ecr")
_S3 = Service(variable="S3", target="", name="s3")


class Services(Protocol):
    """What the agent asks AWS for."""

    async def call(
        self, service: Service, operation: str, request: Mapping[str, Any], *, region: str, credentials: Credentials
    ) -> dict[str, Any]:
        """One operation; what may pass is tried three times. Raises ServiceError."""

    async def read_object(self, bucket: str, key: str, *, region: str, credentials: Credentials) -> bytes:
        """GetObject, of a bucket in any region. Raises ServiceError."""


class AwsServices:
    """Implements Services for one agent; `environment` says where services listen."""

    def __init__(self, http: aiohttp.ClientSession, environment: Mapping[str, str], clock: Callable[[], float]) -> None:
        self._http = http
        self._environment = environment
        self._clock = clock

    async def call(
        self, service: Service, operation: str, request: Mapping[str, Any], *, region: str, credentials: Credentials
    ) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{service.target}.{operation}",
        }
        url, body = self.endpoint(service, region) + "/", json.dumps(request).encode()

        async def once() -> dict[str, Any]:
            signature = self._sign("POST", url, headers, body, region, service.name, credentials)
            async with self._http.post(
                url, data=body, headers=headers | signature, timeout=ROUND_TRIP, raise_for_status=False
            ) as response:
                return _read_json(response.status, await response.read())

        return await _patiently(once, url)

    async def read_object(self, bucket: str, key: str, *, region: str, credentials: Credentials) -> bytes:
        try:
            return await self._read_object(bucket, key, region, credentials)
        except _ElsewhereError as error:
            return await self._read_object(bucket, key, error.region, credentials)

    async def _read_object(self, bucket: str, key: str, region: str, credentials: Credentials) -> bytes:
        url = f"{self.endpoint(_S3, region)}/{bucket}/{quote(key, safe='/~')}"

        async def once() -> bytes:
            signature = self._sign("GET", url, {}, b"", region, "s3", credentials)
            async with self._http.get(
                url, headers=signature, timeout=ROUND_TRIP, raise_for_status=False, allow_redirects=False
            ) as response:
                if response.status == 200:
                    return await _read_limited(response)
                elsewhere = response.headers.get("x-amz-bucket-region", region)
                if elsewhere != region:
                    raise _ElsewhereError(elsewhere)
                raise _xml_error(response.status, await response.text(errors="replace"))

        return await _patiently(once, url)

    def endpoint(self, service: Service, region: str) -> str:
        """The URL of a service in a region, without a slash at its end."""
        given = self.given_endpoint(service)
        if given:
            return given
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"https://{service.host or service.name}.{region}.{suffix}"

    def given_endpoint(self, service: Service) -> str:
        """The URL that the environment gives; empty where it gives none."""
        own = self._environment.get(f"AWS_ENDPOINT_URL_{service.variable}")
        return (own or self._environment.get("AWS_ENDPOINT_URL", "")).rstrip("/")

    def _sign(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        region: str,
        service: str,
        credentials: Credentials,
    ) -> dict[str, str]:
        now = datetime.fromtimestamp(self._clock(), UTC)
        return sign(
            method=method,
            url=url,
            headers=headers,
            body=body,
            credentials=credentials,
            region=region,
            service=service,
            now=now,
        )


class _ElsewhereError(Exception):
    """The bucket is in another region."""

    def __init__(self, region: str) -> None:
        super().__init__(region)
        self.region = region


async def _patiently(once: Callable[[], Awaitable[T]], url: str) -> T:
    for attempt in range(1, TRIES + 1):
        try:
            return await once()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = ServiceError("", f"no answer from {url.partition('?')[0]}: {error or type(error).__name__}")
            if attempt == TRIES:
                raise failure from error
        except ServiceError as error:
            if attempt == TRIES or not error.is_transient:
                raise
        await asyncio.sleep(RETRY_DELAY * random.uniform(0.5, 1.5) * 2**attempt)
    raise AssertionError("unreachable")


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_chunked(65536):
        body += part
        if len(body) > LARGEST_OBJECT:
            raise ServiceError("EntityTooLarge", f"the object has more than {LARGEST_OBJECT} bytes", 400)
    return bytes(body)


def _read_json(status: int, answer: bytes) -> dict[str, Any]:
    try:
        value = json.loads(answer or b"{}")
    except ValueError:
        value = None
    if status >= 400:
        said = value if isinstance(value, dict) else {}
        code = str(said.get("__type") or f"HTTP {status}").rpartition("#")[2]
        raise ServiceError(code, str(said.get("message") or said.get("Message") or ""), status)
    if not isinstance(value, dict):
        raise ServiceError("", f"the answer is no JSON object (HTTP {status})", status)
    return value


def _xml_error(status: int, text: str) -> ServiceError:
    code, message = _CODE.search(text), _MESSAGE.search(text)
    return ServiceError(code[1] if code else f"HTTP {status}", message[1] if message else "", status)
