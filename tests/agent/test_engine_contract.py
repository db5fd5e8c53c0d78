"""What every engine promises, tried on the simulated one and on Docker."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from awsorch.agent.docker_engine import DockerEngine
from awsorch.agent.engine import (
    INSTANCE_LABEL,
    CannotCreateContainerError,
    CannotPullContainerError,
    Connected,
    CreateArguments,
    Engine,
    GoneError,
    Occurrence,
    VolumeArguments,
)
from awsorch.agent.pause import IMAGE, image_archive
from awsorch.agent.settings import EngineSettings
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.agent.states import Health

PATIENCE = 20.0


class Bench:
    """An engine on trial: containers in the way both kinds understand, and what the engine said."""

    def __init__(self, engine: Engine, image: str, labels: dict[str, str]) -> None:
        self.engine = engine
        self.labels = labels
        self.seen: list[Occurrence | Connected] = []
        self.image = image
        self._changed = asyncio.Event()

    def watch(self) -> None:
        self.engine.watch(self.labels, self._see)

    def _see(self, what: Occurrence | Connected) -> None:
        self.seen.append(what)
        self._changed.set()

    def arguments(self, command: str, simulated: str, **body: Any) -> CreateArguments:
        """A shell command, and what a simulated container does instead ("NAME=value NAME=value")."""
        config = {
            "Image": self.image,
            "Cmd": ["sh", "-c", command],
            "Env": simulated.split(),
            "Labels": self.labels,
            "HostConfig": {"NetworkMode": "none"},
        }
        return CreateArguments(name=f"contract-{uuid.uuid4().hex}", body={**config, **body})

    async def until(self, what: str, number: int = 1) -> Occurrence:
        """The `number`-th occurrence of this kind."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [each for each in self.seen if isinstance(each, Occurrence) and each.what == what]
                if len(found) >= number:
                    return found[number - 1]
                self._changed.clear()
                await self._changed.wait()

    async def until_connected(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(isinstance(each, Connected) for each in self.seen):
                self._changed.clear()
                await self._changed.wait()


Try = Callable[[Callable[[Bench], Awaitable[None]]], None]


@pytest.fixture(params=["simulated", pytest.param("docker", marks=pytest.mark.docker)])
def attempt(request: pytest.FixtureRequest) -> Try:
    is_real = request.param == "docker"
    arn = request.getfixturevalue("instance_arn") if is_real else "arn:simulated"
    image = request.getfixturevalue("image") if is_real else "simulated"

    def run(scenario: Callable[[Bench], Awaitable[None]]) -> None:
        async def whole() -> None:
            engine: Engine = DockerEngine(EngineSettings()) if is_real else SimulatedEngine(images=[image])
            if isinstance(engine, SimulatedEngine):
                engine.missing_images.add("nobody/nothing:never")
            try:
                await scenario(Bench(engine, image, {INSTANCE_LABEL: arn}))
            finally:
                await engine.close()

        asyncio.run(whole())

    return run


def test_the_host_has_an_address_on_the_bridge(attempt: Try) -> None:
    """Whoever listens there is on this host."""

    async def scenario(bench: Bench) -> None:
        address = (await bench.engine.facts()).bridge_address
        server = await asyncio.start_server(lambda *_: None, address, 0)
        server.close()
        await server.wait_closed()

    attempt(scenario)


def test_create_start_die(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        bench.watch()
        await bench.until_connected()
        arguments = bench.arguments("exit 3", "SIMULATED_RUN_SECONDS=0.01 SIMULATED_EXIT_CODE=3")
        docker_id = await bench.engine.create(arguments)
        created = await bench.engine.inspect(docker_id)
        assert created is not None
        assert (created.status, created.started_at, created.name) == ("created", None, arguments.name)
        await bench.engine.start(docker_id)
        started, died = await bench.until("start"), await bench.until("die")
        assert (started.id, died.id, died.exit_code) == (docker_id, docker_id, 3)
        assert started.at <= died.at
        assert died.labels.items() >= bench.labels.items()
        found = await bench.engine.inspect(docker_id)
        assert found is not None
        assert (found.status, found.exit_code, found.is_running) == ("exited", 3, False)
        assert found.started_at is not None
        assert found.finished_at is not None
        # Docker notes the start after the fact: a container that ends at once may end a little before it started.
        assert found.started_at <= found.finished_at + 0.5

    attempt(scenario)


def test_a_container_is_described_as_docker_does(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        arguments = bench.arguments("sleep 60", "COLOUR=blue")
        docker_id = await bench.engine.create(arguments)
        await bench.engine.start(docker_id)
        found = await bench.engine.describe(docker_id)
        assert found is not None
        assert (found["Id"], found["Name"]) == (docker_id, f"/{arguments.name}")
        assert found["State"]["Status"] == "running"
        assert found["Config"]["Labels"].items() >= bench.labels.items()
        assert "COLOUR=blue" in found["Config"]["Env"]
        await bench.engine.kill(docker_id)
        await bench.engine.remove(docker_id)
        assert await bench.engine.describe(docker_id) is None

    attempt(scenario)


def test_what_it_prints_is_told_with_times_and_may_be_taken_up_again(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        bench.watch()
        await bench.until_connected()
        simulated = "SIMULATED_PRINTS=one|two SIMULATED_RUN_SECONDS=0"
        container = await bench.engine.create(bench.arguments("echo one; echo two", simulated))
        await bench.engine.start(container)
        await bench.until("die")
        told = [each async for each in bench.engine.logs(container, 0)]
        assert [said for _, said in told] == [b"one\n", b"two\n"]
        assert told[0][0] < told[1][0]
        assert [said async for _, said in bench.engine.logs(container, told[0][0])] == [b"two\n"]
        with pytest.raises(GoneError):
            [each async for each in bench.engine.logs("no-such-container", 0)]

    attempt(scenario)


def test_what_a_container_uses_is_told_as_docker_does_while_it_runs(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        arguments = bench.arguments("sleep 60", "", HostConfig={"NetworkMode": "bridge"})
        docker_id = await bench.engine.create(arguments)
        assert await bench.engine.stats(docker_id) is None
        await bench.engine.start(docker_id)
        found = await bench.engine.stats(docker_id)
        assert found is not None
        assert (found["id"], found["name"]) == (docker_id, f"/{arguments.name}")
        assert datetime.fromisoformat(found["read"][:19]).year > 2000
        assert found["cpu_stats"]["cpu_usage"]["total_usage"] >= 0
        assert found["cpu_stats"]["online_cpus"] >= 1
        assert 0 < found["memory_stats"]["usage"] < found["memory_stats"]["limit"]
        assert found["networks"]["eth0"].keys() >= {"rx_bytes", "tx_bytes"}
        await bench.engine.kill(docker_id)
        await bench.engine.remove(docker_id)
        assert await bench.engine.stats(docker_id) is None

    attempt(scenario)


def test_creating_it_again_answers_the_same_container(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        arguments = bench.arguments("exit 0", "")
        first = await bench.engine.create(arguments)
        assert await bench.engine.create(arguments) == first

    attempt(scenario)


def test_a_name_that_another_container_has_is_refused(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        arguments = bench.arguments("exit 0", "")
        await bench.engine.create(arguments)
        other = CreateArguments(name=arguments.name, body={**arguments.body, "Labels": {"a": "b"}})
        with pytest.raises(CannotCreateContainerError, match="Conflict") as caught:
            await bench.engine.create(other)
        assert not caught.value.image_missing

    attempt(scenario)


def test_a_missing_image_is_told_apart(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        arguments = bench.arguments("exit 0", "", Image="nobody/nothing:never")
        with pytest.raises(CannotCreateContainerError) as caught:
            await bench.engine.create(arguments)
        assert caught.value.image_missing
        assert str(caught.value).startswith("CannotCreateContainerError: Error response from daemon: No such image")
        assert await bench.engine.inspect_image("nobody/nothing:never") is None
        with pytest.raises(CannotPullContainerError):
            await bench.engine.pull("nobody/nothing:never", None)

    attempt(scenario)


def test_an_image_can_be_brought_along(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.engine.load_image(image_archive())
        await bench.engine.load_image(image_archive())
        assert await bench.engine.inspect_image(IMAGE) is not None

    attempt(scenario)


def test_starting_what_runs_is_no_error_and_no_second_start(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        bench.watch()
        await bench.until_connected()
        docker_id = await bench.engine.create(bench.arguments("sleep 60", ""))
        await bench.engine.start(docker_id)
        await bench.engine.start(docker_id)
        await bench.engine.kill(docker_id)
        await bench.until("die")
        assert len([each for each in bench.seen if isinstance(each, Occurrence) and each.what == "start"]) == 1

    attempt(scenario)


def test_terminate_and_kill(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        bench.watch()
        await bench.until_connected()
        stubborn = await bench.engine.create(
            bench.arguments("trap '' TERM; while true; do sleep 1; done", "SIMULATED_STOP=ignore")
        )
        await bench.engine.start(stubborn)
        assert await bench.engine.terminate(stubborn)
        facts = await bench.engine.inspect(stubborn)
        assert facts is not None
        assert facts.is_running
        assert await bench.engine.kill(stubborn)
        assert (await bench.until("die")).exit_code == 137
        assert not await bench.engine.kill(stubborn)
        assert not await bench.engine.terminate(stubborn)

    attempt(scenario)


def test_the_stop_signal_is_the_container_s_own(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        bench.watch()
        await bench.until_connected()
        polite = await bench.engine.create(
            bench.arguments("trap 'exit 143' USR1; echo ready; while true; do sleep 0.1; done", "", StopSignal="USR1")
        )
        await bench.engine.start(polite)
        while not any(isinstance(each, Occurrence) and each.what == "die" for each in bench.seen):
            await bench.engine.terminate(polite)  # again: it may not have set its trap yet
            await asyncio.sleep(0.05)
        assert (await bench.until("die")).exit_code in (143, 138)

    attempt(scenario)


def test_remove_is_told_and_may_be_repeated(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        bench.watch()
        await bench.until_connected()
        docker_id = await bench.engine.create(bench.arguments("sleep 60", ""))
        await bench.engine.start(docker_id)
        await bench.engine.remove(docker_id)
        assert (await bench.until("destroy")).id == docker_id
        assert (await bench.until("die")).exit_code == 137
        await bench.engine.remove(docker_id)
        assert await bench.engine.inspect(docker_id) is None
        assert not await bench.engine.kill(docker_id)
        assert not await bench.engine.terminate(docker_id)

    attempt(scenario)


def test_others_containers_are_not_seen(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        mine = await bench.engine.create(bench.arguments("sleep 60", ""))
        other_labels = {**bench.labels, "com.amazonaws.ecs.container-name": "other"}
        other = await bench.engine.create(bench.arguments("sleep 60", "", Labels=other_labels))
        assert set(await bench.engine.find(bench.labels)) == {mine, other}
        assert await bench.engine.find(other_labels) == [other]
        assert await bench.engine.find({INSTANCE_LABEL: "nobody"}) == []
        bench.labels = other_labels
        bench.watch()
        await bench.until_connected()
        await bench.engine.start(mine)
        await bench.engine.start(other)
        assert (await bench.until("start")).id == other

    attempt(scenario)


def test_health(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        bench.watch()
        await bench.until_connected()
        check = {"Test": ["CMD-SHELL", "true"], "Interval": 1_000_000_000, "Timeout": 1_000_000_000, "Retries": 1}
        docker_id = await bench.engine.create(
            bench.arguments("sleep 60", "SIMULATED_HEALTH=healthy", Healthcheck=check)
        )
        await bench.engine.start(docker_id)
        assert (await bench.until("health")).health is Health.HEALTHY
        facts = await bench.engine.inspect(docker_id)
        assert facts is not None
        assert facts.health is Health.HEALTHY

    attempt(scenario)


def test_images_are_listed_with_their_age(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        one = await bench.engine.inspect_image(bench.image)
        assert one is not None
        (listed,) = [each for each in await bench.engine.list_images() if each.id == one.id]
        assert set(listed.names) == set(one.names)
        assert listed.created_at is not None
        assert listed.created_at <= time.time()

    attempt(scenario)


def test_all_containers_are_found_whoever_made_them(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        docker_id = await bench.engine.create(bench.arguments("exit 0", ""))
        assert docker_id in await bench.engine.find({})

    attempt(scenario)


def test_volumes(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        name = f"contract-{uuid.uuid4().hex}"
        assert not await bench.engine.has_volume(name)
        for _ in range(2):
            await bench.engine.create_volume(VolumeArguments(name=name, labels={"a": "b"}))
            assert await bench.engine.has_volume(name)
        for _ in range(2):
            await bench.engine.remove_volume(name)
            assert not await bench.engine.has_volume(name)

    attempt(scenario)


def test_facts(attempt: Try) -> None:
    async def scenario(bench: Bench) -> None:
        facts = await bench.engine.facts()
        assert facts.cpus >= 1
        assert facts.memory > 100
        assert facts.api_version.startswith("1.")
        assert "json-file" in facts.log_drivers
        assert "local" in facts.volume_plugins
        await bench.engine.ping()

    attempt(scenario)
