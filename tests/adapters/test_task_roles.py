"""Roles assumed for tasks: kept while they are good, and what becomes of refusals."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from awsorch.adapters.aws import AwsError
from awsorch.adapters.task_roles import DURATION_S, LEAST_S, AssumedRoles
from awsorch.core.errors import Refusal
from awsorch.engine.ports import Unanswered

ROLE = "arn:aws:iam::123456789012:role/task"


class Sts:
    """Answers AssumeRole, or fails with ``error``. ``now`` is everybody's time."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.asked: list[dict[str, Any]] = []
        self.error: AwsError | None = None

    async def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        assert (service, operation) == ("sts", "assume_role")
        self.asked.append(parameters)
        if self.error is not None:
            raise self.error
        number = len(self.asked)
        expires = datetime.fromtimestamp(self.now + parameters["DurationSeconds"], UTC)
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA{number}",
                "SecretAccessKey": "hidden",
                "SessionToken": "token",
                "Expiration": expires,
            }
        }


def test_credentials_are_kept_for_half_of_their_life() -> None:
    async def scenario() -> None:
        sts = Sts()
        roles = AssumedRoles(sts, lambda: sts.now)
        first = await roles.assume(ROLE, "t1")
        assert sts.asked == [{"RoleArn": ROLE, "RoleSessionName": "t1", "DurationSeconds": DURATION_S}]
        assert first.expires_at == sts.now + DURATION_S
        assert "hidden" not in repr(first)
        sts.now += DURATION_S - LEAST_S - 1
        assert await roles.assume(ROLE, "t1") == first
        assert (await roles.assume(ROLE, "t2")).access_key_id == "ASIA2"
        sts.now += 1
        assert (await roles.assume(ROLE, "t1")).access_key_id == "ASIA3"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error",
    [AwsError("AccessDenied", "no", refused=True), AwsError("NoCredentialsError", "none found")],
)
def test_a_refusal_has_ecs_s_text_and_aws_s_reason(error: AwsError) -> None:
    async def scenario() -> None:
        sts = Sts()
        sts.error = error
        with pytest.raises(Refusal) as refused:
            await AssumedRoles(sts, lambda: sts.now).assume(ROLE, "t1")
        assert refused.value.code == "ClientException"
        assert refused.value.message.startswith(
            f"ECS was unable to assume the role '{ROLE}' that was provided for this task. Please verify that the role "
            "being passed has the proper trust relationship and permissions and that your IAM user has permissions to "
            "pass this role."
        )
        assert str(error) in refused.value.message

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error", [AwsError("Throttling", "slowly", refused=True), AwsError("ReadTimeoutError", "late")]
)
def test_what_passes_is_no_refusal(error: AwsError) -> None:
    async def scenario() -> None:
        sts = Sts()
        sts.error = error
        with pytest.raises(Unanswered):
            await AssumedRoles(sts, lambda: sts.now).assume(ROLE, "t1")

    asyncio.run(scenario())
