"""A registry in the place of ECR's: whose names it answers to, and images of it on the real Docker Engine."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from docker import APIClient
from docker.errors import APIError, ImageNotFound

from awsorch.agent.docker_engine import DockerEngine
from awsorch.agent.ecr_mirror import EcrMirror
from awsorch.agent.settings import EngineSettings
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.registry import ImageRegistry
from tests.agent.test_image_digests import digest_run, version_of

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = f"sha256:{'1f' * 32}"


@pytest.mark.parametrize(
    ("image", "source"),
    [
        (f"{ECR}/app:1", "mirror:5000/app:1"),
        (f"{ECR}/team/app", "mirror:5000/team/app"),
        (f"{ECR}/app:1@{DIGEST}", f"mirror:5000/app:1@{DIGEST}"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app:1", "mirror:5000/app:1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app:1", "mirror:5000/app:1"),
        ("123456789012.dkr-ecr.us-west-2.on.aws/app:1", "mirror:5000/app:1"),
        ("public.ecr.aws/docker/library/busybox:1", None),
        ("busybox", None),
        (f"evil.example/{ECR}/app:1", None),
        (f"x{ECR}/app:1", None),
    ],
)
def test_names_of_ecr_s_private_registries_are_the_mirror_s(image: str, source: str | None) -> None:
    mirror = EcrMirror("mirror:5000")
    assert mirror.source(image) == (source or image)
    assert mirror.held_as(image) == (source if source and "@" in image else image)
    assert EcrMirror("").source(image) == EcrMirror("").held_as(image) == image


@pytest.mark.docker
def test_images_of_ecr_come_from_the_mirror_and_keep_their_names(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        async with ImageRegistry() as registry:
            agent.environment["AWSORCH_ECR_REGISTRY"] = registry.host
            await agent.start()
            path = f"mirrored/{uuid.uuid4().hex}:live"  # other runs have the same engine
            name, source = f"{ECR}/{path}", f"{registry.host}/{path}"
            old = registry.push(docker, image, "live", Env=["VERSION=1"])
            engine = DockerEngine(EngineSettings(ecr_registry=registry.host))
            used = []
            try:
                told, container = await digest_run(backend, name)
                used.append(container)
                assert (told, version_of(docker, container)) == (old, ["VERSION=1"])
                assert docker.inspect_container(container)["Config"]["Image"] == name
                new = registry.push(docker, image, "live", Env=["VERSION=2"])
                told, container = await digest_run(backend, f"{name}@{old}")
                used.append(container)
                assert (told, version_of(docker, container)) == (old, ["VERSION=1"]), "as a service's later tasks are"
                told, container = await digest_run(backend, name)
                used.append(container)
                assert (told, version_of(docker, container)) == (new, ["VERSION=2"])
                for each in used:
                    await engine.remove(each)
                await engine.remove_image(name)
                for each in (name, source):
                    with pytest.raises(ImageNotFound):
                        docker.inspect_image(each)
            finally:
                await engine.close()
                for each in (name, source, f"{source}@{old}", f"{source}@{new}"):
                    with suppress(APIError):
                        docker.remove_image(each, force=True)

    play(tmp_path, instance_arn, scenario, ECS_IMAGE_PULL_BEHAVIOR="default")


@pytest.mark.docker
def test_what_was_built_here_under_a_name_of_ecr_needs_no_registry(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    repository = f"{ECR}/built-{uuid.uuid4().hex}"
    name = f"{repository}:1"

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        async with ImageRegistry() as registry:
            agent.environment["AWSORCH_ECR_REGISTRY"] = registry.host
            await agent.start()
            assert (await digest_run(backend, name))[0] == ""
            assert not registry.asked, "prefer-cached"

    docker.tag(image, repository, "1")
    try:
        play(tmp_path, instance_arn, scenario)
    finally:
        docker.remove_image(name, force=True)
