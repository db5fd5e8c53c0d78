"""The kernel's files read into Docker's shape: beside what the engine itself says, and files of both versions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from awsorch.agent.kernel_stats import TICK, KernelStats

AT = 1_700_000_000_123_456_789
PROC = {
    "stat": "cpu  10 0 10 100 0 0 0 0 5 0\ncpu0 5 0 5 50 0 0 0 0 0 0\ncpu1 5 0 5 50 0 0 0 0 0 0\nintr 1\n",
    "meminfo": "MemTotal:  1000 kB\nMemFree: 1 kB\n",
    "7/net/dev": "Inter-|\n face |\n  lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\neth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n",
}
SCOPE = "system.slice/docker-x.scope"
V2 = {
    "cgroup.controllers": "cpu io memory pids\n",
    f"{SCOPE}/cpu.stat": "usage_usec 300\nuser_usec 200\nsystem_usec 100\n"
    "nr_periods 4\nnr_throttled 2\nthrottled_usec 9\n",
    f"{SCOPE}/memory.current": "5000\n",
    f"{SCOPE}/memory.max": "max\n",
    f"{SCOPE}/memory.stat": "anon 1\ninactive_file 2\n",
    f"{SCOPE}/io.stat": "8:0 rbytes=4096 wbytes=512 rios=1 wios=1\n",
    f"{SCOPE}/pids.current": "3\n",
    f"{SCOPE}/pids.max": "max\n",
    f"{SCOPE}/cgroup.procs": "7\n9\n",
}
V1 = {
    "cpuacct/docker/x/cpuacct.usage": "300000\n",
    "cpuacct/docker/x/cpuacct.usage_percpu": "100000 200000\n",
    "cpuacct/docker/x/cpuacct.stat": "user 2\nsystem 1\n",
    "cpu/docker/x/cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 9000\n",
    "memory/docker/x/memory.usage_in_bytes": "5000\n",
    "memory/docker/x/memory.max_usage_in_bytes": "6000\n",
    "memory/docker/x/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/docker/x/memory.stat": "cache 1\n",
    "memory/docker/x/cgroup.procs": "7\n",
    "blkio/docker/x/blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 512\nTotal 4608\n",
    "pids/docker/x/pids.current": "3\n",
    "pids/docker/x/pids.max": "100\n",
}


def read(folder: Path, files: dict[str, str], *, network: str = "net:[2]") -> Any:
    for name, text in {**PROC, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for process, namespace in (("7", network), ("self", "net:[1]")):
        (folder / process / "ns").mkdir(parents=True)
        os.symlink(namespace, folder / process / "ns/net")
    return KernelStats(folder, folder, lambda: AT).read("x", "web")


def test_version_2(tmp_path: Path) -> None:
    found = read(tmp_path, V2)
    assert (found["id"], found["name"], found["read"]) == ("x", "/web", "2023-11-14T22:13:20.123456789Z")
    assert found["cpu_stats"] == {
        "cpu_usage": {"total_usage": 300_000, "usage_in_kernelmode": 100_000, "usage_in_usermode": 200_000},
        "system_cpu_usage": 120 * TICK,
        "online_cpus": 2,
        "throttling_data": {"periods": 4, "throttled_periods": 2, "throttled_time": 9000},
    }
    assert found["memory_stats"] == {"usage": 5000, "stats": {"anon": 1, "inactive_file": 2}, "limit": 1_024_000}
    assert found["pids_stats"] == {"current": 3}
    assert found["blkio_stats"]["io_service_bytes_recursive"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 4096},
        {"major": 8, "minor": 0, "op": "write", "value": 512},
    ]
    assert found["networks"] == {
        "eth0": {"rx_bytes": 1, "rx_packets": 2, "rx_errors": 3, "rx_dropped": 4}
        | {"tx_bytes": 5, "tx_packets": 6, "tx_errors": 7, "tx_dropped": 8}
    }


def test_version_1(tmp_path: Path) -> None:
    found = read(tmp_path, V1)
    assert found["cpu_stats"]["cpu_usage"] == {
        "total_usage": 300_000,
        "percpu_usage": [100_000, 200_000],
        "usage_in_kernelmode": TICK,
        "usage_in_usermode": 2 * TICK,
    }
    assert found["cpu_stats"]["throttling_data"]["throttled_time"] == 9000
    assert found["memory_stats"] == {"usage": 5000, "max_usage": 6000, "stats": {"cache": 1}, "limit": 1_024_000}
    assert found["pids_stats"] == {"current": 3, "limit": 100}
    assert [each["op"] for each in found["blkio_stats"]["io_service_bytes_recursive"]] == ["Read", "Write"]
    assert found["networks"]["eth0"]["tx_bytes"] == 5


@pytest.mark.parametrize("files", [V1, V2])
def test_a_container_in_the_host_s_network_has_none_of_its_own(files: dict[str, str], tmp_path: Path) -> None:
    assert "networks" not in read(tmp_path, files, network="net:[1]")


def test_of_a_container_that_the_kernel_does_not_know_nothing_is_said(tmp_path: Path) -> None:
    assert read(tmp_path, {"cgroup.controllers": ""}) is None


def test_files_of_another_form_say_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, V2 | {f"{SCOPE}/memory.current": "much\n"}) is None


@pytest.mark.docker
def test_the_kernel_says_what_the_engine_says(docker: APIClient, image: str) -> None:
    made = docker.create_container(image, ["sleep", "3600"], stop_signal="SIGKILL")
    try:
        docker.start(made["Id"])
        engine = docker.stats(made["Id"], stream=False)
        found = KernelStats().read(made["Id"], engine["name"].lstrip("/"))
        assert found is not None
        assert set(engine) - set(found) <= {"preread", "precpu_stats"}
        for part in ("cpu_stats", "memory_stats", "pids_stats", "blkio_stats"):
            assert set(engine[part]) == set(found[part])
        assert set(engine["memory_stats"]["stats"]) <= set(found["memory_stats"]["stats"])
        assert found["memory_stats"]["limit"] == engine["memory_stats"]["limit"]
        assert found["networks"].keys() == engine["networks"].keys()
        assert found["cpu_stats"]["online_cpus"] == engine["cpu_stats"]["online_cpus"]
        used, of_it = found["cpu_stats"]["system_cpu_usage"], engine["cpu_stats"]["system_cpu_usage"]
        assert 0 <= used - of_it < 60e9
    finally:
        docker.remove_container(made["Id"], force=True)
