"""RunTask and StartTask with roles: those that can't be assumed are refused before anything is started."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from awsorch.core.errors import client_error
from awsorch.engine.ports import RoleCredentials, Unanswered
from tests.support.served import ServedApi, served_api

ROLE = "arn:aws:iam::123456789012:role/task"


class Roles:
    """``refused``: role ARNs that can't be assumed; ``away``: nobody answers."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.away = False
        self.asked: list[str] = []

    def known(self, role_arn: str, session: str) -> RoleCredentials | None:
        return None

    async def assume(self, role_arn: str, session: str) -> RoleCredentials:
        self.asked.append(role_arn)
        if self.away:
            raise Unanswered("STS: away")
        if role_arn in self.refused:
            raise client_error(f"ECS was unable to assume the role '{role_arn}'.")
        return RoleCredentials(access_key_id="A", secret_access_key="s", session_token="t", expires_at=1.0)


OTHER = "arn:aws:iam::123456789012:role/other"
CONTAINERS = [{"name": "app", "image": "busybox", "cpu": 256, "memory": 128}]


@pytest.fixture
def roles() -> Roles:
    return Roles()


@pytest.fixture
def api(roles: Roles) -> Iterator[ServedApi]:
    with served_api(task_roles=roles) as api:
        api.ecs.create_cluster(clusterName="default")
        api.ecs.register_task_definition(
            family="web", containerDefinitions=CONTAINERS, taskRoleArn=ROLE, executionRoleArn=OTHER
        )
        api.ecs.register_task_definition(family="plain", containerDefinitions=CONTAINERS)
        yield api


def good() -> pytest.RaisesExc[ClientError]:
    """The roles were; but there is no instance."""
    return pytest.raises(ClientError, match="No Container Instances were found")


@pytest.mark.parametrize("refused", [ROLE, OTHER])
def test_a_role_that_cannot_be_assumed_is_refused_and_nothing_is_started(
    api: ServedApi, roles: Roles, refused: str
) -> None:
    roles.refused = {refused}
    for start in (api.ecs.run_task, lambda **given: api.ecs.start_task(containerInstances=["a" * 32], **given)):
        with pytest.raises(ClientError, match=f"ECS was unable to assume the role '{refused}'") as error:
            start(taskDefinition="web")
        assert error.value.response["Error"]["Code"] == "ClientException"
    assert not api.ecs.list_tasks()["taskArns"]
    assert not api.ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]


def test_what_overrides_say_counts(api: ServedApi, roles: Roles) -> None:
    roles.refused = {ROLE}
    with good():
        api.ecs.run_task(taskDefinition="web", overrides={"taskRoleArn": OTHER})
    assert set(roles.asked) == {OTHER}
    with pytest.raises(ClientError, match="unable to assume"):
        api.ecs.run_task(taskDefinition="plain", overrides={"taskRoleArn": ROLE})


def test_without_roles_nobody_is_asked_and_an_sts_that_is_away_refuses_nothing(api: ServedApi, roles: Roles) -> None:
    with good():
        api.ecs.run_task(taskDefinition="plain")
    assert roles.asked == []
    roles.away = True
    with good():
        api.ecs.run_task(taskDefinition="web")
    assert set(roles.asked) == {ROLE, OTHER}
