"""The roles of tasks: assumed for them with STS, under their ids, and kept until they should be replaced.

Source: STS API, AssumeRole; ECS developer guide, "Amazon ECS task IAM role". Role chaining limits sessions to an hour.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.core.errors import Refusal, client_error
from awsorch.engine.ports import RoleCredentials, Unanswered

#: How long credentials are good for, and for how long at least those that are handed out. Seconds.
DURATION_S = 3600
LEAST_S = 1800.0
#: What the controller itself lacks: to ask again is of no use.
_OWN_FAULTS = frozenset({"NoCredentialsError", "PartialCredentialsError", "NoRegionError"})


class AssumedRoles:
    """Implements engine.ports.TaskRoles. ``clock`` gives seconds since 1970."""

    def __init__(self, aws: AwsCalls, clock: Callable[[], float]) -> None:
        self._aws = aws
        self._clock = clock
        self._turns = Turns()
        self._kept: OrderedDict[tuple[str, str], RoleCredentials] = OrderedDict()

    async def assume(self, role_arn: str, session: str) -> RoleCredentials:
        """AssumeRole. Raises Refusal with ECS's text, or Unanswered."""
        known = self.known(role_arn, session)
        if known is not None:
            return known
        try:
            async with self._turns.one():
                answer = await self._aws.call(
                    "sts", "assume_role", RoleArn=role_arn, RoleSessionName=session, DurationSeconds=DURATION_S
                )
        except AwsError as error:
            if error.refused or error.code in _OWN_FAULTS:
                raise _unable(role_arn, error) from error
            raise Unanswered(f"STS: {error}") from error
        said = answer["Credentials"]
        credentials = RoleCredentials(
            access_key_id=said["AccessKeyId"],
            secret_access_key=said["SecretAccessKey"],
            session_token=said["SessionToken"],
            expires_at=said["Expiration"].timestamp(),
        )
        self._keep((role_arn, session), credentials)
        return credentials

    def known(self, role_arn: str, session: str) -> RoleCredentials | None:
        """The credentials that are there, if they are good for long enough."""
        kept = self._kept.get((role_arn, session))
        return kept if kept is not None and kept.expires_at - self._clock() > LEAST_S else None

    def _keep(self, key: tuple[str, str], credentials: RoleCredentials) -> None:
        """All last equally long, so the oldest are the first that nobody asks for any more."""
        self._kept.pop(key, None)
        self._kept[key] = credentials
        while self._kept and next(iter(self._kept.values())).expires_at <= self._clock():
            self._kept.popitem(last=False)


def _unable(role_arn: str, error: AwsError) -> Refusal:
    return client_error(
        f"ECS was unable to assume the role '{role_arn}' that was provided for this task. Please verify that the role "
        "being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass "
        f"this role. ({error})"
    )
