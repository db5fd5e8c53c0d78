"""ExecuteCommand: a session with a command that runs in a container. Who comes for it the gateway knows.

Source: ECS API, ExecuteCommand; ECS developer guide, "Monitor Amazon ECS containers with ECS Exec".
"""

from __future__ import annotations

from collections.abc import Sequence

from awsorch.api.calls import Answer, Call, operation
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.model import Container, Task
from awsorch.core.state import ClusterState
from awsorch.engine.ports import CommandTarget

_NOT_ENABLED = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn’t running. Wait and try again or run a new task with execute command enabled and try again."
)


@operation("ExecuteCommand")
async def execute_command(call: Call) -> Answer:
    """Have a command run, for whoever shows the session's token at its URL."""
    request = call.request
    if not request.get("interactive"):
        raise invalid_parameter("Interactive is the only mode supported currently.")
    if not request.get("command", "").strip():
        raise invalid_parameter("command should name a program, such as /bin/sh.")
    cluster, partition = await call.cluster_partition()
    task_id = call.resource_id(request["task"], "task", cluster)

    def look(state: ClusterState) -> tuple[Task, Container]:
        task = state.tasks.get(task_id)
        if task is None:
            raise invalid_parameter("The specified task was not found.")
        return task, _chosen(task, request.get("container"))

    task, container = await partition.read(look)
    if call.commands is None or task.instance_id is None or container.runtime_id is None:
        raise Refusal(
            "TargetNotConnectedException", "The execute command failed due to an internal error. Try again later."
        )
    execute = cluster.configuration.get("executeCommandConfiguration", {})
    scheme, _, host = call.base_url.partition("://")
    grant = call.commands.open(
        CommandTarget(
            cluster=cluster.name,
            instance_id=task.instance_id,
            task_arn=task.arn,
            container=container.name,
            runtime_id=container.runtime_id,
            command=request["command"],
            caller_arn=call.caller_arn,
            configuration=execute,
        ),
        f"{'wss' if scheme == 'https' else 'ws'}://{host}",
    )
    return {
        "clusterArn": cluster.arn,
        "containerArn": container.arn,
        "containerName": container.name,
        "interactive": True,
        "session": {
            "sessionId": grant.id,
            "streamUrl": grant.url,
            "tokenValue": grant.token,
        },
        "taskArn": task.arn,
    }


def _chosen(task: Task, name: str | None) -> Container:
    """The container that a command may run in. Raises Refusal."""
    container = _named(task.containers, name)
    if not task.enable_execute_command or task.last_status != "RUNNING" or container.last_status != "RUNNING":
        raise invalid_parameter(_NOT_ENABLED)
    return container


def _named(containers: Sequence[Container], name: str | None) -> Container:
    names = ", ".join(each.name for each in containers)
    if name is None and len(containers) > 1:
        raise invalid_parameter(f"The task has several containers, so container should name one of them: {names}.")
    found = next((each for each in containers if name in (None, each.name)), None)
    if found is None:
        raise invalid_parameter(f"The specified container was not found in the task, which has {names}.")
    return found
