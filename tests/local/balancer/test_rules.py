"""Each kind of condition and of action, through a real HAProxy."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from awsorch.local.balancer.model import (
    Action,
    Condition,
    ConditionField,
    FixedResponse,
    Forward,
    QueryPair,
    Redirect,
    Rule,
    Stickiness,
)
from tests.local.balancer.world import QUICK, World, a_pool, a_world

UNCHECKED = replace(QUICK, enabled=False)


def says(text: str, status: int = 200) -> FixedResponse:
    return FixedResponse(status=status, body=text)


def rules_of(*conditions: tuple[Condition, ...]) -> tuple[Rule, ...]:
    """Rules that answer with their number."""
    return tuple(
        Rule(priority=number * 10, conditions=each, action=says(f"rule {number}"))
        for number, each in enumerate(conditions, start=1)
    )


def test_conditions_decide_which_rule_answers(tmp_path: Path) -> None:
    rules = rules_of(
        (Condition(field="host-header", values=("*.shop.example.com", "shop?.example.com")),),
        (Condition(field="path-pattern", values=("/img/*.png", "/It's 100%")),),
        (Condition(field="http-header", header_name="X-Kind", values=("*\\**", 'quoted "words"')),),
        (Condition(field="http-request-method", values=("DELETE", "X-PURGE")),),
        (Condition(field="query-string", query=(QueryPair(key="version", value="v?"), QueryPair(value="*beta*"))),),
        (
            Condition(field="path-pattern", values=("/both",)),
            Condition(field="source-ip", values=("10.0.0.0/8", "127.0.0.0/8")),
            Condition(field="query-string", query=(QueryPair(key="all", value="yes"),)),
        ),
        (Condition(field="source-ip", values=("10.0.0.0/8",)),),
        (Condition(field="path-pattern"),),
    )
    assert {condition.field for rule in rules for condition in rule.conditions} == set(get_args(ConditionField))
    asked: tuple[tuple[str, dict[str, object], str], ...] = (
        ("/", {"headers": {"Host": "a.shop.example.com"}}, "rule 1"),
        ("/", {"headers": {"Host": "SHOP1.example.com:8080"}}, "rule 1"),
        ("/", {"headers": {"Host": "shop.example.com"}}, "none"),
        ("/", {"headers": {"Host": "a.shop.example.com.evil.org"}}, "none"),
        ("/img/a/b.png?x=1", {}, "rule 2"),
        ("/It's%20100%25", {}, "none"),
        ("/IMG/a.png", {}, "none"),
        ("/img/a.pngx", {}, "none"),
        ("/", {"headers": {"X-Kind": "a * b"}}, "rule 3"),
        ("/", {"headers": {"X-Kind": 'QUOTED "words"'}}, "rule 3"),
        ("/", {"headers": {"X-Kind": "plain"}}, "none"),
        ("/", {"method": "DELETE"}, "rule 4"),
        ("/", {"method": "X-PURGE"}, "rule 4"),
        ("/", {"method": "POST"}, "none"),
        ("/?a=1&Version=V2&b=2", {}, "rule 5"),
        ("/?version=v22", {}, "none"),
        ("/?x=my-beta-2", {}, "rule 5"),
        ("/both?all=yes", {}, "rule 6"),
        ("/both?all=no", {}, "none"),
    )

    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await world.carry(rules=rules, default=says("none", 404))
            for path, options, expected in asked:
                assert await world.get(path, **options) == (404 if expected == "none" else 200, expected), path

    asyncio.run(scenario())


def test_lowest_priority_that_is_met_wins(tmp_path: Path) -> None:
    anything = (Condition(field="path-pattern", values=("*",)),)
    rules = (
        Rule(priority=30, conditions=anything, action=says("thirty")),
        Rule(priority=4, conditions=anything, action=says("four")),
    )

    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await world.carry(rules=rules, default=says("none"))
            assert await world.get("/") == (200, "four")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "body", ["", "plain", "two\nlines, 'quotes' \"and\" 100% #{host} %[src] $HOME \\ ü", "x" * 1024]
)
def test_fixed_response_has_its_body_to_the_letter(tmp_path: Path, body: str) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await world.carry(default=FixedResponse(status=418, content_type="application/json", body=body))
            async with world.client.get(f"http://127.0.0.1:{world.port}/") as answer:
                assert (answer.status, await answer.text("utf-8")) == (418, body)
                assert answer.headers["Server"] == "awselb/2.0"
                assert answer.headers.get("Content-Type") == ("application/json" if body else None)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("redirect", "asked", "location"),
    [
        (Redirect(status=301, protocol="HTTPS", port="443"), "/a/b?c=d", "https://shop.example.com:443/a/b?c=d"),
        (Redirect(status=302), "/a", "http://shop.example.com:{port}/a"),
        (
            Redirect(status=302, host="new.#{host}", path="/old/#{path}/50%off'", query="from=#{path}&#{query}"),
            "/x?y=1",
            "http://new.shop.example.com:{port}/old/x/50%off%27?from=x&y=1",
        ),
        (Redirect(status=301, host="example.org", path="/", query=""), "/a?b", "http://example.org:{port}/"),
    ],
)
def test_redirect_fills_in_what_was_asked(tmp_path: Path, redirect: Redirect, asked: str, location: str) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await world.carry(default=redirect)
            url = f"http://127.0.0.1:{world.port}{asked}"
            async with world.client.get(url, headers={"Host": "shop.example.com"}, allow_redirects=False) as answer:
                assert answer.status == redirect.status
                assert answer.headers["Location"] == location.replace("{port}", str(world.port))

    asyncio.run(scenario())


async def two_pools(world: World, default: Action, **changes: object) -> None:
    """Pools blue and green with a target each, unchecked."""
    pools = [
        a_pool(name, (await world.target(name)).server(), check=UNCHECKED, **changes) for name in ("blue", "green")
    ]
    await world.carry(*pools, default=default)


def test_weights_share_requests_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await two_pools(world, Forward(pools=(("blue", 90), ("green", 10))))
            seen = Counter([(await world.get())[1] for _ in range(400)])
            assert 10 <= seen["green"] <= 90
            assert seen["blue"] + seen["green"] == 400

    asyncio.run(scenario())


def test_weight_of_nothing_gets_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await two_pools(world, Forward(pools=(("blue", 0), ("green", 1))))
            assert {await world.get() for _ in range(20)} == {(200, "green")}

    asyncio.run(scenario())


def test_sticky_client_comes_back_to_its_pool(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await two_pools(world, Forward(pools=(("blue", 1), ("green", 1)), stickiness_seconds=60))
            for _ in range(5):
                text, cookies = await _cookies(world, "/")
                assert set(cookies) == {"AWSALBTG", "AWSALBTGCORS"}
                sent = {"Cookie": f"AWSALBTG={cookies['AWSALBTG']}"}
                assert {await world.get(headers=sent) for _ in range(10)} == {(200, text)}

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["lb_cookie", "app_cookie"])
def test_sticky_client_comes_back_to_its_server(tmp_path: Path, kind: str) -> None:
    sticky = (
        Stickiness(kind="lb_cookie", duration_seconds=60)
        if kind == "lb_cookie"
        else Stickiness(kind="app_cookie", duration_seconds=60, cookie_name="session")
    )

    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            targets = [await world.target(f"t{number}") for number in range(3)]
            servers = [each.server() for each in targets]
            await world.carry(a_pool("web", *servers, stickiness=sticky))
            await world.all_are("healthy", "web")
            name, cookies = await _cookies(world, "/login")
            sent = {"Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items())}
            assert {await world.get(headers=sent) for _ in range(10)} == {(200, name)}
            assert len({await world.get() for _ in range(10)}) == 3
            mine = next(each for each in targets if each.name == name)
            left = [replace(each, draining=each == mine.server()) for each in servers]
            await world.carry(a_pool("web", *left, stickiness=sticky))
            assert (200, name) not in {await world.get(headers=sent) for _ in range(10)}

    asyncio.run(scenario())


def test_application_without_its_cookie_is_not_sticky(tmp_path: Path) -> None:
    sticky = Stickiness(kind="app_cookie", duration_seconds=60, cookie_name="session")

    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            target = await world.target("one")
            await world.carry(a_pool("web", target.server(), stickiness=sticky, check=UNCHECKED))
            _, cookies = await _cookies(world, "/")
            assert cookies == {}

    asyncio.run(scenario())


async def _cookies(world: World, path: str) -> tuple[str, dict[str, str]]:
    async with world.client.get(f"http://127.0.0.1:{world.port}{path}") as answer:
        return await answer.text(), {name: morsel.value for name, morsel in answer.cookies.items()}
