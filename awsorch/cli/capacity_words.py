"""Capacity in words: prices, what will be decided next, why tasks wait. For `awsorch capacity` and `awsorch plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

View = Mapping[str, Any]

OUTLOOKS = {
    "COMING": "instances with room for them are on their way",
    "LAUNCHES": "instances will be launched for them",
    "AT_MAXIMUM": "the Auto Scaling group of {name} has reached its maximum of {maximum}",
    "SCALING_OFF": "managed scaling of {name} is off, so nothing is launched",
    "NONE_LEFT": "EC2 has none left of the instance types of {name} that fit; asked for again in a few minutes",
    "NO_TYPES": "no instance type is known that {name} could launch",
    "NO_TYPE_FITS": "no instance type of {name} fits",
    "UNSURE": "whether they may run on instances of {name}, the first one that registers will tell",
    "NO_ROOM": "no instance has room, and no capacity provider launches any for them",
}
"""What the API's outlooks mean; FAILING is said with the failure."""
REASONS = {
    "RESOURCE:CPU": "too little CPU is free",
    "RESOURCE:MEMORY": "too little memory is free",
    "RESOURCE:GPU": "too few GPUs are free",
    "RESOURCE:PORTS": "a port that they ask for is taken",
    "ATTRIBUTE": "an attribute that they need is missing",
    "AGENT": "the agent is away",
    "EMPTY CAPACITY PROVIDER": "the capacity provider has no instances yet",
    "NO ACTIVE INSTANCES": "the capacity provider's instances are not up yet",
}
"""ECS's reasons why a task has no place, in words; others are words already."""
RESOURCES = {"cpu": "CPU units", "memory": "MiB of memory", "gpus": "GPUs"}
SHOWN = 3
"""So many ends of instances are said one by one."""


def say_price(price: float) -> str:
    """US dollars an hour: "$0.042/h", "$1,234.50/h"."""
    return f"${price:,.3f}/h" if price < 10 else f"${price:,.2f}/h"


def say_change(price: float) -> str:
    """By how much the hourly price changes: "+$0.083/h"."""
    return f"{'-' if price < 0 else '+'}{say_price(abs(price))}"


def say_span(seconds: float) -> str:
    """A length of time: "7 s", "4 min", "3 h"."""
    whole = max(0, round(seconds))
    for size, unit in ((2 * 3600, "h"), (2 * 60, "min")):
        if whole >= size:
            return f"{whole // (size // 2)} {unit}"
    return f"{whole} s"


def say_at(at: float, now: float) -> str:
    """When something will be: "now", "in 7 s"."""
    return f"in {say_span(at - now)}" if at > now + 0.5 else "now"


def say_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


# --- decisions ---------------------------------------------------------------------------------------------------


def say_decisions(provider: View, now: float | None) -> Iterator[str]:
    """What a capacity provider will do next, a sentence each; without ``now`` it is not said when."""
    for what, some in groupby(provider["next"], key=lambda each: (each["what"], each.get("reason"))):
        decisions = list(some)
        if what[0] == "end" and len(decisions) > SHOWN:
            yield say_many_ends(decisions, now)
        else:
            yield from (say_decision(each, now) for each in decisions)


def say_decision(decision: View, now: float | None) -> str:
    """One of them: "launches 2 t3.medium now, +$0.083/h"."""
    when = f" {say_at(decision['at'], now)}" if now is not None else ""
    price = say_change(decision["hourlyPrice"])
    if decision["what"] == "launch":
        return f"launches {decision['count']} {say_type(decision)}{when}, {price}"
    (machine,) = decision["machines"]
    if decision["tasks"]:
        when += f" once {say_count(decision['tasks'], 'task')} have gone elsewhere"
    return f"ends {machine}{when}, {price} ({decision['reason']})"


def say_many_ends(decisions: Sequence[View], now: float | None) -> str:
    when = f", the first {say_at(decisions[0]['at'], now)}" if now is not None else ""
    price = say_change(sum(each["hourlyPrice"] for each in decisions))
    return f"ends {len(decisions)} instances{when}, {price} ({decisions[0]['reason']})"


def say_type(view: View) -> str:
    """An instance type, and that it is a spot instance: "m5.large spot"."""
    return f"{view['instanceType']} spot" if view.get("spot") else str(view["instanceType"])


# --- why tasks wait ----------------------------------------------------------------------------------------------


def say_why(waiting: View, providers: Mapping[str, View], now: float) -> str:
    """Why tasks wait, and what becomes of it."""
    provider = providers.get(waiting.get("provider") or "")
    reason = say_reason(waiting.get("reason") or "")
    if provider is None:
        return reason
    return "; ".join(part for part in (reason, say_outlook(waiting, provider, now)) if part)


def say_outlook(waiting: View, provider: View, now: float) -> str:
    """How tasks stand that wait for this capacity provider."""
    outlook, failure = str(waiting["outlook"]), provider.get("failure")
    if outlook == "FAILING" and failure:
        again = say_at(failure["until"], now)
        return f"{provider['name']} cannot launch ({failure['code']}: {failure['message']}), tries again {again}"
    if waiting.get("lacking"):
        return "; ".join(say_lack(each, provider["name"]) for each in waiting["lacking"])
    return OUTLOOKS.get(outlook, outlook).format(name=provider["name"], maximum=provider.get("maximum"))


def say_lack(lack: View, provider: str) -> str:
    """What no type has enough of: "a task asks for 500,000 MiB of memory, no type of cp has more than 31,000"."""
    unit = RESOURCES[lack["resource"]]
    return f"a task asks for {lack['wanted']:,} {unit}, no instance type of {provider} has more than {lack['most']:,}"


def say_reason(reason: str) -> str:
    """ECS's reason in words."""
    return REASONS.get(reason, reason)


def say_refused(refused: Sequence[View]) -> str:
    """Which instances have no room, and why: "too little CPU is free on 2 instances"."""
    parts = [f"{say_reason(each['reason'])} on {say_count(each['instances'], 'instance')}" for each in refused]
    return ", ".join(parts)
