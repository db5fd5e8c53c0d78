"""Machines that are gone: their container instances go with them, and the tasks there end, once.

Source: ECS developer guide, "Stopped tasks error codes"; ECS API, DeregisterContainerInstance.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.commands import CloseSession
from awsorch.core.model import ContainerInstance
from awsorch.core.rules.stop_tasks import finish
from awsorch.core.state import ClusterState, Transaction

BATCH = 50
SPOT = "Your Spot Task was interrupted."


def lose_machine(tx: Transaction[ClusterState], machine_id: str, kind: str) -> None:
    """EC2 instance ``machine_id`` is terminated or stopped (``kind``). A stopped one stays registered, as in ECS."""
    machine = tx.state.machines.get(machine_id)
    if machine is not None and kind == "terminated":
        tx.remove(machine)
    for instance_id in list(tx.state.instances_by_ec2_id[machine_id]):
        instance = tx.state.instances[instance_id]
        if kind == "stopped":
            stop_tasks_on(tx, instance, "TerminationNotice", f"Host EC2 (instance {machine_id}) stopped.")
        elif machine is not None and machine.interrupted_at is not None:
            end_instance(tx, instance, SPOT)
        else:
            end_instance(tx, instance, f"Host EC2 (instance {machine_id}) terminated.")


def end_instance(tx: Transaction[ClusterState], instance: ContainerInstance, reason: str | None) -> ContainerInstance:
    """INACTIVE from now on. Its tasks are ended by ``planners/mind_instances``, a few at a time."""
    ended = replace(
        instance,
        status="INACTIVE",
        status_reason=reason,
        agent_connected=False,
        agent_session=None,
        deregistered_at=tx.now,
        version=instance.version + 1,
    )
    tx.put(ended)
    tx.send(CloseSession(instance_id=instance.id, reason="InactiveInstanceException"))
    return ended


def stop_tasks_on(
    tx: Transaction[ClusterState], instance: ContainerInstance, code: str, reason: str, *, held: bool = False
) -> None:
    """End the tasks of an instance that stays registered, about 50 a step: should it come back, its agent is told that
    they are over. ``held``: it may only be out of reach, so that tasks may still run there. Those of services end, as
    others take their place, and hold what they had until the agent says that they are over; the rest are let be."""
    ids = [
        task_id
        for task_id in sorted(tx.state.fleet.tasks_on(instance.id))
        if not held or tx.state.tasks[task_id].service is not None
    ]
    for task_id in ids[:BATCH]:
        finish(tx, tx.state.tasks[task_id], code, reason, held=held)
    if len(ids) > BATCH:
        tx.wake(("mind_instances", instance.id))
