"""Lines brought to CloudWatch Logs by the agent: all of them, in order, over kills and outages."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from awsorch.agent import log_events
from awsorch.agent.engine import EngineUnavailableError
from awsorch.agent.log_events import Assembler, LogEvent, PatternError, event_start, portions
from awsorch.agent.services import ServiceError
from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task
from tests.agent.test_inputs import NAMED, give_role
from tests.agent.worlds import World
from tests.agent.worlds import play as play_world

OPTIONS = {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream": "web/app/1"}
FAILED = "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: "


def task_of(**options: str) -> acs.Task:
    log = {"Type": "awslogs", "Config": {**OPTIONS, **options}}
    return a_task(a_container(host_config={"LogConfig": log}), execution_role_credentials=NAMED)


def play(folder: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def begun(world: World) -> None:
        world.place = dataclasses.replace(world.place, ships_logs=True)
        world.services.groups["g"] = {}
        await world.start()
        await scenario(world)

    play_world(folder, begun)


async def run(world: World, task: acs.Task) -> str:
    """Run it, with its role; the name of its container in the engine."""
    await world.run(task)
    await give_role(world, task)
    await world.reported(task, "RUNNING")
    return world.supervisor._tasks[task.arn].names.containers["app"]


def messages(world: World) -> list[str]:
    return [message for _, message in world.services.groups["g"].get("web/app/1", [])]


def test_lines_arrive_in_order_and_the_engine_only_keeps_them(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        name = await run(world, task_of())
        assert world.engine.created[name]["HostConfig"]["LogConfig"]["Type"] == "json-file"
        assert {who for who, _ in world.services.asked} == {"EXEC"}
        world.engine.print(name, b"one\n")
        world.engine.print(name, b"two, ")
        world.engine.print(name, b"still two\n")
        await asyncio.sleep(5)
        assert messages(world) == ["one", "two, still two"]
        world.engine.print(name, b"last words")
        world.engine.end(name, 0)
        await asyncio.sleep(5)
        assert messages(world)[2:] == ["last words"]

    play(tmp_path, scenario)


def test_a_kill_leaves_no_line_out(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        task = task_of()
        name = await run(world, task)
        for number in range(10):
            world.engine.print(name, f"{number}\n".encode())
            if number == 4:
                await asyncio.sleep(3)
        await world.kill()
        world.engine.print(name, b"while nobody was there\n")
        world.engine.end(name, 0)
        await world.start()
        await asyncio.sleep(3)
        assert messages(world) == [str(number) for number in range(5)], "its role's credentials are still to come"
        await give_role(world, task)
        await asyncio.sleep(5)
        assert messages(world) == [*map(str, range(10)), "while nobody was there"]

    play(tmp_path, scenario)


def test_outages_of_the_service_and_of_the_engine_leave_no_line_out(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.engine.fail_next("logs", EngineUnavailableError("the connection broke"))
        name = await run(world, task_of())
        world.services.error = ServiceError("ThrottlingException", "Rate exceeded", 400)
        world.engine.print(name, b"one\n")
        await asyncio.sleep(300)
        assert messages(world) == []
        world.services.error = None
        world.engine.print(name, b"two\n")
        await asyncio.sleep(70)
        assert messages(world) == ["one", "two"]
        world.services.error = ServiceError("AccessDeniedException", "no", 400)
        world.engine.print(name, b"refused\n")
        await asyncio.sleep(5)
        world.services.error = None
        world.engine.print(name, b"three\n")
        await asyncio.sleep(5)
        assert messages(world) == ["one", "two", "three"], "what is refused for good does not hold up the rest"

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"awslogs-group": "none"},
            "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not "
            "exist.",
        ),
        (
            {"awslogs-multiline-pattern": "("},
            "awslogs could not parse multiline pattern key '(': missing ): (",
        ),
        (
            {"awslogs-multiline-pattern": "^a", "awslogs-datetime-format": "%Y"},
            "you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time",
        ),
    ],
)
def test_a_stream_that_cannot_be_had_stops_the_task(tmp_path: Path, options: dict[str, str], reason: str) -> None:
    async def scenario(world: World) -> None:
        task = task_of(**options)
        await world.run(task)
        await give_role(world, task)
        said = await world.reported(task, "STOPPED")
        assert said["containers"][0]["reason"] == FAILED + reason
        assert not world.engine.created

    play(tmp_path, scenario)


@pytest.mark.parametrize("has_role", [True, False], ids=["the service does not answer", "the credentials do not come"])
def test_a_stop_does_not_wait_for_a_stream(tmp_path: Path, has_role: bool) -> None:
    async def scenario(world: World) -> None:
        world.services.gate = asyncio.Event()
        task = task_of()
        await world.run(task)
        if has_role:
            await give_role(world, task)
        await asyncio.sleep(1)
        await world.stop(task)
        await world.reported(task, "STOPPED")
        assert not world.engine.created

    play(tmp_path, scenario)


def test_a_group_is_created_where_that_is_wanted(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for group in ("new", "g"):
            await run(world, task_of(**{"awslogs-group": group, "awslogs-create-group": "true"}))
            assert "web/app/1" in world.services.groups[group]

    play(tmp_path, scenario)


def assembled(start: str | None, *pieces: bytes) -> list[str]:
    options = {"awslogs-multiline-pattern": start} if start else {}
    assembler = Assembler(event_start(options))
    events = [event for at, piece in enumerate(pieces) for event in assembler.feed(at, piece)]
    return [each.message for each in [*events, *assembler.rest()]]


def test_lines_are_put_together() -> None:
    assert assembled(None, b"a", b"b\n", b"\n", b"c\r\n", b"d") == ["ab", "c", "d"]
    assert assembled("^INFO", b"odd\n", b"INFO 1\n", b" more\n", b"INFO 2\n") == ["odd", "INFO 1\n more", "INFO 2"]
    long = b"x" * (log_events.EVENT_LIMIT + 5)
    assert [len(each) for each in assembled(None, long + b"\n")] == [log_events.EVENT_LIMIT, 5]
    assert "".join(assembled(None, *[b"y" * 16384] * 40)) == "y" * 16384 * 40


def test_times_at_the_beginning_of_lines() -> None:
    start = event_start({"awslogs-datetime-format": "[%d/%b/%Y:%H:%M:%S %z]"})
    assert start is not None
    assert start.search("[07/Nov/2026:10:11:12 +0000] GET /")
    assert not start.search("[7/Nov/2026] GET /")
    with pytest.raises(PatternError):
        event_start({"awslogs-multiline-pattern": "("})


def test_a_pattern_that_explodes_elsewhere() -> None:
    lines = [b"a" * 20_000 + b"!\n"] * 3
    assert assembled("^(a+)+$", *lines) == [("a" * 20_000 + "!\n") * 2 + "a" * 20_000 + "!"]
    with pytest.raises(PatternError, match=r"could not parse multiline pattern key '\(\?=x\)': invalid perl operator"):
        event_start({"awslogs-multiline-pattern": "(?=x)"})


def test_portions_keep_the_limits() -> None:
    second = 10**9
    assert [len(each) for each in portions([LogEvent(0, "m")] * 25000)] == [10000, 10000, 5000]
    assert [len(each) for each in portions([LogEvent(0, "m" * 262000)] * 5)] == [4, 1]
    apart = [LogEvent(0, "early"), LogEvent(25 * 3600 * second, "late")]
    assert [[each.message for each in some] for some in portions(apart)] == [["early"], ["late"]]
    mixed = [LogEvent(2 * second, "b"), LogEvent(second, "a")]
    assert [[each.message for each in some] for some in portions(mixed)] == [["a", "b"]]
