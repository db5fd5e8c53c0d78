"""A cluster partition under any events in any order: late, doubled, backward, refused, cut off."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from awsorch.core import events
from awsorch.core.commands import SendTasks
from awsorch.core.errors import Refusal
from awsorch.core.lifecycle import REPORTED_CONTAINER, REPORTED_TASK, TASK_STATUSES
from awsorch.core.model import Constraint, Gate, NetworkBinding, Resources, Strategy, Task
from awsorch.core.resources import demand_of
from awsorch.core.state import ClusterState
from tests.properties.disk import Disk
from tests.support.builders import a_definition, arn

DEFINITIONS = (
    a_definition("small", cpu=100, memory=50),
    a_definition("web", cpu=256, memory=256, port=8080),
    a_definition("web", 2, cpu=1024, memory=512, port=8080),
    a_definition("large", cpu=2048, memory=3000),
)
CONSTRAINTS = (
    (),
    (Constraint(type="distinctInstance"),),
    (Constraint(type="memberOf", expression="attribute:ecs.availability-zone == us-east-1a"),),
    (Constraint(type="memberOf", expression="runningTasksCount < 2"),),
)
STRATEGIES = (
    (),
    (Strategy(type="binpack", field="memory"),),
    (Strategy(type="spread", field="attribute:ecs.availability-zone"), Strategy(type="binpack", field="cpu")),
    (Strategy(type="spread", field="instanceId"),),
    (Strategy(type="random"),),
)
PICK = st.integers(0, 1 << 16)
SELDOM = st.integers(0, 4).map(lambda n: n == 0)
STATUSES = st.sampled_from([None, *REPORTED_TASK])
CONTAINER_STATUSES = st.sampled_from([None, *REPORTED_CONTAINER])
PORTS = st.sampled_from([None, (), (NetworkBinding(container_port=80, host_port=32768),)])


class ClusterMachine(RuleBasedStateMachine):
    """One pick in eight is from all instances and tasks that ever were: late, or about nothing any more."""

    @initialize()
    def open(self) -> None:
        self.disk = Disk(ClusterState)
        self.instances = ["0" * 32]
        self.tasks = ["f" * 32]
        self.history: dict[str, Task] = {}
        self.disk.step(events.OpenGate())
        for number in range(3):
            self.add_instance("ab"[number % 2], 2048, None)

    @property
    def state(self) -> ClusterState:
        return self.disk.state

    def submit(self, event: events.Event) -> Any:
        """The reply, or None where it was refused. What is told must be stored, what is sent must exist."""
        self.disk.now += 0.001
        try:
            outcome = self.disk.step(event)
        except Refusal:
            return None
        for command in outcome.commands:
            assert command.instance_id in self.state.instances
            if isinstance(command, SendTasks):
                assert all(task_id in self.state.tasks for task_id in command.task_ids or ())
        return outcome.reply

    def instance(self, pick: int) -> str:
        return self.picked(pick, self.instances, [i for i in self.instances if i in self.state.instances])

    def task(self, pick: int) -> str:
        live = [task.id for task in self.state.tasks.values() if task.last_status != "STOPPED"]
        return self.picked(pick, self.tasks, live)

    @staticmethod
    def picked(pick: int, every: list[str], live: list[str]) -> str:
        return every[pick % len(every)] if pick % 8 == 0 or not live else live[pick // 8 % len(live)]

    def new_task(self) -> events.NewTask:
        self.tasks.append(f"{len(self.tasks):032x}")
        return events.NewTask(id=self.tasks[-1], container_ids=(f"c{len(self.tasks)}",))

    # --- instances ---------------------------------------------------------------------------------------------------

    @rule(zone=st.sampled_from("ab"), cpu=st.sampled_from([512, 2048]), known=st.none() | PICK)
    def register(self, zone: str, cpu: int, known: int | None) -> None:
        self.add_instance(zone, cpu, known)

    def add_instance(self, zone: str, cpu: int, known: int | None) -> None:
        new = f"{len(self.instances):032x}"
        known_id = self.instance(known) if known is not None else None
        old = self.state.instances.get(known_id or "")
        resources = old.resources if old else Resources(cpu=cpu, memory=2 * cpu, reserved_tcp=(22,))
        reply = self.submit(
            events.RegisterInstance(
                instance_id=new,
                arn=arn(f"container-instance/default/{new}"),
                known_id=known_id,
                ec2_instance_id=f"i-{len(self.instances)}" if old is None else old.ec2_instance_id,
                resources=resources,
                attributes={"ecs.availability-zone": f"us-east-1{zone}"},
            )
        )
        if reply is not None and reply.id == new:
            self.instances.append(new)
            self.submit(events.AgentConnected(instance_id=new, session=f"s-{new}"))

    @rule(pick=PICK, session=st.sampled_from("xyz"))
    def connect(self, pick: int, session: str) -> None:
        self.submit(events.AgentConnected(instance_id=self.instance(pick), session=session))

    @rule(pick=PICK, session=st.sampled_from("xyz"))
    def disconnect(self, pick: int, session: str) -> None:
        self.submit(events.AgentDisconnected(instance_id=self.instance(pick), session=session))

    @rule(pick=PICK, other=PICK, status=st.sampled_from(["ACTIVE", "DRAINING"]))
    def set_status(self, pick: int, other: int, status: str) -> None:
        self.submit(events.SetInstanceStatus(instance_ids=(self.instance(pick), self.instance(other)), status=status))

    @rule(pick=PICK, force=st.booleans(), really=SELDOM)
    def deregister(self, pick: int, force: bool, really: bool) -> None:
        if really:
            self.submit(events.DeregisterInstance(instance_id=self.instance(pick), force=force))

    @rule(pick=PICK, really=SELDOM)
    def lose(self, pick: int, really: bool) -> None:
        if really:
            self.submit(events.InstanceGone(instance_id=self.instance(pick), reason="Host EC2 terminated."))

    @rule(
        picks=st.lists(st.tuples(PICK, st.sampled_from(["a", "b", "ecs.x"]), st.sampled_from([None, "1"])), max_size=3)
    )
    def put_attributes(self, picks: list[tuple[int, str, str | None]]) -> None:
        self.submit(events.PutAttributes(attributes=tuple((self.instance(p), n, v) for p, n, v in picks)))

    @rule(picks=st.lists(st.tuples(PICK, st.sampled_from("ab"), st.sampled_from([None, "1"])), max_size=3))
    def delete_attributes(self, picks: list[tuple[int, str, str | None]]) -> None:
        self.submit(events.DeleteAttributes(attributes=tuple((self.instance(p), n, v) for p, n, v in picks)))

    @rule(pick=PICK, status=st.sampled_from(["OK", "IMPAIRED"]))
    def report_instance_health(self, pick: int, status: str) -> None:
        health = {"CONTAINER_RUNTIME": {"status": status}}
        self.submit(events.InstanceHealthReported(instance_id=self.instance(pick), health=health))

    # --- tasks -------------------------------------------------------------------------------------------------------

    @rule(
        count=st.integers(1, 10),
        definition=st.sampled_from(DEFINITIONS),
        constraints=st.sampled_from(CONSTRAINTS),
        strategies=st.sampled_from(STRATEGIES),
        token=st.sampled_from([None, None, "t-1", "t-2"]),
    )
    def run_tasks(self, count: int, definition: Any, constraints: Any, strategies: Any, token: str | None) -> None:
        known = self.state.tokens.get(token or "")
        reply = self.submit(
            events.RunTasks(
                ids=tuple(self.new_task() for _ in range(count)),
                template=self.template(definition),
                constraints=constraints,
                strategies=strategies,
                token=token,
                fingerprint=f"{definition.key} {count}",
            )
        )
        if reply is not None and known is not None:
            assert {task.id for task in reply.tasks} <= set(known.task_ids)
        if reply is not None and known is None:
            # Draining instances are skipped, not refused: a cluster of nothing else gives no task and no failure.
            assert len(reply.tasks) == count or reply.failures or not self.state.fleet.active()

    @rule(picks=st.lists(PICK, min_size=1, max_size=3), definition=st.sampled_from(DEFINITIONS))
    def start_tasks(self, picks: list[int], definition: Any) -> None:
        ids = tuple(self.new_task() for _ in picks)
        where = tuple(self.instance(pick) for pick in picks)
        self.submit(events.StartTasks(ids=ids, template=self.template(definition), instance_ids=where))

    @rule(pick=PICK)
    def stop_task(self, pick: int) -> None:
        reply = self.submit(events.StopTask(task_id=self.task(pick)))
        assert reply is None or reply.desired_status == "STOPPED"

    @rule(pick=PICK, status=STATUSES, container=CONTAINER_STATUSES, code=st.sampled_from([None, 0, 137]), ports=PORTS)
    def report(self, pick: int, status: str | None, container: str | None, code: int | None, ports: Any) -> None:
        said = events.ContainerReport(name="app", status=container, exit_code=code, network_bindings=ports)
        self.submit(events.TaskReported(task_id=self.task(pick), status=status, containers=(said,)))

    @rule(pick=PICK, health=st.sampled_from(["HEALTHY", "UNHEALTHY"]))
    def report_health(self, pick: int, health: str) -> None:
        self.submit(events.HealthReported(task_id=self.task(pick), health={"app": health}))

    @rule(pick=PICK, put=st.dictionaries(st.sampled_from("ab"), st.just("1")), remove=st.sampled_from([(), ("a",)]))
    def tag(self, pick: int, put: dict[str, str], remove: tuple[str, ...]) -> None:
        self.submit(events.SetTags(kind="task", key=self.task(pick), put=put, remove=remove))

    @staticmethod
    def template(definition: Any) -> events.TaskTemplate:
        return events.TaskTemplate(
            definition=definition,
            demand=demand_of(definition.definition, {}),
            group=f"family:{definition.family}",
            overrides={},
        )

    # --- time and power ----------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 31.0, 3601.0]))
    def wait(self, seconds: float) -> None:
        self.disk.now += seconds
        self.disk.look_at_due()

    @rule(pick=PICK)
    def look_early(self, pick: int) -> None:
        key = ("mind_instances", self.instance(pick))
        due = self.disk.due.get(key)
        self.disk.look(key)
        if due is not None:
            self.disk.due.setdefault(key, due)

    @rule()
    def cut_the_power(self) -> None:
        self.disk.restart()

    @rule()
    def close_gate(self) -> None:
        busy = any(i.status != "INACTIVE" for i in self.state.instances.values())
        busy = busy or any(t.last_status != "STOPPED" for t in self.state.tasks.values())
        self.submit(events.CloseGate())
        assert self.state.is_open == busy
        self.submit(events.OpenGate())

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def tasks_only_move_forward(self) -> None:
        for task_id, old in self.history.items():
            new = self.state.tasks.get(task_id)
            if new is None:
                assert old.last_status == "STOPPED", f"{task_id} was forgotten while {old.last_status}"
                continue
            assert TASK_STATUSES.index(new.last_status) >= TASK_STATUSES.index(old.last_status)
            assert (old.desired_status, new.desired_status) != ("STOPPED", "RUNNING")
            assert new.version >= old.version
            assert old.stopped_reason in (None, new.stopped_reason)
            assert old.instance_id == new.instance_id
        self.history = dict(self.state.tasks)

    @invariant()
    def whatever_has_work_to_do_will_be_looked_at(self) -> None:
        for task in self.state.tasks.values():
            instance = self.state.instances[str(task.instance_id)] if task.holds_resources else None
            if instance is None:
                assert ("expire_tasks", "") in self.disk.due, "a stopped task is not going to be forgotten"
            elif instance.status == "INACTIVE":
                assert ("mind_instances", instance.id) in self.disk.due, f"{task.id} is an orphan and stays one"
            elif instance.agent_connected and (task.last_status == "PENDING" or task.desired_status == "STOPPED"):
                assert ("mind_instances", instance.id) in self.disk.due, f"{task.id} is not going to be sent again"

    def teardown(self) -> None:
        """When every machine is gone and time has passed, nothing is left: nothing leaks, and wakes alone see to it."""
        if not hasattr(self, "disk") or not self.disk.sound:
            return
        for instance_id in self.instances:
            self.submit(events.InstanceGone(instance_id=instance_id, reason="the end"))
        for _ in range(100):
            if not self.disk.due:
                break
            self.disk.now = max(self.disk.now, min(self.disk.due.values()))
            self.disk.look_at_due()
        left = {kind.__name__: list(table) for kind, table in self.state.tables.items() if table and kind is not Gate}
        assert left == {}
        assert self.disk.due == {}


TestCluster = ClusterMachine.TestCase
TestCluster.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
