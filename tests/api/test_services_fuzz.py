"""Requests that are right but for one or two members get further: no 5xx there either, and no bug in the core."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.test_fuzz import CODEC, Sender
from tests.support.obedience import ObedientAgents
from tests.support.served import ServedApi, served_api
from tests.support.shapes import inputs_for

EXAMPLES = 100
#: What decides whether a request gets anywhere: left as it is in the request that is right.
_NAMES = frozenset(("cluster", "service", "serviceName", "taskDefinition", "clientToken"))


@pytest.fixture(scope="module")
def api() -> Iterator[ServedApi]:
    """A served API with an instance, a task definition and a service "site"."""
    with served_api() as api:
        api.ecs.create_cluster(clusterName="default")
        ObedientAgents(api)
        resources = [{"name": n, "type": "INTEGER", "integerValue": 4096} for n in ("CPU", "MEMORY")]
        made = api.ecs.register_container_instance(totalResources=resources)["containerInstance"]
        api.connect(made["containerInstanceArn"])
        container = {"name": "app", "image": "busybox", "memory": 512, "portMappings": [{"containerPort": 80}]}
        api.ecs.register_task_definition(family="web", containerDefinitions=[container])
        api.ecs.create_service(serviceName="site", taskDefinition="web", desiredCount=1)
        yield api


@pytest.mark.parametrize("operation", ["CreateService", "UpdateService"])
def test_nearly_right_requests(operation: str, api: ServedApi) -> None:
    sender, numbers = Sender(api), count()
    accepted = 0

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(inputs_for(operation), st.data())
    def check(drawn: dict[str, Any], data: st.DataObject) -> None:
        nonlocal accepted
        members = sorted(set(drawn) - _NAMES)
        chosen = data.draw(st.lists(st.sampled_from(members), max_size=2)) if members else []
        right: dict[str, Any] = {"service": "site"}
        if operation == "CreateService":
            right = {"serviceName": f"new{next(numbers)}", "taskDefinition": "web", "desiredCount": 0}
        status, answer = sender.call(operation, {**right, **{name: drawn[name] for name in chosen}})
        assert status in (200, 400), answer
        if status == 200:
            accepted += 1
            CODEC.check_output(operation, answer)

    check()
    assert accepted > EXAMPLES // 10
    for name in ("ListServices", "ListServiceDeployments", "DescribeClusters"):
        status, answer = sender.call(name, {"service": "site"})
        assert status == 200
        CODEC.check_output(name, answer)
    partition = api.controller.clusters["default"]
    assert partition.bugs == 0
