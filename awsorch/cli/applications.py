"""Applications in files: the task definitions and services that belong together, in ECS's own shapes.

A document has `taskDefinitions`, a list of what RegisterTaskDefinition takes, and `services`, a list of what
CreateService takes; members that begin with `x-` are the author's own (YAML anchors). Everything that can be known to
be wrong without asking the API is told at once, with file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from awsorch.cli.documents import ABSENT, Reader, line_of, name_of, read_text, request_shape, suggest
from awsorch.cli.faults import Fault

DEFINITIONS, SERVICES = "taskDefinitions", "services"
OPERATIONS = {DEFINITIONS: "RegisterTaskDefinition", SERVICES: "CreateService"}
OWN = "x-"
"""How members begin that are the author's own."""
REFUSED = {
    "cluster": "a file says nothing of the cluster, so that it does for several; give it with --cluster",
    "clientToken": "a token belongs to one request; leave it out",
}
"""Members of CreateService that no file has, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One task definition or service. ``lines``: where it begins (under "") and where each of its members does."""

    file: str
    value: Mapping[str, Any]
    lines: Mapping[str, int]

    def place(self, member: str = "") -> str:
        """`file:line` of a member, or of the whole."""
        return f"{self.file}:{self.lines.get(member, self.lines[''])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What the files say, in their order."""

    definitions: Sequence[Item]
    services: Sequence[Item]

    @property
    def families(self) -> dict[str, Item]:
        """The task definitions by family."""
        return {one.value["family"]: one for one in self.definitions}


def read_application(files: Sequence[str]) -> Application:
    """The application that these files make together ("-" is standard input). Raises Fault naming all that is wrong."""
    items: dict[str, list[Item]] = {DEFINITIONS: [], SERVICES: []}
    problems: list[str] = []
    for file in files:
        reader = ApplicationReader(reader=Reader(file=name_of(file)))
        reader.read(read_text(file))
        problems += reader.reader.problems
        for kind, found in reader.items.items():
            items[kind] += found
    if not problems:
        application = Application(definitions=items[DEFINITIONS], services=items[SERVICES])
        problems += check(application)
    if problems:
        raise Fault("\n".join(problems))
    return application


@dataclass(slots=True, kw_only=True)
class ApplicationReader:
    """Reads the documents of one file; what is wrong goes to ``reader.problems``."""

    reader: Reader
    items: dict[str, list[Item]] = field(default_factory=lambda: {DEFINITIONS: [], SERVICES: []})

    def read(self, text: str) -> None:
        roots = self.reader.compose(text)
        if not roots and not self.reader.problems:
            self.reader.problems.append(f"{self.reader.file}: neither {DEFINITIONS} nor {SERVICES} in it")
        for root in roots:
            self.read_document(root)

    def read_document(self, root: yaml.Node) -> None:
        for key, child in self.reader.members(root, ""):
            if key.value in OPERATIONS:
                self.read_items(key.value, child)
            elif not key.value.startswith(OWN):
                self.reader.report(key, "", f"no member {key.value!r} exists here{hint(key.value)}")

    def read_items(self, kind: str, node: yaml.Node) -> None:
        if not isinstance(node, yaml.SequenceNode):
            self.reader.report(node, kind, "a list is wanted")
            return
        shape = request_shape(OPERATIONS[kind])
        for index, child in enumerate(node.value):
            path = f"{kind}[{index}]"
            value = self.reader.value(child, shape, path)
            if value is ABSENT:
                self.reader.report(child, path, "there is nothing here")
                continue
            members = self.reader.members(child, "", quiet=True)
            lines = {"": line_of(child)} | {key.value: line_of(key) for key, _ in members}
            self.items[kind].append(Item(file=self.reader.file, value=value, lines=lines))


def hint(name: str) -> str:
    """What to do with a member that is in the wrong place."""
    for kind, operation in OPERATIONS.items():
        if name in request_shape(operation).members:
            return f"; it belongs to an item of the list {kind!r}"
    return suggest(name, OPERATIONS) or f"; there are {DEFINITIONS!r} and {SERVICES!r}"


def check(application: Application) -> Iterator[str]:
    """What is wrong between the parts of an application, a line each."""
    yield from twice(application.definitions, "family")
    yield from twice(application.services, "serviceName")
    for service in application.services:
        yield from check_service(service, application)


def twice(items: Sequence[Item], member: str) -> Iterator[str]:
    first: dict[str, Item] = {}
    for item in items:
        name = item.value[member]
        if name in first:
            yield f"{item.place(member)}: {member} {name!r} is given twice, first at {first[name].place(member)}"
        first.setdefault(name, item)


def check_service(service: Item, application: Application) -> Iterator[str]:
    value = service.value
    for member, reason in REFUSED.items():
        if member in value:
            yield f"{service.place(member)}: {member}: {reason}"
    if value.get("schedulingStrategy") == "DAEMON" and "desiredCount" in value:
        place = service.place("desiredCount")
        yield f"{place}: desiredCount: a DAEMON service has one task on each instance; leave it out"
    if not value.get("taskDefinition"):
        yield f"{service.place()}: service {value['serviceName']!r} names no 'taskDefinition'"
    elif (definition := application.families.get(value["taskDefinition"])) is not None:
        yield from check_ports(service, definition)


def check_ports(service: Item, definition: Item) -> Iterator[str]:
    """Load balancers lead to containers and ports that the task definition of the same files has."""
    containers = {one["name"]: one for one in definition.value["containerDefinitions"] if "name" in one}
    family = definition.value["family"]
    for balancer in service.value.get("loadBalancers", []):
        name, port = balancer.get("containerName", ""), balancer.get("containerPort")
        place = f"{service.place('loadBalancers')}: loadBalancers"
        if name not in containers:
            yield f"{place}: {family!r} has no container {name!r}{suggest(name, containers)}"
            continue
        ports = [one.get("containerPort") for one in containers[name].get("portMappings", [])]
        if port not in ports:
            known = ", ".join(str(one) for one in ports) or "none"
            yield f"{place}: container {name!r} has no containerPort {port}; its portMappings have {known}"
