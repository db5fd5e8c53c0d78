"""What applying an application would do: which task definitions it registers, which services it makes or changes.

A plan only reads. It compares what the files say with what the API shows; defaults that ECS fills in are no difference.
A member of a service that the files leave out goes back to ECS's default where there is one, and stays as it is where
ECS or somebody else decides (desiredCount, tags, the zones).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from awsorch.cli.applications import Application, Item
from awsorch.cli.differences import differences
from awsorch.cli.documents import request_shape
from awsorch.cli.faults import Fault, describe_refusal
from awsorch.cli.identifiers import tail
from awsorch.cli.normal_forms import filled_service, normal_definition, restricted
from awsorch.cli.services import Service, describe_services, primary_of
from awsorch.cli.session import Session

REGISTER, CREATE, UPDATE, LEAVE = "register", "create", "update", "leave"
APART = ("serviceName", "cluster", "clientToken", "taskDefinition", "tags")
"""Members of CreateService that are compared each in its own way, or not at all."""
SERVICE_ROLE = "role"
AWS = "aws:"
"""How keys of tags begin that are not the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionStep:
    """What becomes of a task definition: registered, or left. ``current``: its newest ACTIVE revision, an ARN."""

    item: Item
    action: str
    current: str | None
    differences: Sequence[str] = ()

    @property
    def family(self) -> str:
        return str(self.item.value["family"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStep:
    """What becomes of a service.

    ``request``: the members of CreateService or UpdateService that are sent, without the task definition. That is
    ``definition``: an ARN, a family that this plan registers, or None where it stays. ``tags``: those to set, and keys
    to remove. ``known``: the service as it is; None where it is created.
    """

    item: Item
    action: str
    request: Mapping[str, Any]
    definition: str | None
    tags: tuple[Mapping[str, str], Sequence[str]] = ({}, ())
    known: Service | None = None
    differences: Sequence[str] = ()

    @property
    def name(self) -> str:
        return str(self.item.value["serviceName"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every step, in the order of the files: task definitions first."""

    definitions: Sequence[DefinitionStep]
    services: Sequence[ServiceStep]

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return any(action != LEAVE for action in self.actions)

    @property
    def actions(self) -> list[str]:
        return [step.action for step in self.definitions] + [step.action for step in self.services]


def make_plan(session: Session, application: Application) -> Plan:
    """Compare an application with what there is. Raises Fault naming everything that can't be done."""
    definitions = [plan_definition(session, item) for item in application.definitions]
    names = [item.value["serviceName"] for item in application.services]
    known = {one["serviceName"]: one for one in describe_services(session, names)}
    targets = {step.family: step for step in definitions}
    problems: list[str] = []
    services = []
    for item in application.services:
        try:
            definition = resolve(session, item, targets)
            services.append(plan_service(item, known.get(item.value["serviceName"]), definition))
        except Fault as fault:
            problems += fault.message.splitlines()
    if problems:
        raise Fault("\n".join(problems))
    return Plan(definitions=definitions, services=services)


def plan_definition(session: Session, item: Item) -> DefinitionStep:
    """Registered where its content differs from that of the newest ACTIVE revision."""
    try:
        answer = session.ecs.describe_task_definition(taskDefinition=item.value["family"], include=["TAGS"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ClientException":
            raise
        return DefinitionStep(item=item, action=REGISTER, current=None)
    known = answer["taskDefinition"] | {"tags": answer.get("tags", [])}
    wish = dict(item.value) if "tags" in item.value else {**item.value, "tags": known["tags"]}
    found = list(differences(normal_definition(known), normal_definition(wish)))
    current = str(known["taskDefinitionArn"])
    return DefinitionStep(item=item, action=REGISTER if found else LEAVE, current=current, differences=found)


def resolve(session: Session, item: Item, steps: Mapping[str, DefinitionStep]) -> str:
    """The ARN of the task definition that a service names, or its family where this plan registers it."""
    name = item.value["taskDefinition"]
    if (step := steps.get(name)) is not None:
        return name if step.action == REGISTER or step.current is None else step.current
    try:
        answer = session.ecs.describe_task_definition(taskDefinition=name)
    except ClientError as error:
        raise Fault(
            f"{item.place('taskDefinition')}: taskDefinition {name!r} is neither in these files nor registered: "
            f"{describe_refusal(error.response['Error'])}"
        ) from None
    found = answer["taskDefinition"]
    if found.get("status", "ACTIVE") != "ACTIVE":
        raise Fault(f"{item.place('taskDefinition')}: taskDefinition {name!r} is {found['status']}; name an ACTIVE one")
    return str(found["taskDefinitionArn"])


def plan_service(item: Item, known: Service | None, definition: str) -> ServiceStep:
    """Created, updated in the members that differ, or left. Raises Fault for a change that can't be made."""
    if known is None or known["status"] == "INACTIVE":
        return plan_creation(item, definition)
    if known["status"] != "ACTIVE":
        raise Fault(
            f"{item.place()}: service {item.value['serviceName']!r} is {known['status']}: "
            "it can be made again once it is INACTIVE"
        )
    refuse_fixed(item, known)
    request, found = change(item.value, known)
    moved = definition != known["taskDefinition"]
    if moved:
        where = tail(definition) if definition.startswith("arn:") else f"{definition} (the new revision)"
        found.insert(0, f"taskDefinition: {tail(known['taskDefinition'])} -> {where}")
    tags = change_tags(item.value, known)
    found += differences(*tag_sides(item.value, known))
    return ServiceStep(
        item=item,
        action=UPDATE if found else LEAVE,
        request=request,
        definition=definition if moved else None,
        tags=tags,
        known=known,
        differences=found or troubles(known),
    )


def plan_creation(item: Item, definition: str) -> ServiceStep:
    """A service that is not there. One that says no desiredCount gets one task, as CloudFormation has it."""
    request = {name: value for name, value in item.value.items() if name != "taskDefinition"}
    if request.get("schedulingStrategy") != "DAEMON":
        request.setdefault("desiredCount", 1)
    return ServiceStep(item=item, action=CREATE, request=request, definition=definition)


def troubles(service: Service) -> list[str]:
    """What is to be known of a service that is as wished and yet is not well."""
    primary = primary_of(service) or {}
    if primary.get("rolloutState") != "FAILED":
        return []
    name = service["serviceName"]
    return [
        f"its deployment FAILED: {primary.get('rolloutStateReason', '')} (awsorch deploy {name} --force tries again)"
    ]


def refuse_fixed(item: Item, known: Service) -> None:
    """Refuse other values of what a service keeps for its life: its scheduling strategy, launch type and role."""
    updatable = request_shape("UpdateService").members
    wish = {"schedulingStrategy": "REPLICA", **item.value}
    problems = []
    for member in sorted(set(request_shape("CreateService").members) - set(updatable) - set(APART)):
        if member in wish and not is_kept(member, wish[member], known):
            have = known.get("roleArn" if member == SERVICE_ROLE else member, "none")
            problems.append(
                f"{item.place(member)}: {member}: service {item.value['serviceName']!r} has {have} and keeps it; "
                f"{wish[member]} needs a service of another name, or this one deleted first"
            )
    if problems:
        raise Fault("\n".join(problems))


def is_kept(member: str, wish: Any, known: Service) -> bool:
    if member != SERVICE_ROLE:
        return bool(wish == known.get(member))
    role = str(known.get("roleArn", ""))
    return wish == role or role.endswith(f"/{wish}")


def change(wish: Mapping[str, Any], known: Service) -> tuple[dict[str, Any], list[str]]:
    """UpdateService's members that make the known service as wished, and what differs, a line each."""
    members = set(request_shape("UpdateService").members) - set(APART)
    request: dict[str, Any] = {}
    found: list[str] = []
    for name, value in filled_service(wish, known).items():
        if name not in members:
            continue
        there = {name: restricted(known[name], value, name)} if name in known else {}
        if differing := list(differences(there, {name: value})):
            request[name] = value
            found += differing
    return request, found


def tag_sides(wish: Mapping[str, Any], known: Service) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tags that a service has and those that it is to have; the same where the file does not speak of tags."""
    have = [one for one in known.get("tags", []) if not one["key"].startswith(AWS)]
    return {"tags": have}, {"tags": wish.get("tags", have)}


def change_tags(wish: Mapping[str, Any], known: Service) -> tuple[dict[str, str], list[str]]:
    """The tags to set, and the keys to remove."""
    have, wanted = ({one["key"]: one.get("value", "") for one in side["tags"]} for side in tag_sides(wish, known))
    setting = {key: value for key, value in wanted.items() if have.get(key) != value}
    return setting, [key for key in have if key not in wanted]
