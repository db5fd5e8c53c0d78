"""capacity and plan: what a person reads of a cluster's instances, of tasks that wait, and of what more would take."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from awsorch.cli.capacity_view import drawing, headline, one_line
from awsorch.cli.capacity_words import say_at, say_change, say_decisions, say_price, say_why
from tests.cli.conftest import Awsorch, answer_of
from tests.cli.fake_ecs import FakeEcs
from tests.cli.test_terminal import on_terminal

NOW = 1_714_446_042.5


def amounts(used: int, total: int) -> dict[str, int]:
    return {"total": total, "used": used}


def an_instance(number: int, **members: Any) -> dict[str, Any]:
    return {
        "containerInstance": f"arn:aws:ecs:us-east-1:123456789012:container-instance/default/{number:032x}",
        "ec2InstanceId": f"i-{number:017x}",
        "status": "ACTIVE",
        "agentConnected": True,
        "zone": "us-east-1a",
        "instanceType": "t3.medium",
        "spot": False,
        "interrupted": False,
        "hourlyPrice": 0.0416,
        "tasks": 2,
        "cpu": amounts(1024, 2048),
        "memory": amounts(512, 3884),
        "gpus": amounts(0, 0),
    } | members


def a_machine(number: int, **members: Any) -> dict[str, Any]:
    return {
        "ec2InstanceId": f"i-{number:017x}",
        "zone": "us-east-1b",
        "instanceType": "t3.medium",
        "spot": False,
        "state": "Pending",
        "since": NOW - 12,
        "leaving": False,
        "replaces": [],
        "hourlyPrice": 0.0416,
    } | members


def a_provider(**members: Any) -> dict[str, Any]:
    return {
        "name": "fleet",
        "type": "EC2_AUTOSCALING",
        "minimum": 0,
        "maximum": 6,
        "size": 3,
        "coming": 0,
        "scales": True,
        "waiting": 0,
        "hourlyPrice": 0.125,
        "next": [],
    } | members


def an_end(number: int, seconds: float = 7, **members: Any) -> dict[str, Any]:
    return {
        "what": "end",
        "count": 1,
        "machines": [f"i-{number:017x}"],
        "reason": "idle",
        "tasks": 0,
        "at": NOW + seconds,
        "hourlyPrice": -0.0416,
    } | members


LAUNCH = {"what": "launch", "count": 2, "instanceType": "t3.medium", "spot": False, "at": NOW, "hourlyPrice": 0.0832}


def waiting(outlook: str | None = "COMING", **members: Any) -> dict[str, Any]:
    return {
        "group": "service:web",
        "provider": "fleet",
        "count": 12,
        "since": NOW - 4,
        "reason": "NO ACTIVE INSTANCES",
        "outlook": outlook,
        "cpu": 256,
        "memory": 512,
        "gpus": 0,
        "lacking": [],
    } | members


def a_capacity(*instances: dict[str, Any], **members: Any) -> dict[str, Any]:
    """An answer of DescribeCapacity about these instances."""

    def total(name: str) -> dict[str, int]:
        return amounts(sum(each[name]["used"] for each in instances), sum(each[name]["total"] for each in instances))

    sums = {name: total(name) for name in ("cpu", "memory", "gpus")}
    totals = {"instances": len(instances), "tasks": sum(each["tasks"] for each in instances), **sums}
    price = sum(each["hourlyPrice"] or 0 for each in instances)
    group = {"zone": "us-east-1a", "instanceType": "t3.medium", "spot": False, "hourlyPrice": price, **totals}
    return {
        "cluster": "default",
        "at": NOW,
        "hourlyPrice": price,
        "unpriced": 0,
        "totals": totals,
        "groups": [group | {"idle": 1, "ending": 0, "draining": 0, "away": 2}] if instances else [],
        "instances": list(instances),
        "machines": [],
        "waiting": [],
        "providers": [],
    } | members


# --- capacity ----------------------------------------------------------------------------------------------------


def test_in_a_pipe_it_is_plain_and_whole(awsorch: Awsorch, fake: FakeEcs) -> None:
    idle = an_instance(1, idleSince=NOW - 3, tasks=0, cpu=amounts(0, 2048))
    told = a_capacity(
        idle,
        an_instance(2, status="DRAINING", ending="consolidation", agentConnected=False, spot=True),
        machines=[a_machine(3), a_machine(4, state="shutting-down", leaving=True)],
        waiting=[waiting()],
        providers=[a_provider(coming=1, waiting=12, next=[an_end(1)])],
    )
    fake.capacities.append(told)
    text = awsorch("capacity").stdout
    lines = text.splitlines()
    assert "\x1b" not in text
    assert lines[0] == ("cluster default: 2 instances, 1 comes; 2 tasks, 12 wait; CPU 25 %, memory 13 %; $0.083/h")
    assert next(line for line in lines if "0001" in line).endswith("idle, ends in 7 s")
    assert "0 of 2048 (0 %)" in text
    assert "DRAINING, agent away, ends: consolidation, spot" in text
    assert "boots, 12 s" in text
    assert "shutting-down, 12 s" in text
    assert "256 CPU, 512 MiB" in text
    assert "not up yet; instances with room for them are on their way" in text
    assert f"ends i-{1:017x} in 7 s, -$0.042/h (idle)" in text
    assert "3 of 0..6" in text
    assert fake.asked("DescribeCapacity") == [{"cluster": "default", "maxInstances": 40}]


def test_an_empty_cluster_is_one_line(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.capacities.append(a_capacity())
    assert awsorch("capacity").stdout.splitlines() == ["cluster default: 0 instances; 0 tasks"]


def test_many_instances_share_a_line_by_zone_and_type(awsorch: Awsorch, fake: FakeEcs) -> None:
    told = a_capacity(*(an_instance(number) for number in range(50)))
    fake.capacities += [told | {"instances": told["instances"][:40]}, told]
    text = awsorch("capacity").stdout
    assert text.count("i-0") == 0
    assert "50 instances   us-east-1a   t3.medium   51200 of 102400 (50 %)" in text
    assert "1 idle, 2 agent away" in text
    assert awsorch("capacity", "--all").stdout.count("i-0") == 50


def test_json_is_the_apis_own_answer(awsorch: Awsorch, fake: FakeEcs) -> None:
    told = a_capacity(an_instance(1))
    fake.capacities.append(told)
    assert answer_of(awsorch("capacity", "--json")) == told
    assert fake.asked("DescribeCapacity")[0]["maxInstances"] == 10_000


def test_watched_in_a_pipe_a_line_tells_each_change(awsorch: Awsorch, fake: FakeEcs) -> None:
    one = a_capacity(an_instance(1), providers=[a_provider(next=[an_end(1)])])
    later = one | {"at": NOW + 1}
    two = a_capacity(an_instance(1), an_instance(2))
    fake.capacities += [one, later, two]
    fake.away["DescribeCapacity"] = 1
    lines = awsorch("capacity", "--watch").output.splitlines()
    assert [line[10:40] for line in lines[:2]] == [headline(one)[:30], headline(two)[:30]]
    assert lines[0].endswith(f"fleet ends i-{1:017x}, -$0.042/h (idle)")
    assert lines[2] == "awsorch: InvalidParameterException: that is all"
    fake.capacities += [one, later, two]
    documents = [json.loads(line) for line in awsorch("capacity", "--watch", "--json").stdout.splitlines()]
    assert documents == [one, two]


def test_a_terminal_gets_bars_that_fit_a_hundred_columns() -> None:
    from rich.console import Console

    gpus = an_instance(2, gpus=amounts(1, 4), cpu=amounts(2048, 2048), instanceType="g5.12xlarge")
    told = a_capacity(
        an_instance(1, idleSince=NOW),
        gpus,
        machines=[a_machine(3)],
        waiting=[waiting("AT_MAXIMUM")],
        providers=[a_provider(next=[LAUNCH])],
    )
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(drawing(told, summed=False))
    text = console.export_text()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "CPU ██████        50 %" in text
    assert "GPU ███           25 %" in text
    assert "us-east-1a  g5.12xlarge" in text
    assert "service:web × 12" in text
    assert "launches 2 t3.medium now, +$0.083/h" in text
    console.print(drawing(told, summed=True))
    assert "2 × t3.medium" in console.export_text()


def test_the_terminal_itself(fake: FakeEcs, endpoint: str) -> None:
    fake.capacities.append(a_capacity(an_instance(1, status="DRAINING")))
    code, text = on_terminal("capacity")
    assert (code, "\x1b[36" in text, "DRAINING" in text) == (0, True, True)
    fake.capacities += [a_capacity(an_instance(1)), a_capacity()]
    code, text = on_terminal("capacity", "--watch")
    assert (code, "0 instances" in text, "that is all" in text) == (1, True, True)


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({}, "instances with room for them are on their way"),
        ({"outlook": "LAUNCHES"}, "instances will be launched for them"),
        ({"outlook": "AT_MAXIMUM"}, "the Auto Scaling group of fleet has reached its maximum of 6"),
        ({"outlook": "NONE_LEFT"}, "EC2 has none left of the instance types of fleet that fit"),
        ({"outlook": "FAILING"}, "fleet cannot launch (VcpuLimitExceeded: too many), tries again in 8 s"),
        (
            {
                "outlook": "NO_TYPE_FITS",
                "lacking": [{"resource": "memory", "wanted": 64_000, "most": 3884}],
            },
            "a task asks for 64,000 MiB of memory, no instance type of fleet has more than 3,884",
        ),
    ],
)
def test_why_tasks_wait(members: dict[str, Any], text: str) -> None:
    failure = {"code": "VcpuLimitExceeded", "message": "too many", "count": 2, "until": NOW + 8}
    providers = {"fleet": a_provider(failure=failure)}
    said = say_why(waiting() | members, providers, NOW)
    assert said.startswith("the capacity provider's instances are not up yet; ")
    assert text in said


def test_services_say_themselves_why_there_is_no_place() -> None:
    alone = {"group": "service:web", "count": 2, "since": NOW, "reason": "was unable to place a task because …"}
    assert say_why(alone, {}, NOW) == "was unable to place a task because …"


@pytest.mark.parametrize(
    ("decisions", "said"),
    [
        ([LAUNCH], ["launches 2 t3.medium now, +$0.083/h"]),
        ([LAUNCH | {"spot": True, "at": NOW + 300}], ["launches 2 t3.medium spot in 5 min, +$0.083/h"]),
        ([an_end(1, 7)], [f"ends i-{1:017x} in 7 s, -$0.042/h (idle)"]),
        (
            [an_end(1, 0, tasks=3, reason="spot interruption")],
            [f"ends i-{1:017x} now once 3 tasks have gone elsewhere, -$0.042/h (spot interruption)"],
        ),
        ([an_end(n, n) for n in range(7)], ["ends 7 instances, the first now, -$0.291/h (idle)"]),
        ([], []),
    ],
)
def test_decisions_in_words(decisions: list[dict[str, Any]], said: list[str]) -> None:
    assert list(say_decisions(a_provider(next=decisions), NOW)) == said


def test_prices_and_times() -> None:
    assert [say_price(0.0416), say_price(12.3), say_price(12345.6)] == ["$0.042/h", "$12.30/h", "$12,345.60/h"]
    assert [say_change(0.5), say_change(-0.5)] == ["+$0.500/h", "-$0.500/h"]
    assert [say_at(NOW + s, NOW) for s in (-5, 0.4, 7, 240, 3 * 3600)] == ["now", "now", "in 7 s", "in 4 min", "in 3 h"]


def test_a_failing_provider_is_in_the_one_line() -> None:
    failure = {"code": "VcpuLimitExceeded", "message": "m", "count": 1, "until": NOW}
    assert "fleet cannot launch: VcpuLimitExceeded" in one_line(a_capacity(providers=[a_provider(failure=failure)]))


# --- plan --------------------------------------------------------------------------------------------------------

ADDED = {
    "name": "web",
    "taskDefinition": "arn:aws:ecs:us-east-1:123456789012:task-definition/web:3",
    "count": 20,
    "fit": 4,
    "instances": 2,
    "launched": 12,
    "left": 4,
    "reasons": [
        {
            "provider": "fleet",
            "count": 4,
            "outlook": "AT_MAXIMUM",
            "lacking": [],
            "refused": [{"reason": "RESOURCE:CPU", "instances": 2}],
        }
    ],
}
LAUNCHED = {
    "provider": "fleet",
    "instanceType": "t3.medium",
    "zone": "us-east-1a",
    "spot": False,
    "count": 3,
    "hourlyPrice": 0.1248,
}
PLAN = {
    "cluster": "default",
    "additions": [ADDED],
    "launches": [LAUNCHED],
    "failures": {},
    "hourlyPrice": 0.1248,
}


def test_a_plan_tells_what_fits_what_is_launched_and_what_finds_no_room(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.plans.append(PLAN)
    fake.capacities.append(a_capacity(providers=[a_provider()]))
    done = awsorch("plan", "--add", "web=20")
    assert done.exit_code == 0
    assert "web     web:3        20      4 on 2 instances   12             4" in done.stdout
    assert "fleet      3          t3.medium   us-east-1a   +$0.125/h" in done.stdout
    assert "3 instances would be launched, +$0.125/h." in done.stdout
    assert (
        "No room for 4 of web: the Auto Scaling group of fleet has reached its maximum of 6 (too little" in done.stdout
    )
    assert fake.asked("PlanCapacity") == [{"cluster": "default", "additions": [{"name": "web", "count": 20}]}]


def test_a_plan_for_another_provider_and_several_additions(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.plans.append(PLAN | {"failures": {"spot": {"code": "X", "message": "m", "until": NOW + 8}}})
    fake.capacities.append(a_capacity(providers=[a_provider()]))
    text = awsorch("plan", "--add", "web=20,batch:3=5", "--add", "site=1", "--provider", "spot").stdout
    strategy = [{"capacityProvider": "spot", "weight": 1}]
    (asked,) = fake.asked("PlanCapacity")
    assert [(each["name"], each["count"]) for each in asked["additions"]] == [("web", 20), ("batch:3", 5), ("site", 1)]
    assert all(each["capacityProviderStrategy"] == strategy for each in asked["additions"])
    assert "spot cannot launch just now (X: m); it tries again in 8 s." in text


@pytest.mark.parametrize(
    ("left", "launches", "text"),
    [
        (0, [], "All fit on what is there or on its way: nothing would be launched."),
        (4, [], "Nothing would be launched."),
        (0, [LAUNCHED], "3 instances would be launched, +$0.125/h."),
    ],
)
def test_what_a_plan_comes_to(awsorch: Awsorch, fake: FakeEcs, left: int, launches: list[Any], text: str) -> None:
    reasons = ADDED["reasons"] if left else []
    fake.plans.append(PLAN | {"launches": launches, "additions": [ADDED | {"left": left, "reasons": reasons}]})
    fake.capacities.append(a_capacity(providers=[a_provider()]))
    done = awsorch("plan", "--add", "web=20", "--exit-code")
    assert text in done.stdout
    assert done.exit_code == (2 if left else 0)


def test_a_plan_in_json(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.plans.append(PLAN)
    assert answer_of(awsorch("plan", "--add", "web=20", "--json")) == PLAN


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "Missing option '--add'"),
        (("--add", "web"), "'web' is not a service or task definition with its value, such as web=20"),
        (("--add", "web=many"), "web=many: 'many' is not a number of tasks such as 20"),
        (("--add", "web=0"), "web=0: '0' is not a number of tasks such as 20"),
        (("--add", "web=1,web=2"), "web is given twice: '1' and '2'"),
    ],
)
def test_a_plan_that_is_typed_wrong(awsorch: Awsorch, arguments: tuple[str, ...], text: str) -> None:
    done = awsorch("plan", *arguments)
    assert done.exit_code == 2
    assert text in done.output


def test_what_the_api_refuses(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.refusals["PlanCapacity"] = ("ClientException", "none is neither a service nor a task definition.")
    done = awsorch("plan", "--add", "none=1")
    assert (done.exit_code, done.output) == (
        1,
        "awsorch: ClientException: none is neither a service nor a task definition.\n",
    )
