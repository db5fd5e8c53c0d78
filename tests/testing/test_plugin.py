"""The pytest plug-in, in sessions of its own: the suite of docs/testing.md, under xdist, killed, set wrongly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from awsorch.local.data_folder import DataFolder
from awsorch.testing.containers import ContainerScripts, Run
from tests.e2e.conftest import until

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "testing.md"


def suite(folder: Path) -> Path:
    """The files of the document."""
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert [name for name, _ in blocks] == ["conftest.py", "test_deployment.py", "test_stack.py"]
    for name, text in blocks:
        (folder / name).write_text(text)
    return folder


def session(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AWS"))}
    return subprocess.Popen(
        (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp"), *arguments),
        cwd=folder,
        env={**told, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=180)
    return output


def test_the_suite_of_the_document_passes_on_two_workers(tmp_path: Path) -> None:
    developers = {"AWS_PROFILE": "a-developer-s-own", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    process = session(suite(tmp_path), "-n", "2", "--dist", "loadfile", **developers)
    output = ended(process)
    assert (process.returncode, "6 passed" in output) == (0, True), output
    clouds = list(tmp_path.glob("tmp/**/cloud"))
    assert [DataFolder(each).owner() for each in clouds] == [None, None], "one a worker, and they have ended"


def test_a_session_that_is_killed_leaves_no_cloud(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import time\ndef test_it(ecs_client):\n    print('it is there', flush=True)\n    time.sleep(600)\n"
    )
    process = session(tmp_path, "-s")
    assert process.stdout is not None
    until("the cloud is there", lambda: "it is there" in process.stdout.readline(), 90)
    (cloud,) = tmp_path.glob("tmp/**/cloud")
    assert DataFolder(cloud).owner() is not None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until("the cloud has ended", lambda: DataFolder(cloud).owner() is None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("awsorch_engine = podman", "awsorch_engine should be one of simulated, docker"),
        ("awsorch_instances = many", "awsorch_instances a number"),
    ],
)
def test_wrong_settings_are_named(settings: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{settings}\n")
    (tmp_path / "test_it.py").write_text("def test_it(ecs_client):\n    pass\n")
    process = session(tmp_path)
    assert (said in ended(process), process.returncode) == (True, 1)


def test_what_the_cloud_can_t_do_without_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(ecs_client):\n    pass\n")
    process = session(tmp_path, "--awsorch-engine", "docker", DOCKER_HOST="unix:///nowhere.sock")
    output = ended(process)
    assert process.returncode == 1
    assert re.search(r"awsorch: .*Docker", output), output


def test_real_containers(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def test_it(ecs_client):\n"
        "    container = {'name': 'a', 'image': 'awsorch/busybox:latest', 'memory': 16}\n"
        "    container['command'] = ['sh', '-c', 'exit 7']\n"
        "    ecs_client.register_task_definition(family='real', containerDefinitions=[container])\n"
        "    (task,) = ecs_client.run_task(taskDefinition='real')['tasks']\n"
        "    ecs_client.get_waiter('tasks_stopped').wait(tasks=[task['taskArn']])\n"
        "    (task,) = ecs_client.describe_tasks(tasks=[task['taskArn']])['tasks']\n"
        "    assert task['containers'][0]['exitCode'] == 7\n"
        "    assert len(task['containers'][0]['runtimeId']) == 64\n"
    )
    process = session(tmp_path, "--awsorch-engine", "docker")
    output = ended(process)
    assert (process.returncode, "1 passed" in output) == (0, True), output


def test_a_session_that_needs_nothing_of_it_imports_nothing() -> None:
    loaded = "import awsorch.testing.plugin, sys; print(*(name for name in sys.modules))"
    done = subprocess.run((sys.executable, "-c", loaded), capture_output=True, text=True, check=True)
    names = {name.partition(".")[0] for name in done.stdout.split()}
    assert not names & {"aiohttp", "aiobotocore", "boto3", "botocore", "docker", "moto", "yaml"}


def test_what_a_simulated_container_can_t_do_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    scripts = ContainerScripts(tmp_path)
    with pytest.raises(ValueError, match=r"can't have \| or a line's end in it"):
        scripts.script("image", logs=["a|b"])
    with pytest.raises(ValueError, match="exit_code 1 needs seconds"):
        scripts.script("image", exit_code=1)
    with pytest.raises(TypeError, match="give runs, or the members of one, not both"):
        scripts.script("image", Run(), seconds=1)
