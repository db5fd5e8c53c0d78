"""What the local balancer is to carry, and what it says of it: records and nothing else.

They exist so that whoever knows ELB's API (listeners, rules, target groups, targets) and whoever knows HAProxy share
words and no code. The words are ELB's; no name in here is one of HAProxy's, and no record checks what ELB has
checked already. Actions and conditions as in ELB's API of 2015-12-01 (CreateRule, CreateTargetGroup).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FrontEndProtocol = Literal["HTTP", "HTTPS", "TCP"]
"""What the balancer carries. Listeners for UDP, TCP_UDP, TLS, QUIC and GENEVE are not."""
PoolProtocol = Literal["HTTP", "HTTPS", "TCP"]
Algorithm = Literal["round_robin", "least_outstanding_requests", "weighted_random"]
StickinessKind = Literal["lb_cookie", "app_cookie", "source_ip"]
ConditionField = Literal[
    "host-header", "path-pattern", "http-header", "http-request-method", "query-string", "source-ip"
]
State = Literal["initial", "healthy", "unhealthy", "draining", "unused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One registered target. `key` is unique in its pool and stays while the target is the same; `address` is an IP
    literal. A draining one finishes what it has and gets nothing new.
    """

    key: str
    address: str
    port: int
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How the servers of a pool are checked; the defaults are an Application Load Balancer's.

    `port` None is the server's own. `matcher` is ELB's text, for HTTP and HTTPS only: "200", "200-299" or
    "200,301-302". Without `enabled` every server counts as healthy.
    """

    protocol: PoolProtocol = "HTTP"
    path: str = "/"
    port: int | None = None
    matcher: str = "200"
    interval_seconds: float = 30.0
    timeout_seconds: float = 5.0
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stickiness:
    """What keeps a client with one server. `cookie_name` is the application's cookie, with `app_cookie` only."""

    kind: StickinessKind
    duration_seconds: int = 86_400
    cookie_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One target group with its servers, in any order. `name` is any text unique among pools: the ARN will do.

    `slow_start_seconds` 0 means none.
    """

    name: str
    protocol: PoolProtocol = "HTTP"
    algorithm: Algorithm = "round_robin"
    stickiness: Stickiness | None = None
    check: HealthCheck = field(default_factory=HealthCheck)
    servers: tuple[Server, ...] = ()
    slow_start_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPair:
    """One value of a query-string condition; without a key any parameter may have the value."""

    value: str
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition of a rule: true when any of its values is.

    `values` for every field but query-string, which has `query`; `header_name` for http-header alone. `*` and `?` are
    wildcards except in http-request-method and source-ip (CIDR blocks).
    """

    field: ConditionField
    values: tuple[str, ...] = ()
    header_name: str | None = None
    query: tuple[QueryPair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Send to one of the pools (name, weight 0..999) by weight; a client comes back to its first one for
    `stickiness_seconds`, where given.
    """

    pools: tuple[tuple[str, int], ...]
    stickiness_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedResponse:
    """Answer at once. `body` may be empty and may have any characters."""

    status: int
    content_type: str = "text/plain"
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Answer with another URL. Each part is text with ELB's placeholders: #{protocol}, #{host}, #{port}, #{path} (in
    `path` without its first slash) and #{query}; the defaults keep what was asked.
    """

    status: Literal[301, 302]
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


Action = Forward | FixedResponse | Redirect


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An action for requests that meet every condition. The lowest priority that is met wins."""

    priority: int
    conditions: tuple[Condition, ...]
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """One listener. `key` is any text unique among front ends: the ARN will do. `address` is an IP literal of its load
    balancer's own.

    TCP has no rules and forwards to one pool. `certificates` are PEM texts (key, certificate, chain), the default one
    first, with HTTPS only; without any the balancer makes a self-signed one.
    """

    key: str
    address: str
    port: int
    protocol: FrontEndProtocol
    default: Action
    rules: tuple[Rule, ...] = ()
    idle_timeout_seconds: int = 60
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Everything that the balancer is to carry: what is not in it goes away. Every pool that an action names is in
    `pools`, by its name; pools that no action names are not checked, their servers are unused.
    """

    front_ends: tuple[FrontEnd, ...] = ()
    pools: Mapping[str, Pool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHealth:
    """A server as DescribeTargetHealth says it: state, ELB's reason code and a sentence (both empty when healthy)."""

    state: State
    reason: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a front end or a pool has carried since its counters began (a change of structure begins them anew).

    `sessions` are the requests (HTTP) or connections (TCP) in flight; `responses` counts by hundreds: 2 for 200..299.
    """

    requests: int = 0
    requests_per_second: int = 0
    sessions: int = 0
    responses: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficReport:
    """Traffic by front end's key and by pool's name."""

    front_ends: Mapping[str, Traffic]
    pools: Mapping[str, Traffic]
