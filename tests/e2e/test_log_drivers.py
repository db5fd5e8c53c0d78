"""Log drivers that send lines elsewhere: they arrive there, and whoever asks for them here is told where they are.

Source: ECS API, LogConfiguration; Docker's documentation of the drivers.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.conftest import Cloud, until

pytestmark = pytest.mark.timeout(120)


def run(cloud: Cloud, family: str, driver: str, **options: str) -> dict[str, Any]:
    """A task that says a word with this driver, when it has stopped."""
    logs = {"logDriver": driver, "options": options} if options else {"logDriver": driver}
    container = {"name": "app", "image": "awsorch/busybox:latest", "memory": 16, "logConfiguration": logs}
    cloud.ecs.register_task_definition(
        family=family, containerDefinitions=[{**container, "command": ["echo", "a word from", family]}]
    )
    answer = cloud.ecs.run_task(taskDefinition=family)
    assert answer["failures"] == [], answer
    arn = answer["tasks"][0]["taskArn"]
    until(f"{family} has stopped", lambda: cloud.describe(arn)["lastStatus"] == "STOPPED")
    return cloud.describe(arn)


@contextmanager
def listening(kind: socket.SocketKind) -> Iterator[tuple[int, bytearray]]:
    """A port of this machine, and what has come there."""
    heard, over = bytearray(), threading.Event()
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.1)
        if kind is socket.SOCK_STREAM:
            listener.listen()

        def listen() -> None:
            while not over.is_set():
                try:
                    if kind is socket.SOCK_DGRAM:
                        heard.extend(listener.recv(65536))
                        continue
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    while piece := connection.recv(65536):
                        heard.extend(piece)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(("protocol", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_syslog(cloud: Cloud, protocol: str, kind: socket.SocketKind) -> None:
    with listening(kind) as (port, heard):
        address = f"{protocol}://127.0.0.1:{port}"
        task = run(cloud, f"syslog-{protocol}", "syslog", **{"syslog-address": address, "tag": "tagged"})
        assert task["containers"][0]["exitCode"] == 0, task
        until("the word is there", lambda: f"a word from syslog-{protocol}".encode() in heard)
        assert b"tagged" in heard
    refused = cloud.awsorch("logs", task["taskArn"], code=1)
    assert "syslog" in refused.stderr


def test_fluentd(cloud: Cloud) -> None:
    with listening(socket.SOCK_STREAM) as (port, heard):
        task = run(cloud, "fluentd", "fluentd", **{"fluentd-address": f"127.0.0.1:{port}", "tag": "of.task"})
        assert task["containers"][0]["exitCode"] == 0, task
        until("the word is there", lambda: b"a word from fluentd" in heard)
        assert b"of.task" in heard


def test_a_driver_that_the_host_lacks_is_the_containers_reason(cloud: Cloud) -> None:
    """No journal runs here."""
    task = run(cloud, "journald", "journald")
    assert task["containers"][0]["reason"].startswith("CannotStartContainerError: ")
    assert "journald is not enabled on this host" in task["containers"][0]["reason"]
