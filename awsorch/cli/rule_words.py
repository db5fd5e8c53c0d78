"""Rules of load balancers in words: when they are met, and what they do then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUBJECTS = {
    "host-header": "host",
    "path-pattern": "path",
    "http-request-method": "method",
    "source-ip": "from",
    "query-string": "query",
}
CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "source-ip": "SourceIpConfig",
    "query-string": "QueryStringConfig",
}


def say_when_met(conditions: list[dict[str, Any]]) -> str:
    """ "path /api/* or /v2/*, method GET"; "always" without conditions."""
    return ", ".join(say_condition(each) for each in conditions) or "always"


def say_condition(condition: dict[str, Any]) -> str:
    field = condition["Field"]
    config = condition.get(CONFIGS.get(field, "")) or {}
    values = config.get("Values") or condition.get("Values") or []
    if field == "query-string":
        values = [f"{each['Key']}={each['Value']}" if each.get("Key") else each["Value"] for each in values]
    subject = f"header {config.get('HttpHeaderName')}" if field == "http-header" else SUBJECTS.get(field, field)
    return f"{subject} {' or '.join(values)}"


def say_actions(actions: list[dict[str, Any]], names: Mapping[str, str]) -> str:
    """ "web 90 %, canary 10 %", "answers 404", "redirects (301) to https://#{host}:443/#{path}?#{query}"."""
    return ", then ".join(say_action(each, names) for each in sorted(actions, key=lambda each: each.get("Order", 1)))


def say_action(action: dict[str, Any], names: Mapping[str, str]) -> str:
    match action["Type"]:
        case "forward":
            return say_forward(action, names)
        case "fixed-response":
            return f"answers {action['FixedResponseConfig']['StatusCode']}"
        case "redirect":
            return say_redirect(action["RedirectConfig"])
        case other:
            return str(other)


def say_forward(action: dict[str, Any], names: Mapping[str, str]) -> str:
    listed = action.get("ForwardConfig", {}).get("TargetGroups") or [{"TargetGroupArn": action.get("TargetGroupArn")}]
    weights = {names.get(each["TargetGroupArn"], each["TargetGroupArn"]): each.get("Weight", 1) for each in listed}
    if len(weights) == 1:
        return str(next(iter(weights)))
    total = sum(weights.values()) or 1
    return ", ".join(f"{name} {100 * weight / total:.0f} %" for name, weight in weights.items())


def say_redirect(config: dict[str, Any]) -> str:
    parts = {"Protocol": "#{protocol}", "Host": "#{host}", "Port": "#{port}", "Path": "/#{path}", "Query": "#{query}"}
    parts |= {name: config[name] for name in parts if config.get(name)}
    url = f"{parts['Protocol'].lower()}://{parts['Host']}:{parts['Port']}{parts['Path']}?{parts['Query']}"
    return f"redirects ({config['StatusCode'].removeprefix('HTTP_')}) to {url}"
