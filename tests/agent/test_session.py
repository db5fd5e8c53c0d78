"""The agent's connections: a server that vanished is noticed, and found again when it is back."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from itertools import pairwise

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.test_utils import TestServer

from awsorch.agent.api import APIError
from awsorch.agent.session import UNREACHED_WAIT, Backoff, Ending, HandshakeRefusedError, open_http, stay_connected
from awsorch.wire import peers
from tests.support import virtual_time
from tests.support.virtual_time import VirtualTimeLoop

BACKOFF = Backoff(first=0.25, last=120.0, growth=1.5)
LONGEST_WITH_JITTER = 1.2
_OPTIONS = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
)
KEY = ConnectionKey(
    host="controller", port=8080, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
)


def no_route() -> Exception:
    return aiohttp.ClientConnectorError(KEY, OSError(113, "No route to host"))


def no_answer_to_a_call() -> Exception:
    """What a call of the API makes of it, twice over, as DiscoverPollEndpoint does."""
    inner, outer = APIError("", "no answer"), APIError("", "DiscoverPollEndpoint: no answer")
    inner.__cause__, outer.__cause__ = no_route(), inner
    return outer


def wrong_certificate() -> Exception:
    return aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("expired"))


def tries_until(stop: float, failure: Callable[[], Exception]) -> list[float]:
    """When sessions were begun that all failed, in `stop` seconds."""

    async def scenario(loop: VirtualTimeLoop) -> list[float]:
        began = []

        async def session() -> Ending:
            began.append(loop.time())
            raise failure()

        staying = asyncio.create_task(stay_connected("ACS", session, BACKOFF))
        await asyncio.sleep(stop)
        staying.cancel()
        return began

    return virtual_time.run(scenario)


def longest_pause(tries: list[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(tries))


@pytest.mark.parametrize("failure", [no_route, lambda: aiohttp.ConnectionTimeoutError("5 s"), no_answer_to_a_call])
def test_however_long_nobody_was_reached_the_next_try_is_near(failure: Callable[[], Exception]) -> None:
    tries = tries_until(3600, failure)
    assert 1.0 < longest_pause(tries) <= UNREACHED_WAIT * LONGEST_WITH_JITTER


@pytest.mark.parametrize("failure", [lambda: HandshakeRefusedError("HTTP 500: busy"), wrong_certificate])
def test_a_server_that_answers_with_refusals_is_spared(failure: Callable[[], Exception]) -> None:
    tries = tries_until(3600, failure)
    assert 90 < longest_pause(tries) <= BACKOFF.last * LONGEST_WITH_JITTER


def test_after_nobody_was_reached_a_refusal_does_not_cost_minutes() -> None:
    began = 0

    def back_after_an_hour_or_so() -> Exception:
        nonlocal began
        began += 1
        return no_route() if began < 1000 else HandshakeRefusedError("HTTP 503: starting")

    tries = tries_until(7200, back_after_an_hour_or_so)
    assert tries[1000] - tries[999] <= UNREACHED_WAIT * LONGEST_WITH_JITTER


def test_the_kernel_watches_the_server_on_every_connection() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.receive()
        return websocket

    async def scenario() -> None:
        application = web.Application()
        application.router.add_get("/ws", answer)
        async with TestServer(application) as server, open_http() as http:
            websocket = await http.ws_connect(server.make_url("/ws"))
            sock = websocket.get_extra_info("socket")
            found = {name: sock.getsockopt(level, option) for name, level, option in _OPTIONS}
            await websocket.close()
        assert found == {
            "SO_KEEPALIVE": 1,
            "TCP_KEEPIDLE": peers.PROBE_AFTER_S,
            "TCP_KEEPINTVL": peers.PROBE_EVERY_S,
            "TCP_KEEPCNT": peers.PROBES,
            "TCP_USER_TIMEOUT": 1000 * (peers.PROBE_AFTER_S + peers.PROBES * peers.PROBE_EVERY_S),
        }

    asyncio.run(scenario())
