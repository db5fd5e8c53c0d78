"""A cluster's partition without its loop: events go through ``step``, due keys are looked at, and commands that concern
capacity are carried out by one Auto Scaling group that does what it is told, when it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from awsorch.core import commands
from awsorch.core.events import (
    AgentConnected,
    AgentDisconnected,
    Event,
    Look,
    NewTask,
    OpenGate,
    RegisterInstance,
    RunTasks,
    TaskReported,
    TaskTemplate,
)
from awsorch.core.events_capacity import (
    Attached,
    AttachProviders,
    GroupFailed,
    GroupSeen,
    LaunchProblem,
    LaunchRefused,
    MachinesLaunched,
    MachinesSeen,
    SeenMachine,
)
from awsorch.core.events_services import CreateService, RevisionWish, UpdateService
from awsorch.core.invariants import check
from awsorch.core.model import Pace, Resources, StrategyItem, Task, TaskDefinition
from awsorch.core.model_capacity import CapacityProvider, ManagedScaling, Offer
from awsorch.core.resources import demand_of
from awsorch.core.state import ClusterState, Key
from awsorch.core.step import Outcome, step
from tests.support.builders import a_definition, an_offer, arn

ZONES = {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b", "us-east-1c": "subnet-c"}


@dataclass
class Group:
    """An Auto Scaling group: ``boot`` seconds from launch to registration; ``refusal`` keeps it from launching."""

    name: str
    minimum: int = 0
    maximum: int = 10
    desired: int = 0
    boot: float = 30.0
    offer: Offer = field(default_factory=an_offer)
    machines: dict[str, SeenMachine] = field(default_factory=dict)
    boots: dict[str, float] = field(default_factory=dict)
    refusal: str | None = None
    registers: bool = True
    attempts: int = 0
    sizes: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    launched: int = 0

    def fill(self, now: float) -> None:
        """Launch what is missing, spread over the zones."""
        missing = self.desired - len(self.machines)
        if missing > 0 and self.refusal is not None:
            self.attempts += 1
            return
        for _ in range(missing):
            self.launched += 1
            counts = {zone: sum(m.zone == zone for m in self.machines.values()) for zone in ZONES}
            zone = min(counts, key=lambda each: (counts[each], each))
            machine = SeenMachine(
                id=f"i-{self.name}{self.launched:04}",
                zone=zone,
                instance_type=self.offer.instance_type,
                state="Pending",
            )
            self.machines[machine.id] = machine
            self.boots[machine.id] = now + self.boot


class CapacityWorld:
    """``submit`` an event, ``pass_time``; promises are checked after each step."""

    def __init__(self, **pace: float) -> None:
        self.state = ClusterState("seed")
        self.now = 1000.0
        self.groups: dict[str, Group] = {}
        self.attached: dict[str, Attached] = {}
        self.due: dict[Key, float] = {}
        self.published: list[float] = []
        self.over: set[str] = set()
        self.ended: list[str] = []
        self.launched: dict[str, str] = {}
        self.bought: dict[str, commands.Launch] = {}
        self.boots: dict[str, float] = {}
        self.none_left: set[str] = set()
        self.code = "InsufficientInstanceCapacity"
        self.lose_launches = False
        self.deaf = False
        self.visible = 1.0  # the part of its type's memory that an agent finds
        self._made = 0
        self.submit(OpenGate(pace=Pace(**{"idle_seconds": 60.0, **pace})))

    def submit(self, event: Event) -> Any:
        """One event, and whatever is due now because of it."""
        reply = self.step_once(event).reply
        self.settle()
        return reply

    def step_once(self, event: Event) -> Outcome:
        """One event and what it commands, and nothing of what is due because of it."""
        outcome = step(self.state, event, self.now)
        for key, at in outcome.wakes.items():
            self.due[key] = min(at, self.due.get(key, at))
        assert check(self.state) == []
        for command in outcome.commands:
            self._carry_out(command)
        return outcome

    def settle(self) -> None:
        """Look at every key that is due."""
        for _ in range(1000):
            key = next((key for key, at in self.due.items() if at <= self.now), None)
            if key is None:
                return
            del self.due[key]
            self.step_once(Look(planner=key[0], subject=key[1]))
        raise AssertionError(f"planners do not come to rest: {self.due}")

    def pass_time(self, seconds: float) -> None:
        """Let time pass: machines boot and register, keys fall due."""
        end = self.now + seconds
        while True:
            coming = [at for at in self.due.values() if at > self.now]
            coming += [at for at in self.boots.values() if at > self.now]
            coming += [at for group in self.groups.values() for at in group.boots.values() if at > self.now]
            self.now = min([end, *coming])
            self._boot()
            self.settle()
            if self.now >= end:
                return

    def add_group(self, name: str = "cp", *, scaling: Mapping[str, Any] | None = None, **members: Any) -> Group:
        """A group, and the provider of its name."""
        options = {key: members.pop(key) for key in ("termination_protection", "draining") if key in members}
        group = self.groups[name] = Group(name=name, **members)
        group.fill(self.now)
        self._attach(
            CapacityProvider(
                name=name,
                arn=arn(f"capacity-provider/{name}"),
                type="EC2_AUTOSCALING",
                group=arn(f"group/{name}"),
                scaling=ManagedScaling(enabled=True, **(scaling or {})),
                created_at=1.0,
                **options,
            )
        )
        return group

    def add_managed(
        self, *offers: Offer, name: str = "cp", tags: Mapping[str, str] | None = None, **managed: Any
    ) -> None:
        """A managed provider that may launch these."""
        record = CapacityProvider(
            name=name,
            arn=arn(f"capacity-provider/{name}"),
            type="MANAGED_INSTANCES",
            managed={"infrastructureRoleArn": "r", **managed},
            cluster="default",
            tags=tags or {},
            created_at=1.0,
        )
        self._attach(record, offers=offers, zones=ZONES)

    def _attach(self, provider: CapacityProvider, **members: Any) -> None:
        self.attached[provider.name] = Attached(provider=provider, **members)
        self.submit(AttachProviders(cluster="default", attached=tuple(self.attached.values())))

    def run(
        self,
        count: int,
        *strategy: StrategyItem,
        definition: TaskDefinition | None = None,
        **members: Any,
    ) -> list[Task]:
        """RunTask with a capacity provider strategy (provider cp by default)."""
        definition = definition or a_definition(cpu=1024, memory=512)
        self._made += 1
        ids = tuple(
            NewTask(
                id=f"{self._made:04x}{number:028x}",
                container_ids=tuple(f"c{n}" for n in range(len(definition.definition["containerDefinitions"]))),
            )
            for number in range(count)
        )
        template = TaskTemplate(
            definition=definition,
            demand=demand_of(definition.definition, {}),
            group=f"family:{definition.family}",
            overrides={},
        )
        event = RunTasks(
            ids=ids,
            template=template,
            strategy=strategy or (StrategyItem(provider="cp", weight=1),),
            **members,
        )
        return list(self.submit(event).tasks)

    def serve(self, name: str, count: int, definition: TaskDefinition, **members: Any) -> None:
        """CreateService with provider cp."""
        wish = RevisionWish(
            definition=definition,
            launch_type=None,
            capacity_provider_strategy=(StrategyItem(provider="cp", weight=1),),
        )
        created = CreateService(
            name=name,
            arn=arn(f"service/default/{name}"),
            revision=wish,
            desired_count=count,
            configuration={"maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING"},
            created_by=arn("root"),
            **members,
        )
        self.submit(created)

    def scale(self, name: str, count: int) -> None:
        """UpdateService's desiredCount."""
        self.submit(UpdateService(name=name, changes={"desired_count": count}))

    def tasks(self, status: str) -> list[Task]:
        """Tasks by last status."""
        return [task for task in self.state.tasks.values() if task.last_status == status]

    def finish(self, task: Task) -> None:
        """Its containers end by themselves."""
        self.submit(TaskReported(task_id=task.id, status="STOPPED"))

    def disconnect(self, machine_id: str) -> None:
        """The agent of a machine falls silent."""
        for instance_id in list(self.state.instances_by_ec2_id[machine_id]):
            session = self.state.instances[instance_id].agent_session or ""
            self.submit(AgentDisconnected(instance_id=instance_id, session=session))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _carry_out(self, command: commands.Command) -> None:
        if self.deaf and not isinstance(command, commands.SendTasks):
            return
        if isinstance(command, commands.SendTasks):
            self._run_tasks(command)
        elif isinstance(command, commands.PublishReservation):
            self.published.append(command.value)
        elif isinstance(command, commands.WatchMachines):
            seen = tuple(
                SeenMachine(id=each, zone="", instance_type="", state="terminated")
                for each in command.machines
                if each in self.over
            )
            self.step_once(MachinesSeen(provider=command.provider, machines=seen))
        elif isinstance(command, commands.LaunchMachines):
            self._launch(command)
        elif isinstance(command, commands.EndMachines) and command.group is None:
            for machine_id in command.machines:
                self.ended.append(machine_id)
                self.over.add(machine_id)
            self._carry_out(commands.WatchMachines(provider=command.provider, machines=command.machines))
        elif isinstance(command, (commands.WatchGroup, commands.SetGroupSize, commands.EndMachines)):
            self._call_group(self.groups[command.provider or ""], command)

    def _launch(self, command: commands.LaunchMachines) -> None:
        """EC2 runs what is ordered, but for types that it has none of."""
        launched, refused = [], []
        for order in command.launches:
            if self.lose_launches:
                continue
            if f"{order.offer.key}@{order.zone}" in self.none_left:
                refused.append(LaunchRefused(launch=order.id, code=self.code, message="none"))
                continue
            machine_id = self.launched.setdefault(order.id, f"i-m{len(self.launched):04}")
            launched.append((order.id, machine_id))
            self.bought[machine_id] = order
            self.boots[machine_id] = self.now + 30.0
        event = MachinesLaunched(provider=command.provider, launched=tuple(launched), refused=tuple(refused))
        self.step_once(event)

    def _call_group(self, group: Group, command: commands.Command) -> None:
        if isinstance(command, commands.SetGroupSize):
            if not group.minimum <= command.size <= group.maximum:
                self.step_once(
                    GroupFailed(provider=group.name, operation="SetGroupSize", code="ValidationError", message="bounds")
                )
                return
            if command.size != group.desired:
                group.sizes.append(command.size)
            group.desired = command.size
        elif isinstance(command, commands.EndMachines):
            for machine_id in command.machines:
                if machine_id in group.machines:
                    assert group.desired > group.minimum
                    group.desired -= 1
                    self.take(group, machine_id)
                    group.ended.append(machine_id)
        group.fill(self.now)
        problem = None
        if group.refusal is not None and group.desired > len(group.machines):
            problem = LaunchProblem(activity=f"a{group.attempts}", code=group.refusal, message="no capacity")
        self.step_once(
            GroupSeen(
                provider=group.name,
                minimum=group.minimum,
                maximum=group.maximum,
                desired=group.desired,
                zones=ZONES,
                offers=(group.offer,),
                machines=tuple(group.machines.values()),
                hooked=True,
                problem=problem,
            )
        )

    def take(self, group: Group, machine_id: str) -> None:
        """A machine is terminated by EC2."""
        del group.machines[machine_id]
        group.boots.pop(machine_id, None)
        self.over.add(machine_id)

    def _boot(self) -> None:
        for machine_id, at in list(self.boots.items()):
            if at <= self.now:
                del self.boots[machine_id]
                if machine_id in self.over:
                    continue
                order = self.bought[machine_id]
                seen = SeenMachine(
                    id=machine_id, zone=order.zone, instance_type=order.offer.instance_type, state="running"
                )
                self.register(seen, order.offer)
        for group in self.groups.values():
            for machine_id, at in list(group.boots.items()):
                if at <= self.now:
                    del group.boots[machine_id]
                    machine = group.machines[machine_id] = replace(group.machines[machine_id], state="InService")
                    if group.registers:
                        self.register(machine, group.offer)

    def register(self, machine: SeenMachine, offer: Offer) -> None:
        """Its agent registers and connects."""
        instance_id = machine.id.removeprefix("i-").rjust(32, "0")
        self.submit(
            RegisterInstance(
                instance_id=instance_id,
                arn=arn(f"container-instance/default/{instance_id}"),
                ec2_instance_id=machine.id,
                resources=Resources(cpu=offer.cpu, memory=int(offer.memory * self.visible)),
                attributes={
                    "ecs.availability-zone": machine.zone,
                    "ecs.instance-type": offer.instance_type,
                    "ecs.os-type": "linux",
                },
            )
        )
        self.submit(AgentConnected(instance_id=instance_id, session=f"s-{instance_id}"))

    def _run_tasks(self, command: commands.SendTasks) -> None:
        for task_id in command.task_ids or list(self.state.fleet.tasks_on(command.instance_id)):
            task = self.state.tasks[task_id]
            if task.told_status == "STOPPED" and task.last_status != "STOPPED":
                self.step_once(TaskReported(task_id=task_id, status="STOPPED"))
            elif task.last_status == "PENDING":
                self.step_once(TaskReported(task_id=task_id, status="RUNNING"))
