"""Clusters in the registry, and the gate of each cluster's own partition.

DeleteCluster is two events: CloseGate in the cluster's partition (refused while something is in it), then DeleteCluster
in the registry. The registry is the truth; at start a partition's gate is opened where its cluster is ACTIVE.
Source: ECS API, CreateCluster, UpdateCluster, DeleteCluster.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.capacity.associations import check_associations, managed_of
from awsorch.core.errors import Refusal, client_error, cluster_not_found, invalid_parameter
from awsorch.core.events import CloseGate, CreateCluster, DeleteCluster, ForgetClusters, OpenGate, UpdateCluster
from awsorch.core.model import Cluster, Gate
from awsorch.core.rules.revocations import revoke_cluster
from awsorch.core.state import ClusterState, RegistryState, Transaction


def create_cluster(tx: Transaction[RegistryState], event: CreateCluster) -> Cluster:
    """A new ACTIVE cluster, or the one there if it is as asked for; what is not asked for may be anything."""
    old = tx.state.clusters.get(event.name)
    if old is not None and old.status == "ACTIVE":
        same = (
            {**old.settings, **event.settings} == old.settings
            and (not event.configuration or old.configuration == event.configuration)
            and (not event.service_connect_defaults or old.service_connect_defaults == event.service_connect_defaults)
            and (not event.capacity_providers or _given_providers(tx.state, old) == event.capacity_providers)
            and (not event.default_strategy or old.default_strategy == event.default_strategy)
            and (not event.tags or old.tags == event.tags)
        )
        if not same:
            raise invalid_parameter(
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            )
        return old
    check_associations(tx.state, event.name, event.capacity_providers, event.default_strategy, client_error)
    cluster = Cluster(
        name=event.name,
        arn=event.arn,
        created_at=tx.now,
        settings={**event.defaults, **event.settings},
        configuration=event.configuration,
        service_connect_defaults=event.service_connect_defaults,
        capacity_providers=event.capacity_providers,
        default_strategy=event.default_strategy,
        tags=event.tags,
    )
    tx.put(cluster)
    return cluster


def _given_providers(state: RegistryState, cluster: Cluster) -> tuple[str, ...]:
    """The cluster's providers but for its own Managed Instances ones."""
    own = managed_of(state, cluster.name)
    return tuple(name for name in cluster.capacity_providers if name not in own)


def update_cluster(tx: Transaction[RegistryState], event: UpdateCluster) -> Cluster:
    """Change what was named; settings are merged by name."""
    cluster = active_cluster(tx.state, event.name)
    if event.settings is not None:
        cluster = replace(cluster, settings={**cluster.settings, **event.settings})
    if event.configuration is not None:
        cluster = replace(cluster, configuration=event.configuration)
    if event.service_connect_defaults is not None:
        cluster = replace(cluster, service_connect_defaults=event.service_connect_defaults)
    tx.put(cluster)
    return cluster


def delete_cluster(tx: Transaction[RegistryState], event: DeleteCluster) -> Cluster:
    """The cluster becomes INACTIVE, without providers, and stays describable; deleting it again answers it as it is.
    Refused while it has Managed Instances providers, which are nothing without it."""
    cluster = tx.state.clusters.get(event.name)
    if cluster is None:
        raise cluster_not_found()
    if cluster.status == "ACTIVE":
        check_deletable(tx.state, cluster)
        cluster = replace(cluster, status="INACTIVE", deleted_at=tx.now, capacity_providers=(), default_strategy=())
        tx.put(cluster)
        revoke_cluster(tx, cluster.name)
    return cluster


def check_deletable(state: RegistryState, cluster: Cluster) -> None:
    """Refuse to delete a cluster whose Managed Instances providers have not been deleted."""
    if any(p.cluster == cluster.name and p.status != "INACTIVE" for p in state.providers.values()):
        raise Refusal(
            "ClusterContainsCapacityProviderException",
            "The Cluster cannot be deleted while Capacity Providers are active.",
        )


def forget_clusters(tx: Transaction[RegistryState], event: ForgetClusters) -> tuple[str, ...]:
    """Take out clusters that are INACTIVE; one that was made anew stays."""
    gone = []
    for name in event.names:
        cluster = tx.state.clusters.get(name)
        if cluster is not None and cluster.status == "INACTIVE":
            tx.remove(cluster)
            gone.append(name)
    return tuple(gone)


def active_cluster(state: RegistryState, name: str) -> Cluster:
    """The cluster of this name if it can be changed; else the refusal that ECS gives."""
    cluster = state.clusters.get(name)
    if cluster is None:
        raise cluster_not_found()
    if cluster.status != "ACTIVE":
        raise client_error("Cluster was not ACTIVE.")
    return cluster


def open_gate(tx: Transaction[ClusterState], event: OpenGate) -> None:
    """Take work from now on."""
    gate = Gate(open=True, pace=event.pace)
    if tx.state.gate != gate:
        tx.put(gate)


def close_gate(tx: Transaction[ClusterState], event: CloseGate) -> None:
    """Take no more work; refused while there are instances, services or tasks, in ECS's order of checks."""
    if any(i.status in ("ACTIVE", "DRAINING") for i in tx.state.instances.values()):
        raise Refusal(
            "ClusterContainsContainerInstancesException",
            "The Cluster cannot be deleted while Container Instances are active or draining.",
        )
    if any(service.status != "INACTIVE" for service in tx.state.services.values()):
        raise Refusal("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
    if any(s.status != "INACTIVE" for s in tx.state.services.values()):
        raise Refusal("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
    if any(t.last_status not in ("STOPPED", "DELETED") or t.is_attached for t in tx.state.tasks.values()):
        raise Refusal("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
    tx.put(Gate(open=False, pace=tx.state.gate.pace))


def require_open(state: ClusterState) -> None:
    """Refuse work on a cluster that was deleted."""
    if not state.is_open:
        raise Refusal("ClusterNotFoundException", "The referenced cluster was inactive.")
