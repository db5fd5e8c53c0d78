"""DescribeCapacity and PlanCapacity, awsorch's own operations."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.services import until
from tests.api.test_capacity_providers import ON, of_group
from tests.api.test_capacity_strategies import item, put
from tests.support.cloud import Cloud
from tests.support.served import ServedApi, served_api

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def api() -> Iterator[ServedApi]:
    """A served API in a cloud with two groups of at most ten instances, each with its provider."""
    cloud = Cloud()
    cloud.groups = dict.fromkeys(("one", "two"), False)
    with served_api(cloud=cloud) as api:
        cloud.carry_out_for(api)
        for name in cloud.groups:
            api.ecs.create_capacity_provider(name=name, autoScalingGroupProvider=of_group(name, managedScaling=ON))
        yield api


@pytest.fixture
def ask(api: ServedApi, ecs: Any) -> Ask:
    """Ask for an operation: its answer."""

    def send(operation: str, **members: Any) -> dict[str, Any]:
        return post(api, operation, members)[1]

    return send


def post(api: ServedApi, operation: str, members: Any) -> tuple[int, dict[str, Any]]:
    """(status, answer)"""
    headers = {"X-Amz-Target": f"AwsorchV1.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = urllib.request.Request(api.url, json.dumps(members).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def add(name: str, count: int, **members: Any) -> dict[str, Any]:
    return {"name": name, "count": count, **members}


def test_capacity_of_a_cluster_with_instances(ask: Ask, ecs: Any, web_task: str, register_instance: Any) -> None:
    arns = [register_instance(), register_instance()]
    ecs.run_task(taskDefinition=web_task, count=3)
    told = ask("DescribeCapacity")
    assert sorted(each["containerInstance"] for each in told["instances"]) == sorted(arns)
    assert told["totals"] == {
        "instances": 2,
        "tasks": 3,
        "cpu": {"total": 4096, "used": 768},
        "memory": {"total": 7600, "used": 384},
        "gpus": {"total": 0, "used": 0},
    }
    assert (told["cluster"], told["unpriced"], told["hourlyPrice"]) == ("default", 2, 0.0)
    assert ask("DescribeCapacity", maxInstances=0)["instances"] == []
    assert ask("DescribeCapacity", maxInstances=0)["totals"] == told["totals"]


def test_what_waits_and_what_will_be_launched(ask: Ask, ecs: Any, web_task: str) -> None:
    put(ecs, "one")
    ecs.run_task(taskDefinition=web_task, count=4, capacityProviderStrategy=[item("one")])
    told = ask("DescribeCapacity")
    (waiting,) = told["waiting"]
    assert (waiting["group"], waiting["provider"], waiting["count"]) == ("family:web", "one", 4)
    assert waiting["reason"] == "EMPTY CAPACITY PROVIDER"
    (provider,) = told["providers"]
    assert (provider["name"], provider["waiting"], provider["type"]) == ("one", 4, "EC2_AUTOSCALING")


def test_a_service_that_finds_no_place(ask: Ask, ecs: Any, web_task: str) -> None:
    ecs.create_service(serviceName="web", taskDefinition=web_task, desiredCount=2)
    until(ecs, "web", "length(events) > `0`")
    (waiting,) = ask("DescribeCapacity")["waiting"]
    assert (waiting["group"], waiting["count"]) == ("service:web", 2)
    assert waiting["reason"].startswith("was unable to place a task because no container instance met")
    assert "provider" not in waiting


def test_a_plan_for_a_task_definition(ask: Ask, ecs: Any, web_task: str, register_instance: Any) -> None:
    register_instance(cpu=1024)
    plan = ask("PlanCapacity", additions=[add("web", 6), add(web_task, 1)])
    first, second = plan["additions"]
    assert (first["fit"], first["left"], first["taskDefinition"]) == (4, 2, web_task)
    assert first["reasons"] == [
        {
            "count": 2,
            "outlook": "NO_ROOM",
            "lacking": [],
            "refused": [{"reason": "RESOURCE:CPU", "instances": 1}],
        }
    ]
    assert (second["fit"], second["left"]) == (0, 1)
    assert plan["launches"] == []
    assert ecs.list_tasks()["taskArns"] == []


def test_a_plan_with_a_provider_launches(ask: Ask, ecs: Any, web_task: str) -> None:
    put(ecs, "one", "two", strategy=[item("one")])
    by_default = ask("PlanCapacity", additions=[add("web", 9)])
    assert [(each["provider"], each["count"]) for each in by_default["launches"]] == [("one", 2)]
    assert by_default["hourlyPrice"] == pytest.approx(sum(each["hourlyPrice"] for each in by_default["launches"]))
    named = ask("PlanCapacity", additions=[add("web:1", 1, capacityProviderStrategy=[item("two")])])
    assert [(each["provider"], each["count"]) for each in named["launches"]] == [("two", 1)]
    assert named["launches"][0]["zone"] == "us-east-1a"


def test_a_plan_for_a_service_follows_its_strategy(ask: Ask, ecs: Any, web_task: str) -> None:
    put(ecs, "one", "two")
    strategy = [item("one", base=1, weight=1), item("two", weight=1)]
    made = ecs.create_service(
        serviceName="site", taskDefinition=web_task, desiredCount=1, capacityProviderStrategy=strategy
    )["service"]
    until(ecs, "site", "pendingCount == `1`")
    for name in ("site", made["serviceArn"]):
        plan = ask("PlanCapacity", additions=[add(name, 20)])
        assert {each["provider"] for each in plan["launches"]} == {"one", "two"}
        assert plan["additions"][0]["launched"] == 20


@pytest.mark.parametrize(
    ("additions", "code", "text"),
    [
        (None, "InvalidParameterException", "additions should be a list"),
        ([], "InvalidParameterException", "additions should be a list"),
        ([5], "InvalidParameterException", "additions should be a list"),
        ([add("web", 1)] * 11, "InvalidParameterException", "additions can have at most 10"),
        ([add("web", 3000)] * 2, "InvalidParameterException", "additions can have at most 5000 tasks"),
        ([{"count": 1}], "InvalidParameterException", "name should name a service or a task definition."),
        ([add("web", 0)], "InvalidParameterException", "count should be a whole number from 1 to 5000."),
        ([add("web", True)], "InvalidParameterException", "count should be a whole number"),
        ([{"name": "web"}], "InvalidParameterException", "count should be a whole number"),
        ([add("none", 1)], "ClientException", "none is neither a service of cluster default nor an ACTIVE task def"),
        ([add("web:9", 1)], "ClientException", "web:9 is neither a service"),
        ([add("a b", 1)], "ClientException", "a b is neither a service"),
        (
            [add("arn:aws:ecs:us-east-1:123456789012:service/default/none", 1)],
            "ServiceNotFoundException",
            "Service not found.",
        ),
        (
            [add("arn:aws:ecs:us-east-1:123456789012:task-definition/none:1", 1)],
            "ClientException",
            "TaskDefinition not found.",
        ),
        (
            [add("web", 1, capacityProviderStrategy=[item("one")])],
            "InvalidParameterException",
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated",
        ),
        ([add("web", 1, capacityProviderStrategy="one")], "InvalidParameterException", "capacityProviderStrategy sho"),
        (
            [add("web", 1, capacityProviderStrategy=[{"capacityProvider": "one", "weight": "1"}])],
            "InvalidParameterException",
            "weight should be a whole number from 0 to 1000.",
        ),
        ([add("all", 1)], "InvalidParameterException", "Service all has a task on every instance (DAEMON)"),
    ],
)
def test_bad_additions_are_refused(ask: Ask, ecs: Any, web_task: str, additions: Any, code: str, text: str) -> None:
    ecs.create_service(serviceName="all", taskDefinition=web_task, schedulingStrategy="DAEMON")
    answer = ask("PlanCapacity", additions=additions)
    assert (answer["__type"].rpartition("#")[2], answer["message"][: len(text)]) == (code, text)


def test_a_service_that_is_going_takes_no_more(ask: Ask, ecs: Any, web_task: str) -> None:
    ecs.create_service(serviceName="site", taskDefinition=web_task, desiredCount=0)
    ecs.delete_service(service="site")
    assert ask("PlanCapacity", additions=[add("site", 1)])["message"] == "Service was not ACTIVE."


@pytest.mark.parametrize(
    ("operation", "members", "text"),
    [
        ("DescribeCapacity", {"cluster": 5}, "cluster should be the name or the ARN of a cluster."),
        ("DescribeCapacity", {"cluster": "none"}, "Cluster not found."),
        ("DescribeCapacity", {"maxInstances": -1}, "maxInstances should be a whole number from 0 to 10000."),
        ("PlanCapacity", {"cluster": [], "additions": [add("web", 1)]}, "cluster should be the name or the ARN"),
    ],
)
def test_bad_requests_are_refused(ask: Ask, operation: str, members: dict[str, Any], text: str) -> None:
    assert ask(operation, **members)["message"].startswith(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 6000) | st.sampled_from(["web", "one", "default", "", "arn:aws:ecs"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "count", "additions", "cluster", "capacityProviderStrategy", "capacityProvider"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
_ITEMS = st.fixed_dictionaries(
    {"name": _JSON, "count": st.integers(1, 9) | _JSON}, optional={"capacityProviderStrategy": _JSON}
)


def test_whatever_is_asked_is_answered_or_refused(api: ServedApi, ecs: Any, web_task: str) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from(["DescribeCapacity", "PlanCapacity"]),
        st.dictionaries(st.sampled_from(["cluster", "maxInstances"]), _JSON, max_size=1),
        st.none() | st.lists(_ITEMS, max_size=3) | _JSON,
    )
    def check(operation: str, members: dict[str, Any], additions: Any) -> None:
        status, answer = post(api, operation, {**members, "additions": additions})
        assert status in (200, 400), answer
        if status == 400:
            assert answer["message"], answer

    check()
