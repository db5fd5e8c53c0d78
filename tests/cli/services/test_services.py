"""services and events: what a person reads about services."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from awsorch.cli.session import open_session
from awsorch.cli.targets import TargetReader
from tests.cli.conftest import Awsorch, answer_of
from tests.cli.services.conftest import Make
from tests.cli.test_services_words import FakeBalancers
from tests.cli.test_terminal import on_terminal
from tests.support.obedience import ObedientAgents


def test_services_are_listed_with_their_rollout(
    awsorch: Awsorch, ecs: Any, make: Make, define: Callable[..., str], agents: ObedientAgents
) -> None:
    make()
    make("api", taskDefinition=define("api"), desiredCount=1)
    agents.paused = True
    ecs.update_service(service="api", forceNewDeployment=True)
    head, api, web = (line.split() for line in awsorch("services").stdout.splitlines())
    assert head == ["SERVICE", "STATUS", "DESIRED", "RUNNING", "PENDING", "DEFINITION", "ROLLOUT", "LAST", "EVENT"]
    assert api[:3] == ["api", "ACTIVE", "1"]
    assert api[6:9] == ["IN_PROGRESS", "0", "%"]
    assert web[:7] == ["web", "ACTIVE", "3", "3", "0", "web:1", "COMPLETED"]
    assert " ".join(web[7:]).startswith("has reached a steady state. (")
    assert [one["serviceName"] for one in answer_of(awsorch("services", "web", "--json"))["services"]] == ["web"]


def test_more_services_than_one_call_describes(awsorch: Awsorch, ecs: Any, define: Callable[..., str]) -> None:
    define()
    for number in range(12):
        ecs.create_service(serviceName=f"s{number}", taskDefinition="web", desiredCount=0)
    assert len(awsorch("services").stdout.splitlines()) == 13


def test_events_are_told_oldest_first(awsorch: Awsorch, make: Make) -> None:
    make()
    lines = [line.partition("  ")[2] for line in awsorch("events", "web").stdout.splitlines()]
    assert lines[0].startswith("has started ")
    assert lines[-1] == "has reached a steady state."
    assert awsorch("events", "web", "--since", "2999-01-01").stdout == ""
    assert len(answer_of(awsorch("events", "web", "--since", "1h", "--json"))["events"]) == len(lines)
    assert awsorch("events", "web", "--since", "99999999d").exit_code == 2


def test_events_are_followed_until_the_service_is_gone(
    awsorch: Awsorch, ecs: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    with monkeypatch.context() as patch:

        def delete(seconds: float) -> None:
            patch.undo()
            ecs.delete_service(service="web", force=True)

        patch.setattr("awsorch.cli.events.time.sleep", delete)
        result = awsorch("events", "web", "--follow", "--json")
    assert result.exit_code == 0
    messages = [json.loads(line)["message"] for line in result.stdout.splitlines()]
    assert any("has stopped" in message for message in messages)


def test_a_person_who_has_seen_enough_events(awsorch: Awsorch, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make()

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("awsorch.cli.events.time.sleep", interrupt)
    assert awsorch("events", "web", "-f").exit_code == 130


def test_a_terminal_gets_a_live_view(make: Make, endpoint: str) -> None:
    make()
    code, text = on_terminal("deploy", "web", "--image", "shop:2")
    assert code == 0, text
    assert "DEPLOYMENT" in text
    assert "100 %" in text
    assert "deployment completed." in text
    assert "web: web:2 runs, 3 of 3 tasks" in text


@pytest.mark.parametrize("balancer", [{"targetGroupArn": "t"}, {"loadBalancerName": "b"}])
def test_where_nobody_tells_of_targets_nobody_is_asked_for_a_while(endpoint: str, balancer: dict[str, str]) -> None:
    """An endpoint that speaks ECS only answers something, which is no answer."""
    reader = TargetReader(session=open_session(endpoint, None, "default"))
    described = {"loadBalancers": [balancer]}
    assert reader.count(described) is None
    reader.clients = {"elbv2": FakeBalancers(), "elb": FakeBalancers()}
    assert reader.count(described) is None
    reader.rests_until = 0.0
    assert reader.count(described) is not None
