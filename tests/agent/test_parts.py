"""The small parts: ports, the host's queue, the state file, usage, the endpoint for people."""

import asyncio
import resource
import socket
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import aiohttp
import pytest

from awsorch.agent.assignment import Assignment, fresh_life
from awsorch.agent.host import Host, Needs
from awsorch.agent.introspection import Introspection
from awsorch.agent.metrics import AgentMetrics
from awsorch.agent.plan import names_for
from awsorch.agent.ports import Binding, NoPortError, Ports, Wanted, always_free, host_probe
from awsorch.agent.session import Registration, websocket_url
from awsorch.agent.settings import Settings
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.agent.state_file import Batch, SavedReport, StateFile, StateFileError
from awsorch.agent.usage import KernelUsage, NoUsage, Traffic, Usage
from tests.agent.tasks import a_task


class TestPorts:
    def dynamic(self, count: int = 1, protocol: str = "tcp") -> list[Wanted]:
        return [Wanted(container_port=80, protocol=protocol, count=count, is_range=count > 1)]

    def test_one_after_the_other_and_round_again(self) -> None:
        ports = Ports("0.0.0.0", (100, 102), always_free)
        given = [ports.take(self.dynamic())[0] for _ in range(3)]
        assert [each.host_port for each in given] == [100, 101, 102]
        ports.release([given[1]])
        assert ports.take(self.dynamic())[0].host_port == 101
        with pytest.raises(NoPortError, match="the range 100-102 does not have a free tcp port"):
            ports.take(self.dynamic())

    def test_tcp_and_udp_are_apart(self) -> None:
        ports = Ports("0.0.0.0", (100, 100), always_free)
        assert ports.take(self.dynamic())[0].host_port == ports.take(self.dynamic(protocol="udp"))[0].host_port

    def test_a_range_gets_a_block(self) -> None:
        ports = Ports("0.0.0.0", (100, 109), lambda port, _: port != 102)
        assert ports.take(self.dynamic(4))[0].host_port == 103

    def test_all_or_nothing(self) -> None:
        ports = Ports("0.0.0.0", (100, 101), always_free)
        with pytest.raises(NoPortError):
            ports.take(self.dynamic() * 3)
        assert len(ports.take(self.dynamic() * 2)) == 2

    def test_the_host_is_asked(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            assert not host_probe("127.0.0.1")(port, "tcp")
            assert host_probe("127.0.0.8")(port, "tcp"), "another address, another port"
            assert host_probe("127.0.0.1")(port, "udp")


class TestHost:
    def test_ports_and_memory_and_cpu(self) -> None:
        host = Host(1024, 1000, frozenset({(22, "tcp")}))
        for name, needs in {
            "fits": Needs(cpu=1000, memory=10),
            "no cpu": Needs(cpu=25),
        }.items():
            host.enqueue(name, needs)
        assert host.admit() == ["fits"]
        host.release("fits")
        assert host.admit() == ["no cpu"]
        host.enqueue("ssh", Needs(ports=frozenset({(22, "tcp")})))
        assert host.admit() == []
        host.release("ssh")
        host.enqueue("udp", Needs(ports=frozenset({(22, "udp")})))
        assert host.admit() == ["udp"]


class TestStateFile:
    def batch(self) -> Batch:
        task = a_task()
        life = fresh_life(task, names_for(task, lambda: "0f"), Settings())
        return Batch(
            arrived={task.arn: task},
            lives={task.arn: life},
            reports=[SavedReport(id=7, task=task.arn, body=b"{}", is_final=True)],
            facts={"a": "b"},
        )

    def test_everything_comes_back(self, tmp_path: Path) -> None:
        batch = self.batch()
        store = StateFile(tmp_path / "deep" / "agent.db")
        store.save(batch)
        store.close()
        saved = StateFile(tmp_path / "deep" / "agent.db").load()
        ((task, life),) = saved.tasks
        assert {task.arn: task} == batch.arrived
        assert {task.arn: life} == batch.lives
        assert list(saved.reports) == batch.reports
        assert saved.facts == {"a": "b"}
        store = StateFile(tmp_path / "deep" / "agent.db")
        store.save(Batch(forgotten={task.arn}, delivered={7}))
        assert store.load() == type(saved)(facts={"a": "b"})

    def test_a_full_disk_stores_nothing_and_recovers(self, tmp_path: Path) -> None:
        """The kernel's limit on the size of files stands in for the disk's."""
        store = StateFile(tmp_path / "agent.db")
        store.save(Batch(facts={"before": "x"}))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        large = Batch(facts={"large": "x" * 3_000_000, "small": "y"}, durable=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            with pytest.raises(StateFileError):
                store.save(large)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.load().facts == {"before": "x"}
        store.save(large)
        assert set(store.load().facts) == {"before", "large", "small"}

    def test_a_file_that_is_none_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "agent.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
        with pytest.raises(StateFileError, match=r"agent\.db"):
            StateFile(tmp_path / "agent.db")

    def test_it_is_locked_while_another_agent_writes(self, tmp_path: Path) -> None:
        store = StateFile(tmp_path / "agent.db")
        other = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        store._database.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(StateFileError, match="locked"):
            store.save(Batch(facts={"a": "b"}))
        other.execute("ROLLBACK")
        other.close()
        store.save(Batch(facts={"a": "b"}))


NET_DEV = """\
Inter-|   Receive                                             |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 9000      90    0    0    0     0          0         0  9000      90    0    0    0     0       0          0
  eth0:  100       2    1    4    0     0          0         0    50       6    5    8    0     0       0          0
  eth1: 1000      10    0    0    0     0          0         0   500       1    0    0    0     0       0          0
"""
RECEIVED = Traffic(bytes=1100, packets=12, errors=1, dropped=4)
SENT = Traffic(bytes=550, packets=7, errors=5, dropped=8)


class TestUsage:
    V1: ClassVar = {
        "cpuacct/docker/x/cpuacct.usage": "2500000000",
        "memory/docker/x/memory.usage_in_bytes": "3000",
        "memory/docker/x/memory.stat": "cache 1\ntotal_cache 1000\n",
    }
    V2: ClassVar = {
        "cgroup.controllers": "",
        "system.slice/docker-x.scope/memory.current": "3000\n",
        "system.slice/docker-x.scope/memory.stat": "anon 1\ninactive_file 1000\n",
        "system.slice/docker-x.scope/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
    }

    def write(self, folder: Path, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)

    def test_cgroups_version_1(self, tmp_path: Path) -> None:
        disks = "8:0 Read 10\n8:0 Write 20\n8:0 Async 30\n8:0 Total 30\n8:16 Read 1\n8:16 Write 2\nTotal 33\n"
        more = {
            "blkio/docker/x/blkio.throttle.io_service_bytes_recursive": disks,
            "memory/docker/x/cgroup.procs": "7\n8\n",
            "7/net/dev": NET_DEV,
        }
        self.write(tmp_path, self.V1 | more)
        usage = KernelUsage(tmp_path, tmp_path)
        assert usage.read("x") == Usage(
            cpu=2.5, memory=2000, bytes_read=11, bytes_written=22, received=RECEIVED, sent=SENT
        )
        assert usage.read("y") is None

    def test_cgroups_version_2(self, tmp_path: Path) -> None:
        more = {
            "system.slice/docker-x.scope/io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n",
            "system.slice/docker-x.scope/cgroup.procs": "7\n",
            "7/net/dev": NET_DEV,
        }
        self.write(tmp_path, self.V2 | more)
        usage = KernelUsage(tmp_path, tmp_path)
        assert usage.read("x") == Usage(
            cpu=2.5, memory=2000, bytes_read=11, bytes_written=22, received=RECEIVED, sent=SENT
        )
        assert usage.read("y") is None

    @pytest.mark.parametrize(
        "folder", ["ecs/x", "ecstasks.slice/docker-x.scope", "docker/x", "system.slice/docker-x.scope"]
    )
    def test_containers_are_found_wherever_engines_put_them(self, folder: str, tmp_path: Path) -> None:
        v1 = {path.replace("docker/x", folder): text for path, text in self.V1.items()}
        v2 = {path.replace("system.slice/docker-x.scope", folder): text for path, text in self.V2.items()}
        for name, files in (("1", v1), ("2", v2)):
            self.write(tmp_path / name, files)
            assert KernelUsage(tmp_path / name, tmp_path).read("x") == Usage(cpu=2.5, memory=2000)

    @pytest.mark.parametrize("files", [V1, V2])
    def test_what_the_kernel_does_not_count_is_left_out(self, files: dict[str, str], tmp_path: Path) -> None:
        self.write(tmp_path, files)
        assert KernelUsage(tmp_path, tmp_path).read("x") == Usage(cpu=2.5, memory=2000)

    @pytest.mark.parametrize(
        "odd",
        [
            {"system.slice/docker-x.scope/io.stat": "8:0 rbytes=many\n"},
            {"system.slice/docker-x.scope/memory.current": "max\n"},
            {"system.slice/docker-x.scope/memory.stat": "anon\n"},
            {"system.slice/docker-x.scope/cpu.stat": ""},
            {"system.slice/docker-x.scope/cgroup.procs": "7\n", "7/net/dev": "a\nb\neth0: 1 2\n"},
        ],
    )
    def test_files_of_another_form_are_no_figures(self, odd: dict[str, str], tmp_path: Path) -> None:
        self.write(tmp_path, self.V2 | odd)
        assert KernelUsage(tmp_path, tmp_path).read("x") is None


def test_websocket_urls() -> None:
    assert websocket_url("http://h:1/acs/", {"b": "x y", "a": "arn:1/2"}) == "http://h:1/acs/ws?a=arn%3A1%2F2&b=x%20y"
    with pytest.raises(ValueError, match="http:// or https://"):
        websocket_url("ws://h", {})


def test_the_introspection_endpoint() -> None:
    task = a_task()
    assignment = Assignment(task, fresh_life(task, names_for(task, lambda: "0f"), Settings()), Settings())
    assignment.bindings["app"] = (Binding(container_port=80, host_port=32768, protocol="tcp", bind_ip="0.0.0.0"),)
    registration = Registration(cluster="c1", instance_arn="arn:i", zone_id="", docker_version="20")

    async def scenario() -> None:
        tasks = {task.arn: assignment}
        endpoint = Introspection(registration, tasks, SimulatedEngine(), AgentMetrics(registration, tasks, NoUsage()))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        await endpoint.start("127.0.0.1", port)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            async with http.get("/v1/metadata") as answer:
                assert (await answer.json())["ContainerInstanceArn"] == "arn:i"
            async with http.get("/v1/tasks") as answer:
                (view,) = (await answer.json())["Tasks"]
            assert (view["Arn"], view["KnownStatus"], view["DesiredStatus"]) == (task.arn, "NONE", "RUNNING")
            assert view["Containers"][0]["DockerName"] == "ecs-web-7-app-0f"
            async with http.get("/v1/tasks", params={"taskarn": task.arn}) as answer:
                assert await answer.json() == view
            async with http.get("/v1/tasks", params={"taskarn": "arn:none"}) as answer:
                assert answer.status == 404
            async with http.get("/v1/tasks", params={"taskarn": "a", "dockerid": "b"}) as answer:
                assert answer.status == 400
            async with http.get("/metrics") as answer:
                assert answer.content_type == "text/plain"
                assert 'awsorch_agent_tasks{status="NONE"} 1.0' in await answer.text()
            async with http.get("/") as answer:
                assert "/v1/tasks" in (await answer.json())["AvailableCommands"]
        await endpoint.close()

    asyncio.run(scenario())
