"""The controller's own calls of AWS: one client a service, and everything that can go wrong in one exception.

Credentials come from the usual chain (environment, files, instance role). botocore does not repeat calls: what failed
is asked again by the planner that wanted it, from the state as it is by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

#: An answer that takes longer is not waited for. Seconds.
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0
#: The first pause of all calls of a service that throttles, doubled by each further refusal up to the limit. Seconds.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 20.0
#: How many calls of one job may be under way at once.
SLOTS = 8

_THROTTLED = frozenset(
    {
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
#: Refusals that pass by themselves: something else is under way.
_PASSING = frozenset({"ResourceContention", "ScalingActivityInProgress"})


class AwsError(Exception):
    """A call that came to nothing, or whose answer is not known. ``code`` and ``message`` are AWS's own, or name what
    kept it from answering. ``refused``: it was understood and nothing was done; asked the same way it will be again."""

    def __init__(self, code: str, message: str, *, refused: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.refused = refused and code not in _THROTTLED | _PASSING

    @property
    def is_throttled(self) -> bool:
        """Whether AWS asks for fewer calls."""
        return self.code in _THROTTLED


class AwsCalls(Protocol):
    """How adapters call AWS. tests/support/fake_aws.py has another one, which fails when it is told to."""

    async def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """One call, by botocore's service name and snake-case operation. Raises AwsError."""
        ...


class Aws:
    """AWS, or what listens at ``endpoint`` in its place. Clients are made when they are first needed."""

    def __init__(self, *, region: str, endpoint: str | None = None) -> None:
        self._region = region
        self._endpoint = endpoint
        self._session = get_session()
        self._clients: dict[str, Any] = {}
        self._opening = asyncio.Lock()
        self._open = AsyncExitStack()

    async def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """One call. Raises AwsError."""
        try:
            client = self._clients.get(service) or await self._make_client(service)
            answer: Mapping[str, Any] = await getattr(client, operation)(**parameters)
        except ClientError as error:
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            raise AwsError(said.get("Code", "Unknown"), said.get("Message", ""), refused=status < 500) from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise AwsError(type(error).__name__, str(error)) from error
        return answer

    async def close(self) -> None:
        """Let go of every connection."""
        await self._open.aclose()
        self._clients.clear()

    async def _make_client(self, service: str) -> Any:
        async with self._opening:
            if service not in self._clients:
                # Reading a service's model takes a while, and the controller has others to answer meanwhile.
                loader = self._session.get_component("data_loader")
                await asyncio.to_thread(loader.load_service_model, service, "service-2")
                config = AioConfig(
                    connect_timeout=CONNECT_TIMEOUT_S,
                    read_timeout=READ_TIMEOUT_S,
                    max_pool_connections=2 * SLOTS,
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    inject_host_prefix=False,
                )
                client = self._session.create_client(
                    service, region_name=self._region, endpoint_url=self._endpoint, config=config
                )
                self._clients[service] = await self._open.enter_async_context(client)
            return self._clients[service]


class Turns:
    """Whose turn it is to call: a few at a time, and after a refusal nobody for a while, longer each time."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._pause = 0.0
        self._free_at = 0.0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn, when it comes. An AwsError that leaves the block and says that it was throttled makes all wait."""
        async with self._slots:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._free_at - loop.time())
            try:
                yield
            except AwsError as error:
                if error.is_throttled:
                    self._pause = min(max(2 * self._pause, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                    self._free_at = loop.time() + self._pause
                raise
            self._pause = self._pause / 2 if self._pause > FIRST_PAUSE_S else 0.0
