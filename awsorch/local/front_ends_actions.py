"""ELB's actions and conditions, as its API shows them, in the balancer's records.

Pure. Where something of ELB's is not carried here it is left out and said in `notes`, so that people can be told;
nothing is refused, since ELB's API has taken it already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from awsorch.local.balancer.model import Action, Condition, FixedResponse, Forward, QueryPair, Redirect, Rule
from awsorch.local.elb_facts import Shape

NO_TARGET_GROUP = FixedResponse(
    status=503,
    content_type="text/html",
    body="<html><head><title>503 Service Temporarily Unavailable</title></head></html>",
)
"""What a load balancer answers that has nowhere to forward to."""

_CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "source-ip": "SourceIpConfig",
    "query-string": "QueryStringConfig",
}
_FIRST = 1


def forwards_to(actions: Iterable[Shape]) -> dict[str, int]:
    """The target groups that actions forward to, and their weights."""
    weights: dict[str, int] = {}
    for action in actions:
        if action["Type"] != "forward":
            continue
        listed = action.get("ForwardConfig", {}).get("TargetGroups") or [{"TargetGroupArn": action["TargetGroupArn"]}]
        weights |= {each["TargetGroupArn"]: int(each.get("Weight", 1)) for each in listed}
    return weights


def action_of(actions: Collection[Shape], carried: Callable[[str], bool], notes: list[str]) -> Action:
    """The action that answers, of those of a rule or listener. `carried` tells which target groups there are."""
    answer: Action = NO_TARGET_GROUP
    for action in sorted(actions, key=lambda each: int(each.get("Order", _FIRST))):
        match action["Type"]:
            case "forward":
                pools = tuple((group, weight) for group, weight in forwards_to([action]).items() if carried(group))
                answer = Forward(pools=pools, stickiness_seconds=_stickiness(action)) if pools else NO_TARGET_GROUP
            case "fixed-response":
                answer = _fixed_response(action["FixedResponseConfig"])
            case "redirect":
                answer = _redirect(action["RedirectConfig"])
            case other:
                notes.append(f"{other} is not done here: requests go on without it")
    return answer


def rule_of(rule: Shape, carried: Callable[[str], bool], notes: list[str]) -> Rule | None:
    """A rule; None for one with a condition that is not carried, which then is never met."""
    conditions = [_condition(each) for each in rule["Conditions"]]
    if None in conditions:
        notes.append(f"rule {rule['Priority']} is left out: it has regular expressions, which are not carried here")
        return None
    if rule.get("Transforms"):
        notes.append(f"rule {rule['Priority']}: its transforms are not done here")
    return Rule(
        priority=int(rule["Priority"]),
        conditions=tuple(each for each in conditions if each is not None),
        action=action_of(rule["Actions"], carried, notes),
    )


def _condition(condition: Shape) -> Condition | None:
    field = condition["Field"]
    config = condition.get(_CONFIGS[field]) or {}
    if condition.get("RegexValues") or config.get("RegexValues"):
        return None
    values = config.get("Values") or condition.get("Values") or []
    if field == "query-string":
        pairs = tuple(QueryPair(value=each["Value"], key=each.get("Key") or None) for each in values)
        return Condition(field=field, query=pairs)
    return Condition(field=field, values=tuple(values), header_name=config.get("HttpHeaderName"))


def _stickiness(action: Shape) -> int | None:
    config = action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig") or {}
    return int(config.get("DurationSeconds", 3600)) if config.get("Enabled") else None


def _fixed_response(config: Shape) -> FixedResponse:
    return FixedResponse(
        status=int(config["StatusCode"]),
        content_type=config.get("ContentType") or "text/plain",
        body=config.get("MessageBody") or "",
    )


def _redirect(config: Shape) -> Redirect:
    usual = Redirect(status=301)
    return Redirect(
        status=302 if config["StatusCode"] == "HTTP_302" else 301,
        protocol=config.get("Protocol") or usual.protocol,
        host=config.get("Host") or usual.host,
        port=config.get("Port") or usual.port,
        path=config.get("Path") or usual.path,
        query=config.get("Query", usual.query),
    )
