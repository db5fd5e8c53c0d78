"""Images of a registry that asks who pulls, on the real Docker Engine: with the login that a secret has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from docker import APIClient
from docker.errors import APIError

from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.registry import ImageRegistry
from tests.agent.tasks import a_task
from tests.agent.test_docker_agent import shell
from tests.agent.test_inputs import REFUSED, ROLE, SECRET

pytestmark = pytest.mark.docker

AUTHENTICATION = acs.RegistryAuthentication(
    type="asm", asm_auth_data=acs.ASMAuthData(credentials_parameter=SECRET, region="us-east-1")
)


@asynccontextmanager
async def secrets_manager(values: dict[str, str]) -> AsyncIterator[str]:
    """The URL of a service that answers GetSecretValue."""

    async def answer(request: web.Request) -> web.Response:
        value = values.get((await request.json())["SecretId"])
        if value is None:
            return web.json_response({"__type": "ResourceNotFoundException", "Message": "no such secret"}, status=400)
        return web.json_response({"SecretString": value})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ('{"username": "team", "password": "right"}', None),
        ('{"username": "team", "password": "wrong"}', "CannotPullContainerError: The task can’t pull the image."),
        (
            "not JSON",
            f"{REFUSED}asm fetching secret from the service for {SECRET}: "
            f'its value must be a JSON object such as {{"username": "…", "password": "…"}}',
        ),
        (
            None,
            f"{REFUSED}asm fetching secret from the service for {SECRET}: ResourceNotFoundException: no such secret",
        ),
    ],
    ids=["right", "wrong", "odd", "missing"],
)
def test_a_private_image_is_pulled_with_the_login_of_the_secret(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str, secret: str | None, reason: str | None
) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        values = {} if secret is None else {SECRET: secret}
        async with ImageRegistry(login=("team", "right")) as registry, secrets_manager(values) as url:
            agent.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = url
            await agent.start()
            name = f"{registry.host}/team/private:1"
            registry.push(docker, image, "1")
            container = msgspec.structs.replace(shell(name, "exit 7"), registry_authentication=AUTHENTICATION)
            task = a_task(container, execution_role_credentials=ROLE)
            await backend.send_tasks(task)
            report = await backend.reported(task.arn, "STOPPED")
            (ended,) = report["containers"][-1:]
            if reason is None:
                assert ended.get("exitCode") == 7, report
            else:
                assert (report["reason"] or ended["reason"]).startswith(reason)
            with suppress(APIError):
                docker.remove_image(name, force=True)

    play(tmp_path, instance_arn, scenario, ECS_IMAGE_PULL_BEHAVIOR="default")
