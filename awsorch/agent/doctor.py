"""The instance's own health: is the container runtime there? Looked at when the controller's heartbeat asks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from awsorch.agent.engine import Engine, EngineError
from awsorch.wire import tcs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    status: str = "INITIALIZING"
    reason: str = ""
    updated: float = 0.0
    changed: float = 0.0


class Doctor:
    """Checks, at most one for each heartbeat."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._finding = _Finding(changed=clock())
        self._is_due = True

    def heartbeat(self) -> None:
        """The controller wants to know again."""
        self._is_due = True

    async def new_statuses(self) -> tuple[tcs.InstanceStatus, ...]:
        """The statuses to publish; none when nobody asked since the last time."""
        if not self._is_due:
            return ()
        self._is_due = False
        try:
            await self._engine.ping()
        except EngineError as error:
            self._find("IMPAIRED", str(error))
        else:
            self._find("OK", "")
        found = self._finding
        return (
            tcs.InstanceStatus(
                type="ContainerRuntime",
                status=found.status,
                status_reason=found.reason,
                last_updated=round(found.updated, 3),
                last_status_change=round(found.changed, 3),
            ),
        )

    def _find(self, status: str, reason: str) -> None:
        now = self._clock()
        changed = now if status != self._finding.status else self._finding.changed
        self._finding = replace(self._finding, status=status, reason=reason, updated=now, changed=changed)
