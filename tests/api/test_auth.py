"""With access keys configured nothing is answered without a good signature, and settings keep an open door shut."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from awsorch.settings import BadSetting, Settings
from awsorch.wire.sigv4 import Verifier
from tests.support.served import ServedApi, served_api

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class Clock:
    """A clock that can be put wrong."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def closed(clock: Clock) -> Iterator[ServedApi]:
    """An API that knows one access key."""
    with served_api(Verifier({KEY: SECRET}, "ecs", clock=clock)) as api:
        yield api


def test_a_good_signature_is_let_in(closed: ServedApi) -> None:
    ecs = closed.client(aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    ecs.create_cluster(clusterName="c")
    definition = ecs.register_task_definition(
        family="web", containerDefinitions=[{"name": "app", "image": "busybox", "memory": 16}]
    )["taskDefinition"]
    assert definition["registeredBy"] == f"arn:aws:iam::123456789012:user/{KEY}"


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [
        ("AKIDUNKNOWN", SECRET, "UnrecognizedClientException"),
        (KEY, "another secret", "InvalidSignatureException"),
    ],
)
def test_wrong_keys_are_not(closed: ServedApi, key: str, secret: str, code: str) -> None:
    with pytest.raises(ClientError, match=code):
        closed.client(aws_access_key_id=key, aws_secret_access_key=secret).list_clusters()


def test_old_signatures_are_not(closed: ServedApi, clock: Clock) -> None:
    ecs = closed.client(aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    clock.ahead = timedelta(minutes=20)
    with pytest.raises(ClientError, match=r"InvalidSignatureException.*Signature expired"):
        ecs.list_clusters()


def test_without_keys_only_loopback_is_listened_on() -> None:
    with pytest.raises(BadSetting, match="not a loopback address and there are no access keys"):
        Settings.read({"AWSORCH_HOST": "0.0.0.0"})
    assert Settings.read({"AWSORCH_HOST": "0.0.0.0", "AWSORCH_ACCESS_KEYS": '{"a": "b"}'}).access_keys == {"a": "b"}
    assert Settings.read({"AWSORCH_HOST": "127.0.0.9"}).host == "127.0.0.9"


SHARED = {"AWSORCH_STORE": "postgresql", "AWSORCH_DATABASE_URL": "postgresql://me@there/it"}


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"AWSORCH_PORT": "many"}, "port should be a number"),
        ({"AWSORCH_ACCESS_KEYS": "secret"}, "access_keys should be a JSON object"),
        ({"AWSORCH_STORE": "paper"}, "store should be sqlite, postgresql or memory, not 'paper'"),
        ({"AWSORCH_STORE": "postgresql"}, "store postgresql needs database_url, such as postgresql://"),
        (SHARED, "store postgresql needs access_secret, 32 characters or more"),
        (
            {**SHARED, "AWSORCH_ACCESS_SECRET": "s" * 32, "AWSORCH_LEASE_SECONDS": "1"},
            "lease_seconds should be 3 or more",
        ),
        ({"AWSORCH_USER_DATA": "/none"}, "the file /none can't be user_data: .*No such file"),
        ({"AWSORCH_USER_DATA": "/dev/null"}, "the file /dev/null can't be user_data: it should set ECS_CLUSTER=<name>"),
        (
            {"AWSORCH_SETTLE_SECONDS": "soon"},
            "settle_seconds should be a number of seconds from 0 to 86400, not 'soon'",
        ),
        ({"AWSORCH_POLL_SECONDS": "-1"}, "poll_seconds should be a number of seconds"),
        ({"AWSORCH_SETTINGS": "/nowhere/at/all.json"}, "can't be read"),
    ],
)
def test_bad_settings_say_what_would_be_right(environment: dict[str, str], text: str) -> None:
    with pytest.raises(BadSetting, match=text):
        Settings.read(environment)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"port": 1234, "region": "eu-west-1", "access_keys": {"k": "s"}}')
    settings = Settings.read({"AWSORCH_SETTINGS": str(file), "AWSORCH_PORT": "99"})
    assert (settings.port, settings.region, settings.access_keys) == (99, "eu-west-1", {"k": "s"})
    file.write_text('{"colour": "blue"}')
    with pytest.raises(BadSetting, match="unknown settings"):
        Settings.read({"AWSORCH_SETTINGS": str(file)})
