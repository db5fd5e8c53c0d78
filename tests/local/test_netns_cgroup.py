"""The cgroup of a local host's engine, on folders that are laid out as the kernel's are."""

from __future__ import annotations

from pathlib import Path

from awsorch.local.netns_cgroup import seat_engine


def version_1(root: Path) -> Path:
    for controller in ("cpu", "cpuset"):
        (root / controller).mkdir()
    (root / "cpuset" / "cpuset.mems").write_text("0-1\n")
    return root


def version_2(root: Path) -> Path:
    (root / "cgroup.controllers").write_text("cpuset cpu memory\n")
    return root


def test_leaves_the_first_cpu_alone(tmp_path: Path) -> None:
    root = version_1(tmp_path)

    assert seat_engine("engine", root=root, cpus=(6, 2, 4)) == [
        root / "cpu" / "engine" / "cgroup.procs",
        root / "cpuset" / "engine" / "cgroup.procs",
    ]

    assert (root / "cpu" / "engine" / "cpu.shares").read_text() == "1024"
    assert (root / "cpuset" / "engine" / "cpuset.cpus").read_text() == "4,6"
    assert (root / "cpuset" / "engine" / "cpuset.mems").read_text() == "0-1\n"


def test_is_one_folder_in_version_2(tmp_path: Path) -> None:
    root = version_2(tmp_path)

    assert seat_engine("engine", root=root, cpus=(0, 1)) == [root / "engine" / "cgroup.procs"]

    assert (root / "engine" / "cpu.weight").read_text() == "100"
    assert (root / "engine" / "cpuset.cpus").read_text() == "1"


def test_an_only_cpu_is_shared(tmp_path: Path) -> None:
    root = version_1(tmp_path)

    assert seat_engine("engine", root=root, cpus=(0,)) == [root / "cpu" / "engine" / "cgroup.procs"]
