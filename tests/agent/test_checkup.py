"""The doctor: what it says of a machine on which all is well, and of each thing that may be wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from awsorch.agent import main as program
from awsorch.agent.checkup import Check, Checkup, Machine
from awsorch.agent.checkup_command import as_json, as_text, environment_here
from awsorch.agent.engine import EngineFacts, EngineUnavailableError
from awsorch.agent.session import open_http
from awsorch.agent.settings import load
from awsorch.agent.simulated_engine import SimulatedEngine
from tests.agent.backend import Backend
from tests.agent.bench import KEYS


class Engine(SimulatedEngine):
    """What it says of itself can be chosen."""

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        self._facts = facts
        self.away = False

    async def facts(self) -> EngineFacts:
        if self.away:
            raise EngineUnavailableError("nobody answers")
        return replace(await super().facts(), **self._facts)


def cgroups_of(folder: Path, controllers: str = "cpu io memory pids") -> Path:
    (folder / "cgroup.controllers").write_text(controllers)
    return folder


async def look(folder: Path, machine: Machine, **environment: str) -> dict[str, Check]:
    defaults = {"ECS_CLUSTER": "c1", "ECS_DATADIR": str(folder), "ECS_EXTERNAL": "true", **KEYS}
    defaults["AWS_DEFAULT_REGION"] = "us-east-1"
    whole = {**defaults, **environment}
    async with open_http() as http:
        return {each.name: each for each in await Checkup(load(whole), whole, http, machine).run()}


def examine(folder: Path, *, engine: Engine | None = None, machine: Machine | None = None, **environment: str) -> Any:
    """The checks by name, beside a controller that answers."""
    chosen = machine or Machine(engine=engine or Engine(), cgroups=cgroups_of(folder))

    async def scenario() -> dict[str, Check]:
        async with Backend() as backend:
            return await look(folder, chosen, **{"ECS_BACKEND_HOST": backend.url, **environment})

    return asyncio.run(scenario())


def test_on_a_machine_on_which_all_is_well_every_check_says_so(tmp_path: Path) -> None:
    checks = examine(tmp_path, ECS_ENABLE_TASK_IAM_ROLE="false")
    assert {name for name, each in checks.items() if not each.ok} == set()
    assert checks["docker"].found == "20.10.24, API 1.41, 2 CPUs, 3884 MiB"
    assert checks["cgroups"].found.startswith("version 2")
    assert checks["access"].found == "may work in cluster c1"


def test_variables_without_an_effect_are_named_and_are_no_failure(tmp_path: Path) -> None:
    check = examine(tmp_path, ECS_CLUSTRE="a")["settings"]
    assert check.ok
    assert "ECS_CLUSTRE" in check.found


def test_without_docker_the_rest_is_looked_at_all_the_same(tmp_path: Path) -> None:
    engine = Engine()
    engine.away = True
    checks = examine(tmp_path, engine=engine)
    assert not checks["docker"].ok
    assert "nobody answers" in checks["docker"].found
    assert checks["access"].ok


@pytest.mark.parametrize(
    ("facts", "name", "word"),
    [
        ({"log_drivers": ()}, "log drivers", "json-file"),
        ({"bridge_address": ""}, "bridge", "no default bridge"),
    ],
)
def test_what_the_engine_lacks(facts: dict[str, Any], name: str, word: str, tmp_path: Path) -> None:
    check = examine(tmp_path, engine=Engine(**facts))[name]
    assert not check.ok
    assert word in check.found
    assert check.mend


def test_a_kernel_without_a_controller_of_memory(tmp_path: Path) -> None:
    machine = Machine(engine=Engine(), cgroups=cgroups_of(tmp_path, "cpu pids"))
    check = examine(tmp_path, machine=machine)["cgroups"]
    assert not check.ok
    assert "without memory" in check.found


def test_cgroups_of_version_1_and_of_none(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "pids"):
        (tmp_path / "v1" / name).mkdir(parents=True)
    assert examine(tmp_path, machine=Machine(engine=Engine(), cgroups=tmp_path / "v1"))["cgroups"].ok
    assert not examine(tmp_path, machine=Machine(engine=Engine(), cgroups=tmp_path / "none"))["cgroups"].ok


def test_iptables_is_needed_for_roles_only(tmp_path: Path) -> None:
    def with_iptables(*command: str) -> Check:
        machine = Machine(engine=Engine(), cgroups=cgroups_of(tmp_path), iptables=command)
        check: Check = examine(tmp_path, machine=machine, ECS_ENABLE_TASK_IAM_ROLE="true")["iptables"]
        return check

    assert with_iptables("true").ok
    assert "nowhere-to-be-found" in with_iptables("nowhere-to-be-found").found
    denied = with_iptables("sh", "-c", "echo Permission denied >&2; exit 4")
    assert (denied.ok, denied.found) == (False, "Permission denied")
    assert examine(tmp_path, ECS_ENABLE_TASK_IAM_ROLE="false")["iptables"].ok


def test_interfaces_of_tasks_need_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine(tmp_path)["interfaces"].ok
    assert examine(tmp_path, ECS_ENABLE_TASK_ENI="true")["interfaces"].ok
    monkeypatch.setenv("PATH", str(tmp_path))
    check = examine(tmp_path, ECS_ENABLE_TASK_ENI="true")["interfaces"]
    assert (check.ok, check.found) == (False, "ip and nsenter cannot be found")


def test_without_a_folder_no_state_is_kept(tmp_path: Path) -> None:
    check = examine(tmp_path, ECS_DATADIR="")["data folder"]
    assert not check.ok
    assert "ECS_DATADIR" in check.mend


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    check = examine(tmp_path, ECS_DATADIR="/proc/awsorch")["data folder"]
    assert (check.ok, check.found) == (False, "/proc cannot be written")


def test_nobody_at_the_endpoint(tmp_path: Path) -> None:
    checks = examine(tmp_path, ECS_BACKEND_HOST="http://127.0.0.1:9")
    assert not checks["endpoint"].ok
    assert not checks["access"].ok
    assert "endpoint" in checks["access"].mend


def test_without_credentials_or_a_region(tmp_path: Path) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"}
    checks = examine(tmp_path, AWS_DEFAULT_REGION="", **nothing)
    assert not checks["role"].ok
    assert not checks["region"].ok
    assert "access" not in checks


def answering(handler: Callable[[web.Request], Awaitable[web.Response]], folder: Path, machine: Machine) -> Any:
    """The checks beside something that answers so."""

    async def scenario() -> dict[str, Check]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await look(folder, machine, ECS_BACKEND_HOST=f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    return asyncio.run(scenario())


def test_a_refusal_is_shown_with_what_mends_it(tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"__type": "AccessDeniedException", "message": "not you"}, status=400)

    checks = answering(refuse, tmp_path, Machine(engine=Engine(), cgroups=cgroups_of(tmp_path)))
    assert checks["endpoint"].ok
    assert "HTTP 400" in checks["endpoint"].found
    assert (checks["access"].ok, checks["access"].found) == (False, "AccessDeniedException: not you")
    assert "DiscoverPollEndpoint" in checks["access"].mend


@pytest.mark.parametrize(
    ("ahead", "is_ok", "word"), [(0, True, "as the"), (-60, True, "behind"), (900, False, "ahead")]
)
def test_the_clock_is_compared_with_the_controller_s(ahead: float, is_ok: bool, word: str, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Date": formatdate(time.time(), usegmt=True)})

    machine = Machine(engine=Engine(), cgroups=cgroups_of(tmp_path), clock=lambda: time.time() + ahead)
    check = answering(answer, tmp_path, machine)["clock"]
    assert check.ok is is_ok
    assert word in check.found


def test_the_table_has_what_mends_below_what_fails() -> None:
    checks = [Check(name="docker", ok=True, found="fine"), Check(name="role", ok=False, found="none", mend="Get one.")]
    assert as_text(checks).splitlines() == [
        "✓ docker  fine",
        "✗ role    none",
        "          → Get one.",
        "",
        "1 of 2 checks failed.",
    ]
    assert as_text(checks[:1]).endswith("All is well: an agent can work here.")
    said = json.loads(as_json(checks))
    assert (said["ok"], said["checks"][1]["mend"]) == (False, "Get one.")


def test_the_machine_is_looked_at_as_the_unit_starts_its_agent(tmp_path: Path) -> None:
    unit, variables = tmp_path / "unit", tmp_path / "ecs.config"
    variables.write_text(f"ECS_CLUSTER=web\nECS_DATADIR={tmp_path}\n")
    assert "ECS_ENABLE_TASK_IAM_ROLE" not in environment_here({}, unit=unit, variables=variables)
    unit.touch()
    found = environment_here({"ECS_CLUSTER": "mine"}, unit=unit, variables=variables)
    assert (found["ECS_CLUSTER"], found["ECS_DATADIR"]) == ("mine", str(tmp_path))
    assert found["ECS_ENABLE_TASK_IAM_ROLE"] == "true"


@pytest.mark.docker
def test_the_program_ends_with_1_where_something_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**KEYS, "ECS_DATADIR": str(tmp_path), "ECS_BACKEND_HOST": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ECS_EXTERNAL", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert program.main(["doctor", "--json"]) == program.FAILED
    said = {each["name"]: each["ok"] for each in json.loads(capsys.readouterr().out)["checks"]}
    assert said["docker"]
    assert not said["endpoint"]


def test_a_setting_that_makes_no_sense_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECS_RESERVED_MEMORY", "much")
    assert program.main(["doctor"]) == program.TERMINAL
