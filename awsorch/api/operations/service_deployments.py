"""DescribeServiceDeployments, ListServiceDeployments, DescribeServiceRevisions, StopServiceDeployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views import failure_view
from awsorch.api.views_services import service_deployment_brief, service_deployment_view, service_revision_view
from awsorch.core.arn import Arn, parse_arn, require_here
from awsorch.core.errors import Refusal, invalid_parameter, unsupported
from awsorch.core.events_services import StopServiceDeployment
from awsorch.core.model import Cluster
from awsorch.core.model_services import ServiceDeployment
from awsorch.core.state import ClusterState
from awsorch.engine.partition import Partition

MOST_DESCRIBED = 20
#: Later than any time that is recorded. Milliseconds since the epoch.
_END_OF_TIME_MS = 10**15 - 1
_Look = Callable[[Cluster, Arn, ClusterState], Mapping[str, Any] | None]


@operation("DescribeServiceDeployments")
async def describe_service_deployments(call: Call) -> Answer:
    """Service deployments by ARN; unknown ones are failures."""

    def look(cluster: Cluster, arn: Arn, state: ClusterState) -> Mapping[str, Any] | None:
        _, name, deployment = arn.path
        history = state.service_deployments.get(f"{name}/{deployment}")
        service = state.services.get(name)
        if history is None or service is None:
            return None
        return service_deployment_view(history, service, cluster, state)

    found, failures = await _describe(call, "serviceDeploymentArns", "service-deployment", look)
    return {"serviceDeployments": found, "failures": failures}


@operation("DescribeServiceRevisions")
async def describe_service_revisions(call: Call) -> Answer:
    """Service revisions by ARN; unknown ones are failures."""

    def look(cluster: Cluster, arn: Arn, state: ClusterState) -> Mapping[str, Any] | None:
        _, name, number = arn.path
        revision = state.service_revisions.get(f"{name}/{number}")
        service = state.services.get(name)
        if revision is None or service is None:
            return None
        return service_revision_view(revision, service, cluster, state)

    found, failures = await _describe(call, "serviceRevisionArns", "service-revision", look)
    return {"serviceRevisions": found, "failures": failures}


@operation("ListServiceDeployments")
async def list_service_deployments(call: Call) -> Answer:
    """Service deployments of one service, newest first."""
    request = call.request
    cluster, partition = await call.cluster_partition()
    name = call.resource_id(request["service"], "service", cluster)
    size, after = page_size(request, default=20), start_after(request)

    def look(state: ClusterState) -> Answer:
        service = state.services.get(name)
        if service is None:
            raise Refusal("ServiceNotFoundException", "Service not found.")
        histories = {
            _place_of(history): history
            for history in (state.service_deployments[key] for key in state.service_index.histories(name))
            if _passes(history, request)
        }
        page, token = take_page(sorted(place for place in histories if after is None or place > after), size)
        briefs = [service_deployment_brief(histories[place], service, cluster) for place in page]
        return {"serviceDeployments": briefs, "nextToken": token}

    return await partition.read(look)


@operation("StopServiceDeployment")
async def stop_service_deployment(call: Call) -> Answer:
    """Turn a service deployment that is under way back to what ran before."""
    if call.request.get("stopType", "ROLLBACK") != "ROLLBACK":
        raise unsupported("stopType ABORT is not supported by this version of awsorch. Use ROLLBACK and try again.")
    text = call.request["serviceDeploymentArn"]
    cluster_name, service, deployment = _parse(call, text, "service-deployment").path
    found = await _find_cluster(call, cluster_name)
    if found is None:
        raise Refusal("ServiceDeploymentNotFoundException", "Service deployment not found.")
    stopped = await found[1].submit(StopServiceDeployment(cause=call.cause, service=service, id=deployment))
    return {"serviceDeploymentArn": stopped.arn}


def _place_of(history: ServiceDeployment) -> str:
    """A key that sorts the newest first: milliseconds until the end of time, then the id."""
    return f"{_END_OF_TIME_MS - round(history.created_at * 1000):015d}/{history.id}"


def _passes(history: ServiceDeployment, request: Mapping[str, Any]) -> bool:
    """Whether the filters of ListServiceDeployments leave it in."""
    created = request.get("createdAt", {})
    return (not request.get("status") or history.status in request["status"]) and created.get(
        "after", history.created_at
    ) <= history.created_at <= created.get("before", history.created_at)


async def _describe(
    call: Call, member: str, kind: str, look: _Look
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """What is found of the ARNs in this member of the request, each once, and failures for the others."""
    texts: Sequence[str] = call.request[member]
    if not texts:
        raise invalid_parameter(f"{member} can not be empty.")
    if len(texts) > MOST_DESCRIBED:
        raise invalid_parameter(f"{member} can have at most {MOST_DESCRIBED} items.")
    found: list[Mapping[str, Any]] = []
    failures: list[Mapping[str, Any]] = []
    for text, arn in {text: _parse(call, text, kind) for text in texts}.items():
        cluster = await _find_cluster(call, arn.path[0])
        view = await cluster[1].read(partial(look, cluster[0], arn)) if cluster is not None else None
        if view is None:
            failures.append(failure_view(text, "MISSING"))
        else:
            found.append(view)
    return found, failures


async def _find_cluster(call: Call, name: str) -> tuple[Cluster, Partition[ClusterState]] | None:
    try:
        return await call.partition_named(name)
    except Refusal:
        return None


def _parse(call: Call, text: str, kind: str) -> Arn:
    """The ARN ``<kind>/<cluster>/<service>/<id>``. Raises InvalidParameterException."""
    arn = parse_arn(text)
    if arn is None or arn.kind != kind or len(arn.path) != 3:
        raise invalid_parameter(f"Invalid identifier: {text} is not the ARN of a {kind.replace('-', ' ')}.")
    require_here(arn, call.scope)
    return arn
