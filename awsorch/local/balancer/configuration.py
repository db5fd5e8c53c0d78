"""A wish as the text of HAProxy's configuration file.

The structure (front ends, rules, back ends with their checks) has a digest, which HAProxy repeats in `show info`: it
tells whether the process that runs has this structure already. Servers are not part of it: they come and go while it
runs, and are written into the file only so that a process that starts anew has them at once.

A server of a pool with checks is there twice: once with checks, and once as a backup (`…-open`) without. Backups get
requests while no checked server is up, which is ELB's "fail open".
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from awsorch.local.balancer.checks import check_lines, server_arguments
from awsorch.local.balancer.model import Forward, FrontEnd, Pool, Server, Wish
from awsorch.local.balancer.rules import SERVER, answer_page, cookie, pool_id, rule_lines
from awsorch.local.balancer.runtime import SOCKET
from awsorch.local.balancer.text import name_of, token

OPEN = "-open"

_ALGORITHMS = {
    "round_robin": "roundrobin",
    "least_outstanding_requests": "leastconn",
    "weighted_random": "random(1)",
}
_STICK_COOKIE, _STICK_APPLICATION_COOKIE = "AWSALB", "AWSALBAPP-0"
_IDEMPOTENT = "GET HEAD OPTIONS TRACE PUT DELETE"
_ERRORS = {400: "Bad Request", 502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackEnd:
    """A pool as HAProxy has it: its id, the lines of its section, its servers by their names."""

    id: str
    pool: Pool
    lines: tuple[str, ...]
    servers: Mapping[str, Server]

    @property
    def fails_open(self) -> bool:
        """Whether servers have backups."""
        return self.pool.check.enabled


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What HAProxy is to be: lines before the servers, back ends by id, and the digest of all but the servers."""

    head: tuple[str, ...]
    back_ends: Mapping[str, BackEnd]
    digest: str

    def text(self, up: Collection[str] | None = None) -> str:
        """The file: with all servers that do not drain, or only those of the names in `up`."""
        lines = [*self.head]
        for each in self.back_ends.values():
            lines += each.lines
            for name, server in each.servers.items():
                if not server.draining and (up is None or name in up):
                    lines += (f"  server {words}" for words in server_words(each, name))
        return "\n".join(line.replace("@DIGEST@", self.digest) for line in lines) + "\n"


def server_id(pool: str, server: Server) -> str:
    """A server's name, which no other pool's server has: another address is another server."""
    return name_of("s", pool, server.key, server.address, server.port)


def front_end_id(front_end: FrontEnd) -> str:
    """A front end's name: whoever has its address is it."""
    return name_of("f", front_end.address, front_end.port)


def socket_address(address: str, port: int) -> str:
    """An address with its port, as HAProxy writes it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def server_words(back_end: BackEnd, name: str) -> Iterator[str]:
    """A server's name, address and settings; its backup's too where there is one."""
    server = back_end.servers[name]
    address = socket_address(server.address, server.port)
    yield f"{name} {address} {server_arguments(back_end.pool, server.port)}".rstrip()
    if back_end.fails_open:
        tls = " ssl verify none" if back_end.pool.protocol == "HTTPS" else ""
        yield f"{name}{OPEN} {address}{tls} backup"


def configure(wish: Wish, certificates: Mapping[str, tuple[str, ...]], connections: int) -> Configuration:
    """The configuration for a wish. `certificates` are the files of each front end by its key, `connections` how many
    there may be at once.

    Raises ValueError for a text that cannot be given to HAProxy, KeyError for a pool that an action names and the
    wish has not.
    """
    idle: dict[str, int] = {}
    for front_end in wish.front_ends:
        for name in pools_of(front_end):
            idle[name] = max(idle.get(name, 0), front_end.idle_timeout_seconds)
    head = list(_global(connections))
    for front_end in wish.front_ends:
        head += ("", *_front_end(front_end, certificates.get(front_end.key, ())))
    back_ends = {}
    for name in sorted(idle):
        pool = wish.pools[name]
        back_ends[pool_id(name)] = BackEnd(
            id=pool_id(name),
            pool=pool,
            lines=("", *_back_end(pool, idle[name])),
            servers={server_id(name, each): each for each in pool.servers},
        )
    arguments = (server_arguments(each.pool, 0) for each in back_ends.values())
    structure = "\n".join((*head, *arguments, *(line for each in back_ends.values() for line in each.lines)))
    digest = hashlib.sha256(structure.encode()).hexdigest()[:24]
    return Configuration(head=tuple(head), back_ends=back_ends, digest=digest)


def pools_of(front_end: FrontEnd) -> Iterator[str]:
    """The names of the pools that a front end forwards to, some more than once."""
    for action in (front_end.default, *(rule.action for rule in front_end.rules)):
        if isinstance(action, Forward):
            yield from (name for name, _ in action.pools)


def error_pages() -> Mapping[str, str]:
    """Answers for what goes wrong by their file's name."""
    return {
        f"{status}.http": (
            f"HTTP/1.1 {status} {words}\r\nServer: {SERVER}\r\nContent-Type: text/html\r\n"
            f"Content-Length: {len(answer_page(status, words))}\r\n\r\n{answer_page(status, words)}"
        )
        for status, words in _ERRORS.items()
    }


def _global(connections: int) -> Iterator[str]:
    yield "global"
    yield "  description @DIGEST@"
    yield f"  maxconn {connections}"
    yield f"  stats socket unix@{SOCKET} mode 600 level admin expose-fd listeners"
    yield "  stats timeout 1m"
    yield "  hard-stop-after 1h"
    yield ""
    yield "defaults"
    yield "  timeout connect 3s"
    yield "  timeout http-request 60s"
    # A client's idle connection is closed after one more answer when the structure changes, never between two requests.
    yield "  option idle-close-on-response"
    yield "  option redispatch 1"
    yield "  retries 3"


def _front_end(front_end: FrontEnd, certificates: tuple[str, ...]) -> Iterator[str]:
    yield f"frontend {front_end_id(front_end)}"
    tls = "".join(f" crt {file}" for file in certificates)
    tls = f" ssl{tls} alpn h2,http/1.1" if front_end.protocol == "HTTPS" else ""
    yield f"  bind {socket_address(front_end.address, front_end.port)}{tls}"
    yield f"  timeout client {front_end.idle_timeout_seconds}s"
    if front_end.protocol == "TCP":
        yield "  mode tcp"
        yield from (f"  default_backend {pool_id(name)}" for name in pools_of(front_end))
        return
    yield "  mode http"
    yield f"  timeout http-keep-alive {front_end.idle_timeout_seconds}s"
    yield from (f"  errorfile {status} {status}.http" for status in (400, 502, 503, 504))
    yield from (f"  {line}" for line in rule_lines(front_end))
    # A process that only finishes what it has counts no server as usable, and uses them all the same.
    yield "  http-request deny deny_status 503 unless { stopping } or { var(txn.pool),nbsrv -m int gt 0 }"
    yield from (f"  {line}" for line in _forwarded_headers(front_end))
    yield "  use_backend %[var(txn.pool)]"


def _forwarded_headers(front_end: FrontEnd) -> Iterator[str]:
    """What ELB tells the target of the client ("HTTP headers and Application Load Balancers")."""
    before = "req.fhdr(x-forwarded-for)"
    yield f"http-request set-header X-Forwarded-For '%[{before}], %[src]' if {{ {before} -m found }}"
    yield f"http-request set-header X-Forwarded-For %[src] unless {{ {before} -m found }}"
    yield f"http-request set-header X-Forwarded-Proto {front_end.protocol.lower()}"
    yield f"http-request set-header X-Forwarded-Port {front_end.port}"
    root = "Root=1-%[date,hex,bytes(8,8),lower]-%[uuid,regsub(-,,g),bytes(0,24)]"
    yield f"http-request set-header X-Amzn-Trace-Id '{root}' unless {{ req.fhdr(x-amzn-trace-id) -m found }}"


def _back_end(pool: Pool, idle_seconds: int) -> Iterator[str]:
    yield f"backend {pool_id(pool.name)}"
    yield f"  timeout server {idle_seconds}s"
    if pool.check.enabled:
        yield "  option allbackups"
    yield from (f"  {line}" for line in check_lines(pool.check))
    sticky = pool.stickiness
    if sticky is not None and sticky.kind == "source_ip":
        yield "  balance source"
        yield "  hash-type consistent"
    else:
        yield f"  balance {_ALGORITHMS[pool.algorithm]}"
    if pool.protocol == "TCP":
        yield "  mode tcp"
        return
    yield "  mode http"
    yield f"  timeout tunnel {idle_seconds}s"
    # Only a pool with a server that is up is asked, so 503 says that none could be connected: ELB's 502.
    yield from (f"  errorfile {status} {page}.http" for status, page in ((502, 502), (503, 502), (504, 504)))
    yield "  retry-on conn-failure empty-response"
    yield f"  http-request disable-l7-retry unless {{ method {_IDEMPOTENT} }}"
    if sticky is not None and sticky.kind != "source_ip":
        yield from (f"  {line}" for line in _stickiness(pool))


def _stickiness(pool: Pool) -> Iterator[str]:
    """Cookies that name the server, so that they mean the same after a restart. One that is down is passed over."""
    sticky = pool.stickiness
    assert sticky is not None
    server = f"%[srv_name,field(1,{OPEN[0]})]"
    if sticky.kind == "lb_cookie":
        yield f"http-request set-var(txn.stick) req.cook({_STICK_COOKIE})"
        for words in cookie(_STICK_COOKIE, server, sticky.duration_seconds):
            yield f"http-response add-header Set-Cookie {words}"
    else:
        theirs = token(sticky.cookie_name or "")
        ours = f"req.cook({_STICK_APPLICATION_COOKIE})"
        yield f"http-request set-var(txn.stick) {ours} if {{ req.cook({theirs}) -m found }}"
        for words in cookie(_STICK_APPLICATION_COOKIE, server, sticky.duration_seconds):
            yield f"http-response add-header Set-Cookie {words} if {{ res.cook({theirs}) -m found }}"
    yield "use-server %[var(txn.stick)] if { var(txn.stick) -m found }"
