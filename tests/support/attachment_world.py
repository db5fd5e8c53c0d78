"""A world of services whose tasks have network interfaces of their own, and an EC2 that makes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from awsorch.core import events
from awsorch.core.commands import ProvideAttachment, ReleaseAttachment
from awsorch.core.events import NewTask, RunTasks, TaskTemplate
from awsorch.core.events_attachments import (
    AttachmentProvided,
    AttachmentRefused,
    AttachmentReleased,
    AttachmentsReported,
)
from awsorch.core.events_services import RevisionWish
from awsorch.core.model import Task, TaskDefinition
from awsorch.core.model_attachments import ADDRESS, ATTACHING, TaskNetwork
from awsorch.core.resources import demand_of
from awsorch.core.rules.new_tasks import PlacedTasks
from tests.support.builders import a_definition
from tests.support.service_world import ServiceWorld

SUBNETS = {f"us-east-1{zone}": f"subnet-{zone}" for zone in "abc"}
NETWORK = TaskNetwork(subnets=SUBNETS, security_groups=("sg-1",))


def in_vpc(definition: TaskDefinition) -> TaskDefinition:
    """The definition with networkMode awsvpc."""
    return replace(definition, definition={**definition.definition, "networkMode": "awsvpc"})


class AttachmentWorld(ServiceWorld):
    """``interfaces``: attachment id → its address, of those that EC2 has. ``blind``: agents do not see them;
    ``refuses``: EC2 does not make them, with this reason; ``provide_seconds``, ``release_seconds``: how long it
    takes."""

    def __init__(self, **members: Any) -> None:
        self.interfaces: dict[str, str] = {}
        self.asked: list[ProvideAttachment] = []
        self.released: list[ReleaseAttachment] = []
        self._providing: Counter[str] = Counter()
        self.refuses: str | None = None
        self.blind = False
        self.provide_seconds, self.release_seconds = 1.0, 2.0
        super().__init__(**members)

    def launch(self, count: int = 1, network: TaskNetwork = NETWORK, **members: Any) -> PlacedTasks:
        """RunTask of tasks with interfaces."""
        definition = in_vpc(a_definition(cpu=128, memory=64))
        self._ordinal += 1
        ids = tuple(NewTask(id=f"{self._ordinal:028x}{n:04x}", container_ids=("c",)) for n in range(count))
        demand = demand_of(definition.definition, {})
        template = TaskTemplate(
            definition=definition, demand=demand, group="family:web", overrides={}, network=network, **members
        )
        placed: PlacedTasks = self.act(RunTasks(ids=ids, template=template))
        return placed

    def wish(self, family: str, revision: int, *, port: int = 0, balanced: bool = False) -> RevisionWish:
        wish = super().wish(family, revision, port=port, balanced=balanced)
        return replace(wish, definition=in_vpc(wish.definition), network=NETWORK)

    def now_of(self, task: Task) -> Task:
        """The task as it is now."""
        return self.state.tasks[task.id]

    def _carry_out(self, command: Any) -> None:
        if isinstance(command, ProvideAttachment):
            self.asked.append(command)
            self._providing[command.attachment_id] += 1
            self.later(self.provide_seconds, lambda: self._provide(command))
        elif isinstance(command, ReleaseAttachment):
            self.released.append(command)
            self.later(self.release_seconds, lambda: self._release(command))
        else:
            super()._carry_out(command)

    def _provide(self, command: ProvideAttachment) -> None:
        named = {"task_id": command.task_id, "attachment_id": command.attachment_id}
        self._providing[command.attachment_id] -= 1
        if self.refuses is not None:
            self.act(AttachmentRefused(reason=self.refuses, **named))
            return
        address = self.interfaces.setdefault(command.attachment_id, f"10.0.0.{len(self.interfaces) + 10}")
        details = {"subnetId": command.subnet, "networkInterfaceId": "eni-1", ADDRESS: address}
        self.act(AttachmentProvided(details=details, **named))

    def _release(self, command: ReleaseAttachment) -> None:
        if self._providing[command.attachment_id]:  # as the adapter does, it waits for what is under way
            self.later(1.0, lambda: self._release(command))
            return
        self.interfaces.pop(command.attachment_id, None)
        self.act(AttachmentReleased(task_id=command.task_id, attachment_id=command.attachment_id))

    def _tell(self, task: Task) -> None:
        waiting = tuple(each.id for each in task.attachments if each.status == ATTACHING)
        if task.last_status == "PROVISIONING" and waiting and not self.blind:
            self.later(0.2, AttachmentsReported(task_id=task.id, attached=waiting))
        super()._tell(task)

    def _address(self, task: Task) -> str:
        return next((each.details.get(ADDRESS, "") for each in task.attachments), "") or super()._address(task)

    def stop(self, task: Task) -> None:
        """StopTask."""
        self.act(events.StopTask(task_id=task.id))
