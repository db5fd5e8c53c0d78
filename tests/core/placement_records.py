"""Records for placement's tests: builders, and Hypothesis strategies for small, crowded fleets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from awsorch.core.model import (
    Constraint,
    Container,
    ContainerInstance,
    Demand,
    NetworkBinding,
    Resources,
    Strategy,
    Task,
)
from awsorch.core.placement.place import Request

ZONE = "ecs.availability-zone"
NAMES = tuple(f"i-{n}" for n in range(8))
GROUPS = ("family:web", "family:db")


def an_instance(name: str = "i-0", **changes: Any) -> ContainerInstance:
    """An ACTIVE, connected instance of 2048 CPU units and 4096 MiB in zone a."""
    fields: dict[str, Any] = {
        "id": name,
        "arn": f"arn:aws:ecs:us-east-1:123456789012:container-instance/default/{name}",
        "resources": Resources(cpu=2048, memory=4096),
        "attributes": {ZONE: "us-east-1a"},
        "agent_connected": True,
        "registered_at": 1_700_000_000.5,
    }
    return ContainerInstance(**(fields | changes))


def a_task(name: str = "t-0", *, on: str | None = "i-0", demand: Demand | None = None, **changes: Any) -> Task:
    """A task that runs on an instance."""
    fields: dict[str, Any] = {
        "id": name,
        "arn": f"arn:aws:ecs:us-east-1:123456789012:task/default/{name}",
        "definition": "web:1",
        "definition_arn": "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1",
        "instance_id": on,
        "group": GROUPS[0],
        "last_status": "RUNNING",
        "containers": (),
        "demand": demand or Demand(),
        "cpu": "0",
        "memory": "0",
        "created_at": 1_700_000_001.0,
    }
    return Task(**(fields | changes))


def a_binding(port: int, protocol: str = "tcp") -> Container:
    """A container that published a port."""
    return Container(
        name="c",
        arn="arn",
        image="busybox",
        network_bindings=(NetworkBinding(host_port=port, protocol=protocol),),
    )


demands = st.builds(
    Demand,
    cpu=st.sampled_from((0, 64, 256, 300, 512, 1024)),
    memory=st.sampled_from((0, 100, 128, 512, 1000)),
    tcp_ports=st.sampled_from(((), (), (), (80,), (22, 80))),
    udp_ports=st.sampled_from(((), (), (), (53,))),
    gpus=st.sampled_from((0, 0, 0, 0, 1, 2)),
    all_gpus=st.sampled_from((False,) * 9 + (True,)),
    attributes=st.sampled_from(((), (), (("stack", None),), (("stack", "prod"),), (("none", None),))),
).map(lambda demand: replace(demand, gpus=0) if demand.all_gpus else demand)


@st.composite
def instances(draw: st.DrawFn) -> ContainerInstance:
    attributes: dict[str, str | None] = {}
    for name, values in ((ZONE, ("a", "b", "c")), ("rack", ("1", "2")), ("stack", ("prod", "test"))):
        value = draw(st.sampled_from((*values, *values, None, "")))
        if value != "":
            attributes[name] = value
    return an_instance(
        draw(st.sampled_from(NAMES)),
        status=draw(st.sampled_from(("ACTIVE",) * 6 + ("DRAINING", "INACTIVE"))),
        agent_connected=draw(st.sampled_from((True,) * 5 + (False,))),
        capacity_provider=draw(st.sampled_from((None, "spot"))),
        agent_version=draw(st.sampled_from((None, "1.9.0", "1.105.0"))),
        attributes=attributes,
        resources=Resources(
            cpu=draw(st.sampled_from((512, 2048, 4096))),
            memory=draw(st.sampled_from((512, 1024, 8192))),
            reserved_tcp=draw(st.sampled_from(((), (22,)))),
            gpu_ids=draw(st.sampled_from(((), (), ("g0", "g1", "g2")))),
        ),
    )


constraints = st.lists(
    st.sampled_from(
        (
            Constraint(type="distinctInstance"),
            Constraint(type="memberOf", expression="attribute:stack == prod"),
            Constraint(type="memberOf", expression="agentVersion > 1.10 or attribute:rack in [1]"),
            Constraint(type="memberOf", expression="runningTasksCount < 2"),
            Constraint(type="memberOf", expression="not(task:group == family:db)"),
            Constraint(type="memberOf", expression="task:group =~ 'family:.*'"),
        )
    ),
    max_size=2,
).map(tuple)

strategy_lists = st.lists(
    st.sampled_from(
        (
            Strategy(type="spread", field=f"attribute:{ZONE}"),
            Strategy(type="spread", field="attribute:rack"),
            Strategy(type="spread", field="instanceId"),
            Strategy(type="spread", field="host"),
            Strategy(type="binpack", field="memory"),
            Strategy(type="binpack", field="CPU"),
            Strategy(type="random"),
        )
    ),
    max_size=4,
).map(tuple)

requests = st.builds(
    Request,
    demand=demands,
    count=st.integers(0, 12),
    group=st.sampled_from(GROUPS),
    constraints=st.one_of(st.just(()), constraints),
    strategies=strategy_lists,
    seed=st.integers(0, 2**64),
    only=st.sampled_from((None, None, None, frozenset(NAMES[:2]), frozenset(("i-3", "gone")))),
    capacity_provider=st.sampled_from((None, None, None, "spot")),
)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    gone = draw(st.sampled_from((False, False, False, True)))
    return a_task(
        f"t-{draw(st.integers(0, 9))}",
        on=draw(st.sampled_from((*NAMES, None))),
        demand=draw(demands),
        group=draw(st.sampled_from(GROUPS)),
        last_status="STOPPED" if gone else draw(st.sampled_from(("PENDING", "RUNNING"))),
        desired_status="STOPPED" if gone else draw(st.sampled_from(("RUNNING", "RUNNING", "STOPPED"))),
        containers=draw(st.sampled_from(((), (), (a_binding(32768),), (a_binding(53, "udp"),)))),
    )
