"""STS denying, failing and slow, under a real controller, agent and engine: what tasks with roles come to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.e2e.sites import KEEPER, Site, register, site_at

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

ROLE = "arn:aws:iam::123456789012:role/app"
UNABLE = f"ECS was unable to assume the role '{ROLE}' that was provided for this task. Please verify that the role "
HASTE_SECONDS = 10.0
ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>hush</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>"""


class Sts:
    """Answers AssumeRole as its `mood` is: ok, denied, broken, or slow, which is no answer before that is over."""

    def __init__(self) -> None:
        self._mood = "ok"
        self._changed = threading.Condition()

    def turn(self, mood: str) -> None:
        with self._changed:
            self._mood = mood
            self._changed.notify_all()

    def answer(self) -> tuple[int, str]:
        with self._changed:
            self._changed.wait_for(lambda: self._mood != "slow")
            if self._mood == "denied":
                return 403, REFUSAL
            if self._mood == "broken":
                return 503, ""
        expires = datetime.fromtimestamp(time.time() + 3600, UTC)
        return 200, ANSWER.format(expires.strftime("%Y-%m-%dT%H:%M:%SZ"))


@contextmanager
def sts_at_work() -> Iterator[tuple[Sts, str]]:
    sts = Sts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, text = sts.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield sts, "http://{}:{}".format(*server.server_address[:2])
        finally:
            sts.turn("ok")
            server.shutdown()


def has_role(site: Site, name: str) -> str:
    """A task of a definition that names the role."""
    register(site, name, KEEPER)
    environment = [{"name": "NAME", "value": name}]
    overrides = {"taskRoleArn": ROLE, "containerOverrides": [{"name": "app", "environment": environment}]}
    answer = site.ecs.run_task(taskDefinition=name, overrides=overrides, launchType="EXTERNAL")
    assert not answer["failures"]
    return str(answer["tasks"][0]["taskArn"])


def test_tasks_with_roles_wait_for_sts_or_end_with_its_refusal(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with sts_at_work() as (sts, url), site_at(tmp_path, AWSORCH_AWS_ENDPOINT=url, **keys) as site:
        sts.turn("denied")
        with pytest.raises(ClientError, match="ECS was unable to assume the role") as refusal:
            has_role(site, "denied")
        assert refusal.value.response["Error"]["Code"] == "ClientException"
        assert refusal.value.response["Error"]["Message"].startswith(UNABLE)
        assert not site.ecs.list_tasks()["taskArns"]

        sts.turn("slow")
        began = time.monotonic()
        slow = has_role(site, "slow")
        assert time.monotonic() - began < HASTE_SECONDS, "the caller waits for STS"
        plain = site.run("keeper", "plain")
        site.becomes("RUNNING", plain)
        assert site.describe(slow)["lastStatus"] == "PENDING"
        sts.turn("broken")
        broken = has_role(site, "broken")
        assert site.is_connected()
        sts.turn("ok")
        site.becomes("RUNNING", slow, broken)
        assert [site.starts(name) for name in ("slow", "broken", "denied")] == [1, 1, 0]

        sts.turn("broken")
        late = has_role(site, "late")
        sts.turn("denied")
        site.becomes("STOPPED", late)
        assert site.describe(late)["stopCode"] == "TaskFailedToStart"
        assert site.describe(late)["stoppedReason"].startswith(UNABLE)
        assert site.starts("late") == 0
        assert site.describe(slow)["lastStatus"] == "RUNNING", "what runs keeps what it has"
