"""Staged releases of the agent in a folder, and which of them the program goes on as when it starts.

The release that was installed first starts every time, and hands over to the one that is wished for: ::

    desired                 {"signature", "version", "before", "starts", "confirmed"}
    <signature>/env/        a virtual environment with the release in it
    <signature>/ready       written last: the environment is whole

A release that does not reach its controller in `TRIAL_STARTS` starts is given up for the one before it, so that no
update can lose an instance. Nothing here may change in a way that an older release does not understand.
"""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from awsorch.agent.settings import Settings

LOG = logging.getLogger(__name__)

RUNNING = "AWSORCH_AGENT_RELEASE"
"""The signature of the release that the program has gone on as; not set for the one that was installed."""
TRIAL_STARTS = 3
DESIRED, READY, ENVIRONMENT = "desired", "ready", "env"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The release to go on as; `before` is the one that ran when it was wished for (empty: the installed one)."""

    signature: str
    version: str
    before: str = ""
    starts: int = 0
    confirmed: bool = False


class UpdateFolder:
    """The folder of one agent. Raises OSError where it can't be written."""

    def __init__(self, path: Path, running: str = "") -> None:
        self.path = path
        self.running = running

    def release(self, signature: str) -> Path:
        """Where a release is, or is to be."""
        return self.path / signature

    def is_ready(self, signature: str) -> bool:
        """Whether it has been staged whole."""
        return (self.release(signature) / READY).is_file()

    def python(self, signature: str) -> Path:
        """The interpreter of its environment."""
        return self.release(signature) / ENVIRONMENT / "bin" / "python"

    def desired(self) -> Desired | None:
        """None where none is wished for, or what was written cannot be read."""
        try:
            said = json.loads((self.path / DESIRED).read_text())
            return Desired(**{name: said[name] for name in Desired.__dataclass_fields__ if name in said})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            LOG.error("%s cannot be read, and the installed release goes on: %s", self.path / DESIRED, error)
            return None

    def wish(self, signature: str, version: str) -> None:
        """Go on as this release from the next start."""
        self._write(Desired(signature=signature, version=version, before=self.running))

    def is_on_trial(self) -> bool:
        """Whether this is a release that has not reached its controller yet."""
        desired = self.desired()
        return (
            bool(self.running) and desired is not None and desired.signature == self.running and not desired.confirmed
        )

    def confirm(self) -> None:
        """This release reached its controller: it stays, and others go."""
        desired = self.desired()
        if desired is None or desired.signature != self.running or desired.confirmed:
            return
        self._write(replace(desired, confirmed=True, before=""))
        for other in self.path.iterdir():
            if other.is_dir() and other.name != self.running:
                shutil.rmtree(other, ignore_errors=True)

    def next_release(self) -> Desired | None:
        """What to go on as now, counted as a start; None: the installed release."""
        desired = self.desired()
        if desired is None:
            return None
        if desired.starts >= TRIAL_STARTS or not self.is_ready(desired.signature):
            LOG.error("awsorch %s did not come up; the release before it goes on", desired.version)
            (self.path / DESIRED).unlink()
            if not desired.before or not self.is_ready(desired.before):
                return None
            desired = Desired(signature=desired.before, version="before that", confirmed=True)
        elif not desired.confirmed:
            desired = replace(desired, starts=desired.starts + 1)
        self._write(desired)
        return desired

    def _write(self, desired: Desired) -> None:
        write_whole(self.path / DESIRED, json.dumps(asdict(desired)))


def folder_of(settings: Settings, environment: Mapping[str, str]) -> UpdateFolder | None:
    """The folder of an agent with these settings; None where it is not to be updated."""
    if not settings.updates_enabled:
        return None
    return UpdateFolder(Path(settings.update_dir).absolute(), environment.get(RUNNING, ""))


def write_whole(path: Path, text: str) -> None:
    """All of the file or nothing, whatever happens meanwhile."""
    new = path.with_name(path.name + ".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def hand_over(
    folder: UpdateFolder,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    execute: Callable[[str, list[str], dict[str, str]], object] = os.execve,
) -> None:
    """Go on as the release that is wished for, if there is one; else return. Called once the settings are read."""
    if folder.running:
        return
    try:
        release = folder.next_release()
    except OSError as error:
        LOG.error("the wish for another release is not heard: %s", error)
        return
    if release is None:
        return
    LOG.info("going on as awsorch %s", release.version)
    logging.shutdown()
    sys.stderr.flush()
    python = str(folder.python(release.signature))
    # -P: what the folder that the agent was started in holds is not imported.
    execute(python, [python, "-P", "-m", "awsorch.agent", *arguments], {**environment, RUNNING: release.signature})
