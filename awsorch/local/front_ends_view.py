"""What the local balancer does, for `awsorch balancers`: all that ELB's API has no words for.

Addresses, the ports that listeners really have, what is not carried and why, and what has been carried. Load balancers,
rules and targets are in ELB's own API.
"""

from __future__ import annotations

from typing import Any

from awsorch.local.balancer.model import Traffic, TrafficReport
from awsorch.local.balancer.runtime import BalancerDown
from awsorch.local.elb_facts import Facts, Listener
from awsorch.local.front_ends import Carrier, FrontEnds
from awsorch.local.front_ends_addresses import AddressBook

_SCHEMES = {"HTTP": "http", "HTTPS": "https"}


async def describe_balancers(front_ends: FrontEnds, addresses: AddressBook, balancer: Carrier) -> dict[str, Any]:
    """`{"loadBalancers": [...], "targetGroups": [...]}`, as JSON has it. Raises elb_watch.FactsUnknown."""
    facts = await front_ends.facts()
    try:
        report = await balancer.traffic()
    except BalancerDown:
        report = TrafficReport(front_ends={}, pools={})
    return {
        "loadBalancers": _load_balancers(facts, front_ends, addresses, report),
        "targetGroups": [
            {"targetGroup": key, "carried": carried, "traffic": _traffic(report.pools.get(key))}
            for key, carried in front_ends.plan.uses.items()
        ],
    }


def _load_balancers(
    facts: Facts, front_ends: FrontEnds, addresses: AddressBook, report: TrafficReport
) -> list[dict[str, Any]]:
    carried = {each.key for each in front_ends.plan.wish.front_ends} - front_ends.refused.keys()

    def listener_of(listener: Listener, address: str) -> dict[str, Any]:
        port = addresses.known_port(listener.key) or listener.port
        notes = [*front_ends.plan.notes.get(listener.key, ())]
        if listener.key in front_ends.refused:
            notes.append(front_ends.refused[listener.key])
        return {
            "listener": listener.key,
            "port": listener.port,
            "url": f"{_SCHEMES.get(listener.protocol, 'tcp')}://{address}:{port}" if listener.key in carried else None,
            "notes": notes,
            "traffic": _traffic(report.front_ends.get(listener.key)),
        }

    found = []
    for balancer in facts.load_balancers.values():
        address = addresses.address(balancer.key)
        listeners = [listener_of(each, address) for each in balancer.listeners]
        found.append(
            {
                "loadBalancer": balancer.key,
                "name": balancer.name,
                "type": balancer.kind,
                "address": address,
                "listeners": listeners,
            }
        )
    return found


def _traffic(traffic: Traffic | None) -> dict[str, Any] | None:
    if traffic is None:
        return None
    return {
        "requests": traffic.requests,
        "requestsPerSecond": traffic.requests_per_second,
        "sessions": traffic.sessions,
        "responses": {f"{hundred}xx": count for hundred, count in traffic.responses.items()},
    }
