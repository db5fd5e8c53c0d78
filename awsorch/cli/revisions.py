"""What a service ran: its service deployments and service revisions, read together.

A service deployment is the way from one service revision to the next; ECS keeps them 90 days. A service revision never
changes: it names the task definition and has the members of the service that its tasks depend on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import SHORT, tail
from awsorch.cli.services import Service
from awsorch.cli.session import Session

DESCRIBE_LIMIT = 20
"""How many service deployments or revisions one Describe call takes (ECS API reference)."""
LIST_LIMIT = 100
FEWEST_DIGITS = 6
"""So many of a service revision's number are wanted: fewer are taken for a revision of the task definition."""
CONTENT = (
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
)
"""The members of a service revision, beside its task definition, that its tasks depend on."""
WORKED = ("SUCCESSFUL",)

Revision = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The service deployments of a service, the newest first, and its revisions by ARN."""

    service: Service
    deployments: Sequence[dict[str, Any]]
    revisions: dict[str, Revision]

    @property
    def current(self) -> Revision | None:
        """The revision that the PRIMARY deployment runs."""
        arns = [one["arn"] for one in self.service.get("currentServiceRevisions", [])]
        return next((self.revisions[arn] for arn in arns if arn in self.revisions), None)

    def target(self, deployment: dict[str, Any]) -> Revision | None:
        """The revision that a service deployment went to."""
        return self.revisions.get(deployment["targetServiceRevision"]["arn"])

    def source(self, deployment: dict[str, Any]) -> Revision | None:
        """The revision that ran when it began; None for the first one."""
        arns = [one["arn"] for one in deployment.get("sourceServiceRevisions", [])]
        return next((self.revisions[arn] for arn in arns if arn in self.revisions), None)


def read_history(session: Session, service: Service) -> History:
    """Everything that the API still knows about what a service ran."""
    arns = list_deployments(session, service["serviceArn"])
    deployments = [
        one
        for some in batches(arns)
        for one in session.ecs.describe_service_deployments(serviceDeploymentArns=some)["serviceDeployments"]
    ]
    deployments.sort(key=lambda one: arns.index(one["serviceDeploymentArn"]))
    named = [one["arn"] for one in service.get("currentServiceRevisions", [])]
    for one in deployments:
        named += [one["targetServiceRevision"]["arn"], *(each["arn"] for each in one.get("sourceServiceRevisions", []))]
    revisions = {
        one["serviceRevisionArn"]: one
        for some in batches(list(dict.fromkeys(named)))
        for one in session.ecs.describe_service_revisions(serviceRevisionArns=some)["serviceRevisions"]
    }
    return History(service=service, deployments=deployments, revisions=revisions)


def list_deployments(session: Session, service: str) -> list[str]:
    """ARNs of the service deployments of a service, the newest first; boto3 has no paginator for them."""
    arns: list[str] = []
    more: dict[str, str] = {}
    while True:
        answer = session.ecs.list_service_deployments(
            cluster=session.cluster, service=service, maxResults=LIST_LIMIT, **more
        )
        arns += [one["serviceDeploymentArn"] for one in answer["serviceDeployments"]]
        if not answer.get("nextToken"):
            return arns
        more = {"nextToken": answer["nextToken"]}


def batches(arns: Sequence[str]) -> Iterable[list[str]]:
    for start in range(0, len(arns), DESCRIBE_LIMIT):
        yield list(arns[start : start + DESCRIBE_LIMIT])


def content_of(revision: Revision) -> dict[str, Any]:
    """What tells one revision from another of the same content: its task definition and the members it fixes."""
    members = {name: revision[name] for name in CONTENT if revision.get(name)}
    return {"taskDefinition": revision["taskDefinition"], **members}


def number_of(revision: Revision) -> str:
    return tail(revision["serviceRevisionArn"])


def say_revision(revision: Revision | None) -> str:
    """ "web:3 (41234567)": the task definition and the beginning of the revision's number."""
    if revision is None:
        return ""
    return f"{tail(revision['taskDefinition'])} ({number_of(revision)[:SHORT]})"


def find_revision(history: History, text: str) -> Revision:
    """The revision that a person means: by ARN, by what it ran (web:3, or 3 for short), or by a unique beginning of its
    own number.

    Of several that ran the same task definition it is the newest. Raises Fault.
    """
    newest_first = sorted(history.revisions.values(), key=lambda one: one["createdAt"], reverse=True)
    family = tail(history.service["taskDefinition"]).partition(":")[0]
    for wanted in (text, f"{family}:{text}"):
        if found := [one for one in newest_first if wanted in (one["serviceRevisionArn"], tail(one["taskDefinition"]))]:
            return found[0]
    is_number = text.isdigit() and len(text) >= FEWEST_DIGITS
    found = [one for one in newest_first if is_number and number_of(one).startswith(text)]
    if len(found) == 1:
        return found[0]
    name = history.service["serviceName"]
    if found:
        raise Fault(f"{len(found)} revisions of {name} begin with {text}: give more of the number")
    ran = ", ".join(say_revision(one) for one in newest_first) or "none that is known"
    raise Fault(f"no revision of {name} is {text!r}; it ran {ran}")


def revision_before(history: History) -> Revision:
    """What the service ran before: the newest revision of other content that completed. Raises Fault without one."""
    current = history.current
    for deployment in history.deployments:
        target = history.target(deployment)
        if target is None or deployment["status"] not in WORKED:
            continue
        if current is None or content_of(target) != content_of(current):
            return target
    name = history.service["serviceName"]
    raise Fault(f"{name} never ran anything else that completed, so there is nothing to go back to")
