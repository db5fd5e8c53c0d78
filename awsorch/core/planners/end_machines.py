"""Give back machines that nothing needs: one look at one capacity provider's machines.

A machine is first found idle (or its tasks are found to have room elsewhere), looked at again after a while, drained,
and ended when it is empty. Machines that others end are drained and let go; such as never register are ended, and such
as awsorch itself launched also when they are old.

Source: ECS developer guide, "Control the instances Amazon ECS terminates", "Safely stop Amazon ECS workloads running on
EC2 instances"; design, scale-in.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from awsorch.core.capacity.coming import has_connected, lines_of
from awsorch.core.capacity.consolidation import Change
from awsorch.core.capacity.group_size import census, expected_size, instances_needed
from awsorch.core.capacity.lifetime import LIFETIME, REASON, must_be_empty, must_end, to_drain
from awsorch.core.capacity.orders import order_instead
from awsorch.core.capacity.spare import find_change, find_spare
from awsorch.core.commands import EndMachines, HoldMachines, ProtectMachines
from awsorch.core.model import ContainerInstance
from awsorch.core.model_capacity import GOING, Machine, Provider
from awsorch.core.rules.capacity import drain
from awsorch.core.rules.instances import set_status
from awsorch.core.rules.stop_tasks import request_stop
from awsorch.core.state import ClusterState, Transaction

BATCH = 50
#: Machines are looked at this often even when nothing told of a change. Seconds.
PERIOD_S = 30.0
#: An order to end a machine that seems to have got lost is given again after this long. Seconds.
ASK_AGAIN_S = 10.0
#: A machine whose agent has not registered for this long, or the warm-up if that is longer, is ended. Seconds.
REGISTER_S = 300.0
#: A termination hook is told this often to wait on, and for this long at most. Seconds.
HEARTBEAT_S, LONGEST_HOLD_S = 900.0, 48 * 3600.0
#: A machine whose tasks have not all gone elsewhere after so long is kept, and not tried again for so long. Seconds.
EMPTYING_S, KEPT_S = 900.0, 3600.0
IDLE, SPARE, UNREGISTERED = "idle", "consolidation", "its agent did not register"


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """One provider's machines."""
    provider = tx.state.providers.get(subject)
    if provider is None:
        return
    for machine_id in tx.state.capacity_index.machines(subject):
        _note_idle(tx, tx.state.machines[machine_id])
    tx.wake(("end_machines", subject), tx.now + PERIOD_S)
    if provider.is_group and provider.termination_protection:
        _protect(tx, provider)
    if not provider.is_group or provider.scaling.enabled:
        _end_unregistered(tx, provider)
        if not provider.is_group:
            _retire(tx, provider)
        _take_over(tx, provider)
        _choose(tx, provider)
        _end(tx, provider)
    if provider.is_group:
        _hold(tx, provider)


def _machines(state: ClusterState, provider: Provider) -> list[Machine]:
    return [state.machines[machine_id] for machine_id in state.capacity_index.machines(provider.name)]


def _instance(state: ClusterState, machine: Machine) -> ContainerInstance | None:
    for instance_id in state.instances_by_ec2_id[machine.id]:
        return state.instances[instance_id]
    return None


def is_empty(state: ClusterState, instance: ContainerInstance) -> bool:
    """Whether nothing but daemons' tasks is there."""
    for task_id in state.fleet.tasks_on(instance.id):
        task = state.tasks[task_id]
        service = state.services.get(task.service.name) if task.service is not None else None
        if service is None or not service.is_daemon:
            return False
    return True


def is_idle(state: ClusterState, machine: Machine) -> bool:
    """Whether its agent has registered, and no tasks but daemons' are there."""
    instance = _instance(state, machine)
    return instance is not None and is_empty(state, instance)


def _note_idle(tx: Transaction[ClusterState], machine: Machine) -> None:
    idle = is_idle(tx.state, machine)
    if idle and machine.idle_since is None:
        tx.put(replace(machine, idle_since=tx.now, spare_since=None))
    elif not idle and machine.idle_since is not None:
        tx.put(replace(machine, idle_since=None))


def _protect(tx: Transaction[ClusterState], provider: Provider) -> None:
    """The group's own scale-in may take what is empty, and nothing else."""
    for wish in (True, False):
        wrong = tuple(
            machine.id
            for machine in _machines(tx.state, provider)
            if machine.state == "InService" and machine.protected != wish and (machine.idle_since is None) == wish
        )
        if wrong:
            assert provider.group is not None
            command = ProtectMachines(
                provider=provider.name, group=provider.group, machines=wrong[:BATCH], protected=wish
            )
            tx.send(command)


def _end_unregistered(tx: Transaction[ClusterState], provider: Provider) -> None:
    limit = max(REGISTER_S, float(provider.scaling.warmup_seconds))
    for machine in _machines(tx.state, provider):
        if machine.is_leaving or _instance(tx.state, machine) is not None:
            continue
        if machine.since + limit <= tx.now:
            tx.put(replace(machine, ending=UNREGISTERED))
        else:
            tx.wake(("end_machines", provider.name), machine.since + limit)


def _retire(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Drain what has lived for long enough, and in the end stop what has not gone, protected or not."""
    for machine in to_drain(_machines(tx.state, provider), tx.now):
        _decide(tx, machine, LIFETIME)
    for machine in _machines(tx.state, provider):
        instance = _instance(tx.state, machine)
        if instance is None or not must_be_empty(machine, tx.now):
            continue
        drain(tx, machine.id)
        for task_id in list(tx.state.fleet.tasks_on(instance.id)):
            task = tx.state.tasks[task_id]
            if task.desired_status != "STOPPED":
                request_stop(tx, task, "TerminationNotice", REASON)


def _choose(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Decide which machines go: idle ones, the longest idle first; with none of those one whose tasks fit elsewhere."""
    if is_growing(tx.state, provider):
        _keep(tx, provider)
        return
    _give_up(tx, provider)
    delay = idle_delay(tx.state, provider)
    if delay is None or _is_emptying(tx.state, provider):
        return  # what is being emptied needs the room of the others
    for machine, due in idle_ends(tx.state, provider)[:BATCH]:
        if due <= tx.now:
            _decide(tx, machine, IDLE)
        else:
            tx.wake(("end_machines", provider.name), due)
    machines = [machine for machine in _machines(tx.state, provider) if not machine.is_leaving]
    idle = any(machine.idle_since is not None for machine in machines)
    waiting = tx.state.capacity_index.waiting(provider.name)
    if not idle and not waiting and len(machines) > (provider.minimum or 0):
        _fold(tx, provider, machines, delay)


def is_growing(state: ClusterState, provider: Provider) -> bool:
    """Whether tasks wait for machines that are on their way, or are to be: then none is given back."""
    waiting = [state.tasks[task_id] for task_id in state.capacity_index.waiting(provider.name)]
    if not waiting or not provider.is_group:
        return bool(waiting)
    return census(state, provider).coming > 0 or instances_needed(state, provider, lines_of(waiting)) > 0


def idle_ends(state: ClusterState, provider: Provider) -> list[tuple[Machine, float]]:
    """The machines that are idle and not needed, the longest idle first, and when each goes unless that changes."""
    delay = idle_delay(state, provider)
    if delay is None or _is_emptying(state, provider):
        return []
    machines = [machine for machine in _machines(state, provider) if not machine.is_leaving]
    idle = sorted((m.idle_since, m.id, m) for m in machines if m.idle_since is not None and is_idle(state, m))
    free = len(machines) - _least(provider, len(machines) - len(idle))
    return [(machine, since + delay) for since, _, machine in idle[: max(free, 0)]]


def _emptying(state: ClusterState, provider: Provider) -> list[Machine]:
    return [machine for machine in _machines(state, provider) if machine.ending == SPARE]


def _is_emptying(state: ClusterState, provider: Provider) -> bool:
    return bool(_emptying(state, provider))


def _keep(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Take machines back that were to be emptied: there is work for them again."""
    for machine in _emptying(tx.state, provider):
        if machine.ended_at is None:
            _take_back(tx, machine)


def _give_up(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Keep machines that do not get empty: a task was protected meanwhile, or what was to replace it does not start."""
    for machine in _emptying(tx.state, provider):
        due = (machine.ending_at or machine.since) + EMPTYING_S
        if machine.ended_at is not None or is_idle(tx.state, machine):
            continue
        if due <= tx.now:
            _take_back(tx, replace(machine, kept_at=tx.now))
        else:
            tx.wake(("end_machines", provider.name), due)


def _take_back(tx: Transaction[ClusterState], machine: Machine) -> None:
    tx.put(replace(machine, ending=None, ending_at=None, spare_since=None))
    instance = _instance(tx.state, machine)
    if instance is not None and instance.status == "DRAINING":
        set_status(tx, instance, "ACTIVE")


def idle_delay(state: ClusterState, provider: Provider) -> float | None:
    """How long a machine that nothing needs is kept, in seconds; None for ever."""
    wish = ((provider.managed or {}).get("infrastructureOptimization") or {}).get("scaleInAfter")
    if wish is None:
        return state.gate.pace.idle_seconds
    return None if wish < 0 else float(wish)


def _least(provider: Provider, needed: int) -> int:
    """The size that the provider must keep when so many machines are needed."""
    if not provider.is_group:
        return needed
    return max(provider.minimum or 0, ceil(needed * 100 / provider.scaling.target))


def _decide(tx: Transaction[ClusterState], machine: Machine, why: str) -> None:
    tx.put(replace(machine, ending=why, ending_at=tx.now))
    drain(tx, machine.id)


def _fold(tx: Transaction[ClusterState], provider: Provider, machines: list[Machine], delay: float) -> None:
    """Machines that the others, or a cheaper one, could take the place of; found twice with the delay between, they are
    drained. One change at a time."""
    if provider.is_group and (provider.termination_protection or not provider.draining):
        return
    every = _machines(tx.state, provider)
    if tx.state.capacity_index.launches(provider.name) or any(
        m.ending not in (None, LIFETIME) or m.replaces for m in every
    ):
        return
    machines = [machine for machine in machines if machine.kept_at is None or machine.kept_at + KEPT_S <= tx.now]
    change = _change(tx, provider, machines)
    ends = change.ends if change is not None else ()
    for machine in machines:
        if machine.spare_since is not None and machine.id not in ends:
            tx.put(replace(machine, spare_since=None))
        elif machine.spare_since is None and machine.id in ends:
            tx.put(replace(machine, spare_since=tx.now))
    if change is None:
        return
    due = max(tx.state.machines[machine_id].spare_since or tx.now for machine_id in ends) + delay
    if tx.now < due:
        tx.wake(("end_machines", provider.name), due)
    elif change.offer is not None:
        order_instead(tx, provider, change.offer, change.zone, ends)
    else:
        for machine_id in ends:
            _decide(tx, tx.state.machines[machine_id], SPARE)


def _change(tx: Transaction[ClusterState], provider: Provider, machines: list[Machine]) -> Change | None:
    if not provider.is_group:
        return find_change(tx, provider, machines)
    spare = find_spare(tx, provider, machines)
    return Change(ends=(spare.id,), saved=spare.price) if spare is not None else None


def _take_over(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Machines that were launched to take the place of others are there: the others are drained."""
    for machine in _machines(tx.state, provider):
        if machine.replaces and has_connected(tx.state, machine):
            tx.put(replace(machine, replaces=()))
            for machine_id in machine.replaces:
                old = tx.state.machines.get(machine_id)
                if old is not None and not old.is_leaving:
                    _decide(tx, old, SPARE)


def _end(tx: Transaction[ClusterState], provider: Provider) -> None:
    """End what is to go and is empty; those that were told are told again after a while."""
    due = []
    left_to_ec2 = _left_to_ec2(tx.state, provider)
    for machine in _machines(tx.state, provider):
        if machine.ending is None or machine.id in left_to_ec2 or machine.state.startswith(GOING):
            continue
        instance = _instance(tx.state, machine)
        overdue = not provider.is_group and must_end(machine, tx.now)
        if instance is not None and not is_empty(tx.state, instance) and not overdue:
            continue
        if machine.ended_at is None or machine.ended_at + ASK_AGAIN_S <= tx.now:
            due.append(machine)
    for machine in due[:BATCH]:
        tx.put(replace(machine, ended_at=tx.now))
    if due:
        ids = tuple(machine.id for machine in due[:BATCH])
        tx.send(EndMachines(provider=provider.name, group=provider.group, machines=ids))
        tx.wake(("end_machines", provider.name), tx.now + ASK_AGAIN_S)
        tx.wake(("size_groups", provider.name))


def _left_to_ec2(state: ClusterState, provider: Provider) -> set[str]:
    """Interrupted machines that EC2 is to take. A group would replace them, so those of one that may be smaller are
    ended as soon as they are empty: what their tasks need has been launched by then."""
    interrupted = [machine.id for machine in _machines(state, provider) if machine.interrupted_at is not None]
    if not provider.is_group:
        return set(interrupted)
    spare = expected_size(provider) - (provider.minimum or 0)
    return set(interrupted[max(spare, 0) :])


def _hold(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Machines that wait in the termination hook go on when they are empty, or have waited for two days."""
    assert provider.group is not None
    release, hold = [], []
    for machine in _machines(tx.state, provider):
        if machine.state != "Terminating:Wait":
            continue
        instance = _instance(tx.state, machine)
        since = machine.ended_at or tx.now
        if instance is None or is_empty(tx.state, instance) or since + LONGEST_HOLD_S <= tx.now:
            release.append(machine.id)
        elif machine.held_at is None or machine.held_at + HEARTBEAT_S <= tx.now:
            hold.append(machine.id)
            tx.put(replace(machine, held_at=tx.now, ended_at=since))
        else:
            tx.wake(("end_machines", provider.name), machine.held_at + HEARTBEAT_S)
    for ids, done in ((release, True), (hold, False)):
        if ids:
            command = HoldMachines(
                provider=provider.name, group=provider.group, machines=tuple(ids[:BATCH]), release=done
            )
            tx.send(command)
            tx.wake(("end_machines", provider.name), tx.now + ASK_AGAIN_S)
