"""What a controller answers that waits for another to end: that it is no good yet, so that load balancers pass it by.

The answers are those that SDKs take for "ask again", for a client may come by an address that is no load balancer's.
"""

from __future__ import annotations

from aiohttp import web

#: Who asks again should do so after as long. Seconds.
RETRY_AFTER_S = 1


async def stand_by(request: web.BaseRequest) -> web.StreamResponse:
    """503 to everything, ``GET /awsorch/health`` included."""
    body = {
        "__type": "ServerException",
        "status": "standby",
        "message": "Service Unavailable. Please try again later: another controller leads, and this one follows it.",
    }
    return web.json_response(body, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
