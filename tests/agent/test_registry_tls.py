"""Private images of a real registry, with TLS and a login, on the real Docker Engine.

Source: ECS developer guide, "Using non-AWS container images in Amazon ECS", "CannotPullContainer task errors".
"""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from ssl import create_default_context

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from docker import APIClient
from docker.errors import APIError

from awsorch.agent.docker_facts import bridge_address
from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.tasks import a_task
from tests.agent.test_docker_agent import shell
from tests.agent.test_inputs import ROLE, SECRET
from tests.agent.test_registry_login import AUTHENTICATION, secrets_manager

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

TRUSTED = Path("/etc/docker/certs.d")
"""Where the engine looks for authorities, by registry."""
LOGIN = {"username": "team", "password": "right"}
CONFIGURATION = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "{host}", tls: {{certificate: {folder}/registry.crt, key: {folder}/registry.key}}}}
auth: {{htpasswd: {{realm: team, path: {folder}/htpasswd}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A registry that runs: its host and port, and the folder with its certificate."""

    host: str
    folder: Path

    @property
    def trusted(self) -> Path:
        return TRUSTED / self.host

    def trust(self) -> None:
        """Have the engine trust it from now on: it reads the file at each pull."""
        self.trusted.mkdir(parents=True)
        shutil.copy(self.folder / "registry.crt", self.trusted / "ca.crt")


@pytest.fixture
def registry(tmp_path: Path, docker: APIClient) -> Iterator[Registry]:
    """On the bridge's address, since the engine asks no certificate of a loopback one."""
    address = bridge_address(docker)
    with socket.create_server((address, 0)) as probe:
        port = probe.getsockname()[1]
    made = Registry(host=f"{address}:{port}", folder=tmp_path)
    _certify(tmp_path, address)
    hashed = subprocess.run(
        ("perl", "-e", f'print crypt("{LOGIN["password"]}", "\\$2b\\$05\\$abcdefghijklmnopqrstuu")'),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (tmp_path / "htpasswd").write_text(f"{LOGIN['username']}:{hashed}\n")
    (tmp_path / "registry.yaml").write_text(CONFIGURATION.format(folder=tmp_path, host=made.host))
    with subprocess.Popen(("docker-registry", "serve", str(tmp_path / "registry.yaml"))) as process:
        try:
            _until_it_answers(made, process)
            yield made
        finally:
            process.terminate()
            shutil.rmtree(made.trusted, ignore_errors=True)


def _certify(folder: Path, address: str) -> None:
    """A certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "registry.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "registry.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _until_it_answers(registry: Registry, process: subprocess.Popen[bytes]) -> None:
    trusting = create_default_context(cafile=str(registry.folder / "registry.crt"))
    for _ in range(200):
        assert process.poll() is None, "the registry ended"
        try:
            urllib.request.urlopen(f"https://{registry.host}/v2/", timeout=5, context=trusting)
        except urllib.error.HTTPError:
            return  # it asks for a login
        except OSError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    pytest.fail("the registry does not answer")


def _push(docker: APIClient, registry: Registry, image: str) -> tuple[str, str]:
    """The name of the image in the registry, and its digest; the engine has it no more."""
    name = f"{registry.host}/team/private"
    docker.tag(image, name, "1")
    try:
        pushed = docker.push(name, "1", auth_config=LOGIN, stream=True, decode=True)
        (digest,) = [line["aux"]["Digest"] for line in pushed if "Digest" in line.get("aux", {})]
    finally:
        docker.remove_image(f"{name}:1")
    return f"{name}:1", str(digest)


def _run(tmp_path: Path, instance_arn: str, name: str, secret: str) -> tuple[dict[str, object], dict[str, object]]:
    """What is reported of a task of this image, and of its container."""
    found: list[tuple[dict[str, object], dict[str, object]]] = []

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        async with secrets_manager({SECRET: secret}) as url:
            agent.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = url
            await agent.start()
            container = msgspec.structs.replace(shell(name, "exit 7"), registry_authentication=AUTHENTICATION)
            task: acs.Task = a_task(container, execution_role_credentials=ROLE)
            await backend.send_tasks(task)
            report = await backend.reported(task.arn, "STOPPED")
            (ended,) = backend.containers(task.arn).values()
            found.append((report, ended))

    play(tmp_path / "agent", instance_arn, scenario, ECS_IMAGE_PULL_BEHAVIOR="default")
    return found[0]


@pytest.mark.parametrize("by_digest", [False, True], ids=["by tag", "by digest"])
def test_an_image_is_pulled_and_its_digest_told(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str, registry: Registry, by_digest: bool
) -> None:
    registry.trust()
    name, digest = _push(docker, registry, image)
    wanted = f"{name.removesuffix(':1')}@{digest}" if by_digest else name
    try:
        _, container = _run(tmp_path, instance_arn, wanted, msgspec.json.encode(LOGIN).decode())
        assert (container.get("exitCode"), container.get("imageDigest")) == (7, digest), container
    finally:
        with suppress(APIError):
            docker.remove_image(wanted, force=True)


@pytest.mark.parametrize(
    ("trusted", "tag", "password", "words"),
    [
        (False, "1", "right", "certificate signed by unknown authority"),
        (True, "1", "wrong", "The task can’t pull the image"),
        (True, "2", "right", "Check whether the image exists"),
    ],
    ids=["not trusted", "wrong login", "no such tag"],
)
def test_what_cannot_be_pulled_is_the_tasks_reason(
    tmp_path: Path,
    docker: APIClient,
    image: str,
    instance_arn: str,
    registry: Registry,
    trusted: bool,
    tag: str,
    password: str,
    words: str,
) -> None:
    registry.trust()
    name, _ = _push(docker, registry, image)
    if not trusted:
        shutil.rmtree(registry.trusted)
    secret = msgspec.json.encode({**LOGIN, "password": password}).decode()
    report, container = _run(tmp_path, instance_arn, f"{name.removesuffix('1')}{tag}", secret)
    reason = str(report["reason"] or container["reason"])
    assert reason.startswith("CannotPullContainerError: ")
    assert words in reason
