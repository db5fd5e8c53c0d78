"""One suite for the keys of encrypted channels: on the fake KMS and on moto's; and what calls that fail come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from awsorch.adapters.aws import Aws, AwsCalls, AwsError
from awsorch.adapters.channel_keys import ChannelKeys
from awsorch.cli.session_cipher import NotEncrypted, SessionCipher
from awsorch.engine.ports import Unanswered
from tests.support.fake_kms import FakeKms

CONTEXT = {"aws:ssm:SessionId": "ecs-execute-command-1", "aws:ssm:TargetId": "ecs:c_t_r"}
Scenario = Callable[[AwsCalls, str], Awaitable[None]]


@pytest.fixture(params=["fake", "moto"])
def play(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    """Runs a scenario on a KMS, with the id of a key of it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    url = request.getfixturevalue("moto_url") if request.param == "moto" else ""

    @asynccontextmanager
    async def kms() -> AsyncIterator[tuple[AwsCalls, str]]:
        if not url:
            yield FakeKms("k"), "k"
            return
        aws = Aws(region="us-east-1", endpoint=url)
        try:
            yield aws, (await aws.call("kms", "create_key"))["KeyMetadata"]["KeyId"]
        finally:
            await aws.close()

    async def whole(scenario: Scenario) -> None:
        async with kms() as (aws, key):
            await scenario(aws, key)

    return lambda scenario: asyncio.run(whole(scenario))


async def made(aws: AwsCalls, key: str, size: int = 64) -> Any:
    """A data key, as a client has it made."""
    return await aws.call("kms", "generate_data_key", KeyId=key, NumberOfBytes=size, EncryptionContext=CONTEXT)


def test_what_one_end_encrypts_the_other_can_read(play: Callable[[Scenario], None]) -> None:
    async def scenario(aws: AwsCalls, key: str) -> None:
        data_key = await made(aws, key)
        ours = await ChannelKeys(aws).open(key, data_key["CiphertextBlob"], CONTEXT)
        theirs = SessionCipher(data_key["Plaintext"])
        for said in (b"", b"ls -l\n", bytes(range(256)) * 100):
            printed, typed = ours.encrypt(said), theirs.encrypt(said)
            assert theirs.decrypt(printed) == ours.decrypt(typed) == said
            assert len(printed) == len(typed) == 12 + len(said) + 16
            assert ours.encrypt(said) != printed, "each has a nonce of its own"
            with pytest.raises(ValueError, match="not encrypted with the client's key"):
                ours.decrypt(printed)
            with pytest.raises(NotEncrypted):
                theirs.decrypt(typed)
        for broken in (b"", b"x" * 11, b"x" * 40):
            with pytest.raises(ValueError, match="encrypted"):
                ours.decrypt(broken)
            with pytest.raises(NotEncrypted):
                theirs.decrypt(broken)

    play(scenario)


def test_keys_for_another_session_or_of_no_use_are_not_opened(play: Callable[[Scenario], None]) -> None:
    async def scenario(aws: AwsCalls, key: str) -> None:
        keys, data_key = ChannelKeys(aws), await made(aws, key)
        for ciphertext, context in (
            (data_key["CiphertextBlob"], CONTEXT | {"aws:ssm:SessionId": "ecs-execute-command-2"}),
            (data_key["CiphertextBlob"], {}),
        ):
            with pytest.raises(Unanswered, match="KMS: InvalidCiphertextException"):
                await keys.open(key, ciphertext, context)
        with pytest.raises(Unanswered, match="KMS: NotFoundException"):
            await keys.open("00000000-0000-4000-8000-000000000000", b"x" * 80, CONTEXT)
        with pytest.raises(Unanswered, match="the client's data key has 32 bytes, not 64"):
            await keys.open(key, (await made(aws, key, 32))["CiphertextBlob"], CONTEXT)

    play(scenario)


def test_a_kms_that_does_not_answer() -> None:
    kms = FakeKms("k")
    kms.fault = lambda operation: AwsError("ConnectTimeoutError", "no answer")
    with pytest.raises(Unanswered, match="KMS: ConnectTimeoutError: no answer"):
        asyncio.run(ChannelKeys(kms).open("k", b"x", CONTEXT))
