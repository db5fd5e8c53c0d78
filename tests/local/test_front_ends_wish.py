"""From what ELB's API says to what the balancer is to carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from awsorch.local.balancer.model import (
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    QueryPair,
    Redirect,
    Rule,
    Server,
    Stickiness,
)
from awsorch.local.elb_facts import Facts, Listener, LoadBalancer, TargetGroup
from awsorch.local.front_ends_actions import NO_TARGET_GROUP, action_of, rule_of
from awsorch.local.front_ends_addresses import AddressBook
from awsorch.local.front_ends_wish import Plan, plan
from awsorch.local.targets_db import Registration, Registrations, open_db


def a_group(name: str = "group", **changes: Any) -> TargetGroup:
    usual: dict[str, Any] = {
        "key": name,
        "owner": name,
        "name": name,
        "target_type": "instance",
        "protocol": "HTTP",
        "port": 80,
        "check": HealthCheck(),
    }
    return TargetGroup(**(usual | changes))


def forward(*groups: str) -> dict[str, Any]:
    if len(groups) == 1:
        return {"Type": "forward", "TargetGroupArn": groups[0]}
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": each} for each in groups]}}


def a_listener(*actions: dict[str, Any], **changes: Any) -> Listener:
    usual: dict[str, Any] = {"key": "listener", "port": 18080, "protocol": "HTTP", "actions": actions}
    return Listener(**(usual | changes))


def facts_of(*listeners: Listener, groups: tuple[TargetGroup, ...], kind: Any = "application") -> Facts:
    balancer = LoadBalancer(key="web", name="web", kind=kind, idle_timeout_seconds=60, listeners=listeners)
    return Facts(load_balancers={"web": balancer}, target_groups={each.key: each for each in groups})


def planned(tmp_path: Path, facts: Facts, *registrations: Registration) -> Plan:
    connection = open_db(tmp_path / "targets.db")
    kept = Registrations(connection)
    kept.put(registrations)
    return plan(facts, kept, AddressBook(connection, "127.9"))


CONDITIONS: list[tuple[dict[str, Any], Condition]] = [
    (
        {"Field": "path-pattern", "Values": ["/a*"], "PathPatternConfig": {"Values": ["/a*", "/b"]}},
        Condition(field="path-pattern", values=("/a*", "/b")),
    ),
    ({"Field": "host-header", "Values": ["*.example.com"]}, Condition(field="host-header", values=("*.example.com",))),
    (
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Who", "Values": ["me"]}},
        Condition(field="http-header", values=("me",), header_name="X-Who"),
    ),
    (
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
        Condition(field="http-request-method", values=("GET",)),
    ),
    (
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}},
        Condition(field="source-ip", values=("127.0.0.0/8",)),
    ),
    (
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}, {"Value": "x"}]}},
        Condition(field="query-string", query=(QueryPair(key="v", value="2"), QueryPair(value="x"))),
    ),
]


@pytest.mark.parametrize(("shown", "wanted"), CONDITIONS)
def test_every_kind_of_condition(shown: dict[str, Any], wanted: Condition) -> None:
    rule = {"Priority": "7", "Conditions": [shown], "Actions": [forward("group")]}
    found = rule_of(rule, lambda _: True, [])
    assert found == Rule(priority=7, conditions=(wanted,), action=Forward(pools=(("group", 1),)))


ACTIONS: list[tuple[dict[str, Any], Any]] = [
    (
        {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "MessageBody": "no"}},
        FixedResponse(status=404, body="no"),
    ),
    (
        {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_302"}},
        Redirect(status=302, protocol="HTTPS", port="443"),
    ),
    (
        {
            "Type": "forward",
            "ForwardConfig": {
                "TargetGroups": [{"TargetGroupArn": "a", "Weight": 9}, {"TargetGroupArn": "b", "Weight": 0}],
                "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60},
            },
        },
        Forward(pools=(("a", 9), ("b", 0)), stickiness_seconds=60),
    ),
]


@pytest.mark.parametrize(("shown", "wanted"), ACTIONS)
def test_every_kind_of_action(shown: dict[str, Any], wanted: Any) -> None:
    assert action_of([shown], lambda _: True, []) == wanted


def test_what_is_not_carried_is_said() -> None:
    notes: list[str] = []
    signing_in = {"Type": "authenticate-oidc", "Order": 1}
    found = action_of([forward("group") | {"Order": 2}, signing_in], lambda _: True, notes)
    assert found == Forward(pools=(("group", 1),))
    regular = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/a"]}}
    assert rule_of({"Priority": "3", "Conditions": [regular], "Actions": []}, lambda _: True, notes) is None
    assert notes == [
        "authenticate-oidc is not done here: requests go on without it",
        "rule 3 is left out: it has regular expressions, which are not carried here",
    ]


def test_a_target_is_a_server_of_each_pool_that_has_it(tmp_path: Path) -> None:
    sticky = {
        "stickiness.enabled": "true",
        "stickiness.type": "lb_cookie",
        "stickiness.lb_cookie.duration_seconds": "9",
    }
    facts = facts_of(a_listener(forward("group")), groups=(a_group(attributes=sticky), a_group("unused")))
    found = planned(
        tmp_path,
        facts,
        Registration(owner="group", id="i-1", port=8001, address="127.9.0.1"),
        Registration(owner="group", id="i-1", port=8002, address="127.9.0.1", draining_until=1.0),
        Registration(owner="unused", id="i-1", port=8003, address="127.9.0.1"),
    )
    (pool,) = found.wish.pools.values()
    assert pool.stickiness == Stickiness(kind="lb_cookie", duration_seconds=9)
    assert pool.servers == (
        Server(key="i-1:8001", address="127.9.0.1", port=8001),
        Server(key="i-1:8002", address="127.9.0.1", port=8002, draining=True),
    )
    (front_end,) = found.wish.front_ends
    assert (front_end.address, front_end.port, front_end.protocol) == ("127.9.192.1", 18080, "HTTP")
    assert found.uses == {"group": True}
    assert found.notes == {"listener": ()}


@pytest.mark.parametrize("protocol", ["UDP", "TLS", "GENEVE"])
def test_listeners_that_are_not_carried_are_said_to_be(tmp_path: Path, protocol: str) -> None:
    facts = facts_of(a_listener(forward("group"), protocol=protocol), groups=(a_group(protocol=protocol),))
    found = planned(tmp_path, facts)
    assert found.wish.front_ends == ()
    assert found.uses == {"group": False}
    assert found.notes == {"listener": (f"{protocol} listeners are not carried here",)}


def test_of_a_listener_for_both_tcp_is_carried(tmp_path: Path) -> None:
    facts = facts_of(
        a_listener(forward("group"), protocol="TCP_UDP"), groups=(a_group(protocol="TCP_UDP"),), kind="network"
    )
    found = planned(tmp_path, facts)
    assert [each.protocol for each in found.wish.front_ends] == ["TCP"]
    assert found.wish.pools["group"].protocol == "TCP"
    assert found.notes == {"listener": ("UDP is not carried here, TCP is",)}


def test_a_target_group_that_does_not_fit_holds_nothing_else_up(tmp_path: Path) -> None:
    functions = a_group("functions", target_type="lambda", protocol="", port=0)
    listener = a_listener(
        forward("functions"), rules=({"Priority": "1", "Conditions": [], "Actions": [forward("group")]},)
    )
    found = planned(tmp_path, facts_of(listener, groups=(functions, a_group())))
    (front_end,) = found.wish.front_ends
    assert front_end.default == NO_TARGET_GROUP
    assert found.uses == {"functions": False, "group": True}
    assert found.notes == {"listener": ("target group functions is not carried here",)}
