"""Activations: who joins by them, who does not any more, and what is forgotten."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from awsorch.core import events
from awsorch.core.errors import Refusal
from awsorch.core.events_registry import CreateActivation, JoinInstance, RevokeAccess
from awsorch.core.model_access import Activation, ExternalInstance
from awsorch.core.rules.activations import RETENTION_S
from awsorch.core.state import RegistryState
from tests.properties.disk import Disk
from tests.support.builders import arn

DAY = 86400.0


@pytest.fixture
def registry() -> Disk[RegistryState]:
    disk = Disk(RegistryState)
    for name in ("prod", "test"):
        disk.step(events.CreateCluster(name=name, arn=arn(f"cluster/{name}"), settings={}))
    return disk


def activate(registry: Disk[RegistryState], name: str = "a-1", limit: int = 1, cluster: str = "prod") -> Activation:
    event = CreateActivation(
        id=name,
        cluster=cluster,
        code_digest=hashlib.sha256(b"code").hexdigest(),
        limit=limit,
        lifetime_seconds=DAY,
        created_by=arn("root"),
    )
    made: Activation = registry.step(event).reply
    return made


def join(registry: Disk[RegistryState], machine: str = "m1", code: str = "code", **members: Any) -> ExternalInstance:
    number = registry.state.revision
    event = JoinInstance(
        **{
            "activation": "a-1",
            "code_digest": hashlib.sha256(code.encode()).hexdigest(),
            "fingerprint": machine,
            "instance_id": f"mi-{number:017x}",
            "access_key_id": f"AKEX{number}",
            **members,
        }
    )
    joined: ExternalInstance = registry.step(event).reply
    return joined


def refusal_of(registry: Disk[RegistryState], machine: str = "m1", **members: Any) -> str:
    with pytest.raises(Refusal) as refused:
        join(registry, machine, **members)
    assert refused.value.code == "InvalidActivation"
    return refused.value.message


def test_as_many_machines_join_as_it_is_for(registry: Disk[RegistryState]) -> None:
    activate(registry, limit=2)
    first, second = join(registry, "m1"), join(registry, "m2")
    assert first.id != second.id
    assert {first.cluster, second.cluster} == {"prod"}
    assert refusal_of(registry, "m3") == (
        "Activation a-1 is spent: it was for 2 machines, which have joined. Make a new one with `awsorch activate`."
    )
    assert registry.state.activations["a-1"].status(registry.now) == "SPENT"


def test_a_machine_that_joins_again_is_the_same_instance_with_a_new_key(registry: Disk[RegistryState]) -> None:
    activate(registry)
    first = join(registry)
    again = join(registry)
    assert again.id == first.id
    assert again.access_key_id != first.access_key_id
    assert registry.state.activations["a-1"].joined == 1
    assert registry.state.instances_by_access_key[again.access_key_id] == {first.id}
    assert not registry.state.instances_by_access_key[first.access_key_id]


def test_the_code_must_be_right_and_a_wrong_one_learns_nothing(registry: Disk[RegistryState]) -> None:
    activate(registry)
    wrong = refusal_of(registry, code="guess")
    assert wrong == refusal_of(registry, activation="a-2")
    registry.step(RevokeAccess(id="a-1"))
    assert refusal_of(registry, code="guess") == wrong


def test_it_ends_with_its_time(registry: Disk[RegistryState]) -> None:
    activate(registry, limit=2)
    join(registry)
    registry.now += DAY
    assert refusal_of(registry).startswith("Activation a-1 expired at 1970-01-13T13:46:40+00:00.")
    assert registry.state.activations["a-1"].status(registry.now) == "EXPIRED"


def test_one_that_is_revoked_lets_nobody_in_and_leaves_who_is_there(registry: Disk[RegistryState]) -> None:
    activate(registry, limit=2)
    there = join(registry)
    revoked = registry.step(RevokeAccess(id="a-1")).reply
    assert registry.step(RevokeAccess(id="a-1")).reply == revoked
    assert refusal_of(registry, "m2").startswith("Activation a-1 was revoked.")
    assert registry.state.instances_by_access_key[there.access_key_id] == {there.id}


def test_a_machine_s_access_can_be_revoked_and_stays_so(registry: Disk[RegistryState]) -> None:
    activate(registry, limit=2)
    there = join(registry)
    registry.step(RevokeAccess(id=there.id))
    assert not registry.state.instances_by_access_key[there.access_key_id]
    assert refusal_of(registry).startswith(f"The access of this machine, {there.id}, was revoked.")
    for unknown in ("a-2", "mi-00000000000000000"):
        with pytest.raises(Refusal, match=f"{unknown} is neither an activation nor an external instance"):
            registry.step(RevokeAccess(id=unknown))


def test_a_cluster_that_is_deleted_takes_its_machines_keys_along(registry: Disk[RegistryState]) -> None:
    activate(registry)
    activate(registry, "a-2", cluster="test")
    there, elsewhere = join(registry), join(registry, activation="a-2")
    registry.step(events.DeleteCluster(name="prod"))
    assert registry.state.external_instances[there.id].revoked_at == registry.now
    assert registry.state.external_instances[elsewhere.id].revoked_at is None
    with pytest.raises(Refusal, match="Cluster was not ACTIVE"):
        activate(registry, "a-3")
    with pytest.raises(Refusal, match="Cluster not found"):
        activate(registry, "a-3", cluster="none")


def test_what_is_over_is_forgotten_when_the_next_one_is_made(registry: Disk[RegistryState]) -> None:
    for name in ("a-1", "a-2", "a-3"):
        activate(registry, name)
    stays = join(registry)
    goes = join(registry, activation="a-2")
    registry.step(RevokeAccess(id=goes.id))
    registry.now += DAY + RETENTION_S + 1.0
    activate(registry, "a-4")
    assert set(registry.state.activations) == {"a-1", "a-4"}
    assert set(registry.state.external_instances) == {stays.id}
