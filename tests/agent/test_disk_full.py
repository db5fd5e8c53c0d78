"""Full disks, real ones: the agent's own, and the engine's. What must be said is said, what runs goes on, and with room
again all goes on as before."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.registry import ImageRegistry
from tests.agent.tasks import a_task, stop
from tests.agent.test_docker_agent import shell, sleeper
from tests.e2e.conftest import until
from tests.e2e.private_engine import PrivateEngine

pytestmark = pytest.mark.docker

ENGINE_DISK_MIB = 48
LAYER_MIB = 8
FAILED = 1
"""The exit code of an agent that is to be started again."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)), check=True)
    yield folder
    subprocess.run(("umount", str(folder)), check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    found = os.statvfs(disk)
    assert found.f_bavail == 0
    return filler


async def is_alive(backend: Backend, number: int) -> None:
    """The agent answers heartbeats."""
    beat = f"beat-{number}"
    await backend.send(acs.HeartbeatMessage(message_id=beat))
    await backend.until(lambda: acs.HeartbeatAckRequest(message_id=beat) in backend.from_control)


def test_the_agent_s_disk_is_full(tmp_path: Path, small_disk: Path, docker: APIClient, instance_arn: str) -> None:
    image = "awsorch/busybox:latest"

    def is_running(container: str) -> bool:
        return bool(docker.inspect_container(container)["State"]["Running"])

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        kept, stopped, ends = a_task(sleeper(image)), a_task(sleeper(image)), a_task(shell(image, "sleep 1; exit 6"))
        await backend.send_tasks(kept, stopped)
        for task in (kept, stopped):
            await backend.reported(task.arn, "RUNNING")
        await backend.send_tasks(ends)
        await backend.reported(ends.arn, "RUNNING")
        filler = fill(small_disk)
        new = a_task(shell(image, "exit 4"))
        payload = await backend.send_tasks(new, stop(stopped))
        container = backend.containers(stopped.arn)["app"]["runtimeId"]
        await asyncio.to_thread(until, "the stop is carried out", lambda: not is_running(container))
        await is_alive(backend, 1)
        assert payload not in backend.acks(), "acknowledged, and not stored"
        assert not backend.reports(new.arn)
        assert [each["status"] for each in backend.reports(ends.arn)] == ["RUNNING"], "told, and not stored"

        await agent.kill()
        await agent.launch()
        assert await agent.ended() == FAILED, "whoever starts it again does so until there is room"
        assert is_running(backend.containers(kept.arn)["app"]["runtimeId"])
        filler.unlink()
        await agent.start()
        again = await backend.send_tasks(new, stop(stopped))
        await backend.acknowledged(again)
        assert (await backend.reported(new.arn, "STOPPED"))["containers"][-1]["exitCode"] == 4
        assert (await backend.reported(ends.arn, "STOPPED"))["containers"][-1]["exitCode"] == 6
        assert (await backend.reported(stopped.arn, "STOPPED"))["containers"][-1]["exitCode"] == 137
        assert [each["status"] for each in backend.reports(kept.arn)] == ["RUNNING"]
        filler = fill(small_disk)
        last = a_task(shell(image, "exit 5"))
        payload = await backend.send_tasks(last)
        await is_alive(backend, 2)
        assert payload not in backend.acks()
        filler.unlink()
        await backend.acknowledged(payload)
        assert (await backend.reported(last.arn, "STOPPED"))["containers"][-1]["exitCode"] == 5

    play(small_disk, instance_arn, scenario)


def large_image(client: APIClient, base: str) -> str:
    """The test image with so much more in it, in an engine that has room."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo("large")
        entry.size = LAYER_MIB << 20
        archive.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    container = client.create_container(base, ["true"])["Id"]
    client.put_archive(container, "/", layer.getvalue())
    made = client.commit(container, repository="large", tag="1")
    client.remove_container(container)
    return str(made["Id"])


def reason_of(report: dict[str, Any]) -> str:
    return str(report["containers"][-1].get("reason"))


def test_the_engine_s_disk_is_full(tmp_path: Path, instance_arn: str) -> None:
    async def scenario(backend: Backend, agent: AgentProcess, engine: PrivateEngine) -> None:
        async with ImageRegistry(listener=engine.listener()) as registry:
            large = large_image(engine.client, engine.image)
            registry.push(engine.client, large, "1")
            engine.client.remove_image(large, force=True)
            await agent.start()
            kept = a_task(shell(engine.image, "trap 'exit 9' TERM; sleep 600 & wait"))
            await backend.send_tasks(kept)
            await backend.reported(kept.arn, "RUNNING")
            engine.fill_disk()
            name = f"{registry.host}/team/large:1"
            pulls, creates = a_task(shell(name, "exit 4")), a_task(shell(engine.image, "exit 4"))
            await backend.send_tasks(pulls, creates)
            said = reason_of(await backend.reported(creates.arn, "STOPPED"))
            assert said.startswith("CannotCreateContainerError: Error response from daemon: "), said
            assert said.endswith("no space left on device"), said
            said = reason_of(await backend.reported(pulls.arn, "STOPPED"))
            assert said.startswith("CannotPullContainerError: "), said
            assert said.endswith("no space left on device"), said
            assert "network" not in said
            await is_alive(backend, 1)
            await backend.send_tasks(stop(kept))
            assert (await backend.reported(kept.arn, "STOPPED"))["containers"][-1]["exitCode"] == 9

            engine.free_disk()
            for image in (name, engine.image):
                task = a_task(shell(image, "exit 4"))
                await backend.send_tasks(task)
                report = await backend.reported(task.arn, "STOPPED")
                assert report["containers"][-1].get("exitCode") == 4, report

    with PrivateEngine(live_restore=False, disk_mib=ENGINE_DISK_MIB) as engine:
        play(
            tmp_path,
            instance_arn,
            lambda backend, agent: scenario(backend, agent, engine),
            DOCKER_HOST=engine.host,
            ECS_IMAGE_PULL_BEHAVIOR="default",
        )
