"""Carries commands to the ports that fulfil them. A command that fails here is derived again by a planner."""

from __future__ import annotations

import logging

from awsorch.core.commands import CloseSession, Command, SendTasks
from awsorch.engine.ports import Agents

logger = logging.getLogger(__name__)


class Outbox:
    """Knows which port carries out which command."""

    def __init__(self) -> None:
        self._agents: Agents | None = None

    def connect(self, *, agents: Agents) -> None:
        """Name the agents' door. Until then commands are dropped: at start nobody is connected to it either."""
        self._agents = agents

    def send(self, partition: str, command: Command) -> None:
        """Carry out one command of a cluster's partition."""
        if self._agents is None:
            return
        cluster = partition.partition("/")[2]
        try:
            if isinstance(command, SendTasks):
                self._agents.send_tasks(cluster, command.instance_id, command.task_ids)
            elif isinstance(command, CloseSession):
                self._agents.close_session(cluster, command.instance_id, command.reason)
        except Exception:
            logger.exception("%s: %r was not carried out; a planner will ask for it again", partition, command)
