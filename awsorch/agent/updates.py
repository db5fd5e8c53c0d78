"""Updates of the agent itself: a wheel is fetched, checked and installed beside the running release, which then ends.

The running release is never written to. Containers go on; the next release finds them, as after any restart.
Source: the agents' protocol, StageUpdateMessage and PerformUpdateMessage; the official agent's exit code 42.
"""

import asyncio
import hashlib
import logging
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp

from awsorch.agent.credentials import CredentialSource, NoCredentialsError
from awsorch.agent.services import ServiceError, Services
from awsorch.agent.update_folder import ENVIRONMENT, READY, UpdateFolder, write_whole
from awsorch.wire.acs import UpdateInfo

LOG = logging.getLogger(__name__)

UPDATES_DISABLED = "Updates are disabled"
LARGEST_WHEEL = 64 * 1024 * 1024
FETCH_LIMIT = aiohttp.ClientTimeout(total=600, sock_read=60)
INSTALL_LIMIT = 900.0
WORDS = 400
"""Characters of what pip printed last that a reason has."""
_WHEEL = re.compile(r"awsorch-([0-9][0-9A-Za-z.!+_]*)-py3-none-any\.whl")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class UpdateError(Exception):
    """The update cannot be done; the text is the reason that the controller is told."""


class UpdatePerformed(Exception):
    """The agent is to end, and to start again as the other release."""


class Updates:
    """The updates of one agent; without a `folder` there are none."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        services: Services,
        credentials: CredentialSource,
        region: str,
        folder: UpdateFolder | None,
    ) -> None:
        self._http = http
        self._services = services
        self._credentials = credentials
        self._region = region
        self._folder = folder
        self._lock = asyncio.Lock()
        self._performed = asyncio.Event()

    async def stage(self, info: UpdateInfo | None) -> None:
        """Have the release ready in the folder, once however often it is asked for. Raises UpdateError."""
        folder, signature, version = self._read(info)
        assert info is not None
        async with self._lock:
            if folder.is_ready(signature):
                return
            release = folder.release(signature)
            try:
                shutil.rmtree(release, ignore_errors=True)
                release.mkdir(parents=True)
                wheel = release / info.location.rpartition("/")[2]
                wheel.write_bytes(await self._fetch(info.location, signature))
                await _install(wheel, release / ENVIRONMENT)
                await _try_out(folder.python(signature), version)
                write_whole(release / READY, version)
            except (UpdateError, OSError) as error:
                shutil.rmtree(release, ignore_errors=True)
                raise UpdateError(str(error)) from error
        LOG.info("awsorch %s is staged", version)

    async def perform(self, info: UpdateInfo | None) -> None:
        """Wish for the release from the next start on. Raises UpdateError."""
        await self.stage(info)
        folder, signature, version = self._read(info)
        try:
            folder.wish(signature, version)
        except OSError as error:
            raise UpdateError(str(error)) from error

    def end(self) -> None:
        """The controller has been told: end now."""
        self._performed.set()

    async def wait(self) -> None:
        """Raises UpdatePerformed when an update is to be changed to."""
        await self._performed.wait()
        raise UpdatePerformed

    def confirm(self) -> None:
        """The controller has been reached: this release is good."""
        if self._folder is not None and self._folder.running:
            with suppress(OSError):
                self._folder.confirm()

    def _read(self, info: UpdateInfo | None) -> tuple[UpdateFolder, str, str]:
        if self._folder is None:
            raise UpdateError(UPDATES_DISABLED)
        wheel = _WHEEL.fullmatch(info.location.rpartition("/")[2]) if info is not None else None
        if info is None or wheel is None or not _SIGNATURE.fullmatch(info.signature):
            raise UpdateError("The update should be an awsorch wheel with its SHA-256 in hex")
        return self._folder, info.signature, wheel[1]

    async def _fetch(self, location: str, signature: str) -> bytes:
        try:
            if location.startswith("s3://"):
                bucket, _, key = location.removeprefix("s3://").partition("/")
                credentials = await self._credentials.get()
                body = await self._services.read_object(bucket, key, region=self._region, credentials=credentials)
            else:
                body = await self._download(location)
        except (aiohttp.ClientError, TimeoutError, ServiceError, NoCredentialsError) as error:
            raise UpdateError(f"{location} cannot be had: {error or type(error).__name__}") from error
        found = hashlib.sha256(body).hexdigest()
        if found != signature:
            raise UpdateError(f"{location} has the SHA-256 {found}, not {signature}")
        return body

    async def _download(self, location: str) -> bytes:
        body = bytearray()
        async with self._http.get(location, timeout=FETCH_LIMIT, raise_for_status=True) as response:
            async for part in response.content.iter_chunked(1 << 16):
                body += part
                if len(body) > LARGEST_WHEEL:
                    raise UpdateError(f"{location} has more than {LARGEST_WHEEL} bytes")
        return bytes(body)


async def _install(wheel: Path, environment: Path) -> None:
    """The wheel and what it needs, from where pip's configuration says."""
    await _run("its environment cannot be made", sys.executable, "-m", "venv", "--clear", str(environment))
    quietly = ("--disable-pip-version-check", "--no-input", "--quiet", "--ignore-installed")
    python = str(environment / "bin" / "python")
    await _run("pip cannot install it", python, "-P", "-m", "pip", "install", *quietly, str(wheel))


async def _try_out(python: Path, version: str) -> None:
    said = await _run("it does not start", str(python), "-P", "-m", "awsorch.agent", "--version")
    if version not in said.split():
        raise UpdateError(f"its agent says that it is {said.strip()[:WORDS]!r}, not {version}")


async def _run(failure: str, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(INSTALL_LIMIT):
            printed, _ = await process.communicate()
    except TimeoutError as error:
        raise UpdateError(f"{failure}: it took more than {INSTALL_LIMIT:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = printed.decode(errors="replace")
    if process.returncode != 0:
        raise UpdateError(f"{failure}: {text.strip()[-WORDS:]}")
    return text
