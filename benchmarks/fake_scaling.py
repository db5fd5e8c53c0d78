"""An Auto Scaling group for benchmarks: one endpoint that answers at once, and notes when it was called.

It has a group of one type whose instances are InService as soon as they are wanted, and the metadata service of each of
them, at ``/<instance id>``. Everything else is refused. No benchmark by itself.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

GROUP = "fleet"
ARN = f"arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:0c1d:autoScalingGroupName/{GROUP}"
ZONE, KIND = "us-east-1a", "t3.medium"
HOOK = "ecs-managed-draining-termination-hook"
GROUP_XML = """<AutoScalingGroups><member><AutoScalingGroupName>fleet</AutoScalingGroupName>
<AutoScalingGroupARN>{arn}</AutoScalingGroupARN><MinSize>0</MinSize><MaxSize>1000</MaxSize>
<DesiredCapacity>{size}</DesiredCapacity><DefaultCooldown>300</DefaultCooldown>
<AvailabilityZones><member>us-east-1a</member></AvailabilityZones><VPCZoneIdentifier>subnet-a</VPCZoneIdentifier>
<HealthCheckType>EC2</HealthCheckType><CreatedTime>2024-01-01T00:00:00Z</CreatedTime>
<LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>1</Version></LaunchTemplate>
<Tags><member><Key>AmazonECSManaged</Key><Value/></member></Tags><Instances>{instances}</Instances></member>
</AutoScalingGroups>"""
INSTANCE_XML = """<member><InstanceId>{id}</InstanceId><InstanceType>t3.medium</InstanceType>
<AvailabilityZone>us-east-1a</AvailabilityZone><LifecycleState>InService</LifecycleState>
<HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"""
#: What is answered always alike, by action.
ANSWERS = {
    "DescribeLifecycleHooks": f"<LifecycleHooks><member><LifecycleHookName>{HOOK}</LifecycleHookName></member>"
    "</LifecycleHooks>",
    "DescribeScalingActivities": "<Activities/>",
    "DescribeSubnets": f"<subnetSet><item><subnetId>subnet-a</subnetId><availabilityZone>{ZONE}</availabilityZone>"
    "</item></subnetSet>",
    "DescribeLaunchTemplateVersions": "<launchTemplateVersionSet><item><launchTemplateData><instanceType>t3.medium"
    "</instanceType></launchTemplateData></item></launchTemplateVersionSet>",
    "DescribeInstanceTypes": "<instanceTypeSet><item><instanceType>t3.medium</instanceType><vCpuInfo><defaultVCpus>2"
    "</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>4096</sizeInMiB></memoryInfo><processorInfo>"
    "<supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo></item></instanceTypeSet>",
}
REFUSAL = "<ErrorResponse><Error><Code>InvalidAction</Code><Message>not here</Message></Error></ErrorResponse>"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away wants no answer; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FakeScaling:
    """``url`` is where it listens. Use it as a context."""

    def __init__(self) -> None:
        self._sizes: list[tuple[int, float]] = []
        self._called = threading.Condition()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave together; otherwise each answer would wait for the last one's acknowledgement.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                at = time.perf_counter()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                given = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
                answer = fake.answer(given, at)
                self._send(200 if answer is not None else 400, answer or REFUSAL)

            def do_PUT(self) -> None:
                self._send(200, "token")

            def do_GET(self) -> None:
                _, instance, *path = self.path.split("/")
                known = path[-2:] == ["instance-identity", "document"]
                self._send(200 if known else 404, identity(instance) if known else "")

            def _send(self, status: int, text: str) -> None:
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeScaling:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def size(self) -> int:
        """The group's desired size."""
        return self._sizes[-1][0] if self._sizes else 0

    def instance(self, number: int) -> str:
        """The id of the instance that came as so manieth, from 1."""
        return f"i-{number:017x}"

    def wait_for_size(self, size: int, limit: float = 30.0) -> float:
        """When (perf_counter) SetDesiredCapacity asked for that many or more."""
        with self._called:
            if not self._called.wait_for(lambda: self.size >= size, limit):
                raise TimeoutError(f"nobody asked for {size} instances")
            return next(at for wanted, at in self._sizes if wanted >= size)

    def answer(self, given: dict[str, str], at: float) -> str | None:
        """The answer to a call of the query protocol; None for what is not there."""
        action = given.get("Action", "")
        if action == "SetDesiredCapacity":
            with self._called:
                self._sizes.append((int(given["DesiredCapacity"]), at))
                self._called.notify_all()
            return wrapped(action, "")
        if action == "DescribeAutoScalingGroups":
            ids = (self.instance(number) for number in range(1, self.size + 1))
            instances = "".join(INSTANCE_XML.format(id=each) for each in ids)
            return wrapped(action, GROUP_XML.format(arn=ARN, size=self.size, instances=instances))
        return wrapped(action, ANSWERS[action]) if action in ANSWERS else None


def wrapped(action: str, content: str) -> str:
    """An answer as Auto Scaling wraps it, or, for its few actions here, EC2."""
    inner = content if "<item>" in content else f"<{action}Result>{content}</{action}Result>"
    return f"<{action}Response>{inner}</{action}Response>"


def identity(instance: str) -> str:
    """An instance identity document."""
    facts = {
        "instanceId": instance,
        "instanceType": KIND,
        "availabilityZone": ZONE,
        "region": "us-east-1",
        "accountId": "123456789012",
        "architecture": "x86_64",
    }
    return json.dumps(facts)
