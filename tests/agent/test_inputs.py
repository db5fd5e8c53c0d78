"""Secrets, environment files and registry logins: what containers get, and what a task without them comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from awsorch.agent import environment_files, secret_values
from awsorch.agent.secret_values import SecretError, SecretName
from awsorch.agent.services import ServiceError
from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task
from tests.agent.worlds import World
from tests.agent.worlds import play as play_world

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"
ROLE = acs.IAMRoleCredentials(
    credentials_id="e1",
    role_arn="arn:aws:iam::123456789012:role/exec",
    access_key_id="EXEC",
    secret_access_key="hush",
    session_token="TK",
    expiration="2130-01-01T00:00:00Z",
)
REFUSED = "ResourceInitializationError: unable to pull secrets or registry auth: "
NAMED = acs.IAMRoleCredentials(credentials_id="e1", role_arn=ROLE.role_arn)


def secret(name: str, source: str, provider: str = "asm", target: str = "CONTAINER") -> acs.Secret:
    return acs.Secret(name=name, value_from=source, region="us-east-1", provider=provider, target=target)


def parameter(name: str, source: str) -> acs.Secret:
    return secret(name, source, "ssm")


def file(path: str) -> acs.EnvironmentFile:
    return acs.EnvironmentFile(value=f"arn:aws:s3:::{path}", type="s3")


def task_of(*containers: acs.Container) -> acs.Task:
    return a_task(*containers, execution_role_credentials=NAMED)


async def give_role(world: World, task: acs.Task, role: acs.IAMRoleCredentials = ROLE) -> None:
    """The role's credentials come, once the task is there."""
    world.roles.take(task.arn, "TaskExecution", role)


def body_of(world: World, task: acs.Task, container: str = "app") -> dict[str, Any]:
    """What the engine was asked for."""
    name = world.supervisor._tasks[task.arn].names.containers[container]
    return dict(world.engine.created[name])


def environment(world: World, task: acs.Task, container: str = "app") -> dict[str, str]:
    return dict(each.split("=", 1) for each in body_of(world, task, container)["Env"])


def play(folder: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    """Play a scenario in a world whose agent is up."""

    async def begun(world: World) -> None:
        await world.start()
        await scenario(world)

    play_world(folder, begun)


def test_values_reach_the_containers_that_name_them_and_no_file(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        services = world.services
        services.secrets = {SECRET: '{"user": "u", "port": 5432}', (SECRET, "AWSPREVIOUS", ""): "before"}
        services.parameters = {"/app/name": "of a path", "plain": "flat"}
        services.objects = {
            "config/first.env": b"A=first\nB=file\n# no=thing\n\nEMPTY=\nSPACE= x \r\n",
            "config/second.env": b"A=second\nC=only",
        }
        app = a_container(
            environment={"B": "definition"},
            environment_files=(file("config/first.env"), file("config/second.env")),
            secrets=(
                secret("WHOLE", SECRET),
                secret("USER", f"{SECRET}:user::"),
                secret("PORT", f"{SECRET}:port::"),
                secret("OLD", f"{SECRET}::AWSPREVIOUS:"),
                parameter("PATH_NAME", "arn:aws:ssm:us-east-1:123456789012:parameter/app/name"),
                parameter("FLAT", "plain"),
                secret("splunk-token", f"{SECRET}:user::", target="LOG_DRIVER"),
            ),
            host_config={"LogConfig": {"Type": "splunk", "Config": {"splunk-url": "u"}}},
        )
        task = task_of(app, a_container("side", essential=False))
        await world.run(task)
        await give_role(world, task)
        await world.reported(task, "RUNNING")
        got = environment(world, task)
        wanted = {"WHOLE": '{"user": "u", "port": 5432}', "USER": "u", "PORT": "5432", "OLD": "before"}
        wanted |= {
            "PATH_NAME": "of a path",
            "FLAT": "flat",
            "A": "first",
            "B": "definition",
            "C": "only",
            "SPACE": " x ",
        }
        assert wanted.items() <= got.items()
        assert not {"EMPTY", "# no", "splunk-token"} & got.keys()
        assert body_of(world, task)["HostConfig"]["LogConfig"]["Config"] == {"splunk-url": "u", "splunk-token": "u"}
        assert not {"USER", "A"} & environment(world, task, "side").keys()
        assert {who for who, _ in services.asked} == {"EXEC"}
        assert len([what for _, what in services.asked if what == "GetSecretValue"]) == 2, "one call a version"
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert not [value for value in (b"of a path", b"5432", b"hush") if value in kept]

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("container", "error", "reason"),
    [
        (
            a_container(secrets=(secret("S", SECRET),)),
            ServiceError("AccessDeniedException", "User is not authorized", 400),
            f"{REFUSED}Fetching secret data from AWS Secrets Manager in region us-east-1: "
            f"secret {SECRET}: AccessDeniedException: User is not authorized",
        ),
        (
            a_container(secrets=(parameter("S", "gone"), parameter("T", "/also/gone"))),
            None,
            f"{REFUSED}Fetching secret data from SSM Parameter Store in us-east-1: "
            "invalid parameters: /also/gone, gone",
        ),
        (
            a_container(environment_files=(file("b/k.env"),)),
            None,
            "ResourceInitializationError: failed to download env files: unable to download env file with key k.env "
            "from bucket b: NoSuchKey: The specified key does not exist.",
        ),
        (
            a_container(
                registry_authentication=acs.RegistryAuthentication(
                    type="asm", asm_auth_data=acs.ASMAuthData(credentials_parameter=SECRET, region="us-east-1")
                )
            ),
            None,
            f"{REFUSED}asm fetching secret from the service for {SECRET}: "
            "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        ),
    ],
    ids=["denied", "parameters that are not there", "no file", "no login"],
)
def test_what_cannot_be_had_stops_the_task_before_anything_is_created(
    tmp_path: Path, container: acs.Container, error: ServiceError | None, reason: str
) -> None:
    async def scenario(world: World) -> None:
        world.services.error = error
        task = task_of(container, a_container("side"))
        await world.run(task)
        await give_role(world, task)
        said = await world.reported(task, "STOPPED")
        assert said["reason"] == reason
        assert not world.engine.created, "nothing is half done"

    play(tmp_path, scenario)


def test_a_task_waits_for_credentials_that_are_still_to_come_and_for_fresh_ones(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.services.parameters = {"p": "v"}
        task = task_of(a_container(secrets=(parameter("P", "p"),)))
        await world.run(task)
        await asyncio.sleep(3600)
        assert not world.services.asked
        await give_role(world, task, acs.IAMRoleCredentials(credentials_id="e1", expiration="1970-01-01T00:00:10Z"))
        await asyncio.sleep(3600)
        assert not world.services.asked, "they are too old"
        await give_role(world, task)
        await world.reported(task, "RUNNING")
        assert environment(world, task)["P"] == "v"

    play(tmp_path, scenario)


def test_an_agent_that_was_killed_while_it_fetched_fetches_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.services.parameters = {"p": "v"}
        world.services.gate = asyncio.Event()
        task = task_of(a_container(secrets=(parameter("P", "p"),)))
        await world.run(task)
        await give_role(world, task)
        await asyncio.sleep(1)
        await world.kill()
        world.services.gate.set()
        await world.start()
        await give_role(world, task)
        await world.reported(task, "RUNNING")
        assert environment(world, task)["P"] == "v"

    play(tmp_path, scenario)


def test_a_stop_does_not_wait_for_what_does_not_come(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.services.gate = asyncio.Event()
        task = task_of(a_container(secrets=(parameter("P", "p"),)))
        await world.run(task)
        await give_role(world, task)
        await asyncio.sleep(1)
        await world.stop(task)
        await world.reported(task, "STOPPED")

    play(tmp_path, scenario)


def test_a_stop_in_the_moment_before_the_first_look_at_secrets_does_not_wait_either(tmp_path: Path) -> None:
    """What waits for the disk when the stop comes is carried out after it; credentials never come here."""

    async def scenario(world: World) -> None:
        task = task_of(a_container(secrets=(parameter("P", "p"),)))
        await world.run(task)
        world.store.full = True
        await asyncio.sleep(1)
        stopped = asyncio.ensure_future(world.stop(task))
        await asyncio.sleep(1)
        world.store.full = False
        await stopped
        await world.reported(task, "STOPPED")

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("authentication", "login"),
    [
        (
            acs.RegistryAuthentication(
                type="asm", asm_auth_data=acs.ASMAuthData(credentials_parameter=SECRET, region="us-east-1")
            ),
            {"username": "u", "password": "p"},
        ),
        (
            acs.RegistryAuthentication(
                type="ecr", ecr_auth_data=acs.ECRAuthData(region="us-east-1", use_execution_role=True)
            ),
            {"username": "AWS", "password": "EXEC"},
        ),
        (
            acs.RegistryAuthentication(type="ecr", ecr_auth_data=acs.ECRAuthData(region="us-east-1")),
            {"username": "AWS", "password": "INSTANCE"},
        ),
    ],
    ids=["of a secret", "the execution role's", "the instance's"],
)
def test_images_are_pulled_in_the_right_name(
    tmp_path: Path, authentication: acs.RegistryAuthentication, login: dict[str, str]
) -> None:
    async def scenario(world: World) -> None:
        world.services.secrets = {SECRET: '{"username": "u", "password": "p"}'}
        task = task_of(a_container(image="registry.example/private:1", registry_authentication=authentication))
        await world.run(task)
        await give_role(world, task)
        await world.reported(task, "RUNNING")
        assert world.engine.logins == [("registry.example/private:1", login)]

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (SECRET, SecretName(secret=SECRET)),
        (f"{SECRET}:key::", SecretName(secret=SECRET, json_key="key")),
        (f"{SECRET}::stage:", SecretName(secret=SECRET, stage="stage")),
        (f"{SECRET}:::id", SecretName(secret=SECRET, version="id")),
    ],
)
def test_what_a_source_names(source: str, name: SecretName) -> None:
    assert secret_values.read_name(source) == name


def test_a_source_with_too_much_in_it_is_refused() -> None:
    with pytest.raises(SecretError, match="unexpected ARN format"):
        secret_values.read_name(f"{SECRET}:a:b:c:d")


def test_variables_of_a_file() -> None:
    text = 'A="quoted"\nB=x=y\n#C=1\n D = 2 \nno equals sign\n=nothing\nE='
    assert environment_files.parse(text) == {"A": '"quoted"', "B": "x=y", " D ": " 2 "}
