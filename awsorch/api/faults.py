"""Every way in which a call can fail, as the HTTP answer that ECS gives. The four kinds are those of the design: a
refusal is the caller's fault, an unavailable partition is ours and passing, and anything else is a bug."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from awsorch.core.errors import Refusal
from awsorch.engine.partition import Unavailable
from awsorch.engine.ports import Unanswered
from awsorch.wire.errors import WireError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Status and body of an error answer."""

    status: int
    code: str
    message: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body: ``__type`` and ``message``, and what an exception has besides."""
        return {"__type": self.code, "message": self.message, **self.extra}


def fault_of(error: BaseException) -> Fault:
    """The answer to a call that raised this."""
    if isinstance(error, Refusal):
        return Fault(status=400, code=error.code, message=error.message, extra=error.extra)
    if isinstance(error, WireError):
        return Fault(status=error.status, code=error.code, message=error.message)
    if isinstance(error, Unavailable | Unanswered):
        return Fault(
            status=500, code="ServerException", message=f"Service Unavailable. Please try again later: {error}"
        )
    logger.error("a bug in answering a call", exc_info=error)
    return Fault(status=500, code="ServerException", message="An unexpected error occurred; it has been logged.")
