"""The credentials of their task's role, for the containers that know their id: SDKs ask by themselves.

The id is a random-looking UUID in the containers' environment. After a restart ids are known from the state file and
the secrets come with the next connection. Until then callers are asked to wait, as they are when what is here has
expired because no controller was there to send others. The host's own engine, which sends containers' lines to
CloudWatch Logs, may have those of execution roles.
Source: the official agent's credentials handlers (paths, codes and texts).
"""

import logging
from collections.abc import Mapping

from awsorch.agent.environment import CREDENTIALS_PATH
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.task_endpoint import BY_HOST, Answer, TaskEndpoint
from awsorch.wire import acs

LOG = logging.getLogger(__name__)

OLD_PATH = "/v1/credentials"


class RoleCredentials:
    """Answers for one instance."""

    def __init__(self, store: RoleCredentialsStore) -> None:
        self._store = store

    def serve(self, endpoint: TaskEndpoint) -> None:
        """Add its routes."""
        for path in (CREDENTIALS_PATH + "{id}", CREDENTIALS_PATH, OLD_PATH):
            endpoint.add_whole("GET", path, self._give)

    async def _give(self, asked: Mapping[str, str]) -> Answer:
        wanted = asked.get("id", "")
        if not wanted:
            return _refuse(400, "NoIdInRequest", "CredentialsV2Request: No ID in the request")
        found = self._store.of_any_role(wanted) if asked[BY_HOST] else self._store.of_task_role(wanted)
        if found is not None:
            return Answer(body=_shown(found))
        if self._store.is_expected(wanted):
            return _refuse(503, "CredentialsUninitialized", "CredentialsV2Request: Credentials uninitialized for ID")
        LOG.warning("credentials with an unknown id were asked for")
        return _refuse(400, "InvalidIdInRequest", "CredentialsV2Request: Credentials not found")


def _shown(given: acs.IAMRoleCredentials) -> dict[str, str]:
    return {
        "RoleArn": given.role_arn,
        "AccessKeyId": given.access_key_id,
        "SecretAccessKey": given.secret_access_key,
        "Token": given.session_token,
        "Expiration": given.expiration,
    }


def _refuse(status: int, code: str, message: str) -> Answer:
    return Answer(status=status, body={"code": code, "message": message, "HTTPErrorCode": status})
