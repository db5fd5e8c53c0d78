"""Tasks with roles, at a gateway: what their agents are given, and what happens where a role can't be had."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from awsorch.core.errors import client_error
from awsorch.core.events import StopTask, TaskReported
from awsorch.core.model import Task
from awsorch.engine.ports import RoleCredentials, Unanswered
from awsorch.gateway import control_lines
from awsorch.gateway.task_credentials import TaskCredentials
from awsorch.wire import acs
from tests.gateway.door import Door, served, until
from tests.support.builders import a_definition

ROLE, OTHER = "arn:aws:iam::123456789012:role/task", "arn:aws:iam::123456789012:role/execution"
SECRET = b"s" * 32


class FakeRoles:
    """Roles that can be assumed, but for those in ``refused``, and while ``away`` none. ``answers``: not before it is
    set."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.away = False
        self.expires_at = 2_000_000_000.0
        self.kept: dict[tuple[str, str], RoleCredentials] = {}
        self.answers = asyncio.Event()
        self.answers.set()

    def known(self, role_arn: str, session: str) -> RoleCredentials | None:
        found = self.kept.get((role_arn, session))
        return found if found is not None and found.expires_at == self.expires_at else None

    async def assume(self, role_arn: str, session: str) -> RoleCredentials:
        await asyncio.sleep(0)
        known = self.known(role_arn, session)
        if known is not None:
            return known
        await self.answers.wait()
        if self.away:
            raise Unanswered("STS: away")
        if role_arn in self.refused:
            raise client_error(f"ECS was unable to assume the role '{role_arn}'.")
        self.kept[role_arn, session] = RoleCredentials(
            access_key_id=f"ASIA{session}",
            secret_access_key=f"secret of {role_arn}",
            session_token=f"token for {session}",
            expires_at=self.expires_at,
        )
        return self.kept[role_arn, session]


def with_door(scenario: Callable[[Door, FakeRoles], Awaitable[None]]) -> None:
    async def whole() -> None:
        roles = FakeRoles()
        async with served(credentials=TaskCredentials(roles, SECRET)) as door:
            await scenario(door, roles)

    asyncio.run(whole())


async def run_task(door: Door, *, task: str | None = ROLE, execution: str | None = None) -> Task:
    plain = a_definition(f"f{task}{execution}".replace(":", "-").replace("/", "-"), cpu=16, memory=16)
    roles = {"taskRoleArn": task, "executionRoleArn": execution}
    document = {**plain.definition, **{name: role for name, role in roles.items() if role}}
    return await door.run_task(definition=replace(plain, definition=document))


def test_a_payload_has_the_credentials_of_its_tasks_roles_and_the_state_has_none() -> None:
    async def scenario(door: Door, roles: FakeRoles) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            task = await run_task(door, execution=OTHER)
            (told,) = (await agent.next(acs.PayloadMessage)).tasks
            given, own = told.role_credentials, told.execution_role_credentials
            assert given is not None
            assert own is not None
            assert (given.role_arn, own.role_arn) == (ROLE, OTHER)
            assert given.access_key_id == f"ASIA{task.id}"
            assert given.secret_access_key == f"secret of {ROLE}"
            assert given.expiration == "2033-05-18T03:33:20Z"
            assert given.credentials_id != own.credentials_id
            assert len(given.credentials_id) == 36
        assert "secret of" not in repr(door.task(task.id))

    with_door(scenario)


def test_ids_stay_the_same_and_cannot_be_guessed() -> None:
    async def scenario() -> None:
        arn = "arn:aws:ecs:us-east-1:123456789012:task/default/t1"
        mine, theirs = TaskCredentials(FakeRoles(), SECRET), TaskCredentials(FakeRoles(), b"t" * 32)
        first = await mine.of(arn, "TaskApplication", ROLE)
        again = await TaskCredentials(FakeRoles(), SECRET).of(arn, "TaskApplication", ROLE)
        assert first.credentials_id == again.credentials_id
        assert first.credentials_id != (await theirs.of(arn, "TaskApplication", ROLE)).credentials_id

    asyncio.run(scenario())


def test_a_task_without_roles_waits_for_nobody() -> None:
    async def scenario(door: Door, roles: FakeRoles) -> None:
        roles.away = True
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await run_task(door, task=None)
            (told,) = (await agent.next(acs.PayloadMessage)).tasks
            assert told.role_credentials is None

    with_door(scenario)


def test_a_role_that_cannot_be_assumed_stops_its_task_alone_with_ecs_s_reason() -> None:
    async def scenario(door: Door, roles: FakeRoles) -> None:
        roles.refused = {OTHER}
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            refused = await run_task(door, task=OTHER)
            good = await run_task(door)
            messages = {}
            while good.arn not in messages or refused.arn not in messages:
                message = await agent.next(acs.PayloadMessage)
                messages.update({told.arn: told.desired_status for told in message.tasks})
                await agent.ack(message)
            assert messages == {refused.arn: "STOPPED", good.arn: "RUNNING"}
            stopped = door.task(refused.id)
            assert stopped.stop_code == "TaskFailedToStart"
            assert stopped.stopped_reason == f"ECS was unable to assume the role '{OTHER}'."

    with_door(scenario)


def test_a_role_that_nobody_can_be_asked_about_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_lines, "RETRY_S", 0.01)

    async def scenario(door: Door, roles: FakeRoles) -> None:
        roles.away = True
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            waiting = await run_task(door)
            plain = await run_task(door, task=None)
            first = await agent.next(acs.PayloadMessage)
            assert [told.arn for told in first.tasks] == [plain.arn]
            await agent.ack(first)
            roles.away = False
            second = await agent.next(acs.PayloadMessage)
            assert [told.arn for told in second.tasks] == [waiting.arn]

    with_door(scenario)


def test_nobody_waits_for_an_sts_that_takes_its_time_and_a_task_may_be_stopped_meanwhile() -> None:
    async def scenario(door: Door, roles: FakeRoles) -> None:
        roles.answers.clear()
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            slow, stopped = await run_task(door), await run_task(door)
            plain = await run_task(door, task=None)
            await door.partition.submit(StopTask(task_id=stopped.id))
            told = {}
            while len(told) < 2:
                message = await agent.next(acs.PayloadMessage)
                told.update({each.arn: each.desired_status for each in message.tasks})
                await agent.ack(message)
            assert told == {plain.arn: "RUNNING", stopped.arn: "STOPPED"}
            roles.answers.set()
            message = await agent.next(acs.PayloadMessage)
            started = {each.arn for each in message.tasks if each.desired_status == "RUNNING"}
            assert started == {slow.arn}

    with_door(scenario)


def test_an_agent_that_asks_for_them_gets_the_credentials_of_all_its_tasks() -> None:
    async def scenario(door: Door, roles: FakeRoles) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            task = await run_task(door)
            payload = await agent.next(acs.PayloadMessage)
            await agent.ack(payload)
            await door.partition.submit(TaskReported(task_id=task.id, status="RUNNING"))
        async with door.agent(instance.arn, sendCredentials="true") as agent:
            message = await agent.next(acs.IAMRoleCredentialsMessage)
            assert (message.task_arn, message.role_type) == (task.arn, "TaskApplication")
            assert message.role_credentials == payload.tasks[0].role_credentials
        async with door.agent(instance.arn, sendCredentials="false") as agent:
            await run_task(door, task=None)
            await agent.next(acs.PayloadMessage)

    with_door(scenario)


def test_an_agent_whose_credentials_have_expired_gets_others_as_soon_as_sts_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control_lines, "REFRESH_RETRY_S", 0.01)

    async def scenario(door: Door, roles: FakeRoles) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            task = await run_task(door, execution=OTHER)
            await agent.ack(await agent.next(acs.PayloadMessage))
            await door.partition.submit(TaskReported(task_id=task.id, status="RUNNING"))
        roles.expires_at += 3600
        roles.away = True
        async with door.agent(instance.arn, sendCredentials="true") as agent:
            await run_task(door, task=None)
            await agent.next(acs.PayloadMessage)
            roles.away = False
            fresh = [await agent.next(acs.IAMRoleCredentialsMessage) for _ in range(2)]
            assert {each.role_credentials.expiration for each in fresh} == {"2033-05-18T04:33:20Z"}

    with_door(scenario)


def test_fresh_credentials_are_sent_once() -> None:
    async def scenario(door: Door, roles: FakeRoles) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            task = await run_task(door, execution=OTHER)
            payload = await agent.next(acs.PayloadMessage)
            await agent.ack(payload)
            await door.partition.submit(TaskReported(task_id=task.id, status="RUNNING"))
            await door.gateway.refresh_credentials()
            roles.expires_at += 3600
            await door.gateway.refresh_credentials()
            await door.gateway.refresh_credentials()
            fresh = [await agent.next(acs.IAMRoleCredentialsMessage) for _ in range(2)]
            assert {each.role_type for each in fresh} == {"TaskApplication", "TaskExecution"}
            assert {each.role_credentials.expiration for each in fresh} == {"2033-05-18T04:33:20Z"}
            ids = {payload.tasks[0].role_credentials.credentials_id}
            assert ids < {each.role_credentials.credentials_id for each in fresh}
            roles.refused = {ROLE, OTHER}
            roles.expires_at += 3600
            await door.gateway.refresh_credentials()
            await run_task(door, task=None)
            await agent.next(acs.PayloadMessage)
            assert door.task(task.id).desired_status == "RUNNING", "it keeps what it has"
            await door.partition.submit(TaskReported(task_id=task.id, status="STOPPED"))
            await until(lambda: door.task(task.id).last_status == "STOPPED")
            await door.gateway.refresh_credentials()

    with_door(scenario)
