"""A Docker Engine for the tests that need one, and what they leave behind taken away."""

import uuid
from collections.abc import Iterator

import pytest
from docker import APIClient
from docker.errors import APIError

from awsorch.agent.engine import INSTANCE_LABEL
from tests.support.images import ensure_test_image


@pytest.fixture(scope="session")
def docker() -> Iterator[APIClient]:
    client = APIClient(version="auto")
    yield client
    client.close()


@pytest.fixture
def image(docker: APIClient) -> str:
    return ensure_test_image(docker)


@pytest.fixture
def instance_arn(docker: APIClient) -> Iterator[str]:
    """A container instance of this test alone; its containers and volumes are removed afterwards."""
    yield from _instance(docker)


@pytest.fixture
def other_instance_arn(docker: APIClient) -> Iterator[str]:
    """Another one."""
    yield from _instance(docker)


def _instance(docker: APIClient) -> Iterator[str]:
    arn = f"arn:aws:ecs:us-east-1:123456789012:container-instance/tests/{uuid.uuid4().hex}"
    yield arn
    for found in docker.containers(all=True, filters={"label": f"{INSTANCE_LABEL}={arn}"}):
        volumes = [mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"]
        docker.remove_container(found["Id"], force=True, v=True)
        for volume in volumes:
            _remove_volume(docker, volume)


def _remove_volume(docker: APIClient, volume: str) -> None:
    try:
        docker.remove_volume(volume)
    except APIError:
        pass  # another container still has it, and is removed later; or it went with its container
