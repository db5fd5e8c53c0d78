"""awsorch's own operation beside ECS's: DescribeStory, why a task is as it is. Target prefix ``AwsorchV1.``."""

from __future__ import annotations

from awsorch.api.calls import Answer, Call, extension
from awsorch.core.errors import invalid_parameter
from awsorch.core.model import Task
from awsorch.core.state import ClusterState


@extension("DescribeStory")
async def describe_story(call: Call) -> Answer:
    """``{"cluster"?, "arn"}`` → ``{"arn", "entries": [{"at", "what", "cause"}], "placement": {"considered",
    "refused": [{"filter", "reason", "instances"}], "chosen"}}``. Raises InvalidParameterException for an unknown task.
    """
    cluster, partition = await call.cluster_partition()
    name = call.request.get("arn")
    if not isinstance(name, str) or not name:
        raise invalid_parameter("arn should name a task.")
    task_id = call.resource_id(name, "task", cluster)

    def look(state: ClusterState) -> Answer:
        task = state.tasks.get(task_id)
        if task is None:
            raise invalid_parameter("The referenced task was not found.")
        return _view(task)

    return await partition.read(look)


def _view(task: Task) -> Answer:
    placement = task.placement
    return {
        "arn": task.arn,
        "entries": [{"at": e.at, "what": e.what, "cause": e.cause} for e in task.story],
        "placement": None
        if placement is None
        else {
            "considered": placement.considered,
            "refused": [{"filter": r.filter, "reason": r.reason, "instances": r.instances} for r in placement.refused],
            "chosen": placement.chosen,
        },
    }
