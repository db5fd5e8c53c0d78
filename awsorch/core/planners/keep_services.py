"""Keep each service at what it wishes for: start what is missing, stop what is too much, complete or fail deployments.

One look at one service, bounded: about 50 tasks started and stopped, then it asks to look again. How a deployment moves
is ``roll_out``'s part, daemons' instances ``services/daemons``.

Source: ECS developer guide, "Amazon ECS services", "Deploy Amazon ECS services by replacing tasks".
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.copies import remove
from awsorch.core.model_services import Service
from awsorch.core.planners import roll_out
from awsorch.core.rules.services import belongings
from awsorch.core.services import zones
from awsorch.core.services.deployments import HISTORY_S, deployments_of, history_of
from awsorch.core.services.health import judge
from awsorch.core.services.speech import REPEAT_AFTER_S, STEADY, say
from awsorch.core.services.tasks import stop_tasks
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RETENTION_S

BATCH = 50


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """One service, whatever its status."""
    service = tx.state.services.get(subject)
    if service is None:
        return
    if service.status == "ACTIVE":
        _judge_the_unknown(tx, service)
        if service.moving:
            zones.go_on(tx, service)
        roll_out.move(tx, tx.state.services[subject])
        _say_steady(tx, tx.state.services[subject])
    elif service.status == "DRAINING":
        _drain(tx, service)
    else:
        _forget(tx, service)


def _judge_the_unknown(tx: Transaction[ClusterState], service: Service) -> None:
    """Time alone may have made tasks healthy, or ended their grace period."""
    for phases in list(tx.state.service_index.crews(service.name).values()):
        for task_id in list(phases.unknown):
            judge(tx, tx.state.tasks[task_id])


def _drain(tx: Transaction[ClusterState], service: Service) -> None:
    """Stop all its tasks; with none left to stop it is INACTIVE."""
    crews = tx.state.service_index.crews(service.name)
    wished = [
        task_id
        for phases in crews.values()
        for phase in ("pending", "unknown", "unhealthy", "healthy")
        for task_id in phases.of(phase)
    ]
    stop_tasks(tx, service, [tx.state.tasks[task_id] for task_id in wished[:BATCH]])
    if len(wished) > BATCH:
        tx.wake(("keep_services", service.name))
        return
    for deployment in deployments_of(tx.state, service.name):
        tx.remove(deployment)
    tx.put(replace(tx.state.services[service.name], status="INACTIVE", inactive_at=tx.now))


def _forget(tx: Transaction[ClusterState], service: Service) -> None:
    """An hour after it became INACTIVE nothing of it is kept."""
    due = (service.inactive_at or tx.now) + RETENTION_S
    if tx.now < due:
        tx.wake(("keep_services", service.name), due)
        return
    records = list(belongings(tx.state, service))
    for record in records[:BATCH]:
        remove(tx, record)
    if len(records) > BATCH:
        tx.wake(("keep_services", service.name))


def _say_steady(tx: Transaction[ClusterState], service: Service) -> None:
    """Say once that all is as wished, and again every six hours; then is the time to tidy up, too."""
    if not roll_out.is_steady(tx, service) or zones.begin(tx, service):
        service = tx.state.services[service.name]
        if service.steady_at is not None:
            tx.put(replace(service, steady_at=None))
        return
    service = tx.state.services[service.name]
    if service.steady_at is None or tx.now >= service.steady_at + REPEAT_AFTER_S:
        say(tx, service.name, STEADY)
        _forget_history(tx, service)
        tx.put(replace(tx.state.services[service.name], steady_at=tx.now))
    tx.wake(("keep_services", service.name), (tx.state.services[service.name].steady_at or 0.0) + REPEAT_AFTER_S)


def _forget_history(tx: Transaction[ClusterState], service: Service) -> None:
    """Service deployments older than 90 days go, and the revisions that only they had."""
    state = tx.state
    histories = [state.service_deployments[key] for key in state.service_index.histories(service.name)]
    under_way = history_of(state, service)
    old = [h for h in histories if h.finished_at is not None and h.finished_at + HISTORY_S <= tx.now and h != under_way]
    if not old:
        return
    for history in old[:BATCH]:
        tx.remove(history)
    needed = {deployment.revision for deployment in deployments_of(state, service.name)} | {service.stable_revision}
    for key in state.service_index.histories(service.name):
        history = state.service_deployments[key]
        needed |= {history.target_revision, *(source.revision for source in history.sources)}
    for key in state.service_index.revisions(service.name):
        revision = state.service_revisions[key]
        if revision.number not in needed:
            remove(tx, revision)
