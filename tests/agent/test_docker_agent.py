"""The agent's process on a real Docker Engine: what containers get, what is reported, and who survives what."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from awsorch.agent.engine import INSTANCE_LABEL
from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, EngineDoor, play
from tests.agent.tasks import a_container, a_task, stop

pytestmark = pytest.mark.docker

RESIDENT_LIMIT_MIB = 60
ENDS_WITHIN_SECONDS = 10


def shell(image: str, script: str, name: str = "app", **fields: Any) -> acs.Container:
    return a_container(name, image, command=("sh", "-c", script), **fields)


def sleeper(image: str, name: str = "app", **fields: Any) -> acs.Container:
    config = {"StopSignal": "SIGKILL", **fields.pop("config", {})}
    return a_container(name, image, command=("sleep", "3600"), config=config, **fields)


def starts_by_name(docker: APIClient, arn: str, since: float) -> Counter[str]:
    """How often each of the instance's containers was started, as the engine remembers."""
    filters = {"type": ["container"], "event": ["start"], "label": [f"{INSTANCE_LABEL}={arn}"]}
    events = docker.events(since=int(since), until=int(time.time()) + 1, decode=True, filters=filters)
    return Counter(each["Actor"]["Attributes"]["name"] for each in events)


def test_containers_get_what_their_definition_says(tmp_path: Path, image: str, instance_arn: str) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        (tmp_path / "host").mkdir()
        (tmp_path / "host" / "file").write_text("from the host")
        script = """
            set -e
            test "$A" = b; test "$AWS_REGION" = us-east-1; test "$(pwd)" = /tmp; test "$(id -u)" = 65534
            grep -q '10.1.2.3.*friend' /etc/hosts; test "$(ulimit -n)" = 512
            grep -q ' /scratch tmpfs' /proc/mounts; test "$(cat /host/file)" = 'from the host'
            ! touch /host/other 2>/dev/null; test "$(hostname)" = somewhere; test "$1" = argument
            exit 42
        """
        container = a_container(
            "app",
            image,
            entry_point=("sh", "-c", script, "sh"),
            command=("argument",),
            environment={"A": "b"},
            memory=64,
            cpu=100,
            mount_points=(acs.MountPoint(source_volume="host", container_path="/host", read_only=True),),
            config={"WorkingDir": "/tmp", "User": "nobody", "Hostname": "somewhere", "Labels": {"mine": "too"}},
            host_config={
                "ExtraHosts": ["friend:10.1.2.3"],
                "Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 512}],
                "Tmpfs": {"/scratch": "size=1m"},
                "CapAdd": ["SYS_PTRACE"],
                "CapDrop": ["MKNOD"],
                "MemoryReservation": 16 * 1024 * 1024,
            },
        )
        volume = acs.Volume(name="host", type="host", host=acs.HostVolume(source_path=str(tmp_path / "host")))
        task = a_task(container, volumes=(volume,))
        await backend.send_tasks(task)
        report = await backend.reported(task.arn, "STOPPED")
        assert report["containers"][-1].get("reason", "") == ""
        assert report["containers"][-1]["exitCode"] == 42
        docker = APIClient(version="auto")
        found = docker.inspect_container(backend.containers(task.arn)["app"]["runtimeId"])
        docker.close()
        host = found["HostConfig"]
        assert (host["Memory"], host["MemoryReservation"], host["CpuShares"]) == (64 << 20, 16 << 20, 100)
        assert (host["CapAdd"], host["CapDrop"]) == (["SYS_PTRACE"], ["MKNOD"])
        assert found["Config"]["Labels"]["mine"] == "too"
        assert found["Name"].startswith("/ecs-web-7-app-")

    play(tmp_path / "agent", instance_arn, scenario)


def test_containers_of_a_task_work_together(tmp_path: Path, image: str, instance_arn: str) -> None:
    """A health check, a shared volume, a link, volumesFrom and a port, as a web server and its helper would."""

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        check = {"Test": ["CMD-SHELL", "test -f /www/page"], "Interval": 10**9, "Timeout": 10**9, "Retries": 3}
        mount = acs.MountPoint(source_volume="pages", container_path="/www")
        web = shell(
            image,
            "echo hello > /www/page; exec httpd -f -p 80 -h /www",
            "web",
            mount_points=(mount,),
            port_mappings=(acs.PortMapping(container_port=80, protocol="tcp"),),
            health_check_type="docker",
            config={"Healthcheck": check, "StopSignal": "SIGKILL"},
        )
        client = shell(
            image,
            'test "$(cat /www/page)" = hello && wget -q -O - http://server/page | grep -q hello; exit $?',
            "client",
            essential=False,
            links=("web:server",),
            volumes_from=(acs.VolumeFrom(source_container="web", read_only=True),),
            depends_on=(acs.ContainerDependency(container_name="web", condition="HEALTHY"),),
        )
        task = a_task(client, web, volumes=(acs.Volume(name="pages", type="host", host=acs.HostVolume()),))
        await backend.send_tasks(task)
        running = await backend.reported(task.arn, "RUNNING")
        await backend.until(lambda: backend.containers(task.arn).get("client", {}).get("status") == "STOPPED")
        assert backend.containers(task.arn)["client"]["exitCode"] == 0, running
        binding = backend.containers(task.arn)["web"]["networkBindings"][0]
        assert (binding["bindIP"], binding["containerPort"]) == ("127.0.0.7", 80)
        reader, writer = await asyncio.open_connection("127.0.0.7", binding["hostPort"])
        writer.write(b"GET /page HTTP/1.0\r\n\r\n")
        assert b"hello" in await reader.read()
        writer.close()
        await backend.send_tasks(stop(task))
        await backend.reported(task.arn, "STOPPED")

    play(tmp_path, instance_arn, scenario, AWSORCH_PORT_BIND_ADDRESS="127.0.0.7")


@pytest.mark.parametrize("mode", ["host", "none"])
def test_other_networks(tmp_path: Path, image: str, instance_arn: str, mode: str) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        task = a_task(
            sleeper(
                image,
                host_config={"NetworkMode": mode},
                port_mappings=(acs.PortMapping(container_port=8099, host_port=8099),),
            ),
            network_mode=mode,
        )
        await backend.send_tasks(task)
        report = await backend.reported(task.arn, "RUNNING")
        assert "networkBindings" not in report["containers"][0]

    play(tmp_path, instance_arn, scenario)


def test_endings(tmp_path: Path, image: str, instance_arn: str) -> None:
    """Exit codes, a wrong command, no memory, no image, a grace that was not used."""
    host = tmp_path / "host"
    host.mkdir()
    mount = acs.MountPoint(source_volume="host", container_path="/host")
    volume = acs.Volume(name="host", type="host", host=acs.HostVolume(source_path=str(host)))

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        failing = a_task(shell(image, "exit 3"))
        wrong = a_task(a_container("app", image, command=("/no/such/program",)))
        greedy = a_task(
            # It waits to be seen running: what runs out of memory sooner than the engine watches for it is only dead.
            shell(
                image,
                "until test -e /host/go; do sleep 0.05; done; tail /dev/zero",
                memory=8,
                host_config={"MemorySwap": 8 << 20},
                mount_points=(mount,),
            ),
            volumes=(volume,),
        )
        missing = a_task(a_container("app", "127.0.0.1:9/nobody/nothing:never"))
        await backend.send_tasks(failing, wrong, greedy, missing)
        await backend.reported(greedy.arn, "RUNNING")
        (host / "go").touch()
        last = [(await backend.reported(each.arn, "STOPPED"))["containers"][-1] for each in (failing, wrong, greedy)]
        assert (last[0]["exitCode"], last[0].get("reason")) == (3, None)
        assert last[1]["exitCode"] == 127
        assert last[1]["reason"].startswith("CannotStartContainerError: Error response from daemon: ")
        assert "no such file" in last[1]["reason"]
        assert last[2]["exitCode"] == 137
        assert last[2]["reason"] == "OutOfMemoryError: Container killed due to memory usage"
        polite = a_task(
            shell(
                image,
                "trap 'exit 9' TERM; touch /host/trapped; while true; do sleep 0.1; done",
                stop_timeout=20,
                mount_points=(mount,),
            ),
            volumes=(volume,),
        )
        await backend.send_tasks(polite)
        await backend.reported(polite.arn, "RUNNING")
        await backend.until((host / "trapped").exists)
        await backend.send_tasks(stop(polite))
        assert (await backend.reported(polite.arn, "STOPPED"))["containers"][-1]["exitCode"] == 9
        report = await backend.reported(missing.arn, "STOPPED")
        assert report["containers"][-1]["reason"].startswith("CannotPullContainerError: The task can’t pull the image.")
        assert "exitCode" not in report["containers"][-1]

    play(tmp_path, instance_arn, scenario)


def test_one_agent_does_not_touch_another_s_containers(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        first = a_task(sleeper(image))
        await backend.send_tasks(first)
        await backend.reported(first.arn, "RUNNING")
        other = AgentProcess(backend, tmp_path / "other", f"{instance_arn}-other")
        try:
            await other.start()
            docker.kill(backend.containers(first.arn)["app"]["runtimeId"])
            await backend.reported(first.arn, "STOPPED")
            assert len(backend.reports(first.arn)) == 2, "each of the two was told by one agent"
        finally:
            await other.kill()

    play(tmp_path / "one", instance_arn, scenario)


def test_an_image_whose_registry_is_out_of_reach_is_used_as_it_is(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    name = "127.0.0.1:9/awsorch/busybox"  # nobody listens there
    docker.tag(image, name)

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        task = a_task(sleeper(name))
        await backend.send_tasks(task)
        await backend.reported(task.arn, "RUNNING")

    try:
        play(tmp_path, instance_arn, scenario, ECS_IMAGE_PULL_BEHAVIOR="default")
    finally:
        docker.remove_image(name, force=True)


def test_containers_outlive_the_agent_and_are_taken_up_again(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        running, exited, removed = (a_task(sleeper(image)) for _ in range(3))
        await backend.send_tasks(running, exited, removed)
        for task in (running, exited, removed):
            await backend.reported(task.arn, "RUNNING")
        assert await agent.terminate() == 0
        ids = {each.arn: backend.containers(each.arn)["app"]["runtimeId"] for each in (running, exited, removed)}
        assert docker.inspect_container(ids[running.arn])["State"]["Running"]
        docker.kill(ids[exited.arn])
        docker.remove_container(ids[removed.arn], force=True)
        await agent.start()
        assert (await backend.reported(exited.arn, "STOPPED"))["containers"][-1]["exitCode"] == 137
        gone = (await backend.reported(removed.arn, "STOPPED"))["containers"][-1]
        if "exitCode" not in gone:  # the engine's memory of events did not reach back to its end
            assert gone["reason"] == "ContainerVanishedError: No container matching saved ID found"
        await backend.send_tasks(stop(running))
        await backend.reported(running.arn, "STOPPED")

    play(tmp_path, instance_arn, scenario)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_nothing_starts_twice_and_nothing_is_lost(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str, seed: int
) -> None:
    chance = random.Random(seed)
    began = time.time()

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        servers = [a_task(sleeper(image, host_config={"NetworkMode": "host"})) for _ in range(4)]
        jobs = [a_task(shell(image, "exit 5", host_config={"NetworkMode": "host"})) for _ in range(4)]
        tasks = [*servers, *jobs]
        await backend.acknowledged(await backend.send_tasks(*tasks))
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.0, 0.4))  # the moment is what is tried
            await agent.kill()
            await agent.start()
        for task in servers:
            await backend.reported(task.arn, "RUNNING")
        for task in jobs:
            assert (await backend.reported(task.arn, "STOPPED"))["containers"][-1]["exitCode"] == 5
        starts = starts_by_name(docker, instance_arn, began)
        assert len(starts) == len(tasks)
        assert set(starts.values()) == {1}
        await backend.send_tasks(*(stop(task) for task in servers))
        for task in servers:
            await backend.reported(task.arn, "STOPPED")
        assert len(docker.containers(all=True, filters={"label": f"{INSTANCE_LABEL}={instance_arn}"})) == len(tasks)

    play(tmp_path, instance_arn, scenario)


def test_an_engine_that_goes_away_and_comes_back(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        async with EngineDoor(tmp_path / "engine.sock") as door:
            await agent.start()
            lost, kept = a_task(sleeper(image)), a_task(sleeper(image))
            await backend.send_tasks(lost, kept)
            for task in (lost, kept):
                await backend.reported(task.arn, "RUNNING")
            await door.shut()
            docker.kill(backend.containers(lost.arn)["app"]["runtimeId"])
            late = a_task(sleeper(image))
            await backend.acknowledged(await backend.send_tasks(late))
            await door.listen()
            assert (await backend.reported(lost.arn, "STOPPED"))["containers"][-1]["exitCode"] == 137
            await backend.reported(late.arn, "RUNNING")
            assert [each["status"] for each in backend.reports(kept.arn)] == ["RUNNING"]
            await agent.kill()

    play(tmp_path, instance_arn, scenario, DOCKER_HOST=f"unix://{tmp_path}/engine.sock")


def test_an_engine_that_hangs_does_not_hang_the_agent(tmp_path: Path, image: str, instance_arn: str) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        async with EngineDoor(tmp_path / "engine.sock") as door:
            await agent.start()
            door.open.clear()
            task = a_task(sleeper(image))
            await backend.acknowledged(await backend.send_tasks(task))
            await backend.send(acs.HeartbeatMessage(message_id="beat"))
            await backend.until(lambda: acs.HeartbeatAckRequest(message_id="beat") in backend.from_control)
            door.open.set()
            await backend.reported(task.arn, "RUNNING")
            door.open.clear()
            await backend.acknowledged(await backend.send_tasks(stop(task), a_task(sleeper(image))))
            began = time.monotonic()
            assert await agent.terminate() == 0
            assert time.monotonic() - began < ENDS_WITHIN_SECONDS, "it waited for an engine that hangs"
            door.open.set()

    play(tmp_path, instance_arn, scenario, DOCKER_HOST=f"unix://{tmp_path}/engine.sock")


def test_the_process_is_small(tmp_path: Path, image: str, instance_arn: str) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        tasks = [a_task(sleeper(image, host_config={"NetworkMode": "host"})) for _ in range(5)]
        await backend.send_tasks(*tasks)
        for task in tasks:
            await backend.reported(task.arn, "RUNNING")
        status = Path(f"/proc/{agent.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident / 1024 <= RESIDENT_LIMIT_MIB

    play(tmp_path, instance_arn, scenario)


def test_exit_codes(tmp_path: Path, instance_arn: str) -> None:
    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        backend.failures["RegisterContainerInstance"] = [(400, "InvalidParameterException", "no")]
        await agent.launch()
        assert await agent.ended() == 5
        backend.failures["RegisterContainerInstance"] = [(400, "AccessDeniedException", "no")]
        await agent.launch()
        assert await agent.ended() == 1
        await agent.start()
        assert await agent.terminate() == 0

    play(tmp_path, instance_arn, scenario)
