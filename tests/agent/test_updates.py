"""Staging of releases and the choice among them at a start; whole updates: tests/e2e/test_agent_update.py."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from awsorch.agent.credentials import FixedCredentials
from awsorch.agent.update_folder import ENVIRONMENT, READY, RUNNING, TRIAL_STARTS, UpdateFolder, hand_over
from awsorch.agent.updates import UpdateError, Updates
from awsorch.wire.acs import UpdateInfo
from awsorch.wire.sigv4 import Credentials
from tests.agent.fake_services import FakeServices

WHEEL = "s3://wheels/agents/awsorch-2.0-py3-none-any.whl"
A, B = "a" * 64, "b" * 64


def staged(folder: Path, *signatures: str) -> None:
    for signature in signatures:
        (folder / signature).mkdir(parents=True)
        (folder / signature / READY).write_text("2.0")


def starts(folder: Path) -> str:
    """Which release goes on at a start; empty: the installed one."""
    gone_on: list[tuple[str, list[str], Mapping[str, str]]] = []
    hand_over(UpdateFolder(folder), ["join"], {"PATH": "/bin"}, lambda *how: gone_on.append(how))
    if not gone_on:
        return ""
    ((python, command, environment),) = gone_on
    signature = environment[RUNNING]
    assert python == str(folder / signature / ENVIRONMENT / "bin" / "python")
    assert command == [python, "-P", "-m", "awsorch.agent", "join"]
    assert environment["PATH"] == "/bin"
    return signature


def test_nothing_is_wished_for(tmp_path: Path) -> None:
    assert starts(tmp_path / "none") == ""


def test_one_that_does_not_come_up_is_given_up_for_the_installed_one(tmp_path: Path) -> None:
    staged(tmp_path, A)
    UpdateFolder(tmp_path).wish(A, "2.0")
    assert [starts(tmp_path) for _ in range(TRIAL_STARTS + 2)] == [A] * TRIAL_STARTS + ["", ""]


def test_one_that_does_not_come_up_is_given_up_for_the_one_before(tmp_path: Path) -> None:
    staged(tmp_path, A, B)
    UpdateFolder(tmp_path, running=A).wish(B, "3.0")
    assert [starts(tmp_path) for _ in range(TRIAL_STARTS + 4)] == [B] * TRIAL_STARTS + [A] * 4


def test_one_that_came_up_stays_and_the_others_go(tmp_path: Path) -> None:
    staged(tmp_path, A, B)
    UpdateFolder(tmp_path, running=A).wish(B, "3.0")
    assert starts(tmp_path) == B
    running = UpdateFolder(tmp_path, running=B)
    assert running.is_on_trial()
    running.confirm()
    assert not running.is_on_trial()
    assert not (tmp_path / A).exists()
    assert [starts(tmp_path) for _ in range(TRIAL_STARTS + 2)] == [B] * (TRIAL_STARTS + 2)


def test_a_release_does_not_hand_over_to_itself(tmp_path: Path) -> None:
    staged(tmp_path, A)
    UpdateFolder(tmp_path).wish(A, "2.0")
    hand_over(UpdateFolder(tmp_path, running=A), [], {}, lambda *how: pytest.fail("it did"))


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"version": "2.0"}'])
def test_a_wish_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "desired").write_text(text)
    assert starts(tmp_path) == ""


def test_a_release_that_is_not_whole_is_none(tmp_path: Path) -> None:
    (tmp_path / A).mkdir()
    UpdateFolder(tmp_path).wish(A, "2.0")
    assert starts(tmp_path) == ""


def test_what_a_newer_release_wrote_more_is_no_harm(tmp_path: Path) -> None:
    staged(tmp_path, A)
    UpdateFolder(tmp_path).wish(A, "2.0")
    said = json.loads((tmp_path / "desired").read_text())
    (tmp_path / "desired").write_text(json.dumps(said | {"colour": "red"}))
    assert starts(tmp_path) == A


def refusal_of(folder: UpdateFolder | None, info: UpdateInfo | None, objects: Mapping[str, bytes]) -> str:
    """Why a release is not staged."""

    async def stage() -> str:
        async with aiohttp.ClientSession() as http:
            services = FakeServices()
            services.objects = dict(objects)
            own = FixedCredentials(Credentials(access_key_id="AKID", secret_access_key="secret"))
            with pytest.raises(UpdateError) as refused:
                await Updates(http, services, own, "us-east-1", folder).stage(info)
            return str(refused.value)

    return asyncio.run(stage())


def test_what_cannot_be_staged_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    folder = UpdateFolder(tmp_path)
    assert refusal_of(None, UpdateInfo(location=WHEEL, signature=A), {}) == "Updates are disabled"
    for info in (
        None,
        UpdateInfo(location="https://x/awsorch.tar", signature=A),
        UpdateInfo(location="s3://x/../awsorch-2.0-py3-none-any.whl", signature="../../etc"),
    ):
        assert refusal_of(folder, info, {}) == "The update should be an awsorch wheel with its SHA-256 in hex"
    said = refusal_of(folder, UpdateInfo(location=WHEEL, signature=A), {})
    assert said.startswith(f"{WHEEL} cannot be had: NoSuchKey")
    body = b"no wheel"
    digest = hashlib.sha256(body).hexdigest()
    objects = {"wheels/agents/awsorch-2.0-py3-none-any.whl": body}
    assert refusal_of(folder, UpdateInfo(location=WHEEL, signature=A), objects) == (
        f"{WHEEL} has the SHA-256 {digest}, not {A}"
    )
    assert refusal_of(folder, UpdateInfo(location="http://127.0.0.1:9/awsorch-2.0-py3-none-any.whl", signature=A), {})
    assert list(tmp_path.iterdir()) == []
    said = refusal_of(folder, UpdateInfo(location=WHEEL, signature=digest), objects)
    assert said.startswith("pip cannot install it: ")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = refusal_of(UpdateFolder(tmp_path / "file"), UpdateInfo(location=WHEEL, signature=A), {})
    assert "Not a directory" in said
