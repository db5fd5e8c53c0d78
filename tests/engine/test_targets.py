"""A service behind a load balancer, through the whole loop: controller, outbox, adapter, and an AWS that fails a lot.

Targets must end equal to the tasks whatever was lost, throttled or late, and no task may be told to stop while its
target still gets traffic.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import count

import pytest

from awsorch.adapters.alarms import CloudWatchAlarms
from awsorch.adapters.aws import AwsError
from awsorch.adapters.load_balancers import ElasticLoadBalancing
from awsorch.core.commands import UpdateAgent
from awsorch.core.events import (
    AgentConnected,
    ContainerReport,
    CreateCluster,
    Event,
    OpenGate,
    RegisterInstance,
    TaskReported,
)
from awsorch.core.events_services import CreateService, RevisionWish, UpdateService
from awsorch.core.invariants import check
from awsorch.core.model import LoadBalancer, NetworkBinding, Pace, Task
from awsorch.core.state import ClusterState
from awsorch.engine.controller import Controller
from awsorch.engine.outbox import Outbox
from awsorch.engine.partition import Unavailable
from awsorch.store.memory import Faults, MemoryStore
from tests.support.builders import a_definition, an_instance, arn
from tests.support.fake_aws import FakeAws
from tests.support.virtual_time import VirtualTimeLoop, run

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1"
BALANCER = LoadBalancer(target_group_arn=GROUP, container_name="app", container_port=80)
ROLLING = {"maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING"}
INSTANCES = 3


class Cloud:
    """Three machines with obedient agents, a load balancer, and a controller that may be killed."""

    def __init__(self, loop: VirtualTimeLoop, seed: int) -> None:
        self.loop = loop
        self.random = random.Random(seed)
        self.aws = FakeAws()
        self.group = self.aws.add_group(GROUP, drain_seconds=5.0)
        self.store = MemoryStore(Faults(), draw_seed=lambda: str(seed))
        self.running: dict[str, tuple[str, int]] = {}
        self.reports: set[asyncio.Task[None]] = set()
        self.broken: list[str] = []

    async def start(self) -> None:
        outbox = Outbox()
        self.controller = Controller(self.store, outbox.send, self.loop.clock, Pace(settle_seconds=1.0))
        self.balancing = ElasticLoadBalancing(self.aws, outbox.post)
        alarms = CloudWatchAlarms(self.aws, outbox.post)
        outbox.connect(agents=self)
        outbox.connect_aws(targets=self.balancing, alarms=alarms, inboxes=self.controller.clusters)
        await self.controller.start()

    async def kill(self) -> None:
        """The controller goes in the middle of whatever it does, and comes back."""
        await self.balancing.close()
        await self.controller.stop()
        await self.start()

    async def submit(self, event: Event) -> None:
        """Ask until it is stored. What was stored although it was said to have failed is asked twice."""
        while True:
            try:
                partition = self.controller.clusters.get("default")
                if partition is None:
                    raise Unavailable("the controller is not there")
                await partition.submit(event)
            except Unavailable:
                await asyncio.sleep(self.random.uniform(0.05, 1.0))
            else:
                return

    @property
    def state(self) -> ClusterState:
        return self.controller.clusters["default"].state

    async def prepare(self) -> None:
        cluster = CreateCluster(name="default", arn=arn("cluster/default"), settings={})
        await self.controller.registry.submit(cluster)
        await (await self.controller.open_cluster("default")).submit(OpenGate(pace=self.controller.pace))
        for number in range(INSTANCES):
            record = an_instance(f"{number:032x}")
            await self.submit(
                RegisterInstance(
                    instance_id=record.id,
                    arn=record.arn,
                    ec2_instance_id=f"i-{number}",
                    resources=record.resources,
                    attributes=record.attributes,
                )
            )
            await self.submit(AgentConnected(instance_id=record.id, session="s"))

    # --- the agents' door --------------------------------------------------------------------------------------------

    def send_tasks(self, cluster: str, instance_id: str, task_ids: Sequence[str] | None) -> None:
        """Every machine does at once what it is told."""
        for task_id in task_ids or self.state.fleet.tasks_on(instance_id):
            task = self.state.tasks[task_id]
            if task.told_status == "STOPPED":
                self._stop(task)
            elif task.last_status == "PENDING" and task_id not in self.running:
                self._start(task)

    def close_session(self, cluster: str, instance_id: str, reason: str) -> None:
        """No machine leaves here."""
        raise AssertionError(reason)

    def update_agent(self, cluster: str, command: UpdateAgent) -> None:
        """No agent is updated here."""
        raise AssertionError(command)

    def _start(self, task: Task) -> None:
        name = self.state.instances[task.instance_id or ""].ec2_instance_id or ""
        # The lowest free port, as often as not one that a task just left.
        port = next(p for p in count(32768) if (name, p) not in self.running.values())
        self.running[task.id] = (name, port)
        bindings = (NetworkBinding(container_port=80, host_port=port),)
        container = ContainerReport(name="app", status="RUNNING", network_bindings=bindings)
        self._report(TaskReported(task_id=task.id, status="RUNNING", containers=(container,)))

    def _stop(self, task: Task) -> None:
        address = self.running.pop(task.id, None)
        # What was not RUNNING yet is not registered; but the target of a task before it may not have left yet.
        if task.started_at is not None and address in self.group.registered:
            self.broken.append(f"task {task.id} was told to stop while its target {address} gets traffic")
        self._report(TaskReported(task_id=task.id, status="STOPPED"))

    def _report(self, report: TaskReported) -> None:
        task = self.loop.create_task(self._deliver(report))
        self.reports.add(task)
        task.add_done_callback(self.reports.discard)

    async def _deliver(self, report: TaskReported) -> None:
        await asyncio.sleep(self.random.uniform(0.05, 1.0))
        await self.submit(report)

    def crash(self) -> None:
        """One container ends by itself."""
        if self.running:
            task_id = self.random.choice(sorted(self.running))
            del self.running[task_id]
            self._report(TaskReported(task_id=task_id, status="STOPPED"))

    # --- weather -----------------------------------------------------------------------------------------------------

    def storm(self) -> None:
        """Calls are throttled, fail, take long and lose their answers; commits fail, and some only say so."""
        chance = self.random.random
        self.store.faults.commits = lambda partition: (
            self.random.choice(["before", "after"]) if partition != "registry" and chance() < 0.05 else None
        )
        faults = [
            AwsError("Throttling", "Rate exceeded", refused=True),
            AwsError("EndpointConnectionError", "nobody there"),
            AwsError("InternalFailure", "sorry"),
        ]
        self.aws.fault = lambda operation: self.random.choice(faults) if chance() < 0.25 else None
        self.aws.loses = lambda operation: chance() < 0.2
        self.aws.delay = lambda operation: chance() * 3.0

    def calm(self) -> None:
        self.store.faults.commits = None
        self.aws.fault = lambda operation: None
        self.aws.loses = lambda operation: False
        self.aws.delay = lambda operation: 0.01


def service(revision: int) -> RevisionWish:
    return RevisionWish(definition=a_definition("web", revision, cpu=64, memory=64), load_balancers=(BALANCER,))


async def live(cloud: Cloud) -> None:
    """A minute or two in the life of a service, with whatever comes in between."""
    chance = cloud.random
    await cloud.submit(
        CreateService(
            name="web",
            arn=arn("service/default/web"),
            revision=service(1),
            desired_count=4,
            configuration=ROLLING,
            created_by="me",
            client_token="token",
        )
    )
    for revision in (2, 3):
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.0, 12.0))
            if chance.random() < 0.5:
                cloud.crash()
            if chance.random() < 0.3:
                await cloud.kill()
        await cloud.submit(UpdateService(name="web", revision=service(revision)))
    await asyncio.sleep(chance.uniform(0.0, 12.0))
    await cloud.submit(UpdateService(name="web", changes={"desired_count": 3}))


@pytest.mark.parametrize("seed", range(12))
def test_targets_end_equal_to_the_tasks(seed: int) -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        cloud = Cloud(loop, seed)
        await cloud.start()
        await cloud.prepare()
        cloud.storm()
        await live(cloud)
        cloud.calm()
        await asyncio.sleep(240)
        assert not cloud.broken
        assert not check(cloud.state)
        tasks = [t for t in cloud.state.tasks.values() if t.last_status not in ("STOPPED", "DELETED")]
        assert [(t.definition, t.last_status, t.service.health) for t in tasks if t.service] == [
            ("web:3", "RUNNING", "HEALTHY")
        ] * 3
        assert cloud.group.registered == set(cloud.running.values())
        assert not cloud.group.draining
        assert {target.address for target in cloud.state.targets.values()} == cloud.group.registered
        await cloud.balancing.close()
        await cloud.controller.stop()

    run(scenario)


def test_a_deleted_target_group_is_said_and_another_one_takes_its_place() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        cloud = Cloud(loop, 1)
        await cloud.start()
        await cloud.prepare()
        cloud.calm()
        await live(cloud)
        await asyncio.sleep(60)
        del cloud.aws.groups[GROUP]
        await asyncio.sleep(60)
        said = [event.message for event in cloud.state.service_events.values()]
        assert sum("due to TARGET GROUP IS NOT FOUND" in message for message in said) == 1
        assert len(cloud.running) == 3, "what works goes on"
        other = GROUP.replace("web", "other")
        cloud.group = cloud.aws.add_group(other)
        balancer = LoadBalancer(target_group_arn=other, container_name="app", container_port=80)
        wish = RevisionWish(definition=a_definition("web", 3, cpu=64, memory=64), load_balancers=(balancer,))
        await cloud.submit(UpdateService(name="web", revision=wish))
        await asyncio.sleep(240)
        assert cloud.group.registered == set(cloud.running.values())
        assert len(cloud.running) == 3
        assert {target.group for target in cloud.state.targets.values()} == {other}
        assert all(d.rollout_state == "COMPLETED" for d in cloud.state.deployments.values())
        await cloud.balancing.close()
        await cloud.controller.stop()

    run(scenario)
