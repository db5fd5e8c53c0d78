"""`awsorch rollback`: back to what a service ran before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from awsorch.cli.deploy import finish, waiting_options
from awsorch.cli.faults import Fault
from awsorch.cli.printing import Printer
from awsorch.cli.revisions import CONTENT, Revision, content_of, find_revision, read_history, revision_before
from awsorch.cli.rollout_view import open_view
from awsorch.cli.rollouts import goal_of, see_out
from awsorch.cli.services import Service, find_service, require_active
from awsorch.cli.session import Session, api_command

UNDER_WAY = ("PENDING", "IN_PROGRESS")
TURNING_BACK = ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
NONE: dict[str, Any] = {
    "capacityProviderStrategy": [],
    "loadBalancers": [],
    "serviceRegistries": [],
    "volumeConfigurations": [],
    "vpcLatticeConfigurations": [],
    "serviceConnectConfiguration": {"enabled": False},
}
"""How UpdateService is told that a service is to do without a member."""


@click.command("rollback")
@click.argument("service", metavar="SERVICE")
@click.option(
    "--to",
    metavar="REVISION",
    help="One that ran: 8 or FAMILY:8 of the task definition, or REVISION as shown.",
)
@waiting_options
@api_command
def rollback(session: Session, printer: Printer, service: str, to: str | None, wait: bool, timeout: float) -> None:
    """Take a service back to what it ran before, and watch it.

    A deployment that is under way is stopped and turned back. Otherwise the newest revision before this one that
    completed is deployed, or the one that --to names. Exit codes as for deploy.
    """
    where, found = find_service(session, service)
    require_active(found)
    if to is None and (deployment := under_way(where, found)) is not None:
        turn_back(where, printer, found, deployment, wait, timeout)
        return
    history = read_history(where, found)
    revision = find_revision(history, to) if to is not None else revision_before(history)
    answer = where.ecs.update_service(
        cluster=where.cluster, service=found["serviceArn"], **update_to(revision, history.current)
    )
    finish(where, printer, before=found, after=answer["service"], wait=wait, timeout=timeout)


def under_way(session: Session, service: Service) -> dict[str, Any] | None:
    """The service deployment that has not ended; None when there is none."""
    arn = service.get("currentServiceDeployment")
    if arn is None:
        return None
    answer = session.ecs.describe_service_deployments(serviceDeploymentArns=[arn])
    found = next(iter(answer["serviceDeployments"]), {"status": ""})
    return found if found["status"] in (*UNDER_WAY, *TURNING_BACK) else None


def turn_back(
    session: Session, printer: Printer, service: Service, deployment: dict[str, Any], wait: bool, timeout: float
) -> None:
    """Stop a service deployment; one that turns back already is only watched."""
    arn = deployment["serviceDeploymentArn"]
    if deployment["status"] in UNDER_WAY:
        session.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    if wait:
        goal = replace(goal_of(service), service_deployment=arn, turns_back=True)
        see_out(session, printer, goal, open_view(printer, service), timeout)
    elif printer.as_json:
        printer.show_json({"serviceDeploymentArn": arn})
    else:
        click.echo(f"{service['serviceName']}: the deployment under way is turned back")


def update_to(revision: Revision, current: Revision | None) -> dict[str, Any]:
    """UpdateService's members for a service to run this revision: those in which it differs from the current one.

    Raises Fault where a service cannot be updated to it.
    """
    wished, known = content_of(revision), content_of(current) if current is not None else {}
    update = {"taskDefinition": wished.pop("taskDefinition")}
    launch_types = {one["launchType"] for one in (wished, known) if "launchType" in one}
    if len(launch_types) > 1:
        raise Fault(f"that revision had launch type {wished['launchType']}, and a service keeps the one that it has")
    for name in CONTENT:
        if wished.get(name) == known.get(name) or name == "launchType":
            continue
        if name in wished or name in NONE:
            update[name] = wished.get(name, NONE.get(name))
    return update
