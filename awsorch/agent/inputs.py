"""What a task's containers are given besides their definition: secrets and the content of environment files.

They are fetched once for a task, all before its first container is created, while its images are pulled. They are kept
in memory only, and only until every container has been created with them.
"""

import asyncio
from collections.abc import Mapping

from awsorch.agent import environment_files, secret_values
from awsorch.agent.environment import NONE, Inputs
from awsorch.agent.environment_files import EnvironmentFileError
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.secret_values import SecretError
from awsorch.agent.services import Services
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials

_FAILED = "ResourceInitializationError: unable to pull secrets or registry auth: "
_FILES_FAILED = "ResourceInitializationError: failed to download env files: "


class InputError(Exception):
    """Something can't be had; the text is the task's reason."""


class TaskInputs:
    """The inputs of one instance's tasks."""

    def __init__(self, services: Services, roles: RoleCredentialsStore, region: str) -> None:
        self._services = services
        self._roles = roles
        self._region = region
        self._fetched: dict[str, asyncio.Task[dict[str, Inputs]]] = {}

    def prepare(self, task: acs.Task) -> None:
        """Begin to fetch what the task needs, if it needs anything."""
        if task.arn not in self._fetched and any(_needs(each) for each in task.containers):
            self._fetched[task.arn] = asyncio.create_task(self._fetch(task))

    async def of(self, task: acs.Task, container: acs.Container) -> Inputs:
        """One container's. Raises InputError, without words when the task is being stopped."""
        if not any(_needs(each) for each in task.containers):
            return NONE
        self.prepare(task)
        fetching = self._fetched[task.arn]
        await asyncio.wait({fetching})
        if fetching.cancelled():
            raise InputError
        return fetching.result().get(container.name, NONE)

    def forget(self, arn: str) -> None:
        """The task needs nothing more."""
        fetching = self._fetched.pop(arn, None)
        if fetching is not None:
            fetching.cancel()

    async def close(self) -> None:
        under_way = list(self._fetched.values())
        for arn in list(self._fetched):
            self.forget(arn)
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _fetch(self, task: acs.Task) -> dict[str, Inputs]:
        credentials = await self._roles.of_execution_role(task)
        if credentials is None:
            raise InputError(f"{_FAILED}the task has no execution role to fetch them with")
        try:
            secrets = [secret for each in task.containers for secret in each.secrets]
            values = await secret_values.fetch(secrets, self._services, credentials)
            return {each.name: await self._inputs_of(each, values, credentials) for each in task.containers}
        except* SecretError as group:
            raise InputError(f"{_FAILED}{_first(group)}") from group
        except* EnvironmentFileError as group:
            raise InputError(f"{_FILES_FAILED}{_first(group)}") from group

    async def _inputs_of(
        self, container: acs.Container, values: Mapping[tuple[str, str, str], str], credentials: Credentials
    ) -> Inputs:
        async def read(file: acs.EnvironmentFile) -> str:
            return await environment_files.read(file, self._services, self._region, credentials)

        return Inputs(
            from_files=environment_files.merge([await read(each) for each in container.environment_files]),
            secrets=_chosen(container, values, "CONTAINER"),
            log_options=_chosen(container, values, "LOG_DRIVER"),
            router_config="".join([await read(each) for each in _router_config(container)]),
        )


def _needs(container: acs.Container) -> bool:
    return bool(container.secrets or container.environment_files or _router_config(container))


def _router_config(container: acs.Container) -> tuple[acs.EnvironmentFile, ...]:
    """What a log router's definition names in S3."""
    firelens = container.firelens_configuration
    if firelens is None or firelens.options.get("config-file-type") != "s3":
        return ()
    return (acs.EnvironmentFile(value=firelens.options.get("config-file-value", ""), type="s3"),)


def _chosen(container: acs.Container, values: Mapping[tuple[str, str, str], str], target: str) -> dict[str, str]:
    return {
        each.name: values[each.provider, each.region, each.value_from]
        for each in container.secrets
        if (each.target or "CONTAINER") == target
    }


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    return group.exceptions[0]
