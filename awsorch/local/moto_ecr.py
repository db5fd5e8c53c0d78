"""moto's ECR, whose tokens end in 2015: made to end in twelve hours, as AWS's do, for clients that look at it.

Source: Amazon ECR API, GetAuthorizationToken.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

LIFETIME = timedelta(hours=12)


def mend_tokens() -> None:
    """Have moto do so. Raises AttributeError where it no longer has what this was written for."""
    from moto.ecr.responses import ECRResponse

    give = ECRResponse.get_authorization_token

    def get_authorization_token(self: Any) -> Any:
        answer = give(self)
        for each in answer.result["authorizationData"]:
            each["expiresAt"] = datetime.now(UTC) + LIFETIME
        return answer

    ECRResponse.get_authorization_token = get_authorization_token
