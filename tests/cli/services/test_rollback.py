"""rollback and history: what ran, what changed, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Awsorch, answer_of
from tests.cli.services.conftest import Make
from tests.support.obedience import ObedientAgents

Service = Callable[..., dict[str, Any]]


@pytest.fixture
def rolled(awsorch: Awsorch, make: Make, define: Callable[..., str]) -> None:
    """A service that ran web:1, then web:2, then web:3."""
    make()
    define(image="shop:2", environment=[{"name": "MODE", "value": "fast"}], cpu=128)
    define(image="shop:3", environment=[{"name": "MODE", "value": "slow"}])
    for revision in (2, 3):
        assert awsorch("deploy", "web", "-t", f"web:{revision}").exit_code == 0


def test_back_to_the_revision_before_and_to_one_by_name(awsorch: Awsorch, rolled: None, service: Service) -> None:
    result = awsorch("rollback", "web")
    assert result.exit_code == 0, result.output
    assert "web: web:2 runs, 3 of 3 tasks" in result.stdout
    assert awsorch("deploy", "web", "--force", "--no-wait").exit_code == 0
    for shown in ("web:1", "2", "1"):  # whatever digits the service revisions' own numbers begin with
        assert awsorch("rollback", "web", "--to", shown).exit_code == 0
        assert service()["taskDefinition"].endswith(f"web:{shown[-1]}")
    number = next(
        one["serviceRevisionArn"].rpartition("/")[2]
        for one in answer_of(awsorch("history", "web", "--json"))["serviceRevisions"]
        if one["taskDefinition"].endswith("web:3")
    )
    assert awsorch("rollback", "web", "--to", number[:12]).exit_code == 0
    assert service()["taskDefinition"].endswith("web:3")


def test_a_revision_that_never_ran_is_refused_with_those_that_did(awsorch: Awsorch, rolled: None) -> None:
    result = awsorch("rollback", "web", "--to", "web:9")
    assert result.exit_code == 1
    assert "no revision of web is 'web:9'; it ran web:3 (" in result.stderr


def test_nothing_to_go_back_to(awsorch: Awsorch, make: Make) -> None:
    make()
    awsorch("deploy", "web", "--force")
    assert awsorch("rollback", "web").stderr == (
        "awsorch: web never ran anything else that completed, so there is nothing to go back to\n"
    )


def test_a_deployment_under_way_is_turned_back(
    awsorch: Awsorch, make: Make, agents: ObedientAgents, service: Service
) -> None:
    make()
    agents.broken.add("shop:2")
    awsorch("deploy", "web", "-i", "shop:2", "--no-wait")
    result = awsorch("rollback", "web")
    assert result.exit_code == 0, result.output
    assert "web: rolled back to web:1" in result.stdout
    assert service()["taskDefinition"].endswith(":1")
    (newest, *_) = answer_of(awsorch("history", "web", "--json"))["serviceDeployments"]
    assert newest["status"] == "ROLLBACK_SUCCESSFUL"


def test_history_tells_what_changed(awsorch: Awsorch, rolled: None) -> None:
    lines = awsorch("history", "web").stdout.splitlines()
    table = [line.split() for line in lines[:4]]
    assert [row[1] for row in table] == ["DEFINITION", "web:3", "web:2", "web:1"]
    assert "(current)" in table[1]
    assert all("SUCCESSFUL" in row and "3/3" in row for row in table[1:])
    changes = [line.strip() for line in lines[4:]]
    second = changes.index(next(line for line in changes if line.startswith("web:1 (")))
    assert changes[second + 1 :] == [
        "containerDefinitions[app].image: shop:1 -> shop:2",
        "containerDefinitions[app].cpu: 64 -> 128",
        "containerDefinitions[app].environment[MODE]: added fast",
    ]
    between = awsorch("history", "web", "--between", "web:2", "web:3").stdout.splitlines()
    assert [line.strip() for line in between[2:]] == [
        "containerDefinitions[app].image: shop:2 -> shop:3",
        "containerDefinitions[app].cpu: 128 -> 64",
        "containerDefinitions[app].environment[MODE]: fast -> slow",
    ]


def test_history_of_more_than_a_page_and_of_a_failure(
    awsorch: Awsorch, ecs: Any, make: Make, agents: ObedientAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("awsorch.cli.revisions.LIST_LIMIT", 1)
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    make(deploymentConfiguration=breaker)
    agents.broken.add("shop:bad")
    assert awsorch("deploy", "web", "-i", "shop:bad").exit_code == 1
    awsorch("deploy", "web", "--force")
    head, *rows = awsorch("history", "web").stdout.splitlines()[:4]
    assert head.split()[-1] == "WHY"
    assert "tasks failed to start" in rows[1]
    assert "ROLLBACK_SUCCESSFUL" in rows[1]
    assert "nothing: the same revision was started anew" in awsorch("history", "web").stdout
