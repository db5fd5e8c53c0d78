"""apply: files that are wrong, the plan, what is done, and that doing it again does nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Awsorch, answer_of
from tests.cli.test_terminal import on_terminal
from tests.support.obedience import ObedientAgents

Service = Callable[..., dict[str, Any]]
SAMPLE = Path(__file__).parents[3] / "taskdefs" / "apps" / "site.yaml"
APP = """\
taskDefinitions:
  - family: web
    containerDefinitions:
      - name: app
        image: shop:1
        memory: 64
        environment: [{name: MODE, value: fast}]
services:
  - serviceName: web
    taskDefinition: web
    desiredCount: 2
    placementStrategy: [{type: random}]
    tags: [{key: team, value: a}]
    deploymentConfiguration:
      deploymentCircuitBreaker: {enable: true, rollback: true}
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.yaml"
    path.write_text(APP)
    return path


def edit(path: Path, *changes: tuple[str, str]) -> str:
    """Change the file's text; answers its path."""
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return str(path)


def test_the_sample_is_applied_and_again_does_nothing(awsorch: Awsorch, service: Service) -> None:
    first = awsorch("apply", "-f", str(SAMPLE), "--no-wait")
    assert first.exit_code == 0, first.output
    lines = first.stdout.splitlines()
    assert lines[:6] == [
        "+ register task definition site (the first revision)",
        "+ register task definition site-worker (the first revision)",
        "+ create service worker, site-worker with 1 tasks",
        "+ create service site, site with 3 tasks",
        "registered site:1",
        "registered site-worker:1",
    ]
    assert lines[6:] == ["worker: created", "site: created"]
    again = awsorch("apply", "-f", str(SAMPLE), "--no-wait")
    assert again.stdout.splitlines() == [
        "= leave task definition site (site:1)",
        "= leave task definition site-worker (site-worker:1)",
        "= leave service worker",
        "= leave service site",
        "nothing to do",
    ]
    assert len(service("site")["deployments"]) == 1


def test_only_what_differs_is_changed(awsorch: Awsorch, app: Path, ecs: Any, service: Service) -> None:
    assert awsorch("apply", "-f", str(app)).exit_code == 0
    ecs.update_service(service="web", desiredCount=5)
    changed = edit(
        app,
        ("value: fast", "value: slow"),
        ("    desiredCount: 2\n", ""),
        ("    placementStrategy: [{type: random}]\n", ""),
        ("tags: [{key: team, value: a}]", "tags: [{key: owner, value: b}]"),
    )
    plan = awsorch("apply", "-f", changed, "--plan", "--exit-code")
    assert plan.exit_code == 2
    assert plan.stdout.splitlines() == [
        "+ register task definition web (web:1)",
        "    containerDefinitions[app].environment[MODE]: fast -> slow",
        "~ update service web",
        "    taskDefinition: web:1 -> web (the new revision)",
        '    placementStrategy: [{"type": "random"}] -> []',
        "    tags[team]: removed a",
        "    tags[owner]: added b",
    ]
    assert service()["taskDefinition"].endswith(":1")
    result = awsorch("apply", "-f", changed)
    assert result.exit_code == 0, result.output
    after = service()
    assert after["taskDefinition"].endswith(":2")
    assert (after["desiredCount"], after["placementStrategy"]) == (5, [])
    assert after["tags"] == [{"key": "owner", "value": "b"}]
    assert after["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"] is True
    assert awsorch("apply", "-f", changed, "--plan", "--exit-code").exit_code == 0
    without = edit(
        app, ("    deploymentConfiguration:\n      deploymentCircuitBreaker: {enable: true, rollback: true}\n", "")
    )
    assert awsorch("apply", "-f", without).stdout.splitlines()[2:4] == [
        "    deploymentConfiguration.deploymentCircuitBreaker.enable: true -> false",
        "    deploymentConfiguration.deploymentCircuitBreaker.rollback: true -> false",
    ]
    assert awsorch("apply", "-f", without).stdout.endswith("nothing to do\n")


def test_the_plan_as_json(awsorch: Awsorch, app: Path) -> None:
    assert answer_of(awsorch("apply", "-f", str(app), "--plan", "--json"))["steps"] == [
        {"action": "register", "family": "web", "differences": []},
        {"action": "create", "serviceName": "web", "differences": []},
    ]
    assert awsorch("apply", "-f", str(app), "--exit-code").exit_code == 2


def test_one_that_fails_keeps_the_others_from_beginning(
    awsorch: Awsorch, app: Path, agents: ObedientAgents, service: Service
) -> None:
    second = "  - {serviceName: next, taskDefinition: web, desiredCount: 1}\n"
    app.write_text(APP + second)
    assert awsorch("apply", "-f", str(app)).exit_code == 0
    agents.broken.add("shop:bad")
    result = awsorch("apply", "-f", edit(app, ("shop:1", "shop:bad")))
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[0].startswith("awsorch: web: the deployment failed and was rolled back to web:1")
    assert lines[-1] == "awsorch: not begun: next"
    assert service("next")["taskDefinition"].endswith(":1")


def test_a_rollout_that_goes_on_is_followed_and_one_that_failed_is_told(
    awsorch: Awsorch, app: Path, agents: ObedientAgents
) -> None:
    edit(app, ("{enable: true, rollback: true}", "{enable: true, rollback: false}"), ("shop:1", "shop:bad"))
    agents.paused = True
    created = awsorch("apply", "-f", str(app), "--no-wait")
    assert created.stdout.splitlines()[-1] == "web: created"
    late = awsorch("apply", "-f", str(app), "--timeout", "0s")
    assert late.exit_code == 124
    agents.broken.add("shop:bad")
    agents.paused = False
    awsorch("deploy", "web", "--force")
    again = awsorch("apply", "-f", str(app))
    assert again.exit_code == 1
    assert "its deployment FAILED: " in again.stdout
    assert "awsorch: web: the deployment failed: " in again.stderr


def test_what_a_service_keeps_is_refused_before_anything_is_done(awsorch: Awsorch, app: Path, ecs: Any) -> None:
    assert awsorch("apply", "-f", str(app)).exit_code == 0
    edit(
        app,
        ("shop:1", "shop:2"),
        ("    desiredCount: 2\n", "    schedulingStrategy: DAEMON\n    launchType: EXTERNAL\n"),
        ("    placementStrategy: [{type: random}]\n", ""),
    )
    result = awsorch("apply", "-f", str(app))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"awsorch: {app}:12: launchType: service 'web' has EC2 and keeps it; EXTERNAL needs a service of another name, "
        "or this one deleted first",
        f"awsorch: {app}:11: schedulingStrategy: service 'web' has REPLICA and keeps it; DAEMON needs a service of "
        "another name, or this one deleted first",
    ]
    assert len(ecs.list_task_definitions(familyPrefix="web")["taskDefinitionArns"]) == 1


def test_a_refusal_of_the_api_names_the_place(awsorch: Awsorch, app: Path) -> None:
    result = awsorch("apply", "-f", edit(app, ("type: random", "type: binpack")))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"awsorch: {app}:9: InvalidParameterException: ")


def test_task_definitions_from_elsewhere(
    awsorch: Awsorch, tmp_path: Path, ecs: Any, define: Callable[..., str], service: Service
) -> None:
    path = tmp_path / "one.json"
    path.write_text('{"services": [{"serviceName": "web", "taskDefinition": "web", "desiredCount": 1}]}')
    assert awsorch("apply", "-f", str(path)).stderr.startswith(
        f"awsorch: {path}:1: taskDefinition 'web' is neither in these files nor registered: ClientException: "
    )
    define()
    assert awsorch("apply", "-f", str(path), "--no-wait", "--json").exit_code == 0
    define(image="shop:2")
    assert "taskDefinition: web:1 -> web:2" in awsorch("apply", "-f", str(path)).stdout
    path.write_text(path.read_text().replace('"taskDefinition": "web"', '"taskDefinition": "web:1"'))
    ecs.deregister_task_definition(taskDefinition="web:1")
    assert awsorch("apply", "-f", str(path)).stderr == (
        f"awsorch: {path}:1: taskDefinition 'web:1' is INACTIVE; name an ACTIVE one\n"
    )
    assert service()["taskDefinition"].endswith(":2")


def test_several_files_make_one_application(awsorch: Awsorch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "taskDefinitions: [{family: web, containerDefinitions: [{name: a, image: b, memory: 9}]}]"
    )
    result = awsorch(
        "apply", "-f", str(tmp_path / "a.yaml"), "-f", "-",
        stdin='services: [{serviceName: a, taskDefinition: web, schedulingStrategy: DAEMON}]',
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "a: web:1 runs, 2 of 2 tasks" in result.stdout


COUNT = "    desiredCount: 2\n"
BALANCED = "    loadBalancers: [{{targetGroupArn: t, containerName: {}, containerPort: 80}}]\n"
WRONG = [
    (
        (COUNT, "    desiredCont: 2\n"),
        "11: services[0]: no member 'desiredCont' exists here; did you mean 'desiredCount'?",
    ),
    ((COUNT, "    desiredCount: x\n"), "11: services[0].desiredCount: a whole number is wanted, not the string 'x'"),
    (
        (COUNT, "    cluster: prod\n"),
        "11: cluster: a file says nothing of the cluster, so that it does for several; give it with --cluster",
    ),
    ((COUNT, "    clientToken: x\n"), "11: clientToken: a token belongs to one request; leave it out"),
    (
        (COUNT, "    schedulingStrategy: DAEMON\n" + COUNT),
        "12: desiredCount: a DAEMON service has one task on each instance; leave it out",
    ),
    (("    taskDefinition: web\n", ""), "9: service 'web' names no 'taskDefinition'"),
    (("services:", "servces:"), "8: no member 'servces' exists here; did you mean 'services'?"),
    (("services:\n  - serviceName", "services:\n    serviceName"), "9: services: a list is wanted"),
    (
        ("taskDefinitions:\n", "family: web\ntaskDefinitions:\n"),
        "1: no member 'family' exists here; it belongs to an item of the list 'taskDefinitions'",
    ),
    (
        ("services:\n", "services:\n  - {serviceName: web, taskDefinition: x}\n"),
        "10: serviceName 'web' is given twice, first at FILE:9",
    ),
    (("services:\n", "services:\n  -\n"), "9: services[0]: there is nothing here"),
    ((COUNT, BALANCED.format("ap")), "11: loadBalancers: 'web' has no container 'ap'; did you mean 'app'?"),
    (
        (COUNT, BALANCED.format("app")),
        "11: loadBalancers: container 'app' has no containerPort 80; its portMappings have none",
    ),
]


@pytest.mark.parametrize(("change", "wanted"), WRONG)
def test_a_wrong_file_is_told_with_its_line_and_nothing_is_done(
    awsorch: Awsorch, app: Path, ecs: Any, change: tuple[str, str], wanted: str
) -> None:
    result = awsorch("apply", "-f", edit(app, change))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == f"awsorch: {app}:{wanted.replace('FILE', str(app))}"
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []


def test_an_empty_file(awsorch: Awsorch) -> None:
    result = awsorch("apply", "-f", "-", stdin="# nothing")
    assert result.stderr == "awsorch: standard input: neither taskDefinitions nor services in it\n"


def test_a_person_is_asked(endpoint: str, app: Path, ecs: Any) -> None:
    code, text = on_terminal("apply", "-f", str(app), typed="n\n")
    assert code == 1
    assert "Go ahead? [y/N]: " in text
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []
    assert on_terminal("apply", "-f", str(app), typed="y\n")[0] == 0
    code, text = on_terminal("apply", "-f", str(app))
    assert (code, "Go ahead" in text) == (0, False)
