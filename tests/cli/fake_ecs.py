"""A small ECS endpoint for testing the command line: real HTTP, the shapes of the API, and knobs for faults.

It keeps definitions, tasks and instances in plain dictionaries that a test fills and reads. `refusals` makes an
operation answer an error, `away` makes so many requests after an answer of that operation find nobody (the connection
is closed), and `steps` are changes that befall a task, one at each DescribeTasks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCOUNT = "arn:aws:ecs:us-east-1:123456789012"
CREATED = 1_714_446_042.816
PAGE = 3
"""Items of a list's page: few, so that every test goes through several pages."""

Json = dict[str, Any]


class Refused(Exception):
    """An error answer: a code and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(slots=True, kw_only=True)
class FakeEcs:
    """The state of the endpoint and what it was asked."""

    definitions: dict[str, list[Json]] = field(default_factory=dict)
    tasks: dict[str, Json] = field(default_factory=dict)
    instances: dict[str, Json] = field(default_factory=dict)
    steps: dict[str, list[Json]] = field(default_factory=dict)
    failures: list[Json] = field(default_factory=list)
    stories: dict[str, Json] = field(default_factory=dict)
    capacities: list[Json] = field(default_factory=list)
    plans: list[Json] = field(default_factory=list)
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)
    away: dict[str, int] = field(default_factory=dict)
    closed: int = 0
    requests: list[tuple[str, Json]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def asked(self, operation: str) -> list[Json]:
        """What the endpoint was asked in calls of this operation."""
        return [body for name, body in self.requests if name == operation]

    def add_task(self, number: int, **members: Any) -> str:
        """Add a task whose id begins with this number in hexadecimal; answers its ARN."""
        arn = f"{ACCOUNT}:task/default/{number:04x}{'0' * 28}"
        self.tasks[arn] = {
            "taskArn": arn,
            "clusterArn": f"{ACCOUNT}:cluster/default",
            "taskDefinitionArn": f"{ACCOUNT}:task-definition/hello:1",
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "createdAt": CREATED + number,
            "containers": [],
        } | members
        return arn

    def add_instance(self, number: int, **members: Any) -> str:
        arn = f"{ACCOUNT}:container-instance/default/{number:04x}{'f' * 28}"
        self.instances[arn] = {
            "containerInstanceArn": arn,
            "ec2InstanceId": f"i-{number:04x}",
            "status": "ACTIVE",
            "agentConnected": True,
            "runningTasksCount": 1,
            "pendingTasksCount": 0,
            "attributes": [
                {"name": "ecs.instance-type", "value": "t3.medium"},
                {"name": "ecs.availability-zone", "value": "us-east-1a"},
            ],
            "registeredResources": [resource("CPU", 2048), resource("MEMORY", 3906)],
            "remainingResources": [resource("CPU", 1536), resource("MEMORY", 3650)],
        } | members
        return arn

    def add_definition(self, family: str, *containers: Json) -> str:
        revisions = self.definitions.setdefault(family, [])
        revisions.append(
            {
                "family": family,
                "revision": len(revisions) + 1,
                "taskDefinitionArn": f"{ACCOUNT}:task-definition/{family}:{len(revisions) + 1}",
                "status": "ACTIVE",
                "containerDefinitions": list(containers),
            }
        )
        return str(revisions[-1]["taskDefinitionArn"])

    def answer(self, target: str, body: Json) -> Json:
        operation = target.partition(".")[2]
        self.requests.append((operation, body))
        self.closed = self.away.pop(operation, 0)
        if operation in self.refusals:
            raise Refused(*self.refusals[operation])
        handler: Callable[[Json], Json] | None = {
            "RegisterTaskDefinition": self.register,
            "DescribeTaskDefinition": self.describe_definition,
            "RunTask": self.run_task,
            "ListTasks": self.list_tasks,
            "DescribeTasks": self.describe_tasks,
            "StopTask": self.stop_task,
            "ListContainerInstances": self.list_instances,
            "DescribeContainerInstances": self.describe_instances,
            "DescribeStory": self.describe_story,
            "DescribeCapacity": self.describe_capacity,
            "PlanCapacity": lambda _: self.plans[0],
        }.get(operation)
        if handler is None:
            raise Refused("UnsupportedFeatureException", f"{operation} is not built")
        return handler(body)

    def register(self, body: Json) -> Json:
        self.add_definition(body["family"], *body["containerDefinitions"])
        return {"taskDefinition": self.definitions[body["family"]][-1]}

    def describe_definition(self, body: Json) -> Json:
        family, _, revision = body["taskDefinition"].rpartition("/")[2].partition(":")
        revisions = self.definitions.get(family)
        if not revisions:
            raise Refused("ClientException", "Unable to describe task definition.")
        return {"taskDefinition": revisions[int(revision or len(revisions)) - 1]}

    def run_task(self, body: Json) -> Json:
        if self.failures:
            return {"tasks": [], "failures": self.failures}
        start = len(self.tasks) + 1
        arns = [self.add_task(number, lastStatus="PENDING") for number in range(start, start + body["count"])]
        for arn in arns:
            self.tasks[arn]["taskDefinitionArn"] = f"{ACCOUNT}:task-definition/{body['taskDefinition']}"
        return {"tasks": [self.tasks[arn] for arn in arns], "failures": []}

    def list_tasks(self, body: Json) -> Json:
        wanted = body.get("desiredStatus", "RUNNING")
        arns = [arn for arn, task in self.tasks.items() if task["desiredStatus"] == wanted]
        return page("taskArns", arns, body)

    def describe_tasks(self, body: Json) -> Json:
        found, failures = [], []
        for name in body["tasks"]:
            arn = name if name.startswith("arn:") else f"{ACCOUNT}:task/default/{name}"
            if arn not in self.tasks:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            if self.steps.get(arn):
                self.tasks[arn] |= self.steps[arn].pop(0)
            found.append(self.tasks[arn])
        return {"tasks": found, "failures": failures}

    def stop_task(self, body: Json) -> Json:
        task = self.tasks[body["task"]]
        task["desiredStatus"] = "STOPPED"
        return {"task": task}

    def list_instances(self, body: Json) -> Json:
        return page("containerInstanceArns", list(self.instances), body)

    def describe_instances(self, body: Json) -> Json:
        return {"containerInstances": [self.instances[arn] for arn in body["containerInstances"]], "failures": []}

    def describe_story(self, body: Json) -> Json:
        if body["arn"] not in self.stories:
            raise Refused("InvalidParameterException", "The referenced task was not found.")
        return self.stories[body["arn"]]

    def describe_capacity(self, body: Json) -> Json:
        """The next of them; when the last was told a watch is refused, so that it ends."""
        if not self.capacities:
            raise Refused("InvalidParameterException", "that is all")
        return self.capacities.pop(0)


def resource(name: str, value: int) -> Json:
    return {"name": name, "type": "INTEGER", "integerValue": value}


def page(member: str, items: list[str], body: Json) -> Json:
    start = int(body.get("nextToken", 0))
    answer: Json = {member: items[start : start + PAGE]}
    if start + PAGE < len(items):
        answer["nextToken"] = str(start + PAGE)
    return answer


@contextmanager
def serve(fake: FakeEcs) -> Iterator[str]:
    """Serve the fake on a free port of the loopback address; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.headers.append(dict(self.headers))
            if fake.closed:
                fake.closed -= 1
                self.close_connection = True
                return
            try:
                status, answer = 200, fake.answer(self.headers["X-Amz-Target"], json.loads(body))
            except Refused as refused:
                status, answer = 400, {"__type": refused.code, "message": refused.message}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the test reads `requests`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
