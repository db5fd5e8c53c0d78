"""Many simulated agents in one process, and the program around it."""

import asyncio
import json
from pathlib import Path

import pytest

from awsorch.agent import fleet, main
from awsorch.agent.fleet import read_fleet, run_fleet
from awsorch.agent.settings import SettingError
from tests.agent.backend import Backend
from tests.agent.tasks import a_container, a_task

KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


def a_file(folder: Path, content: object) -> Path:
    path = folder / "fleet.json"
    path.write_text(json.dumps(content))
    return path


def test_each_agent_has_its_own_settings(tmp_path: Path) -> None:
    path = a_file(tmp_path, [{"AWSORCH_INSTANCE_CPU": 4096}, {"ECS_CLUSTER": "c2"}])
    first, second = read_fleet(path, {"ECS_CLUSTER": "c1", **KEYS})
    assert (first.settings.cluster, first.settings.instance.cpu) == ("c1", 4096)
    assert (second.settings.cluster, second.settings.instance.cpu) == ("c2", None)
    assert first.settings.introspection_port == 0


@pytest.mark.parametrize("content", [{}, ["a"], [{"AWSORCH_INSTANCE_CPU": "many"}]])
def test_a_file_that_is_no_fleet(tmp_path: Path, content: object) -> None:
    with pytest.raises(SettingError):
        read_fleet(a_file(tmp_path, content), {})


def test_they_all_register_run_tasks_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "RETRY_DELAY", 0.05)

    async def scenario() -> None:
        async with Backend() as backend:
            backend.failures["RegisterContainerInstance"] = [(400, "AccessDeniedException", "not yet")]
            environment = {"ECS_BACKEND_HOST": backend.url, "ECS_CLUSTER": "c1", "ECS_EXTERNAL": "true", **KEYS}
            running = asyncio.create_task(run_fleet(read_fleet(a_file(tmp_path, [{}] * 30), environment)))
            await backend.connected(30)
            assert len({each["containerInstanceArn"] for each in backend.control_queries}) == 30
            task = a_task(a_container(environment={"SIMULATED_RUN_SECONDS": "0.05", "SIMULATED_EXIT_CODE": "4"}))
            await backend.send_tasks(task)
            assert (await backend.reported(task.arn, "STOPPED"))["containers"][-1]["exitCode"] == 4
            for socket in backend.controls[:30]:
                await socket.close(code=1001)
            await backend.connected(60)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())


def test_settings_that_make_no_sense_end_the_program_for_good(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ECS_EXTERNAL", "perhaps")
    assert main.main([]) == main.TERMINAL
    assert "ECS_EXTERNAL='perhaps' cannot be used: it must be true or false" in caplog.text


def test_a_fleet_file_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    assert main.main(["--simulated", str(tmp_path / "none.json")]) == main.FAILED
