"""`awsorch exec`: a command in a container, with a terminal, and without AWS's plugin. Its exit code becomes ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator

import aiohttp
import click

from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import find_task
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command
from awsorch.cli.session_cipher import KEY_BYTES, NotEncrypted
from awsorch.cli.session_client import SessionClient, SessionLost

END_OF_INPUT = b"\x04"
SHELL = ("/bin/sh",)


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("task", metavar="TASK")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@click.option("-c", "--container", metavar="NAME", help="Where. [default: the task's only container]")
@api_command
def exec_command(
    session: Session, printer: Printer, task: str, command: tuple[str, ...], container: str | None
) -> None:
    """Run a command in a container of a task: /bin/sh where none is given.

    The task must have been started with execute command enabled. The exit code is the command's.
    """
    where, arn = find_task(session, task)
    answer = where.ecs.execute_command(
        cluster=where.cluster,
        task=arn,
        command=shlex.join(command or SHELL),
        interactive=True,
        **({"container": container} if container else {}),
    )
    if printer.as_json:
        printer.show_json(answer)
        return
    keys = _DataKeys(where, arn, answer["containerName"], answer["session"]["sessionId"])
    code = asyncio.run(_Terminal(keys).attach(answer["session"]["streamUrl"], answer["session"]["tokenValue"]))
    sys.exit(code)


class _DataKeys:
    """Has KMS make the data keys of encrypted sessions, as the plugin does: for this session and container only."""

    def __init__(self, session: Session, task: str, container: str, session_id: str) -> None:
        self._session = session
        self._task = task
        self._container = container
        self._session_id = session_id

    async def make(self, key_id: str) -> tuple[bytes, bytes]:
        """What KMS opens the key from, and the key. Raises botocore's errors."""
        return await asyncio.to_thread(self._ask, key_id)

    def _ask(self, key_id: str) -> tuple[bytes, bytes]:
        session = self._session
        (task,) = session.describe_tasks([self._task])
        runtime_id = next(each["runtimeId"] for each in task["containers"] if each["name"] == self._container)
        cluster, task_id = task["clusterArn"].rpartition("/")[2], task["taskArn"].rpartition("/")[2]
        endpoint = os.environ.get("AWS_ENDPOINT_URL_KMS") or os.environ.get("AWS_ENDPOINT_URL") or session.endpoint
        kms = session.boto.client("kms", endpoint_url=endpoint, region_name=session.region)
        context = {
            "aws:ssm:SessionId": self._session_id,
            "aws:ssm:TargetId": f"ecs:{cluster}_{task_id}_{runtime_id}",
        }
        made = kms.generate_data_key(KeyId=key_id, NumberOfBytes=KEY_BYTES, EncryptionContext=context)
        return made["CiphertextBlob"], made["Plaintext"]


class _Terminal:
    """This process's terminal, or what stands in its place."""

    def __init__(self, keys: _DataKeys) -> None:
        self._client = SessionClient(self._show, self._begin, keys.make)
        self._is_terminal = sys.stdin.isatty()
        self._typing: set[asyncio.Task[None]] = set()

    async def attach(self, url: str, token: str) -> int:
        """The command's exit code; 1 where it has none. Raises Fault."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._resize)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._do, "terminate")
        with _raw_mode() if self._is_terminal else contextlib.nullcontext():
            try:
                await self._client.run(url, token)
            except SessionLost:
                raise Fault("the connection ended before the session did") from None
            except NotEncrypted as error:
                raise Fault(f"the session ends: {error}") from None
            except aiohttp.ClientError as error:
                raise Fault(f"the session at {url} cannot be reached: {error}") from None
            finally:
                with contextlib.suppress(ValueError, OSError):
                    loop.remove_reader(sys.stdin.fileno())
        if self._client.words:
            click.echo(self._client.words, err=True, nl=False)
        return self._client.exit_code if self._client.exit_code is not None else 1

    def _begin(self) -> None:
        """The command listens now."""
        self._resize()
        try:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)
        except OSError:  # a file, which is always ready
            self._do("type", sys.stdin.buffer.read() + END_OF_INPUT)

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._do("type", data or END_OF_INPUT)

    def _resize(self) -> None:
        size = shutil.get_terminal_size()
        self._do("resize", size.columns, size.lines)

    def _do(self, what: str, *arguments: object) -> None:
        """One of the client's calls, after those that were begun before."""
        task = asyncio.get_running_loop().create_task(getattr(self._client, what)(*arguments))
        self._typing.add(task)
        task.add_done_callback(self._typing.discard)

    @staticmethod
    def _show(data: bytes) -> None:
        if not sys.stdout.isatty():
            data = data.replace(b"\r\n", b"\n")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _raw_mode() -> Iterator[None]:
    """Keys go to the command as they are; the terminal is as it was in the end."""
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin, termios.TCSADRAIN)  # what was typed ahead is kept
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
