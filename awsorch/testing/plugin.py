"""The pytest plug-in: its options and fixtures. What they need is imported when a test needs it: pytest loads this file
in every session of an environment that has awsorch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from awsorch.testing.cloud import Cloud
    from awsorch.testing.containers import ContainerScripts
    from awsorch.testing.stacks import Deployments

ENGINES = ("simulated", "docker")
_WAITER_SECONDS = 0.05


def pytest_addoption(parser: pytest.Parser) -> None:
    """--awsorch-engine, and the settings of pytest.ini or pyproject.toml."""
    group = parser.getgroup("awsorch", "Amazon ECS by awsorch")
    group.addoption("--awsorch-engine", choices=ENGINES, help="What runs containers. [default: simulated]")
    parser.addini("awsorch_engine", "What runs containers: simulated or docker.", default="simulated")
    parser.addini("awsorch_instances", "How many container instances the cluster default has.", default="2")
    parser.addini("awsorch_fast_waiters", "Whether boto3's waiters look often.", type="bool", default=True)


@pytest.fixture(scope="session")
def awsorch_cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The local cloud of this session; one a worker under pytest-xdist."""
    from awsorch.testing.cloud import CloudFailed, start

    config = request.config
    engine = config.getoption("--awsorch-engine") or config.getini("awsorch_engine")
    instances = config.getini("awsorch_instances")
    if engine not in ENGINES or not str(instances).isdigit():
        raise pytest.UsageError(
            f"awsorch_engine should be one of {', '.join(ENGINES)} and awsorch_instances a number, "
            f"not {engine!r} and {instances!r}"
        )
    try:
        cloud = start(tmp_path_factory.mktemp("awsorch") / "cloud", engine=engine, instances=int(instances))
    except CloudFailed as failure:
        pytest.fail(f"awsorch: {failure}", pytrace=False)
    yield cloud
    cloud.close()


@pytest.fixture(scope="session")
def awsorch_endpoint(awsorch_cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the local cloud. AWS_ENDPOINT_URL, a region and credentials are in the environment meanwhile, so that
    code under test finds it with no setting."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in awsorch_cloud.environment.items():
            patch.setenv(name, value)
        # What a developer's own configuration says of profiles and endpoints does not count.
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        if request.config.getini("awsorch_fast_waiters"):
            _let_waiters_look_often(patch)
        yield awsorch_cloud.endpoint


@pytest.fixture(scope="session")
def ecs_client(awsorch_endpoint: str) -> Any:
    """boto3's client of ECS."""
    return _client("ecs", awsorch_endpoint)


@pytest.fixture
def container_scripts(awsorch_cloud: Cloud) -> Iterator[ContainerScripts]:
    """What simulated containers do in this test."""
    from awsorch.testing.containers import ContainerScripts

    scripts = ContainerScripts(awsorch_cloud.data)
    yield scripts
    scripts.clear()


@pytest.fixture
def deploy_stack(_awsorch_deployments: Deployments) -> Any:
    """``deploy_stack(path, parameters=…)``: a stack, deployed; it is deleted when the test is over."""
    return _awsorch_deployments.deploy


@pytest.fixture(scope="session")
def _awsorch_deployments(awsorch_endpoint: str) -> Deployments:
    from awsorch.testing.stacks import Deployments

    return Deployments(_client("cloudformation", awsorch_endpoint), _client("s3", awsorch_endpoint))


@pytest.fixture(autouse=True)
def _awsorch_clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that had to do with the cloud: nothing of it is left."""
    if "awsorch_cloud" not in request.fixturenames:
        yield
        return
    from awsorch.testing.cleaning import clean

    ecs = request.getfixturevalue("ecs_client")
    stacks = _client("cloudformation", request.getfixturevalue("awsorch_endpoint"))
    yield
    clean(ecs, stacks)


def _client(service: str, endpoint: str) -> Any:
    """One a session: making one takes longer than many a test."""
    import boto3

    key = (service, endpoint)
    if key not in _CLIENTS:
        _CLIENTS[key] = boto3.client(service, endpoint_url=endpoint)
    return _CLIENTS[key]


_CLIENTS: dict[tuple[str, str], Any] = {}


def _let_waiters_look_often(patch: pytest.MonkeyPatch) -> None:
    """boto3's waiters of ECS look every 6 or 15 seconds; here they wait as long in all, and look often."""
    from botocore import waiter

    before = waiter.Waiter.__init__

    def begin(self: Any, name: str, config: Any, operation: Any) -> None:
        config.max_attempts = int(config.max_attempts * max(config.delay, _WAITER_SECONDS) / _WAITER_SECONDS)
        config.delay = _WAITER_SECONDS
        before(self, name, config, operation)

    patch.setattr(waiter.Waiter, "__init__", begin)
