"""Services under anything that may happen to them, cut off and loaded again at any time; then faults stop, and what is
wished for must come true by itself: the count, one deployment, targets equal to tasks, nothing left of what went."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from awsorch.core import events
from awsorch.core.errors import Refusal
from awsorch.core.events_services import ProtectTasks, RevisionWish, StopServiceDeployment, UpdateService
from awsorch.core.invariants import check
from awsorch.core.model import Gate, LoadBalancer, Strategy, Task
from awsorch.core.model_services import Service
from awsorch.core.services.bounds import upper_bound
from awsorch.core.services.targets import address_of
from awsorch.core.state import ClusterState
from awsorch.core.wakes import all_keys
from awsorch.engine.ports import Change
from awsorch.store.records import record_of, rows_of
from tests.properties.disk import same
from tests.support.service_world import Conduct, ServiceWorld
from tests.support.states import contents

#: A service, its task definition family, and what is particular about it.
FAMILIES = {"web": "plain", "api": "checked", "tcp": "fixed", "node": "daemon"}
REVISIONS = {
    1: Conduct(),
    2: Conduct(start_seconds=6.0, stop_seconds=4.0),
    3: Conduct(fails=True),
    4: Conduct(exits_after=0.5),
    5: Conduct(health="UNHEALTHY"),
}
PERCENTS = ((100, 200), (50, 100), (0, 100), (100, 150), (75, 125))
STRATEGIES = (
    (),
    (Strategy(type="binpack", field="memory"),),
    (Strategy(type="spread", field="instanceId"),),
    (Strategy(type="random"),),
)
LONGEST_PROTECTION_S = 900.0
NAMES = st.sampled_from(sorted(FAMILIES))
PICK = st.integers(0, 1 << 16)
FOREIGN = ("i-not-ours", 80)


class Cluster(ServiceWorld):
    """The world, with families of its own and a power that may fail."""

    def wish(self, family: str, revision: int, *, port: int = 0, balanced: bool = False) -> RevisionWish:
        made = super().wish(family, revision, port=8080 if family == "fixed" else 0, balanced=balanced)
        if family != "checked":
            return made
        document = dict(made.definition.definition)
        document["containerDefinitions"] = [
            {**container, "healthCheck": {"command": ["CMD", "true"]}} for container in document["containerDefinitions"]
        ]
        return replace(made, definition=replace(made.definition, definition=document))

    def cut_the_power(self) -> None:
        """Go on with what the store has; every key is dirty."""
        changes = [
            Change(kind=kind, key=k, record=r) for kind, table in self.state.tables.items() for k, r in table.items()
        ]
        loaded = ClusterState(self.state.seed)
        rows = rows_of(changes)
        loaded.load(
            (record_of(row.kind, row.key, row.version, row.body) for row in rows if row.body), self.state.revision
        )
        same(contents(self.state), contents(loaded), "loaded again")
        self.state = loaded
        self._due.clear()
        for key in all_keys(loaded):
            self._look_at(key, self.now)


class ServiceMachine(RuleBasedStateMachine):
    """Every rule is something that a user, a container, a machine or the network does."""

    @initialize(seed=PICK)
    def open(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lost = 0.0
        self.world = Cluster(instances=3)
        self.world.registered[FOREIGN] = 0.0
        for family in FAMILIES.values():
            self.world.conduct.update({f"{family}:{n}": replace(conduct) for n, conduct in REVISIONS.items()})
        self.world.drops = lambda command: self.chance.random() < self.lost
        self.create("web", 4, (100, 200), (), True, True, True, None)
        self.create("api", 2, (50, 100), (), True, False, False, 30)

    def submit(self, event: events.Event) -> Any:
        """The reply, None where it was refused."""
        try:
            return self.world.act(event)
        except Refusal:
            return None

    def task(self, pick: int) -> Task | None:
        live = [task for task in self.world.state.tasks.values() if task.last_status != "STOPPED"]
        return live[pick % len(live)] if live else None

    def instance(self, pick: int) -> str:
        ids = list(self.world.state.instances)
        return ids[pick % len(ids)] if ids else "0" * 32

    def active(self) -> list[Service]:
        return [service for service in self.world.state.services.values() if service.status == "ACTIVE"]

    # --- what users do -----------------------------------------------------------------------------------------------

    @rule(
        name=NAMES,
        count=st.integers(0, 6),
        percents=st.sampled_from(PERCENTS),
        strategies=st.sampled_from(STRATEGIES),
        balanced=st.booleans(),
        rebalanced=st.booleans(),
        breaker=st.booleans(),
        grace=st.sampled_from([None, 30]),
    )
    def create(
        self,
        name: str,
        count: int,
        percents: tuple[int, int],
        strategies: tuple[Strategy, ...],
        balanced: bool,
        rebalanced: bool,
        breaker: bool,
        grace: int | None,
    ) -> None:
        configuration = self.configuration(name, percents, breaker)
        daemon = FAMILIES[name] == "daemon"
        try:
            self.world.create(
                name,
                0 if daemon else count,
                family=FAMILIES[name],
                balanced=balanced and not daemon,
                configuration=configuration,
                strategies=() if daemon else strategies,
                scheduling_strategy="DAEMON" if daemon else "REPLICA",
                zone_rebalancing="ENABLED"
                if rebalanced and not daemon and configuration["maximumPercent"] > 100
                else "DISABLED",
                grace_seconds=grace,
            )
        except Refusal:
            if name not in self.world.state.services:
                raise

    @staticmethod
    def configuration(name: str, percents: tuple[int, int], breaker: bool) -> dict[str, Any]:
        minimum, maximum = (0, 100) if FAMILIES[name] == "daemon" else percents
        return {
            "minimumHealthyPercent": minimum,
            "maximumPercent": maximum,
            "deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker},
            "alarms": {"alarmNames": ["high"], "enable": breaker, "rollback": True},
        }

    @rule(name=NAMES, revision=st.sampled_from(sorted(REVISIONS)))
    def deploy(self, name: str, revision: int) -> None:
        if name in {service.name for service in self.active()}:
            self.world.deploy(name, revision, family=FAMILIES[name])

    @rule(name=NAMES)
    def update_twice_at_once(self, name: str) -> None:
        if name not in {service.name for service in self.active()}:
            return
        expected = self.world.service(name).deployment
        wishes = [self.world.wish(FAMILIES[name], revision) for revision in (1, 2)]
        replies = [self.submit(UpdateService(name=name, revision=wish, expected=expected)) for wish in wishes]
        assert [reply is not None for reply in replies] == [True, False]

    @rule(name=NAMES, count=st.integers(0, 8))
    def scale(self, name: str, count: int) -> None:
        if FAMILIES[name] != "daemon":
            self.submit(UpdateService(name=name, changes={"desired_count": count}))

    @rule(name=NAMES, percents=st.sampled_from(PERCENTS), breaker=st.booleans())
    def configure(self, name: str, percents: tuple[int, int], breaker: bool) -> None:
        changes = {"configuration": self.configuration(name, percents, breaker), "zone_rebalancing": "DISABLED"}
        self.submit(UpdateService(name=name, changes=changes))

    @rule(name=NAMES, force=st.booleans())
    def delete(self, name: str, force: bool) -> None:
        try:
            self.world.delete(name, force=force)
        except Refusal:
            return

    @rule(name=NAMES)
    def stop_deployment(self, name: str) -> None:
        service = self.world.state.services.get(name)
        if service is not None and service.service_deployment is not None:
            self.submit(StopServiceDeployment(service=name, id=service.service_deployment))

    @rule(picks=st.lists(PICK, min_size=1, max_size=3), seconds=st.sampled_from([None, 60.0, LONGEST_PROTECTION_S]))
    def protect(self, picks: list[int], seconds: float | None) -> None:
        found = [self.task(pick) for pick in picks]
        until = None if seconds is None else self.world.now + seconds
        self.submit(ProtectTasks(task_ids=tuple(task.id for task in found if task is not None), until=until))

    @rule(pick=PICK)
    def stop_task(self, pick: int) -> None:
        task = self.task(pick)
        if task is not None:
            self.submit(events.StopTask(task_id=task.id))

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    @rule(pick=PICK)
    def crash(self, pick: int) -> None:
        task = self.task(pick)
        if task is not None:
            self.world.crash(task.id)

    @rule(pick=PICK, health=st.sampled_from(["UNHEALTHY", "HEALTHY"]))
    def sicken(self, pick: int, health: str) -> None:
        task = self.task(pick)
        if task is not None:
            self.submit(events.HealthReported(task_id=task.id, health={"app": health}))

    @rule(pick=PICK, health=st.sampled_from(["UNHEALTHY", "UNUSED"]))
    def sicken_target(self, pick: int, health: str) -> None:
        if self.world.registered:
            self.world.health[list(self.world.registered)[pick % len(self.world.registered)]] = health

    @rule(pick=PICK)
    def deregister_target_by_hand(self, pick: int) -> None:
        ours = [target for target in self.world.registered if target != FOREIGN]
        if ours:
            self.world.registered.pop(ours[pick % len(ours)])

    @rule()
    def add_instance(self) -> None:
        if sum(instance.status == "ACTIVE" for instance in self.world.state.instances.values()) < 6:
            self.world.add_instance()

    @rule(pick=PICK)
    def kill_instance(self, pick: int) -> None:
        self.submit(events.InstanceGone(instance_id=self.instance(pick), reason="Host EC2 terminated."))

    @rule(pick=PICK, status=st.sampled_from(["DRAINING", "DRAINING", "ACTIVE"]))
    def drain(self, pick: int, status: str) -> None:
        self.submit(events.SetInstanceStatus(instance_ids=(self.instance(pick),), status=status))

    @rule(pick=PICK)
    def lose_agent(self, pick: int) -> None:
        self.submit(events.AgentDisconnected(instance_id=self.instance(pick), session="s"))

    @rule(lost=st.sampled_from([0.0, 0.3, 0.9]))
    def lose_commands(self, lost: float) -> None:
        self.lost = lost

    @rule(on=st.booleans())
    def sound_alarm(self, on: bool) -> None:
        self.world.alarms_on = {"high"} if on else set()

    @rule()
    def cut_the_power(self) -> None:
        self.world.cut_the_power()

    @rule(seconds=st.sampled_from([0.3, 1.5, 5.0, 40.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def promises_hold(self) -> None:
        if hasattr(self, "world"):
            assert check(self.world.state) == []
            assert FOREIGN in self.world.registered, "somebody else's target was deregistered"

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def one_deployment_is_primary(self) -> None:
        for service in self.active():
            primary = [d.number for d in self.world.deployments(service.name) if d.status == "PRIMARY"]
            assert primary == [service.deployment]

    def teardown(self) -> None:
        """Faults stop; everything comes to rest as wished. Then all is deleted and nothing is left."""
        if not hasattr(self, "world"):
            return
        world = self.world
        self.lost, world.alarms_on, world.drain_seconds = 0.0, set(), 5.0
        world.conduct.clear()
        world.health.clear()
        for _ in range(2):
            world.add_instance()
        for instance in list(world.state.instances.values()):
            if instance.status == "ACTIVE" and not instance.agent_connected:
                self.submit(events.AgentConnected(instance_id=instance.id, session="s"))
        for task in list(world.state.tasks.values()):
            self.submit(events.HealthReported(task_id=task.id, health={"app": "HEALTHY"}))
        world.cut_the_power()
        world.run(2 * LONGEST_PROTECTION_S + 2 * 27 * 60)
        for service in self.active():
            self.came_to_rest(service)
        self.targets_are_the_tasks()
        for service in self.active():
            world.delete(service.name, force=True)
        for instance_id in list(world.state.instances):
            self.submit(events.InstanceGone(instance_id=instance_id, reason="the end"))
        world.run(3 * 3600.0)
        left = {kind.__name__: list(table) for kind, table in world.state.tables.items() if table and kind is not Gate}
        assert left == {}
        assert set(world.registered) == {FOREIGN}

    def came_to_rest(self, service: Service) -> None:
        """As wished, or for a reason that is said."""
        primary, *older = self.world.deployments(service.name)
        tasks = [t for t in self.world.state.tasks.values() if t.service and t.service.name == service.name]
        live = [task for task in tasks if task.last_status != "STOPPED"]
        said = "\n".join(self.world.said(service.name))
        if service.waiting:
            assert "placement" in service.problems, said
            assert len(live) <= upper_bound(service, service.desired_count), said
        elif primary.rollout_state == "FAILED":
            assert len(live) <= upper_bound(service, service.desired_count), said
        elif "bounds" not in service.problems:
            assert primary.rollout_state == "COMPLETED", said
            assert not older, said
            assert len(live) == service.desired_count, said
            assert {task.service.health for task in live if task.service} <= {"HEALTHY"}, said
            assert {task.service.deployment for task in live if task.service} <= {service.deployment}, said
            assert service.steady_at is not None, said
            assert service.moving == 0, said
            draining = {i.id for i in self.world.state.instances.values() if i.status == "DRAINING"}
            assert not [task.id for task in live if task.instance_id in draining], said

    def targets_are_the_tasks(self) -> None:
        """Nothing of ours but running tasks is registered, and they all are."""
        wanted = {FOREIGN}
        for task in self.world.state.tasks.values():
            if task.last_status == "RUNNING" and task.service is not None:
                for balancer in task.service.load_balancers:
                    wanted.add(self.address(task, balancer))
        assert set(self.world.registered) == wanted
        assert {target.address for target in self.world.state.targets.values()} == wanted - {FOREIGN}

    def address(self, task: Task, balancer: LoadBalancer) -> tuple[str, int]:
        found = address_of(self.world.state, task, balancer)
        assert found is not None
        return found


TestServices = ServiceMachine.TestCase
TestServices.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
