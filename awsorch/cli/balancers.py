"""`awsorch balancers`: the load balancers of the local cloud, where they listen, and how their targets are.

What load balancers, rules and targets there are comes from Elastic Load Balancing's API, as it does for any client;
where they listen here and what they have carried from awsorch itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from awsorch.cli.extension import call_own
from awsorch.cli.printing import Printer
from awsorch.cli.rule_words import say_actions, say_when_met
from awsorch.cli.session import Session, api_command

PATH = "/awsorch/balancers"
RULE_COLUMNS = ("LISTENER", "RULE", "WHEN", "THEN")
TARGET_COLUMNS = ("TARGET GROUP", "TARGET", "STATE", "REQUESTS", "PER SECOND", "REASON")
LISTENER_COLUMNS = ("LISTENER", "URL", "REQUESTS", "PER SECOND", "IN FLIGHT", "5XX", "NOTES")


@click.command("balancers")
@api_command
def balancers(session: Session, printer: Printer) -> None:
    """List the load balancers of the local cloud: URLs, rules, targets with their health, requests."""
    found = describe_balancers(session)
    if printer.as_json:
        printer.show_json({"loadBalancers": found})
        return
    for balancer in found:
        show_balancer(printer, balancer)
    if not found:
        printer.note("no load balancer is there")


def describe_balancers(session: Session) -> list[dict[str, Any]]:
    """Every load balancer with its listeners, their rules, its target groups and their targets."""
    clients = {name: client_of(session, name) for name in ("elbv2", "elb")}
    groups = {
        each["TargetGroupArn"]: each for each in pages(clients["elbv2"], "describe_target_groups", "TargetGroups")
    }
    own = call_own(session, "GET", PATH, {})
    carried = {each["targetGroup"]: each["traffic"] for each in own["targetGroups"]}
    found = []
    for balancer in own["loadBalancers"]:
        if balancer["type"] == "classic":
            found.append(describe_classic(clients["elb"], balancer, carried))
        else:
            found.append(describe_one(clients["elbv2"], balancer, groups, carried))
    return found


def client_of(session: Session, name: str) -> Any:
    return session.boto.client(name, endpoint_url=session.endpoint, region_name=session.region)


def pages(client: Any, operation: str, member: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[member]


def describe_one(
    elbv2: Any, balancer: dict[str, Any], groups: dict[str, dict[str, Any]], carried: dict[str, Any]
) -> dict[str, Any]:
    """An application or network load balancer."""
    names = {arn: group["TargetGroupName"] for arn, group in groups.items()}
    listeners = []
    for listener in balancer["listeners"]:
        rules = pages(elbv2, "describe_rules", "Rules", ListenerArn=listener["listener"])
        said = [
            {
                "priority": rule["Priority"],
                "when": say_when_met(rule["Conditions"]),
                "then": say_actions(rule["Actions"], names),
            }
            for rule in rules
        ]
        listeners.append(listener | {"rules": said})
    used = [arn for arn, group in groups.items() if balancer["loadBalancer"] in group.get("LoadBalancerArns", [])]
    return balancer | {
        "listeners": listeners,
        "targetGroups": [
            {
                "targetGroup": arn,
                "name": names[arn],
                "traffic": carried.get(arn),
                "targets": describe_targets(elbv2, arn),
            }
            for arn in used
        ],
    }


def describe_targets(elbv2: Any, arn: str) -> list[dict[str, str]]:
    return [
        {
            "target": f"{each['Target']['Id']}:{each['Target']['Port']}",
            "state": each["TargetHealth"]["State"],
            "reason": each["TargetHealth"].get("Description", ""),
        }
        for each in elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    ]


def describe_classic(elb: Any, balancer: dict[str, Any], carried: dict[str, Any]) -> dict[str, Any]:
    """A classic load balancer: each listener forwards to its instances and has no rules."""
    name = balancer["name"]
    states = elb.describe_instance_health(LoadBalancerName=name)["InstanceStates"] if balancer["listeners"] else []
    targets = [
        {
            "target": each["InstanceId"],
            "state": each["State"],
            "reason": each["Description"] if each["Description"] != "N/A" else "",
        }
        for each in states
    ]
    rules = [{"priority": "default", "when": "always", "then": "its instances"}]
    parts = [carried[key] or {} for key in carried if key.startswith(f"{balancer['loadBalancer']}/")]
    total = {name: sum(part.get(name, 0) for part in parts) for name in ("requests", "requestsPerSecond", "sessions")}
    return balancer | {
        "listeners": [listener | {"rules": rules} for listener in balancer["listeners"]],
        "targetGroups": [{"targetGroup": balancer["loadBalancer"], "name": name, "traffic": total, "targets": targets}],
    }


def show_balancer(printer: Printer, balancer: dict[str, Any]) -> None:
    printer.show_heading(f"{balancer['name']} ({balancer['type']}) at {balancer['address']}")
    if not balancer["listeners"]:
        printer.show_text("It has no listener yet.")
        return
    printer.show_table(LISTENER_COLUMNS, [listener_row(each) for each in balancer["listeners"]])
    printer.show_table(
        RULE_COLUMNS,
        [
            [str(listener["port"]), rule["priority"], rule["when"], rule["then"]]
            for listener in balancer["listeners"]
            for rule in listener["rules"]
        ],
    )
    rows = [row for group in balancer["targetGroups"] for row in target_rows(group)]
    if rows:
        printer.show_table(TARGET_COLUMNS, rows)


def listener_row(listener: dict[str, Any]) -> list[str]:
    traffic = listener["traffic"] or {}
    return [
        str(listener["port"]),
        listener["url"] or "",
        str(traffic.get("requests", 0)),
        str(traffic.get("requestsPerSecond", 0)),
        str(traffic.get("sessions", 0)),
        str(traffic.get("responses", {}).get("5xx", 0)),
        "; ".join(listener["notes"]),
    ]


def target_rows(group: dict[str, Any]) -> list[list[str]]:
    """A row for each target; the first has the target group's name and what it has carried in all."""
    traffic = group["traffic"] or {}
    carried = [str(traffic.get("requests", 0)), str(traffic.get("requestsPerSecond", 0))]
    targets = group["targets"] or [{"target": "", "state": "no target", "reason": ""}]
    return [
        [
            group["name"] if number == 0 else "",
            each["target"],
            each["state"],
            *(carried if number == 0 else ["", ""]),
            each["reason"],
        ]
        for number, each in enumerate(targets)
    ]
