"""What agents call: DiscoverPollEndpoint and the Submit… operations.

Stale and unknown things are acknowledged: an agent repeats what is refused, and there is nothing it could mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.api.calls import Answer, Call, operation
from awsorch.core.events import ContainerReport, TaskReported
from awsorch.core.events_attachments import AttachmentsReported
from awsorch.core.model import NetworkBinding

ACKNOWLEDGED: Answer = {"acknowledgment": "ok"}


@operation("DiscoverPollEndpoint")
async def discover_poll_endpoint(call: Call) -> Answer:
    """Where agents connect: the address that they know us by, so it stays good as long as this one does."""
    return {"endpoint": f"{call.base_url}/acs", "telemetryEndpoint": f"{call.base_url}/tcs"}


@operation("SubmitTaskStateChange")
async def submit_task_state_change(call: Call) -> Answer:
    """A task's and its containers' progress."""
    request = call.request
    if not request.get("task"):
        return ACKNOWLEDGED
    cluster, partition = await call.cluster_partition()
    event = TaskReported(
        cause=call.cause,
        task_id=call.resource_id(request["task"], "task", cluster),
        status=request.get("status") or None,
        reason=request.get("reason") or None,
        containers=tuple(_container(item) for item in request.get("containers", ())),
        pull_started_at=request.get("pullStartedAt"),
        pull_stopped_at=request.get("pullStoppedAt"),
        execution_stopped_at=request.get("executionStoppedAt"),
    )
    await partition.submit(event)
    attached = _attached(request)
    if attached:
        await partition.submit(AttachmentsReported(cause=call.cause, task_id=event.task_id, attached=attached))
    return ACKNOWLEDGED


@operation("SubmitContainerStateChange")
async def submit_container_state_change(call: Call) -> Answer:
    """One container's progress, from older agents."""
    request = call.request
    if request.get("task") and request.get("containerName"):
        cluster, partition = await call.cluster_partition()
        task_id = call.resource_id(request["task"], "task", cluster)
        await partition.submit(TaskReported(cause=call.cause, task_id=task_id, containers=(_container(request),)))
    return ACKNOWLEDGED


@operation("SubmitAttachmentStateChanges")
async def submit_attachment_state_changes(call: Call) -> Answer:
    """What agents have of what was attached to their instances."""
    _, partition = await call.cluster_partition()
    attached = _attached(call.request)
    if attached:
        await partition.submit(AttachmentsReported(cause=call.cause, attached=attached))
    return ACKNOWLEDGED


def _attached(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the attachments that the request says are there."""
    given = request.get("attachments", ())
    return tuple(each["attachmentArn"].rpartition("/")[2] for each in given if each.get("status") == "ATTACHED")


def _container(item: Mapping[str, Any]) -> ContainerReport:
    bindings = item.get("networkBindings")
    return ContainerReport(
        name=item.get("containerName", ""),
        status=item.get("status") or None,
        exit_code=item.get("exitCode"),
        reason=item.get("reason") or None,
        runtime_id=item.get("runtimeId") or None,
        image_digest=item.get("imageDigest") or None,
        network_bindings=tuple(_binding(b) for b in bindings) if bindings else None,
    )


def _binding(item: Mapping[str, Any]) -> NetworkBinding:
    return NetworkBinding(
        bind_ip=item.get("bindIP"),
        container_port=item.get("containerPort"),
        host_port=item.get("hostPort"),
        protocol=item.get("protocol", "tcp"),
        container_port_range=item.get("containerPortRange"),
        host_port_range=item.get("hostPortRange"),
    )
