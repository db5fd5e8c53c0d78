"""Images by tag and by digest, from a registry and from nowhere, on the real Docker Engine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from docker import APIClient
from docker.errors import APIError

from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.registry import ImageRegistry
from tests.agent.tasks import a_task, stop
from tests.agent.test_docker_agent import sleeper

pytestmark = pytest.mark.docker


async def digest_run(backend: Backend, image: str) -> tuple[str, str]:
    """Run a task of the image; what it is, as it was told (""), and its container's id."""
    task = a_task(sleeper(image))
    await backend.send_tasks(task)
    await backend.reported(task.arn, "RUNNING")
    container = backend.containers(task.arn)["app"]
    await backend.send_tasks(stop(task))
    await backend.reported(task.arn, "STOPPED")
    return container.get("imageDigest", ""), container["runtimeId"]


def version_of(docker: APIClient, container: str) -> list[str]:
    return [line for line in docker.inspect_container(container)["Config"]["Env"] if line.startswith("VERSION=")]


def test_a_digest_stays_what_it_was_when_its_tag_moves(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        async with ImageRegistry() as registry:
            await agent.start()
            name = f"{registry.host}/team/app:live"
            old = registry.push(docker, image, "live", Env=["VERSION=1"])
            names = [name, f"{name}@{old}"]
            try:
                told, container = await digest_run(backend, name)
                assert (told, version_of(docker, container)) == (old, ["VERSION=1"])
                new = registry.push(docker, image, "live", Env=["VERSION=2"])
                asked = len(registry.asked)
                told, container = await digest_run(backend, f"{name}@{old}")
                assert (told, version_of(docker, container)) == (old, ["VERSION=1"])
                assert len(registry.asked) == asked, "it is here already, and cannot be another"
                told, container = await digest_run(backend, name)
                assert (told, version_of(docker, container)) == (new, ["VERSION=2"])
                docker.remove_image(names[1], force=True)
                told, container = await digest_run(backend, f"{name}@{old}")
                assert (told, version_of(docker, container)) == (old, ["VERSION=1"])
            finally:
                for each in (*names, f"{name}@{new}"):
                    with suppress(APIError):
                        docker.remove_image(each, force=True)

    play(tmp_path, instance_arn, scenario, ECS_IMAGE_PULL_BEHAVIOR="default")


def test_an_image_from_nowhere_has_no_digest(tmp_path: Path, docker: APIClient, image: str, instance_arn: str) -> None:
    name = "127.0.0.1:9/awsorch/busybox:local"  # nobody listens there
    docker.tag(image, "127.0.0.1:9/awsorch/busybox", "local")

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        for _ in range(2):
            assert (await digest_run(backend, name))[0] == ""

    try:
        play(tmp_path, instance_arn, scenario, ECS_IMAGE_PULL_BEHAVIOR="default")
    finally:
        docker.remove_image(name, force=True)
