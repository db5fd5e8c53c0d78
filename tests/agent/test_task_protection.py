"""What containers are told when they ask for protection, whatever ECS answers; in virtual time."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from awsorch.agent.api import APIError
from awsorch.agent.assignment import Assignment, fresh_life
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.plan import names_for
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.settings import Settings
from awsorch.agent.task_endpoint import Answer
from awsorch.agent.task_protection import CALL_TIMEOUT, TaskProtection
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials
from tests.agent.tasks import a_task
from tests.support import virtual_time

TASK = "arn:aws:ecs:us-east-1:123456789012:task/c1/1"
UNTIL = 1_900_000_000.5
PROTECTED = {"taskArn": TASK, "protectionEnabled": True, "expirationDate": UNTIL}
PROTECTION = {"ExpirationDate": "2030-03-17T17:46:40.500Z", "ProtectionEnabled": True, "TaskArn": TASK}
UNEXPECTED = {"error": {"Arn": TASK, "Code": "ServerException", "Message": "Unexpected error occurred"}}


ROLE = acs.IAMRoleCredentials(
    credentials_id="c1",
    role_arn="arn:aws:iam::123456789012:role/app",
    access_key_id="ASIAROLE",
    secret_access_key="hush",
    session_token="token",
    expiration="2030-01-01T00:00:00Z",
)
SIGNER = Credentials(access_key_id="ASIAROLE", secret_access_key="hush", session_token="token")


class FakeECS:
    """Answers every call with the same: an answer, an error, or (None) never; of tasks' roles it knows the keys or
    (`knows_roles`) not."""

    def __init__(self, outcome: Mapping[str, Any] | Exception | None, *, knows_roles: bool = True) -> None:
        self._outcome = outcome
        self._knows_roles = knows_roles
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.signers: list[Credentials | None] = []

    async def call(
        self, operation: str, request: Mapping[str, Any], signer: Credentials | None = None
    ) -> dict[str, Any]:
        self.signers.append(signer)
        if signer is not None and not self._knows_roles:
            raise APIError("UnrecognizedClientException", "The security token included in the request is invalid.", 400)
        self.calls.append((operation, dict(request)))
        if self._outcome is None:
            await asyncio.Event().wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return dict(self._outcome or {})


def protection_of(ecs: FakeECS, role: acs.IAMRoleCredentials | None = ROLE, now: float = 0.0) -> TaskProtection:
    task = a_task(arn=TASK, role_credentials=role)
    assignment = Assignment(task, fresh_life(task, names_for(task, lambda: "secret"), Settings()), Settings())
    roles = RoleCredentialsStore({TASK: assignment}, lambda: now)
    roles.take_task(task)
    return TaskProtection(ecs, "c1", {TASK: assignment}, roles)


def get(outcome: Mapping[str, Any] | Exception | None, endpoint_id: str = "secret") -> Answer:
    async def ask(_: virtual_time.VirtualTimeLoop) -> Answer:
        return await protection_of(FakeECS(outcome)).get(endpoint_id, b"")

    return virtual_time.run(ask)


def put(ecs: FakeECS, body: bytes, endpoint_id: str = "secret") -> Answer:
    async def ask(_: virtual_time.VirtualTimeLoop) -> Answer:
        return await protection_of(ecs).update(endpoint_id, body)

    return virtual_time.run(ask)


def test_a_protection_is_asked_for_in_the_task_s_name() -> None:
    ecs = FakeECS({"protectedTasks": [PROTECTED], "failures": []})
    answer = put(ecs, b'{"ProtectionEnabled": true, "ExpiresInMinutes": 5}')
    asked = {"cluster": "c1", "tasks": [TASK], "protectionEnabled": True, "expiresInMinutes": 5}
    assert ecs.calls == [("UpdateTaskProtection", asked)]
    assert ecs.signers == [SIGNER]
    assert answer == Answer(status=200, body={"protection": PROTECTION})


@pytest.mark.parametrize(
    ("role", "now"), [(None, 0.0), (ROLE, 1_900_000_000.0)], ids=["no role", "credentials that have expired"]
)
def test_a_task_without_a_role_is_refused_before_ecs_is_asked(role: acs.IAMRoleCredentials | None, now: float) -> None:
    ecs = FakeECS({"protectedTasks": [PROTECTED]})

    async def ask(_: virtual_time.VirtualTimeLoop) -> list[Answer]:
        protection = protection_of(ecs, role, now)
        return [await protection.get("secret", b""), await protection.update("secret", b'{"ProtectionEnabled": true}')]

    message = "Invalid Request: no task IAM role credentials available for task"
    refused = Answer(status=403, body={"error": {"Arn": TASK, "Code": "AccessDeniedException", "Message": message}})
    assert virtual_time.run(ask) == [refused, refused]
    assert ecs.signers == []


def test_who_does_not_know_the_role_is_asked_in_the_name_of_the_instance() -> None:
    ecs = FakeECS({"protectedTasks": [PROTECTED]}, knows_roles=False)
    assert put(ecs, b'{"ProtectionEnabled": true}') == Answer(status=200, body={"protection": PROTECTION})
    assert ecs.signers == [SIGNER, None]
    assert ecs.calls == [("UpdateTaskProtection", {"cluster": "c1", "tasks": [TASK], "protectionEnabled": True})]


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"ProtectionEnabled": True}, {"protectionEnabled": True}),
        ({"ProtectionEnabled": True, "ExpiresInMinutes": None}, {"protectionEnabled": True}),
        ({"protectionEnabled": False}, {"protectionEnabled": False}),
        ({"PROTECTIONENABLED": True, "expiresinminutes": 0}, {"protectionEnabled": True, "expiresInMinutes": 0}),
    ],
)
def test_what_is_left_out_is_left_to_ecs_which_also_knows_the_limits(
    body: dict[str, Any], asked: dict[str, Any]
) -> None:
    ecs = FakeECS({"protectedTasks": [PROTECTED]})
    put(ecs, json.dumps(body).encode())
    assert ecs.calls == [("UpdateTaskProtection", {"cluster": "c1", "tasks": [TASK], **asked})]


def test_no_protection_has_no_end() -> None:
    answer = get({"protectedTasks": [{"taskArn": TASK, "protectionEnabled": False}], "failures": []})
    assert answer.body == {"protection": {"ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": TASK}}


def test_whole_seconds_have_no_fraction() -> None:
    answer = get({"protectedTasks": [{**PROTECTED, "expirationDate": 1_900_000_000}]})
    assert answer.body["protection"]["ExpirationDate"] == "2030-03-17T17:46:40Z"


@pytest.mark.parametrize("detail", [{}, {"detail": "a standalone task"}])
def test_a_failure_is_an_answer(detail: dict[str, str]) -> None:
    answer = get({"protectedTasks": [], "failures": [{"arn": TASK, "reason": "TASK_NOT_VALID", **detail}]})
    failure = {"Arn": TASK, "Detail": detail.get("detail"), "Reason": "TASK_NOT_VALID"}
    assert answer == Answer(status=200, body={"failure": failure})


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"protectedTasks": [], "failures": []},
        {"protectedTasks": [PROTECTED, PROTECTED]},
        {"failures": [{"arn": TASK, "reason": "MISSING"}, {"arn": TASK, "reason": "MISSING"}]},
        {"failures": [{"reason": "MISSING"}]},
        {"protectedTasks": [{"taskArn": TASK, "protectionEnabled": "yes"}]},
        {"protectedTasks": "none"},
    ],
)
def test_an_answer_that_makes_no_sense_is_the_server_s_error(answer: dict[str, Any]) -> None:
    assert get(answer) == Answer(status=500, body=UNEXPECTED)


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (APIError("ClusterNotFoundException", "Cluster not found.", 400), 400, "ClusterNotFoundException", None),
        (APIError("ThrottlingException", "Rate exceeded", 429), 429, "ThrottlingException", None),
        (APIError("ServerException", "the store is away", 500), 500, "ServerException", None),
        (APIError("", "no answer from http://ecs/"), 500, "ServerException", None),
        (APIError("", "the answer is no JSON object (HTTP 200)", 200), 500, "ServerException", None),
        (NoCredentialsError("no credentials"), 403, "AccessDeniedException", "Invalid Request: no credentials"),
        (None, 504, "RequestCanceled", "Timed out calling ECS Task Protection API"),
    ],
)
def test_errors_of_ecs_are_passed_on(error: Exception | None, status: int, code: str, message: str | None) -> None:
    answer = get(error)
    assert answer.status == status
    told = message or (error.message if isinstance(error, APIError) else "")
    assert answer.body == {"error": {"Arn": TASK, "Code": code, "Message": told}}


def test_the_request_id_helps_to_find_the_cause() -> None:
    assert get(APIError("AccessDeniedException", "no", 400, "abc")).body["requestID"] == "abc"


def test_nobody_waits_longer_than_four_seconds() -> None:
    async def ask(loop: virtual_time.VirtualTimeLoop) -> float:
        await protection_of(FakeECS(None)).get("secret", b"")
        return loop.time()

    assert virtual_time.run(ask) == pytest.approx(CALL_TIMEOUT)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[true]", '{"ProtectionEnabled":true,"ExpiresInMinutes":60}'),
        (b"\xff", "decode"),
        (b"[" * 2000, "failed to decode request"),
        (b'{"ProtectionEnabled": true, "Forever": true}', "unknown field `Forever`"),
        (b'{"ProtectionEnabled": "true"}', "Expected `bool | null`, got `str` - at `$.ProtectionEnabled`"),
        (b'{"ProtectionEnabled": true, "ExpiresInMinutes": 1.5}', "Expected `int | null`"),
        (b'{"ProtectionEnabled": true, "ExpiresInMinutes": true}', "Expected `int | null`"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_before_anything_else(body: bytes, says: str) -> None:
    ecs = FakeECS({})
    for endpoint_id in ("secret", "unknown"):
        answer = put(ecs, body, endpoint_id)
        assert (answer.status, answer.body["error"]["Code"]) == (400, "InvalidParameterException")
        assert answer.body["error"]["Message"].startswith("UpdateTaskProtection: failed to decode request: ")
        assert says in answer.body["error"]["Message"]
        assert "Arn" not in answer.body["error"]
    assert ecs.calls == []


@pytest.mark.parametrize("body", [b"{}", b'{"ExpiresInMinutes": 5}', b'{"ProtectionEnabled": null}'])
def test_whether_to_protect_has_to_be_said(body: bytes) -> None:
    message = "Invalid request: does not contain 'ProtectionEnabled' field"
    expected = {"error": {"Arn": TASK, "Code": "InvalidParameterException", "Message": message}}
    assert put(FakeECS({}), body) == Answer(status=400, body=expected)


@pytest.mark.parametrize("endpoint_id", ["unknown", "", "app", TASK])
def test_a_stranger_gets_nothing(endpoint_id: str) -> None:
    message = "Failed to find a task for the request"
    nobody = Answer(status=404, body={"error": {"Code": "ResourceNotFoundException", "Message": message}})
    ecs = FakeECS({"protectedTasks": [PROTECTED]})
    assert get({"protectedTasks": [PROTECTED]}, endpoint_id) == nobody
    assert put(ecs, b'{"ProtectionEnabled": true}', endpoint_id) == nobody
    assert ecs.calls == []
