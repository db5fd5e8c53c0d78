"""``step(state, event, now)``: which rule or planner handles an event, and what came of it. No awaits, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.core import events, events_attachments, events_capacity, events_services
from awsorch.core import events_registry as registry
from awsorch.core.commands import Command
from awsorch.core.planners import (
    end_machines,
    expire_tasks,
    keep_services,
    mind_instances,
    place_tasks,
    provide_attachments,
    retry_placements,
    size_groups,
    sync_targets,
    update_agents,
)
from awsorch.core.rules import (
    account_settings,
    activations,
    agent_updates,
    attachments,
    attributes,
    capacity,
    capacity_providers,
    clusters,
    instances,
    protection,
    reports,
    revocations,
    run_tasks,
    services,
    stop_tasks,
    tags,
    targets,
    task_definitions,
)
from awsorch.core.state import Key, State, Transaction
from awsorch.core.wakes import wakes_of

Rule = Callable[[Any, Any], Any]
Planner = Callable[[Any, str], None]

RULES: Mapping[type[events.Event], Rule] = {
    events.CreateCluster: clusters.create_cluster,
    events.UpdateCluster: clusters.update_cluster,
    events.DeleteCluster: clusters.delete_cluster,
    events.ForgetClusters: clusters.forget_clusters,
    registry.RegisterTaskDefinition: task_definitions.register_task_definition,
    registry.DeregisterTaskDefinition: task_definitions.deregister_task_definition,
    registry.DeleteTaskDefinitions: task_definitions.delete_task_definitions,
    registry.ForgetTaskDefinitions: task_definitions.forget_task_definitions,
    registry.PutAccountSetting: account_settings.put_account_setting,
    registry.DeleteAccountSetting: account_settings.delete_account_setting,
    registry.CreateActivation: activations.create_activation,
    registry.JoinInstance: activations.join_instance,
    registry.RevokeAccess: revocations.revoke_access,
    events.OpenGate: clusters.open_gate,
    events.CloseGate: clusters.close_gate,
    events.SetTags: tags.set_tags,
    events.RegisterInstance: instances.register_instance,
    events.DeregisterInstance: instances.deregister_instance,
    events.InstanceGone: instances.instance_gone,
    events.SetInstanceStatus: instances.set_instance_status,
    events.AgentConnected: instances.agent_connected,
    events.AgentDisconnected: instances.agent_disconnected,
    events.InstanceHealthReported: instances.instance_health_reported,
    events.AskAgentUpdate: agent_updates.ask_agent_update,
    events.AgentUpdateAnswered: agent_updates.agent_update_answered,
    events.PutAttributes: attributes.put_attributes,
    events.DeleteAttributes: attributes.delete_attributes,
    events.RunTasks: run_tasks.run_tasks,
    events.StartTasks: run_tasks.start_tasks,
    events.StopTask: stop_tasks.stop_task,
    events.TaskReported: reports.task_reported,
    events.TaskRefused: stop_tasks.task_refused,
    events.HealthReported: reports.health_reported,
    events_attachments.AttachmentProvided: attachments.attachment_provided,
    events_attachments.AttachmentsReported: attachments.attachments_reported,
    events_attachments.AttachmentRefused: attachments.attachment_refused,
    events_attachments.AttachmentReleased: attachments.attachment_released,
    events_services.CreateService: services.create_service,
    events_services.UpdateService: services.update_service,
    events_services.DeleteService: services.delete_service,
    events_services.StopServiceDeployment: services.stop_service_deployment,
    events_services.ProtectTasks: protection.protect_tasks,
    events_services.AlarmsSeen: services.alarms_seen,
    events_services.TargetsSeen: targets.targets_seen,
    events_services.TargetsFailed: targets.targets_failed,
    events_capacity.CreateCapacityProvider: capacity_providers.create_capacity_provider,
    events_capacity.UpdateCapacityProvider: capacity_providers.update_capacity_provider,
    events_capacity.DeleteCapacityProvider: capacity_providers.delete_capacity_provider,
    events_capacity.ForgetCapacityProviders: capacity_providers.forget_capacity_providers,
    events_capacity.SetClusterCapacity: capacity_providers.set_cluster_capacity,
    events_capacity.AttachProviders: capacity.attach_providers,
    events_capacity.GroupSeen: capacity.group_seen,
    events_capacity.GroupFailed: capacity.group_failed,
    events_capacity.MachinesLaunched: capacity.machines_launched,
    events_capacity.MachinesSeen: capacity.machines_seen,
    events_capacity.MachineNotice: capacity.machine_notice,
}

PLANNERS: Mapping[str, Planner] = {
    "expire_tasks": expire_tasks.look,
    "mind_instances": mind_instances.look,
    "keep_services": keep_services.look,
    "retry_placements": retry_placements.look,
    "sync_targets": sync_targets.look,
    "size_groups": size_groups.look,
    "place_tasks": place_tasks.look,
    "end_machines": end_machines.look,
    "provide_attachments": provide_attachments.look,
    "update_agents": update_agents.look,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an event came to. ``changes`` maps (kind, key) to the new record, None where it was removed."""

    reply: Any
    changes: Mapping[tuple[type[Any], str], Any | None]
    commands: tuple[Command, ...]
    wakes: Mapping[Key, float]


def step(state: State, event: events.Event, now: float) -> Outcome:
    """Decide one event and apply its changes to ``state``.

    Raises Refusal (or whatever a faulty rule raises) with the state as it was before.
    """
    tx: Transaction[Any] = Transaction(state, now, event.cause)
    try:
        if isinstance(event, events.Look):
            reply = PLANNERS[event.planner](tx, event.subject)
        else:
            reply = RULES[type(event)](tx, event)
    except BaseException:
        tx.undo()
        raise
    for old, new in tx.changes.values():
        for key, at in wakes_of(old, new):
            tx.wake(key, at)
    if tx.changes:
        state.revision += 1
    return Outcome(
        reply=reply,
        changes={name: new for name, (_, new) in tx.changes.items()},
        commands=tuple(tx.commands),
        wakes=tx.wakes,
    )
