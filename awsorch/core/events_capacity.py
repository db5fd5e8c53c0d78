"""What happens to capacity: what providers are set to, and what was seen of groups, machines and launches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.core.events import Event
from awsorch.core.model import StrategyItem
from awsorch.core.model_capacity import CapacityProvider, ManagedScaling, Offer

# --- registry --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCapacityProvider(Event):
    """CreateCapacityProvider: the record as it is to be, checked by the API. Reply: CapacityProvider."""

    provider: CapacityProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCapacityProvider(Event):
    """UpdateCapacityProvider: members that are None stay. Reply: CapacityProvider."""

    name: str
    scaling: ManagedScaling | None = None
    termination_protection: bool | None = None
    draining: bool | None = None
    managed: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteCapacityProvider(Event):
    """DeleteCapacityProvider: refused while a cluster has it. With ``has_machines`` it is DEPROVISIONING until it is
    deleted once more without. Reply: CapacityProvider."""

    name: str
    has_machines: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetCapacityProviders(Event):
    """Providers that were deleted long enough ago to be MISSING from now on."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetClusterCapacity(Event):
    """PutClusterCapacityProviders: a cluster's providers, but for its own Managed Instances ones, and its default
    strategy. Its partition has agreed. Reply: Cluster."""

    cluster: str
    providers: tuple[str, ...]
    default_strategy: tuple[StrategyItem, ...]


# --- cluster partition -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What a cluster partition is told of one of its providers: the registry's record, and what managed providers may
    launch (``offers``) and where (``zones``: zone → subnet id)."""

    provider: CapacityProvider
    offers: tuple[Offer, ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachProviders(Event):
    """All the providers of the cluster, as they are now. Raises ResourceInUseException where one that a task or service
    needs is not among them, unless ``force`` (the registry has decided: at start, and when a provider changed)."""

    cluster: str
    attached: tuple[Attached, ...]
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMachine:
    """An EC2 instance as its group or EC2 shows it. ``state``: LifecycleState, or EC2's state name."""

    id: str
    zone: str
    instance_type: str
    state: str
    healthy: bool = True
    protected: bool = False
    spot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchProblem:
    """Why an Auto Scaling group's last launch came to nothing. ``activity`` names it, so that it counts once."""

    activity: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSeen(Event):
    """An Auto Scaling group as it is. ``offers``: the types of its launch template or mixed instances policy, best
    first; ``problem``: its newest launching activity failed (and none has worked since)."""

    provider: str
    minimum: int
    maximum: int
    desired: int
    zones: Mapping[str, str]
    offers: tuple[Offer, ...]
    machines: tuple[SeenMachine, ...]
    hooked: bool = False
    problem: LaunchProblem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFailed(Event):
    """A call about a group came to nothing. ``operation``: WatchGroup, SetGroupSize, ProtectMachines, EndMachines or
    HoldMachines; ``refused``: asked the same way it will be again."""

    provider: str
    operation: str
    code: str
    message: str
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRefused:
    """An order that EC2 would not take."""

    launch: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinesLaunched(Event):
    """What came of orders: (launch id, EC2 instance id) of those that run, and those that were refused. Orders in
    neither are not known to have done anything and are sent again."""

    provider: str
    launched: tuple[tuple[str, str], ...] = ()
    refused: tuple[LaunchRefused, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinesSeen(Event):
    """EC2 instances as EC2 shows them; ``missing``: ids that it does not know."""

    provider: str | None
    machines: tuple[SeenMachine, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNotice(Event):
    """EC2 says that an instance will go or has gone: ``kind`` is interruption, rebalance, leaving (a group is
    about to end it), stopped or terminated."""

    machine: str
    kind: str
