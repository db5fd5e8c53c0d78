"""What the balancer is to carry, from what ELB's API knows and which targets are registered.

Pure but for the address book, which gives an address to a load balancer and a port to a listener that has none yet.
What is not carried on a local cloud is left out and said in the plan's notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from awsorch.local.balancer.model import (
    Action,
    Algorithm,
    Forward,
    FrontEnd,
    FrontEndProtocol,
    Pool,
    PoolProtocol,
    Rule,
    Server,
    Stickiness,
    StickinessKind,
    Wish,
)
from awsorch.local.elb_facts import Facts, Listener, LoadBalancer, TargetGroup
from awsorch.local.front_ends_actions import action_of, forwards_to, rule_of
from awsorch.local.front_ends_addresses import AddressBook
from awsorch.local.targets_db import Registration, Registrations

_LISTENERS: Mapping[str, FrontEndProtocol] = {"HTTP": "HTTP", "HTTPS": "HTTPS", "TCP": "TCP", "TCP_UDP": "TCP"}
_POOLS: Mapping[str, PoolProtocol] = {"HTTP": "HTTP", "HTTPS": "HTTPS", "TCP": "TCP", "TCP_UDP": "TCP", "SSL": "TCP"}
_ALGORITHMS = {"round_robin", "least_outstanding_requests", "weighted_random"}
_STICKY_KINDS = {"lb_cookie", "app_cookie", "source_ip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A wish; by listener, what of it is not carried, in words; by target group in use, whether it is carried."""

    wish: Wish = field(default_factory=Wish)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uses: Mapping[str, bool] = field(default_factory=dict)


def plan(facts: Facts, registrations: Registrations, addresses: AddressBook) -> Plan:
    """The plan for these facts and targets. Raises OSError where there is no address left, sqlite3.Error."""
    front_ends: list[FrontEnd] = []
    notes: dict[str, tuple[str, ...]] = {}
    uses: dict[str, bool] = {}
    for balancer in facts.load_balancers.values():
        address = addresses.address(balancer.key)
        taken: set[int] = set()
        for listener in sorted(balancer.listeners, key=lambda each: each.port):
            port = addresses.port(listener.key, listener.port, taken)
            taken.add(port)
            said: list[str] = []
            front_end = _front_end(facts, balancer, listener, (address, port), said)
            notes[listener.key] = tuple(dict.fromkeys(said))
            if front_end is not None:
                front_ends.append(front_end)
            named = _pools_of(front_end)
            for group in _groups_of(listener):
                uses[group] = uses.get(group, False) or group in named
    pools = {
        key: _pool(facts.target_groups[key], registrations.of(facts.target_groups[key].owner))
        for key, carried in uses.items()
        if carried
    }
    return Plan(wish=Wish(front_ends=tuple(front_ends), pools=pools), notes=notes, uses=uses)


def server_of(registration: Registration, group: TargetGroup) -> Server:
    """A registered target as a server of a target group's pool."""
    return Server(
        key=registration.key,
        address=registration.address,
        port=registration.port or group.port,
        draining=registration.draining_until is not None,
    )


def _front_end(
    facts: Facts, balancer: LoadBalancer, listener: Listener, place: tuple[str, int], notes: list[str]
) -> FrontEnd | None:
    """A listener's front end; None where it is not carried."""
    protocol = _LISTENERS.get(listener.protocol)
    if protocol is None:
        notes.append(f"{listener.protocol or balancer.kind} listeners are not carried here")
        return None
    if listener.protocol == "TCP_UDP":
        notes.append("UDP is not carried here, TCP is")
    if place[1] != listener.port:
        notes.append(f"port {listener.port} may not be used on this machine: listens on {place[1]}")

    def carried(key: str) -> bool:
        group = facts.target_groups.get(key)
        kind = _POOLS.get(group.protocol) if group is not None and group.target_type != "lambda" else None
        if kind is None or (kind == "TCP") != (protocol == "TCP"):
            notes.append(f"target group {group.name if group is not None else key} is not carried here")
            return False
        return True

    default: Action = action_of(listener.actions, carried, notes)
    rules: tuple[Rule, ...] = ()
    if protocol == "TCP":
        if not isinstance(default, Forward):
            return None
        default = Forward(pools=(max(default.pools, key=lambda each: each[1]),))
    else:
        found = (rule_of(each, carried, notes) for each in listener.rules)
        rules = tuple(each for each in found if each is not None)
    return FrontEnd(
        key=listener.key,
        address=place[0],
        port=place[1],
        protocol=protocol,
        default=default,
        rules=rules,
        idle_timeout_seconds=balancer.idle_timeout_seconds,
    )


def _pools_of(front_end: FrontEnd | None) -> set[str]:
    """The pools that a front end forwards to."""
    if front_end is None:
        return set()
    actions = (front_end.default, *(rule.action for rule in front_end.rules))
    return {name for action in actions if isinstance(action, Forward) for name, _ in action.pools}


def _groups_of(listener: Listener) -> set[str]:
    """The target groups that a listener or its rules forward to, carried or not."""
    actions = [*listener.actions, *(action for rule in listener.rules for action in rule["Actions"])]
    return set(forwards_to(actions))


def _pool(group: TargetGroup, registrations: Iterable[Registration]) -> Pool:
    algorithm = group.attributes.get("load_balancing.algorithm.type", "round_robin")
    return Pool(
        name=group.key,
        protocol=_POOLS[group.protocol],
        algorithm=cast(Algorithm, algorithm) if algorithm in _ALGORITHMS else "round_robin",
        stickiness=_stickiness(group.attributes),
        check=group.check,
        servers=tuple(server_of(each, group) for each in registrations if each.address),
        slow_start_seconds=int(group.attributes.get("slow_start.duration_seconds", "0")),
    )


def _stickiness(attributes: Mapping[str, str]) -> Stickiness | None:
    kind = attributes.get("stickiness.type", "")
    if attributes.get("stickiness.enabled") != "true" or kind not in _STICKY_KINDS:
        return None
    cookie = attributes.get("stickiness.app_cookie.cookie_name") if kind == "app_cookie" else None
    if kind == "app_cookie" and not cookie:
        return None
    seconds = attributes.get(f"stickiness.{kind}.duration_seconds", "86400")
    return Stickiness(kind=cast(StickinessKind, kind), duration_seconds=int(seconds), cookie_name=cookie)
