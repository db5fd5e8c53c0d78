"""LocalStack and its maintained fork LocalEmu, each with our plug-in in an environment of its own; and how they run.

They need Python 3.13. As a program this finds one and makes the environments, once for these pins and this plug-in;
where there is none it says so, and the tests of localstack/ are not collected.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PLUGIN = Path(__file__).resolve().parents[2] / "localstack"
WITHOUT = "LocalStack: no Python 3.13 here, so the tests of localstack/ did not run."
PINS = {
    # Later ones of the last three do not go with this last release of LocalStack's core.
    "localstack": (
        "localstack-core[runtime]==2026.3.0",
        "cbor2==5.8.0",
        "pyopenssl==25.3.0",
        "localstack-twisted==25.5.0",
    ),
    "localemu": ("localemu==1.3.2",),
}
START_SECONDS = 90.0


def find_python() -> str | None:
    """A Python 3.13: on the path, or among pyenv's."""
    own = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which("python3.13"), *sorted(map(str, own.glob("3.13*/bin/python3.13")))]
    for each in candidates:
        if each and subprocess.run((each, "-c", ""), capture_output=True, check=False).returncode == 0:
            return each
    return None


def environment(name: str) -> Path:
    """Where the environment of a runtime is, or will be: another for other pins."""
    what = hashlib.sha256(" ".join(PINS[name]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "awsorch" / f"{name}-{what}"


def make(name: str, python: str) -> None:
    """Make the environment, with the plug-in as it is now; what was made before for other pins goes."""
    folder = environment(name)
    pip = (str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check")
    if not (folder / "made").exists():
        for old in folder.parent.glob(f"{name}-*"):
            shutil.rmtree(old)
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run((python, "-m", "venv", str(folder)), check=True)
        subprocess.run((*pip, *PINS[name]), check=True)
        (folder / "made").touch()
    note, source = folder / "plugin-made", folder / "plugin"
    if note.exists() and note.read_text() == _plugin():
        return
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(PLUGIN, source)  # the build leaves its own files beside
    subprocess.run((*pip, "--no-deps", "--force-reinstall", str(source)), check=True)
    note.write_text(_plugin())


def _plugin() -> str:
    what = hashlib.sha256()
    for file in sorted(PLUGIN.rglob("*")):
        if file.suffix in (".py", ".toml"):
            what.update(file.read_bytes())
    return what.hexdigest()


@contextlib.contextmanager
def running(name: str, place: Path, **settings: str) -> Iterator[str]:
    """The URL of a runtime that keeps its files in a place; with these environment variables."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    kept = {each: os.environ[each] for each in ("PATH", "HOME") if each in os.environ}
    place.mkdir(parents=True, exist_ok=True)
    told = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "TMPDIR": str(place),
        "FILESYSTEM_ROOT": str(place),
    }
    program = str(environment(name) / "bin" / "python")
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            (program, "-m", f"{name}.runtime.main"),
            env={**kept, **told, **settings},
            stdout=log,
            stderr=log,
            cwd=place,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not any(_answers(f"{url}/_{each}/health") for each in PINS):
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < deadline, (place / "log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    python = find_python()
    if python is None:
        print(f"set-up: {WITHOUT}")
        return
    missing = [name for name in PINS if not (environment(name) / "made").exists()]
    if missing:
        print(f"set-up: installing {' and '.join(missing)} for the tests of localstack/ (a minute or two)", flush=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: make(name, python), PINS))


if __name__ == "__main__":
    main()
