"""User data run for real: in a mount namespace over this machine's files it installs the agent from a wheel of this
tree, and the agent, started as its unit says, joins a controller.

Needs root, as installing does. Only the distribution's package manager and systemd are stood in for: what they are
asked is looked at.
"""

from __future__ import annotations

import asyncio
import http.server
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from awsorch.local.imds import Identity, MetadataService
from awsorch.local.instances import LocalInstance
from tests.e2e.conftest import ROOT, run_awsorch, until
from tests.support.served_app import OPERATOR, ServedApp, served_app

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]
UNIT = "/etc/systemd/system/awsorch-agent.service"
CHANGED = ("etc", "opt", "var/lib")
"""What user data may write below, seen through an overlay."""
STAND_IN = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$(basename "$0") $*" in
  "systemctl cat ecs.service") test -n "$OFFICIAL_AGENT" ;;
esac
"""


class Machine:
    """A machine whose changes are kept in a folder, with a package manager and an init that only note what they are
    asked."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self.calls_file = folder / "calls"
        for place in CHANGED:
            for part in ("upper", "work"):
                (folder / part / place).mkdir(parents=True)
        programs = folder / "bin"
        programs.mkdir()
        for name in ("dnf", "apt-get", "systemctl"):
            (programs / name).write_text(STAND_IN)
            (programs / name).chmod(0o755)
        for name in ("python3", "python3.11"):
            (programs / name).symlink_to(Path(sys.executable).resolve())
        path = f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {"PATH": path, "CALLS": str(self.calls_file), **environment}

    def file(self, path: str) -> Path:
        """Where a file that was written on the machine is to be found."""
        return self._folder / "upper" / path.lstrip("/")

    def command(self, *words: str) -> tuple[str, ...]:
        """What runs a command on the machine."""
        mounts = [
            f"mount -t overlay machine /{place} -o "
            f"lowerdir=/{place},upperdir={self._folder}/upper/{place},workdir={self._folder}/work/{place}"
            for place in CHANGED
        ]
        return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join([*mounts, shlex.join(words)]))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()

    def unit(self) -> dict[str, list[str]]:
        """The unit's settings by name, as often as they are there."""
        found: dict[str, list[str]] = {}
        for line in self.file(UNIT).read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found.setdefault(name, []).append(value)
        return found

    def unit_environment(self) -> dict[str, str]:
        """What systemd would give the agent."""
        settings = [shlex.split(each)[0] for each in self.unit()["Environment"]]
        settings += self.file("/etc/ecs/ecs.config").read_text().splitlines()
        return dict(each.split("=", 1) for each in settings)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "awsorch", source / "awsorch", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    subprocess.run((sys.executable, "-m", "pip", *build), check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What awsorch needs, without awsorch: so that pip finds all but the wheel there already, and asks no index."""
    folder = tmp_path_factory.mktemp("libraries")
    for each in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "awsorch" not in each.name and not each.name.endswith(".pth"):
            (folder / each.name).symlink_to(each)
    return folder


@pytest.fixture
def machine(tmp_path: Path, libraries: Path) -> Machine:
    return Machine(tmp_path / "machine", PYTHONPATH=str(libraries), PIP_NO_INDEX="1", PIP_ROOT_USER_ACTION="ignore")


def userdata(*arguments: str) -> str:
    printed = run_awsorch("userdata", "--cluster", "prod", *arguments)
    assert printed.returncode == 0, printed.stderr
    return printed.stdout


def an_instance() -> LocalInstance:
    return LocalInstance(
        id="i-0123456789abcdef0",
        index=1,
        address="127.83.1.9",
        zone="us-east-1a",
        zone_id="use1-az1",
        instance_type="t3.medium",
        cpu=2048,
        memory=3800,
        image_id="ami-1",
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        user_data="",
        cluster="prod",
        launched_at=1.0,
        own=False,
    )


@contextmanager
def metadata() -> Iterator[str]:
    """An instance's metadata service, as IMDSv2 has it, with a role whose keys are the operator's."""
    loop = asyncio.new_event_loop()
    identity = Identity(
        account_id="123456789012",
        region="us-east-1",
        access_key_id=OPERATOR[0],
        secret_access_key=OPERATOR[1],
        secret="s",
    )
    service, instance = MetadataService(identity, port=16999), an_instance()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(service.serve(instance), loop).result(10)
    try:
        yield service.endpoint(instance)
    finally:
        asyncio.run_coroutine_threadsafe(service.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_it_installs_the_agent_which_joins_and_does_so_again(machine: Machine, wheel: Path, tmp_path: Path) -> None:
    with served_app(tmp_path / "controller") as served, metadata() as endpoint:
        served.ecs.create_cluster(clusterName="prod")
        script = tmp_path / "user-data.sh"
        script.write_text(
            userdata(
                *("--endpoint", served.url, "--format", "shell", "--package", str(wheel), "--attributes", "rack=a1"),
                *("--set", "AWSORCH_INTROSPECTION_PORT=0", "--set", "AWSORCH_TASK_ENDPOINT_PORT=0"),
                # This machine's firewall is not the test's to change.
                *("--set", "ECS_ENABLE_TASK_IAM_ROLE=false", "--set", "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST=false"),
            )
        )
        for _ in range(2):
            done = machine.run("bash", str(script))
            assert done.returncode == 0, done.stderr
        once = [
            *("systemctl daemon-reload", "systemctl cat ecs.service", "systemctl enable --now docker.service"),
            *("systemctl enable awsorch-agent.service", "systemctl restart awsorch-agent.service"),
        ]
        assert [each for each in machine.calls() if each.startswith("systemctl")] == once * 2
        assert {each for each in machine.calls() if not each.startswith("systemctl")} == {
            "dnf install -y -q python3.11"
        }
        verified = machine.run("systemd-analyze", "verify", "--man=no", UNIT)
        assert verified.returncode == 0, verified.stderr
        assert "awsorch-agent" not in verified.stdout + verified.stderr, verified.stderr
        (start,) = machine.unit()["ExecStart"]
        environment = {
            **machine.environment,
            **machine.unit_environment(),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint,
        }
        agent = subprocess.Popen(machine.command("exec", *start.split()), env=environment)
        try:
            until("the instance is there", lambda: [each["agentConnected"] for each in instances(served)] == [True])
            (instance,) = instances(served)
        finally:
            agent.terminate()
            assert agent.wait(20) == 0
    attributes = {each["name"]: each.get("value") for each in instance["attributes"]}
    assert instance["ec2InstanceId"] == "i-0123456789abcdef0"
    assert (attributes["rack"], attributes["ecs.instance-type"]) == ("a1", "t3.medium")
    assert "com.amazonaws.ecs.capability.logging-driver.syslog" in attributes
    assert machine.file("/var/lib/ecs/agent.db").exists()


def instances(served: ServedApp) -> list[dict[str, Any]]:
    arns = served.ecs.list_container_instances(cluster="prod")["containerInstanceArns"]
    if not arns:
        return []
    answer = served.ecs.describe_container_instances(cluster="prod", containerInstances=arns)
    return list(answer["containerInstances"])


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """S3, as far as a download goes; the folder's folders are its buckets."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_ubuntu_takes_its_files_from_cloud_init_and_the_wheel_from_s3(
    machine: Machine, wheel: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load(
        userdata(
            "--endpoint",
            "https://ecs.example.com",
            "--os",
            "ubuntu",
            "--package",
            f"s3://{wheel.parent.name}/{wheel.name}",
        )
    )
    for file in config["write_files"]:
        path = machine.file(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"])
        path.chmod(int(file["permissions"], 8))
    # Cut off while the environment was made.
    machine.file("/opt/awsorch/bin").mkdir(parents=True)
    machine.file("/opt/awsorch/bin/python").symlink_to("/nowhere")
    with bucket(wheel.parent.parent) as url:
        keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
        machine.environment |= {"AWS_ENDPOINT_URL_S3": url, "OFFICIAL_AGENT": "1", **keys}
        (command,) = config["runcmd"]
        done = machine.run(*command)
    assert done.returncode == 0, done.stderr
    installed = machine.calls()[:2]
    assert installed[0] == "apt-get update -qq"
    assert installed[1].startswith("apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 python3 ")
    assert "systemctl mask --now ecs.service" in machine.calls()
    said = machine.run("/opt/awsorch/bin/awsorch-agent", "--version")
    assert (said.returncode, said.stderr) == (0, "")
    assert machine.unit_environment()["ECS_CLUSTER"] == "prod"


def test_what_fails_is_tried_again_and_then_said(machine: Machine, tmp_path: Path) -> None:
    script = tmp_path / "user-data.sh"
    script.write_text(
        userdata("--endpoint", "https://ecs.example.com", "--format", "shell", "--package", "/no/such.whl")
    )
    sleep = tmp_path / "machine" / "bin" / "sleep"
    sleep.write_text(STAND_IN)
    sleep.chmod(0o755)
    done = machine.run("bash", str(script))
    assert done.returncode == 1
    assert "/no/such.whl" in done.stderr
    assert [each for each in machine.calls() if each.startswith("sleep")] == [f"sleep {2**n}" for n in range(1, 6)]
    assert not any(each.startswith("systemctl") for each in machine.calls())
