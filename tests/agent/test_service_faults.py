"""Secrets Manager, SSM, S3, ECR and CloudWatch Logs failing, slow and denied, on the real Docker Engine.

A task that lacks what it needs is stopped with ECS's words before anything of it is made; others do not notice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from docker import APIClient

from awsorch.agent import services
from awsorch.agent.engine import INSTANCE_LABEL, TASK_ARN_LABEL
from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.inside import agent_inside
from tests.agent.tasks import a_task, stop
from tests.agent.test_docker_agent import shell
from tests.agent.test_inputs import ROLE, file, parameter, secret

pytestmark = pytest.mark.docker

PATIENCE_SECONDS = 0.3
"""How long a call is waited for here."""
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:{}"
PULL = "ResourceInitializationError: unable to pull secrets or registry auth: "
FILES = (
    "ResourceInitializationError: failed to download env files: unable to download env file with key {} from bucket b: "
)
MANAGER = "Fetching secret data from AWS Secrets Manager in region us-east-1: secret {}: "
STORE = "Fetching secret data from SSM Parameter Store in us-east-1: "
STREAM = (
    "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create "
    "Cloudwatch log stream: "
)
SAID = {
    "denied": "AccessDeniedException: not authorized to perform this",
    "broken": "InternalFailure: try again",
    "slow": "no answer from {}: ",
}
S3_SAID = {"denied": "AccessDenied: Access Denied", "broken": "SlowDown: Please reduce your request rate."}
JSON_ERRORS = {
    "denied": (400, {"__type": "AccessDeniedException", "Message": "not authorized to perform this"}),
    "broken": (500, {"__type": "InternalFailure", "message": "try again"}),
}
S3_STATUS = {"denied": 403, "broken": 503}


@asynccontextmanager
async def aws() -> AsyncIterator[str]:
    """The URL of services that do as the names in requests say: `denied`, `broken`, or `slow`, which never answers."""

    async def answer(request: web.Request) -> web.Response:
        asked = f"{request.path} {(await request.read()).decode()}"
        if "slow" in asked:
            await asyncio.Event().wait()
        kind = "denied" if "denied" in asked else "broken"
        if request.method == "GET":
            code, _, message = S3_SAID[kind].partition(": ")
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            return web.Response(status=S3_STATUS[kind], text=text, content_type="application/xml")
        status, body = JSON_ERRORS[kind]
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


def tasks_for(image: str, kind: str, url: str) -> dict[str, acs.Task]:
    """Tasks that each need one thing of a service of this kind, by what they are to say of it."""
    said = SAID[kind].format(f"{url}/")
    login = acs.RegistryAuthentication(
        type="asm", asm_auth_data=acs.ASMAuthData(credentials_parameter=SECRET.format(kind), region="us-east-1")
    )
    token = acs.RegistryAuthentication(
        type="ecr", ecr_auth_data=acs.ECRAuthData(region="us-east-1", registry_id=kind, use_execution_role=True)
    )
    log = {"awslogs-group": kind, "awslogs-region": "us-east-1", "awslogs-stream": kind}
    log_config = {"LogConfig": {"Type": "awslogs", "Config": log}}
    of_s3 = S3_SAID.get(kind, SAID[kind].format(f"{url}/b/{kind}.env"))
    made: dict[str, Callable[[], acs.Container]] = {
        f"{PULL}{MANAGER.format(SECRET.format(kind))}{said}": lambda: shell(
            image, "exit 1", secrets=(secret("S", SECRET.format(kind)),)
        ),
        f"{PULL}{STORE}{said}": lambda: shell(image, "exit 1", secrets=(parameter("S", kind),)),
        f"{FILES.format(f'{kind}.env')}{of_s3}": lambda: shell(
            image, "exit 1", environment_files=(file(f"b/{kind}.env"),)
        ),
        f"{PULL}asm fetching secret from the service for {SECRET.format(kind)}: {said}": lambda: shell(
            f"registry.example/{kind}:1", "exit 1", registry_authentication=login
        ),
        f"CannotPullECRContainerError: {said}": lambda: shell(
            f"registry.example/ecr-{kind}:1", "exit 1", registry_authentication=token
        ),
        f"{STREAM}{said}": lambda: shell(image, "exit 1", host_config=log_config),
    }
    return {reason: a_task(container(), execution_role_credentials=ROLE) for reason, container in made.items()}


def containers_of(docker: APIClient, instance_arn: str, task: acs.Task) -> list[str]:
    labels = [f"{INSTANCE_LABEL}={instance_arn}", f"{TASK_ARN_LABEL}={task.arn}"]
    return [each["Id"] for each in docker.containers(all=True, filters={"label": labels})]


def test_what_cannot_be_had_stops_its_task_alone(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "ROUND_TRIP", aiohttp.ClientTimeout(total=PATIENCE_SECONDS))
    monkeypatch.setattr(services, "RETRY_DELAY", 0.01)

    async def scenario(backend: Backend) -> None:
        async with (
            aws() as url,
            agent_inside(backend, tmp_path, instance_arn, AWS_ENDPOINT_URL=url, AWSORCH_AWSLOGS_BY_AGENT="true"),
        ):
            tasks = {reason: task for kind in SAID for reason, task in tasks_for(image, kind, url).items()}
            plain = a_task(shell(image, "exit 3"))
            await backend.send_tasks(*tasks.values(), plain)
            assert (await backend.reported(plain.arn, "STOPPED"))["containers"][-1]["exitCode"] == 3
            for reason, task in tasks.items():
                report = await backend.reported(task.arn, "STOPPED")
                said = report.get("reason") or report["containers"][-1]["reason"]
                assert said.startswith(reason), (said, reason)
                assert ROLE.secret_access_key not in said
                assert not containers_of(docker, instance_arn, task)

    async def whole() -> None:
        async with Backend() as backend:
            await scenario(backend)

    asyncio.run(whole())


def test_a_task_that_waits_for_a_slow_service_can_be_stopped(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    async def scenario(backend: Backend) -> None:
        async with aws() as url, agent_inside(backend, tmp_path, instance_arn, AWS_ENDPOINT_URL=url):
            container = shell(image, "exit 1", secrets=(parameter("S", "slow"),))
            task = a_task(container, execution_role_credentials=ROLE)
            await backend.acknowledged(await backend.send_tasks(task))
            began = time.monotonic()
            await backend.send_tasks(stop(task))
            await backend.reported(task.arn, "STOPPED")
            assert time.monotonic() - began < services.ROUND_TRIP.total  # type: ignore[operator]
            assert not containers_of(docker, instance_arn, task)

    async def whole() -> None:
        async with Backend() as backend:
            await scenario(backend)

    asyncio.run(whole())
