"""A local cloud in real processes, and web servers on its instances' addresses behind its load balancers."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from awsorch.local.up import Ready

_LIMIT_SECONDS = 30.0


class Web(ThreadingHTTPServer):
    """Answers its name; `/slow` when it is let go, `/missing` with 404."""

    daemon_threads = True

    def __init__(self, address: str, name: str) -> None:
        super().__init__((address, 0), _Handler)
        self.name = name
        self.arrived, self.let_go = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that end in the middle are ordinary here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.server.arrived.set()
            self.server.let_go.wait(_LIMIT_SECONDS)
        status = 404 if self.path.startswith("/missing") else 200
        body = self.server.name.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Cloud:
    """The cloud's clients, and what tests do with them."""

    ready: Ready
    servers: list[Web] = field(default_factory=list)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.ready.endpoint,
            region_name=self.ready.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.ready.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.ready.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=30),
        )

    def __post_init__(self) -> None:
        self.elbv2, self.elb, self.ec2 = (self.client(name) for name in ("elbv2", "elb", "ec2"))

    def web(self, name: str, instance: int = 0) -> tuple[Web, dict[str, Any]]:
        """A web server on an instance, and the target that it is."""
        server = Web(self.ready.instances[instance].address, name)
        self.servers.append(server)
        return server, {"Id": self.ready.instances[instance].id, "Port": server.server_port}

    def balancer(self, name: str, kind: str = "application") -> tuple[str, str]:
        """A load balancer's ARN and address."""
        subnets = [each["SubnetId"] for each in self.ec2.describe_subnets()["Subnets"]][:2]
        made = self.elbv2.create_load_balancer(Name=name, Subnets=subnets, Type=kind)["LoadBalancers"][0]
        return made["LoadBalancerArn"], made["DNSName"]

    def group(self, name: str, delay: int = 1, **arguments: Any) -> str:
        """A target group's ARN; checked every five seconds, the least that ELB takes."""
        usual = {
            "Protocol": "HTTP",
            "Port": 80,
            "VpcId": self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
            "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2,
        }
        made = self.elbv2.create_target_group(Name=name, **(usual | arguments))["TargetGroups"][0]
        arn = str(made["TargetGroupArn"])
        attributes = [{"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}]
        self.elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)
        return arn

    def listen(self, balancer: str, group: str, port: int = 80, protocol: str = "HTTP") -> str:
        """A listener's ARN."""
        made = self.elbv2.create_listener(
            LoadBalancerArn=balancer,
            Port=port,
            Protocol=protocol,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def states(self, group: str) -> dict[int, str]:
        """State by target's port."""
        described = self.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {each["Target"]["Port"]: each["TargetHealth"]["State"] for each in described}

    def reason(self, group: str, port: int) -> dict[str, str]:
        target = {"Id": self.ready.instances[0].id, "Port": port}
        described = self.elbv2.describe_target_health(TargetGroupArn=group, Targets=[target])
        return dict(described["TargetHealthDescriptions"][0]["TargetHealth"])

    def is_served_by(self, group: str, target: dict[str, Any]) -> bool:
        """Whether a target is the only one, and healthy."""
        return self.states(group) == {target["Port"]: "healthy"}

    def until_all_are(self, state: str, group: str, count: int) -> None:
        wait(lambda: list(self.states(group).values()) == [state] * count)

    def kill(self, module: str) -> None:
        """Kill one of the cloud's processes, by what of its command line names it."""
        for child in children(self.ready.process_id):
            with suppress(FileNotFoundError, ProcessLookupError):  # one that has just been waited for
                if module in Path(f"/proc/{child}/cmdline").read_text():
                    os.kill(child, signal.SIGKILL)
                    return
        raise AssertionError(f"no process of {module} runs")


def children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def get(address: str, path: str = "/", port: int = 80, **headers: str) -> tuple[int, str]:
    """Status and body, over a connection of its own. Raises OSError for an answer that breaks off, too."""
    connection = http.client.HTTPConnection(address, port, timeout=_LIMIT_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except http.client.IncompleteRead as error:
        raise ConnectionError("the answer broke off") from error
    finally:
        connection.close()


def wait(condition: Callable[[], Any]) -> None:
    """Wait for something of the cloud's, which may not answer at all meanwhile."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while True:
        try:
            if condition():
                return
        except (ClientError, BotoCoreError, OSError):
            assert time.monotonic() < deadline, "the cloud does not answer"
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@contextmanager
def load(address: str, clients: int = 3) -> Iterator[Counter[str]]:
    """Requests without a pause, counted by what became of them."""
    seen: Counter[str] = Counter()
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            try:
                status, _ = get(address)
                seen[str(status)] += 1
            except OSError as error:
                seen[type(error).__name__] += 1

    threads = [threading.Thread(target=go_on) for _ in range(clients)]
    for each in threads:
        each.start()
    try:
        yield seen
    finally:
        over.set()
        for each in threads:
            each.join()
