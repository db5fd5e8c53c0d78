"""The registry under any events in any order."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from awsorch.core import events, events_registry
from awsorch.core.arn import Scope
from awsorch.core.errors import Refusal
from awsorch.core.model import TaskDefinition
from awsorch.core.state import RegistryState
from tests.properties.disk import Disk
from tests.support.builders import ACCOUNT, REGION, a_definition, arn

SCOPE = Scope(region=REGION, account=ACCOUNT)
NAMES = st.sampled_from(["a", "b", "c"])
FAMILIES = st.sampled_from(["web", "web-2", "db"])
REVISIONS = st.integers(1, 4)
TAGS = st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"))
RANK = {"ACTIVE": 0, "INACTIVE": 1, "DELETE_IN_PROGRESS": 2}


class RegistryMachine(RuleBasedStateMachine):
    """Few names, so that much is asked for twice, or of what is not there any more."""

    @initialize()
    def open(self) -> None:
        self.disk = Disk(RegistryState)
        self.counted: dict[str, int] = {}
        self.history: dict[str, TaskDefinition] = {}

    @property
    def state(self) -> RegistryState:
        return self.disk.state

    def submit(self, event: events.Event) -> Any:
        self.disk.now += 1.0
        try:
            return self.disk.step(event).reply
        except Refusal:
            return None

    @rule(name=NAMES, settings=TAGS, tags=TAGS)
    def create_cluster(self, name: str, settings: dict[str, str], tags: dict[str, str]) -> None:
        before = self.state.clusters.get(name)
        cluster = self.submit(events.CreateCluster(name=name, arn=arn(f"cluster/{name}"), settings=settings, tags=tags))
        if cluster is not None:
            assert cluster.status == "ACTIVE"
            assert settings.items() <= cluster.settings.items()
        else:
            assert before is not None
            assert self.state.clusters[name] == before

    @rule(name=NAMES, settings=st.none() | TAGS, configuration=st.none() | st.just({"a": {"b": [1, 2.5, None]}}))
    def update_cluster(self, name: str, settings: Any, configuration: Any) -> None:
        self.submit(events.UpdateCluster(name=name, settings=settings, configuration=configuration))

    @rule(name=NAMES)
    def delete_cluster(self, name: str) -> None:
        self.submit(events.DeleteCluster(name=name))
        cluster = self.state.clusters.get(name)
        assert cluster is None or cluster.status == "INACTIVE"

    @rule(family=FAMILIES, tags=TAGS)
    def register(self, family: str, tags: dict[str, str]) -> None:
        document = {**a_definition(family).definition, "family": family}
        made = self.submit(
            events_registry.RegisterTaskDefinition(document=document, tags=tags, registered_by="me", scope=SCOPE)
        )
        assert made.revision == self.counted.get(family, 0) + 1
        self.counted[family] = made.revision

    @rule(family=FAMILIES, revision=REVISIONS)
    def deregister(self, family: str, revision: int) -> None:
        self.submit(events_registry.DeregisterTaskDefinition(family=family, revision=revision))

    @rule(keys=st.lists(st.tuples(FAMILIES, REVISIONS), min_size=1, max_size=4))
    def delete(self, keys: list[tuple[str, int]]) -> None:
        asked = tuple(f"{family}:{revision}" for family, revision in keys)
        reply = self.submit(events_registry.DeleteTaskDefinitions(keys=asked))
        assert {definition.key for definition in reply.definitions} | reply.failures.keys() == set(asked)

    @rule(keys=st.lists(st.tuples(FAMILIES, REVISIONS), max_size=4))
    def forget(self, keys: list[tuple[str, int]]) -> None:
        self.submit(events_registry.ForgetTaskDefinitions(keys=tuple(f"{f}:{r}" for f, r in keys)))

    @rule(name=st.sampled_from(["containerInsights", "awsvpcTrunking"]), value=st.sampled_from(["enabled", "off"]))
    def put_setting(self, name: str, value: str) -> None:
        self.submit(events_registry.PutAccountSetting(name=name, value=value, principal_arn=SCOPE.root))

    @rule(name=st.sampled_from(["containerInsights", "awsvpcTrunking"]))
    def delete_setting(self, name: str) -> None:
        self.submit(events_registry.DeleteAccountSetting(name=name, principal_arn=SCOPE.root))

    @rule(family=FAMILIES, revision=REVISIONS, put=TAGS, remove=st.sampled_from([(), ("x",)]))
    def tag(self, family: str, revision: int, put: dict[str, str], remove: tuple[str, ...]) -> None:
        key = f"{family}:{revision}"
        self.submit(events.SetTags(kind="task-definition", key=key, put=put, remove=remove))

    @rule()
    def cut_the_power(self) -> None:
        self.disk.restart()

    @invariant()
    def revisions_never_go_back_and_never_change(self) -> None:
        for key, old in self.history.items():
            new = self.state.definitions.get(key)
            if new is None:
                assert old.status == "DELETE_IN_PROGRESS"
                continue
            assert new.definition == old.definition
            assert RANK[new.status] >= RANK[old.status]
        self.history = dict(self.state.definitions)

    @invariant()
    def a_family_alone_means_its_newest_active_revision(self) -> None:
        for family in ("web", "web-2", "db"):
            active = [d.revision for d in self.state.definitions.values() if (d.family, d.status) == (family, "ACTIVE")]
            newest = self.state.revisions.newest(family)
            assert newest == (f"{family}:{max(active)}" if active else None)


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
