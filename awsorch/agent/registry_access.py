"""Whose name an image is pulled in: the registry's credentials that a container's definition names.

Source: ECS developer guide, "Private registry authentication for tasks", "Amazon ECR images"; ECR API,
GetAuthorizationToken.
"""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from awsorch.agent.credentials import CredentialSource, NoCredentialsError
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.services import ECR, SECRETS_MANAGER, ServiceError, Services
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials

TOKEN_SECONDS = 6 * 3600.0
"""For so long a token of ECR, good for twelve hours, is used again."""

Login = Mapping[str, str]
"""Docker's AuthConfig: username, password."""


class RegistryAccessError(Exception):
    """There are no credentials. The text is the container's reason, and the task's if `stops_task`."""

    def __init__(self, reason: str, *, stops_task: bool) -> None:
        super().__init__(reason)
        self.stops_task = stops_task


@dataclass(frozen=True, slots=True)
class Access:
    """`get` fetches the login, or raises RegistryAccessError. Pulls by one `identity` may be shared."""

    identity: str
    get: Callable[[], Awaitable[Login]]


class RegistryAccess:
    """The logins of one instance's containers. `instance` signs where no execution role is to."""

    def __init__(
        self,
        services: Services,
        roles: RoleCredentialsStore,
        instance: CredentialSource,
        clock: Callable[[], float],
    ) -> None:
        self._services = services
        self._roles = roles
        self._instance = instance
        self._clock = clock
        self._tokens: dict[str, tuple[float, Login]] = {}

    def of(self, task: acs.Task, container: acs.Container) -> Access | None:
        """How to log in for a container's image; None where its definition says nothing of it."""
        wanted = container.registry_authentication
        role = task.execution_role_credentials.role_arn if task.execution_role_credentials is not None else ""
        if wanted is None:
            return None
        if wanted.type == "asm" and wanted.asm_auth_data is not None:
            data = wanted.asm_auth_data
            identity = f"asm {role} {data.credentials_parameter}"
            return Access(identity, lambda: self._from_secret(task, data))
        if wanted.type == "ecr" and wanted.ecr_auth_data is not None:
            registry = wanted.ecr_auth_data
            signer = role if registry.use_execution_role else "instance"
            identity = f"ecr {signer} {registry.region} {registry.registry_id}"
            return Access(identity, lambda: self._from_ecr(identity, task, registry))
        return None

    async def _from_secret(self, task: acs.Task, data: acs.ASMAuthData) -> Login:
        place = f"asm fetching secret from the service for {data.credentials_parameter}"
        try:
            credentials = await self._of_execution_role(task)
            answer = await self._services.call(
                SECRETS_MANAGER,
                "GetSecretValue",
                {"SecretId": data.credentials_parameter},
                region=data.region,
                credentials=credentials,
            )
        except (ServiceError, NoCredentialsError) as error:
            raise _cannot_fetch(f"{place}: {error}") from error
        try:
            value = json.loads(answer.get("SecretString") or "")
            return {"username": value["username"], "password": value["password"]}
        except (ValueError, KeyError, TypeError):
            raise _cannot_fetch(
                f'{place}: its value must be a JSON object such as {{"username": "…", "password": "…"}}'
            ) from None

    async def _from_ecr(self, identity: str, task: acs.Task, registry: acs.ECRAuthData) -> Login:
        until, login = self._tokens.get(identity, (0.0, {}))
        if self._clock() < until:
            return login
        try:
            credentials = (
                await self._of_execution_role(task) if registry.use_execution_role else await self._instance.get()
            )
            answer = await self._services.call(
                ECR,
                "GetAuthorizationToken",
                {"registryIds": [registry.registry_id]} if registry.registry_id else {},
                region=registry.region,
                credentials=credentials,
            )
            token = b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        except (ServiceError, NoCredentialsError) as error:
            raise RegistryAccessError(f"CannotPullECRContainerError: {error}", stops_task=False) from error
        except (KeyError, IndexError, TypeError, Base64Error, UnicodeDecodeError) as error:
            text = "CannotPullECRContainerError: GetAuthorizationToken answered without a token"
            raise RegistryAccessError(text, stops_task=False) from error
        username, _, password = token.partition(":")
        login = {"username": username, "password": password}
        self._tokens = {each: kept for each, kept in self._tokens.items() if self._clock() < kept[0]}
        self._tokens[identity] = (self._clock() + TOKEN_SECONDS, login)
        return login

    async def _of_execution_role(self, task: acs.Task) -> Credentials:
        credentials = await self._roles.of_execution_role(task)
        if credentials is None:
            raise NoCredentialsError("the task has no execution role to fetch them with")
        return credentials


def _cannot_fetch(text: str) -> RegistryAccessError:
    return RegistryAccessError(
        f"ResourceInitializationError: unable to pull secrets or registry auth: {text}", stops_task=True
    )
