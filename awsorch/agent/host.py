"""The host's resources and the queue in front of them: strictly first come, first served.

The head of the queue blocks the tasks behind it even if they would fit, as in the official agent, so that a large
task cannot starve. The controller does its own accounting; this is the second lock on the same door.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one task takes: CPU units, MiB, static host ports with their protocol."""

    cpu: int = 0
    memory: int = 0
    ports: frozenset[tuple[int, str]] = frozenset()


class Host:
    """What is left, and who waits for it."""

    def __init__(self, cpu: int, memory: int, reserved_ports: frozenset[tuple[int, str]]) -> None:
        self._cpu = cpu
        self._memory = memory
        self._ports = set(reserved_ports)
        self._taken: dict[str, Needs] = {}
        self._queue: deque[tuple[str, Needs]] = deque()

    def enqueue(self, task: str, needs: Needs) -> None:
        self._queue.append((task, needs))

    def take(self, task: str, needs: Needs) -> None:
        """Take the resources whether they are there or not: the task runs already."""
        self._taken[task] = needs
        self._cpu -= needs.cpu
        self._memory -= needs.memory
        self._ports |= needs.ports

    def release(self, task: str) -> None:
        """Give back what the task holds, or its place in the queue; nothing when it has neither."""
        needs = self._taken.pop(task, None)
        if needs is None:
            self._queue = deque(each for each in self._queue if each[0] != task)
            return
        self._cpu += needs.cpu
        self._memory += needs.memory
        self._ports -= needs.ports

    def admit(self) -> list[str]:
        """Take from the queue, in order, every task until one does not fit."""
        admitted = []
        while self._queue and self._fits(self._queue[0][1]):
            task, needs = self._queue.popleft()
            self.take(task, needs)
            admitted.append(task)
        return admitted

    def _fits(self, needs: Needs) -> bool:
        return needs.cpu <= self._cpu and needs.memory <= self._memory and not needs.ports & self._ports
