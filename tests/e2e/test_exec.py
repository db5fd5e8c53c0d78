"""Commands in containers: through the API, the data channel, the controller, the agent and Docker Engine."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest
from botocore.exceptions import ClientError

from awsorch.cli.session_client import SessionClient
from tests.e2e.conftest import AWSORCH, COMMAND_SECONDS, ROOT, TASK_LABEL, Cloud, until

pytestmark = pytest.mark.timeout(240)

GROUP = "/sessions"


@pytest.fixture(scope="module")
def task(cloud: Cloud) -> str:
    """A running task with execute command enabled, in a cluster that has its sessions written down."""
    logs(cloud).create_log_group(logGroupName=GROUP)
    where = {"cloudWatchLogGroupName": GROUP}
    cloud.ecs.update_cluster(
        cluster="default",
        configuration={"executeCommandConfiguration": {"logging": "OVERRIDE", "logConfiguration": where}},
    )
    container = {"image": "awsorch/busybox:latest", "memory": 16, "command": ["sleep", "3600"], "stopTimeout": 2}
    cloud.ecs.register_task_definition(
        family="commands",
        containerDefinitions=[
            {**container, "name": "app", "user": "65534"},
            {**container, "name": "side", "essential": False},
        ],
    )
    (started,) = cloud.ecs.run_task(taskDefinition="commands", enableExecuteCommand=True)["tasks"]
    arn = str(started["taskArn"])
    until("it runs", lambda: cloud.describe(arn)["lastStatus"] == "RUNNING")
    return arn


def logs(cloud: Cloud) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("logs", endpoint_url=cloud.endpoint, region_name="us-east-1", **keys)


def processes(arn: str) -> str:
    """What runs in the task's container `app`."""
    engine = docker.from_env()
    try:
        labels = [f"{TASK_LABEL}={arn}", "com.amazonaws.ecs.container-name=app"]
        (container,) = engine.containers.list(filters={"label": labels})
        return str(container.top())
    finally:
        engine.close()


def begin(cloud: Cloud, arn: str, *command: str, **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "AWS_ENDPOINT_URL": cloud.endpoint}
    words = (str(AWSORCH), "exec", arn, "-c", "app", "--", *command)
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, **options)


def test_the_aws_cli_opens_a_shell(cloud: Cloud, task: str, tmp_path: Path) -> None:
    """With what it starts in the place of AWS's plugin, which no package registry has."""
    plugin = tmp_path / "session-manager-plugin"
    plugin.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m tests.e2e.session_manager_plugin "$@"\n')
    plugin.chmod(0o755)
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    asked = ("--cluster", "default", "--task", task, "--container", "app", "--interactive", "--command", "/bin/sh")
    done = subprocess.run(
        (str(AWSORCH.with_name("aws")), "ecs", "execute-command", *asked),
        env={**os.environ, **keys, "AWS_ENDPOINT_URL": cloud.endpoint, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        input="echo $((6 * 7)) in $(tty); stty size; exit\n",
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.replace("\r", "").splitlines()
    assert "24 80" in printed, done.stdout
    assert any(line.startswith("42 in /dev/pts/") for line in printed), done.stdout


def test_a_command_runs_as_root_and_its_exit_code_comes_back(cloud: Cloud, task: str) -> None:
    agents = [each for container in cloud.describe(task)["containers"] for each in container["managedAgents"]]
    assert [(each["name"], each["lastStatus"]) for each in agents] == [("ExecuteCommandAgent", "RUNNING")] * 2
    done = cloud.awsorch("exec", task, "-c", "app", "--", "sh", "-c", "id -u; exit 3", code=3)
    assert done.stdout.splitlines() == ["0"]
    done = cloud.awsorch("exec", task, "-c", "app", "--", "seq", "1", "50000")
    assert done.stdout.split() == [str(number) for number in range(1, 50001)], "nothing is lost, and all in order"
    done = cloud.awsorch("exec", task, "-c", "app", "--", "no-such-program", code=126)
    assert "executable file not found" in done.stdout


def test_a_shell_in_a_terminal(cloud: Cloud, task: str) -> None:
    ours, theirs = pty.openpty()
    shell = begin(cloud, task, "sh", stdin=theirs)
    try:
        os.write(ours, b"tty; echo $((6 * 7)); exit 5\n")
        output, _ = shell.communicate(timeout=60)
    finally:
        shell.kill()
        os.close(ours)
        os.close(theirs)
    assert shell.returncode == 5
    assert b"/dev/pts/" in output
    assert b"42" in output


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_of_a_command_whose_client_ends(cloud: Cloud, task: str, how: signal.Signals) -> None:
    seconds = str(7000 + how)
    client = begin(cloud, task, "sleep", seconds, stdin=subprocess.DEVNULL)
    until("it runs", lambda: f"sleep {seconds}" in processes(task).replace("', '", " "))
    client.send_signal(how)
    assert client.wait(60) != 0
    until("it has ended", lambda: seconds not in processes(task))


def test_what_a_command_left_behind_ends_with_its_session(cloud: Cloud, task: str) -> None:
    script = "trap '' HUP; sleep 8123 & sleep 8124"
    client = begin(cloud, task, "sh", "-c", script, stdin=subprocess.DEVNULL)
    until("both run", lambda: "8123" in processes(task) and "8124" in processes(task))
    client.send_signal(signal.SIGTERM)
    client.wait(60)
    until("both have ended", lambda: "8123" not in processes(task) and "8124" not in processes(task))


def test_who_ran_what_is_written_down(cloud: Cloud, task: str) -> None:
    cloud.awsorch("exec", task, "-c", "app", "--", "echo", "to be remembered")

    def written() -> list[list[str]]:
        streams = logs(cloud).describe_log_streams(logGroupName=GROUP)["logStreams"]
        found = []
        for each in streams:
            events = logs(cloud).get_log_events(logGroupName=GROUP, logStreamName=each["logStreamName"])["events"]
            found.append([event["message"] for event in events])
        return [each for each in found if "to be remembered" in each[0]]

    until("it is in CloudWatch Logs", written)
    ((said, printed),) = written()
    record = json.loads(said)
    assert record["callerArn"].startswith("arn:aws:")
    assert (record["taskArn"], record["containerName"], record["exitCode"]) == (task, "app", 0)
    assert record["command"] == "echo 'to be remembered'"
    assert printed == "to be remembered\r\n"


def test_who_resumes_a_session_may_terminate_it_with_its_command(cloud: Cloud, task: str) -> None:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    ssm = boto3.client("ssm", endpoint_url=cloud.endpoint, region_name="us-east-1", **keys)
    session = cloud.ecs.execute_command(task=task, container="app", command="sleep 8125", interactive=True)["session"]
    resumed = ssm.resume_session(SessionId=session["sessionId"])
    assert resumed["StreamUrl"] == session["streamUrl"]
    client = SessionClient(lambda _: None, lambda: None)

    async def attach() -> None:
        async with asyncio.timeout(COMMAND_SECONDS):
            running = asyncio.create_task(client.run(resumed["StreamUrl"], resumed["TokenValue"]))
            await asyncio.to_thread(until, "it runs", lambda: "8125" in processes(task))
            await asyncio.to_thread(ssm.terminate_session, SessionId=session["sessionId"])
            await running

    asyncio.run(attach())
    assert client.exit_code is None
    until("it has ended", lambda: "8125" not in processes(task))
    assert "TokenValue" not in ssm.resume_session(SessionId=session["sessionId"])


def test_sessions_are_encrypted_with_the_cluster_s_key(cloud: Cloud, task: str) -> None:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    kms = boto3.client("kms", endpoint_url=cloud.endpoint, region_name="us-east-1", **keys)
    (cluster,) = cloud.ecs.describe_clusters(include=["CONFIGURATIONS"])["clusters"]
    before = cluster["configuration"]["executeCommandConfiguration"]

    def configure(**more: str) -> None:
        cloud.ecs.update_cluster(cluster="default", configuration={"executeCommandConfiguration": {**before, **more}})

    try:
        configure(kmsKeyId=kms.create_key()["KeyMetadata"]["Arn"])
        done = cloud.awsorch("exec", task, "-c", "app", "--", "sh", "-c", "echo hidden; exit 3", code=3)
        assert done.stdout.splitlines() == ["hidden"]
        configure(kmsKeyId="alias/of-no-key")
        done = cloud.awsorch("exec", task, "-c", "app", "--", "echo", "hidden", code=1)
        assert not done.stdout
        assert "encrypted with the cluster's KMS key" in done.stderr
        assert "NotFoundException" in done.stderr
    finally:
        configure()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"interactive": False}, "Interactive is the only mode supported currently."),
        ({"container": None}, "container should name one of them: app, side."),
        ({"container": "other"}, "The specified container was not found in the task"),
        ({"task": "f" * 32}, "The specified task was not found."),
        ({"command": " "}, "command should name a program"),
    ],
)
def test_requests_that_make_no_sense(cloud: Cloud, task: str, request_: dict[str, Any], message: str) -> None:
    request = {"task": task, "container": "app", "command": "ls", "interactive": True, **request_}
    with pytest.raises(ClientError, match="InvalidParameterException") as caught:
        cloud.ecs.execute_command(**{name: value for name, value in request.items() if value is not None})
    assert message in str(caught.value)


def test_tasks_without_it_are_refused(cloud: Cloud) -> None:
    (started,) = cloud.ecs.run_task(taskDefinition="commands")["tasks"]
    until("it runs", lambda: cloud.describe(started["taskArn"])["lastStatus"] == "RUNNING")
    assert all(each.get("managedAgents") is None for each in cloud.describe(started["taskArn"])["containers"])
    with pytest.raises(ClientError, match="execute command was not enabled when the task was run"):
        cloud.ecs.execute_command(task=started["taskArn"], container="app", command="ls", interactive=True)
    cloud.ecs.stop_task(task=started["taskArn"])


def test_a_session_is_only_for_who_has_its_token(cloud: Cloud, task: str) -> None:
    import asyncio

    import aiohttp

    answer = cloud.ecs.execute_command(task=task, container="app", command="ls", interactive=True)
    url = answer["session"]["streamUrl"]

    async def knock() -> None:
        async with aiohttp.ClientSession() as http:
            for hello in ('{"TokenValue": "guess"}', "nonsense", "[]"):
                async with http.ws_connect(url) as socket:
                    await socket.send_str(hello)
                    assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            async with http.get(url.replace("ws://", "http://") + "/agent?token=guess") as refused:
                assert refused.status == 403
            async with http.get(url.replace("ws://", "http://") + "x") as refused:
                assert refused.status == 404

    asyncio.run(knock())
