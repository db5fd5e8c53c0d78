"""Activations under any events in any order: nobody is let in who should not be, and no key is anybody else's."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from awsorch.core import events
from awsorch.core.errors import Refusal
from awsorch.core.events_registry import CreateActivation, JoinInstance, RevokeAccess
from awsorch.core.state import RegistryState
from tests.properties.disk import Disk
from tests.support.builders import arn

CLUSTERS = st.sampled_from(["a", "b"])
ACTIVATIONS = st.sampled_from(["a-1", "a-2", "a-3"])
MACHINES = st.sampled_from(["m1", "m2", "m3"])
SECONDS = st.sampled_from([1.0, 3600.0, 40 * 86400.0])


class ActivationsMachine(RuleBasedStateMachine):
    """Few machines and activations, so that much is tried twice, and after its end."""

    @initialize()
    def open(self) -> None:
        self.disk = Disk(RegistryState)
        self.count = 0
        self.names: dict[str, str] = {}

    @property
    def state(self) -> RegistryState:
        return self.disk.state

    def submit(self, event: events.Event) -> Any:
        self.count += 1
        try:
            return self.disk.step(event).reply
        except Refusal:
            return None

    @rule(name=CLUSTERS)
    def create_cluster(self, name: str) -> None:
        self.submit(events.CreateCluster(name=name, arn=arn(f"cluster/{name}"), settings={}))

    @rule(name=CLUSTERS)
    def delete_cluster(self, name: str) -> None:
        self.submit(events.DeleteCluster(name=name))
        cluster = self.state.clusters.get(name)
        if cluster is not None:
            there = (*self.state.activations.values(), *self.state.external_instances.values())
            assert all(each.revoked_at is not None for each in there if each.cluster == name)

    @rule(cluster=CLUSTERS, slot=ACTIVATIONS, limit=st.integers(1, 2), lifetime=SECONDS)
    def activate(self, cluster: str, slot: str, limit: int, lifetime: float) -> None:
        name = f"{slot}/{self.count}"
        event = CreateActivation(
            id=name, cluster=cluster, code_digest="right", limit=limit, lifetime_seconds=lifetime, created_by="me"
        )
        if self.submit(event) is not None:
            self.names[slot] = name

    @rule(slot=ACTIVATIONS, machine=MACHINES, code=st.sampled_from(["right", "right", "wrong"]))
    def join(self, slot: str, machine: str, code: str) -> None:
        name = self.names.get(slot, slot)
        before = self.state.activations.get(name)
        joined = self.submit(
            JoinInstance(
                activation=name,
                code_digest=code,
                fingerprint=machine,
                instance_id=f"mi-{self.count:017x}",
                access_key_id=f"AKEX{self.count}",
            )
        )
        if joined is None:
            return
        assert before is not None
        assert code == "right"
        assert before.status(self.disk.now) in ("ACTIVE", "SPENT")
        assert (joined.cluster, joined.fingerprint, joined.revoked_at) == (before.cluster, machine, None)

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        there = sorted((*self.state.activations, *self.state.external_instances, "mi-nobody"))
        self.submit(RevokeAccess(id=data.draw(st.sampled_from(there))))

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.disk.now += seconds

    @rule()
    def cut_the_power(self) -> None:
        self.disk.restart()

    @invariant()
    def no_more_are_let_in_than_may_be(self) -> None:
        joined = Counter(each.activation for each in self.state.external_instances.values())
        for name, activation in self.state.activations.items():
            assert joined[name] <= activation.joined <= activation.limit
        assert joined.keys() <= self.state.activations.keys()

    @invariant()
    def a_key_is_one_instance_s_that_may_still_use_it(self) -> None:
        for each in self.state.external_instances.values():
            holders = self.state.instances_by_access_key[each.access_key_id]
            assert holders == ({each.id} if each.revoked_at is None else set())


TestActivations = ActivationsMachine.TestCase
TestActivations.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
