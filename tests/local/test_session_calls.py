"""ResumeSession and TerminateSession as the plugin's SDK makes them, at a served controller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from awsorch.engine.ports import CommandTarget
from tests.support.served_app import OPERATOR, REGION, ServedApp, served_app

UNKNOWN = "ecs-execute-command-0123456789abcdefghijklmn"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(tmp_path_factory.mktemp("sessions")) as served:
        yield served


def ssm(served: ServedApp, key: tuple[str, str] = OPERATOR) -> Any:
    return boto3.client(
        "ssm",
        endpoint_url=served.url,
        region_name=REGION,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=Config(retries={"total_max_attempts": 1}),
    )


def a_session(served: ServedApp, monkeypatch: pytest.MonkeyPatch) -> str:
    sessions = served.app.gateway.commands
    monkeypatch.setattr(sessions, "_can", lambda cluster, instance: True)
    target = CommandTarget(
        cluster="c",
        instance_id="i",
        task_arn="arn:t",
        container="app",
        runtime_id="r",
        command="ls",
        caller_arn="arn:me",
    )

    async def open_it() -> str:
        return sessions.open(target, "ws://here").id

    return served.run(open_it())


def test_a_session_is_resumed_and_terminated(served: ServedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session(served, monkeypatch)
    answers = [ssm(served).resume_session(SessionId=session) for _ in range(2)]
    assert {each["SessionId"] for each in answers} == {session}
    assert {each["StreamUrl"] for each in answers} == {f"ws://here/awsorch/exec/{session}"}
    assert len({each["TokenValue"] for each in answers}) == 2
    for _ in range(2):
        assert ssm(served).terminate_session(SessionId=session)["SessionId"] == session
    assert "TokenValue" not in ssm(served).resume_session(SessionId=session), "the plugin says that it timed out"


def test_what_there_is_not(served: ServedApp) -> None:
    assert ssm(served).terminate_session(SessionId=UNKNOWN)["SessionId"] == UNKNOWN
    assert "TokenValue" not in ssm(served).resume_session(SessionId=UNKNOWN)
    with pytest.raises(ClientError, match=r"DoesNotExistException.*of-another-kind"):
        ssm(served).resume_session(SessionId="of-another-kind")
    with pytest.raises(ClientError, match="NotImplemented"):
        ssm(served).describe_sessions(State="Active")
    with pytest.raises(ClientError, match=r"ValidationException.*SessionId should be a string of 1 to 96 characters"):
        ssm(served).terminate_session(SessionId="x" * 97)


def test_strangers_are_told_nothing(served: ServedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session(served, monkeypatch)
    for key in (("AKIDOTHER", "secret"), (OPERATOR[0], "another secret")):
        with pytest.raises(ClientError, match=r"UnrecognizedClientException|InvalidSignatureException"):
            ssm(served, key).resume_session(SessionId=session)
        with pytest.raises(ClientError, match=r"UnrecognizedClientException|InvalidSignatureException"):
            ssm(served, key).terminate_session(SessionId=session)
    assert ssm(served).resume_session(SessionId=session)["TokenValue"]
