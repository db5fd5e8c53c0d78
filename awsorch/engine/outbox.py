"""Carries commands to the ports that fulfil them. A command that fails here is derived again by a planner.

What comes of those that go to AWS is posted here too, for the cluster that sent them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from awsorch.core.commands import (
    CloseSession,
    Command,
    EndMachines,
    HoldMachines,
    LaunchMachines,
    ProtectMachines,
    ProvideAttachment,
    PublishReservation,
    ReleaseAttachment,
    SendTasks,
    SetGroupSize,
    SyncTargets,
    UpdateAgent,
    WatchAlarms,
    WatchGroup,
    WatchMachines,
)
from awsorch.core.events import Event
from awsorch.engine.figures import OutboxFigures
from awsorch.engine.ports import Agents, Alarms, InstanceGroups, Machines, Reservations, Targets, TaskAttachments

logger = logging.getLogger(__name__)


class Inbox(Protocol):
    """Where a cluster's events go."""

    def post(self, event: Event) -> None:
        """Put an event in, and expect no answer."""
        ...


class Outbox:
    """Knows which port carries out which command. What is not connected (yet) drops its commands."""

    def __init__(self) -> None:
        self._carriers: dict[type[Command], Callable[[str, Any], None]] = {}
        self._inboxes: Mapping[str, Inbox] = {}
        self.figures = OutboxFigures()

    def connect(self, *, agents: Agents) -> None:
        """Name the agents' door. Until then nobody is connected to it either."""

        def send_tasks(cluster: str, command: SendTasks) -> None:
            agents.send_tasks(cluster, command.instance_id, command.task_ids)

        def close_session(cluster: str, command: CloseSession) -> None:
            agents.close_session(cluster, command.instance_id, command.reason)

        self._carriers |= {SendTasks: send_tasks, CloseSession: close_session, UpdateAgent: agents.update_agent}

    def connect_aws(self, *, targets: Targets, alarms: Alarms, inboxes: Mapping[str, Inbox]) -> None:
        """Name what calls AWS, and the clusters' inboxes for what comes of it."""
        self._carriers |= {SyncTargets: targets.sync_targets, WatchAlarms: alarms.watch_alarms}
        self._inboxes = inboxes

    def connect_fleet(self, *, groups: InstanceGroups, machines: Machines, reservations: Reservations) -> None:
        """Name what calls EC2 Auto Scaling, EC2 and CloudWatch."""

        def end_machines(cluster: str, command: EndMachines) -> None:
            (groups if command.group is not None else machines).end_machines(cluster, command)

        self._carriers |= {
            WatchGroup: groups.watch_group,
            SetGroupSize: groups.set_group_size,
            ProtectMachines: groups.protect_machines,
            HoldMachines: groups.hold_machines,
            EndMachines: end_machines,
            LaunchMachines: machines.launch_machines,
            WatchMachines: machines.watch_machines,
            PublishReservation: reservations.publish_reservation,
        }

    def connect_attachments(self, attachments: TaskAttachments) -> None:
        """Name what makes interfaces and volumes for tasks."""
        self._carriers |= {
            ProvideAttachment: attachments.provide_attachment,
            ReleaseAttachment: attachments.release_attachment,
        }

    def post(self, cluster: str, event: Event) -> None:
        """Tell a cluster what came of its command. One that is not there any more is not told."""
        inbox = self._inboxes.get(cluster)
        if inbox is not None:
            inbox.post(event)

    def send(self, partition: str, command: Command) -> None:
        """Carry out one command of a cluster's partition."""
        carrier = self._carriers.get(type(command))
        if carrier is None:
            return
        kind = type(command).__name__
        try:
            carrier(partition.partition("/")[2], command)
            self.figures.sent[kind] += 1
        except Exception:
            self.figures.failed[kind] += 1
            logger.exception("%s: %r was not carried out; a planner will ask for it again", partition, command)
