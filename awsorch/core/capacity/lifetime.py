"""How long a machine that awsorch itself launched may live: it is drained, then ended whatever runs there. Pure.

So that every machine is started from a recent image. Source: ECS developer guide, "Amazon ECS Managed Instances",
instance lifecycle: draining begins 14 days after the launch and lasts 7 days at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from awsorch.core.model_capacity import Machine

DAY_S = 86400.0
#: From a machine's launch to its draining, and to its end. Seconds.
DRAINED_S, ENDED_S = 14 * DAY_S, 21 * DAY_S
#: So long before its end what still runs there is stopped: time for load balancers and for SIGTERM. Seconds.
FAREWELL_S = 900.0
#: Machines that were launched together are not drained together: one in so many at a time.
AT_ONCE = 10
LIFETIME = "lifetime"
#: What ECS says of tasks that it stops for this.
REASON = "Task stopped during instance draining"


def to_drain(machines: Sequence[Machine], now: float) -> list[Machine]:
    """Those that are to be drained now, the oldest first; ``machines``: all of the provider's."""
    old = sorted((one.since, one.id, one) for one in machines if not one.is_leaving and one.since + DRAINED_S <= now)
    under_way = sum(one.ending == LIFETIME for one in machines)
    return [one for _, _, one in old[: max(len(machines) // AT_ONCE, 1) - under_way]] if old else []


def must_be_empty(machine: Machine, now: float) -> bool:
    """Whether nothing may run there any longer."""
    return machine.since + ENDED_S - FAREWELL_S <= now


def must_end(machine: Machine, now: float) -> bool:
    """Whether it is to be ended, empty or not."""
    return machine.since + ENDED_S <= now
