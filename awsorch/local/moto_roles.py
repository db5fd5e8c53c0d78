"""moto's STS, made to refuse what AWS refuses: a role that is not there, or trusts nobody who runs tasks.

moto gives credentials for any ARN, so a task definition with a mistyped role would run here and fail in AWS. The
controller plays ECS in the local cloud: a role that trusts ECS tasks, or a principal of AWS, may be assumed.
Source: STS API, AssumeRole; ECS developer guide, "Amazon ECS task IAM role" (its trust policy).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from awsorch.local.session_keys import secret_of

_TRUSTED_SERVICE = "ecs-tasks.amazonaws.com"


def mend_roles(session_secret: str) -> None:
    """Have moto do so, with secret access keys that the door can check. Raises AttributeError where it no longer has
    what this was written for."""
    from moto.sts.models import STSBackend

    assume = STSBackend.assume_role

    def assume_role(self: Any, region_name: str, role_session_name: str, role_arn: str, **given: Any) -> Any:
        why = why_not_assume(_find(role_arn))
        if why is not None:
            from moto.sts.exceptions import STSClientError

            raise STSClientError(
                "AccessDenied",
                f"User: arn:aws:iam::{self.account_id}:root is not authorized to perform: sts:AssumeRole on resource: "
                f"{role_arn} ({why})",
            )
        role = assume(self, region_name=region_name, role_session_name=role_session_name, role_arn=role_arn, **given)
        role.secret_access_key = secret_of(session_secret, role.access_key_id) or role.secret_access_key
        return role

    STSBackend.assume_role = assume_role


def _find(role_arn: str) -> Any:
    from moto.iam.models import iam_backends

    account = role_arn.split(":")[4] if role_arn.count(":") >= 5 else ""
    for backend in list(iam_backends[account].values()) if account in iam_backends else ():
        for role in list(backend.roles.values()):
            if role.arn == role_arn:
                return role
    return None


def why_not_assume(role: Any) -> str | None:
    """Why a role can't be assumed; None where it can."""
    if role is None:
        return "there is no such role"
    try:
        policy = json.loads(role.assume_role_policy_document)
        statements = policy.get("Statement", [])
        statements = [statements] if isinstance(statements, dict) else statements
        if any(_trusts(each) for each in statements):
            return None
    except (TypeError, ValueError, AttributeError):
        return "its trust policy cannot be read"
    return f"its trust policy allows neither {_TRUSTED_SERVICE} nor a principal of AWS"


def _trusts(statement: dict[str, Any]) -> bool:
    if statement.get("Effect") != "Allow":
        return False
    principal = statement.get("Principal")
    if not isinstance(principal, dict):
        return bool(principal == "*")
    return bool(principal.get("AWS")) or _TRUSTED_SERVICE in _every(principal.get("Service", ()))


def _every(value: str | Iterable[str]) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value
