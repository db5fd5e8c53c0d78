"""Rules of listeners as lines of an HTTP front end: which rule a request meets, and what it does then.

The lines first work out one number, the position of the first rule that is met (`txn.rule`), then carry out that rule's
action. ELB's semantics (User Guide for Application Load Balancers, "Listener rules" and "Rule condition types"): the
conditions of a rule are all to be met, one value of each is enough; host names, header values and query strings are
compared without regard to case, paths and methods with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from awsorch.local.balancer.model import Action, Condition, FixedResponse, Forward, FrontEnd, QueryPair, Redirect
from awsorch.local.balancer.text import literal_format, name_of, quoted, token, url_text, wildcards

POOL_COOKIE = "AWSALBTG"
SERVER = "awselb/2.0"
_DEFAULT = 0
_PLACEHOLDERS = {
    "#{host}": "%[req.hdr(host),host_only]",
    "#{path}": "%[path,bytes(1)]",
    "#{query}": "%[query]",
}


def answer_page(status: int, words: str) -> str:
    """The page of an answer that is the balancer's own, as ELB words it."""
    title = f"{status} {words}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )


def pool_id(name: str) -> str:
    """The name of a pool's back end."""
    return name_of("p", name)


def rule_lines(front_end: FrontEnd) -> Iterator[str]:
    """The lines that choose a rule and carry out its action; afterwards `txn.pool` names the back end.

    Raises ValueError for a text that cannot be given to the balancer.
    """
    yield f"http-request set-var(txn.rule) int({_DEFAULT})"
    rules = sorted(front_end.rules, key=lambda rule: rule.priority)
    for number, rule in enumerate(rules, start=1):
        names = []
        for place, condition in enumerate(rule.conditions):
            name = f"r{number}c{place}"
            names.append(name)
            yield from (f"acl {name} {test}" for test in _tests(condition))
        yield " ".join(
            (f"http-request set-var(txn.rule) int({number}) if {{ var(txn.rule) -m int {_DEFAULT} }}", *names)
        )
    for number, action in enumerate((front_end.default, *(rule.action for rule in rules))):
        yield from _action(action, number, front_end)


def cookie(name: str, value: str, seconds: int) -> Iterator[str]:
    """The words that set a cookie of the load balancer's and its twin for requests from other sites, as ELB does.

    `value` is a log format.
    """
    lasting = f"Expires=%[date({seconds}),http_date]; Path=/"
    yield quoted(f"{name}={value}; {lasting}")
    yield quoted(f"{name}CORS={value}; {lasting}; SameSite=None; Secure")


def _tests(condition: Condition) -> Iterator[str]:
    """One test for each value; tests of one name are alternatives. A condition without values is never met."""
    if not (condition.query or condition.values):
        yield "always_false"
    elif condition.field == "query-string":
        yield from (f"query -m reg -i {quoted(_query_pattern(pair))}" for pair in condition.query)
    elif condition.field == "source-ip":
        yield from (f"src {quoted(value)}" for value in condition.values)
    else:
        subject, exact_case = _subject(condition)
        case = "" if exact_case else " -i"
        yield from (f"{subject} -m reg{case} {quoted(f'^{wildcards(value)}$')}" for value in condition.values)


def _subject(condition: Condition) -> tuple[str, bool]:
    """What of a request a condition looks at, and whether case counts."""
    match condition.field:
        case "host-header":
            return "req.hdr(host),host_only", False
        case "http-header":
            return f"req.fhdr({token(condition.header_name or '')})", False
        case "http-request-method":
            return "capture.req.method", True
        case _:
            return "path", True


def _query_pattern(pair: QueryPair) -> str:
    value = wildcards(pair.value, one="[^&]")
    key = "([^&=]*=)?" if pair.key is None else f"{wildcards(pair.key, one='[^&=]')}="
    return f"(^|&){key}{value}(&|$)"


def _action(action: Action, number: int, front_end: FrontEnd) -> Iterator[str]:
    met = f"{{ var(txn.rule) -m int {number} }}"
    match action:
        case Forward():
            yield from _forward(action, number, met)
        case FixedResponse():
            yield _fixed_response(action, met)
        case Redirect():
            yield from _redirect(action, met, front_end)


def _forward(action: Forward, number: int, met: str) -> Iterator[str]:
    """Choose a pool: the one in the client's cookie where it may be, else one drawn by weight."""
    weighted = [(pool_id(name), weight) for name, weight in action.pools if weight > 0 or len(action.pools) == 1]
    if len(weighted) < 2:
        yield from (f"http-request set-var(txn.pool) str({pool}) if {met}" for pool, _ in weighted)
        return
    if action.stickiness_seconds is not None:
        for pool, _ in weighted:
            yield f"http-request set-var(txn.pool) str({pool}) if {met} {{ req.cook({POOL_COOKIE}) -m str {pool} }}"
    yield f"http-request set-var(txn.draw) rand({sum(weight for _, weight in weighted)}) if {met}"
    drawn = 0
    for pool, weight in weighted:
        drawn += weight
        yield (
            f"http-request set-var(txn.pool) str({pool}) "
            f"if {met} !{{ var(txn.pool) -m found }} {{ var(txn.draw) -m int lt {drawn} }}"
        )
    if action.stickiness_seconds is not None:
        for words in cookie(POOL_COOKIE, "%[var(txn.pool)]", action.stickiness_seconds):
            yield f"http-response add-header Set-Cookie {words} if {{ var(txn.rule) -m int {number} }}"


def _fixed_response(action: FixedResponse, met: str) -> str:
    answer = f"http-request return status {action.status} hdr Server {SERVER}"
    if action.body:
        answer += f" content-type {quoted(action.content_type)} string {quoted(action.body)}"
    return f"{answer} if {met}"


def _redirect(action: Redirect, met: str, front_end: FrontEnd) -> Iterator[str]:
    """A Location with every part written out, as ELB answers it; the question mark only before a query."""
    protocol = action.protocol.replace("#{protocol}", front_end.protocol).lower()
    port = action.port.replace("#{port}", str(front_end.port))
    target = f"{url_text(protocol)}://{_url_format(action.host)}:{url_text(port)}{_url_format(action.path)}"
    page = quoted(answer_page(action.status, "Moved Permanently" if action.status == 301 else "Found"))
    answer = f"http-request return status {action.status} content-type text/html string {page} hdr Server {SERVER}"
    answer += " hdr Location"
    if action.query == "#{query}":
        yield f"{answer} {quoted(f'{target}?%[query]')} if {met} {{ query -m len gt 0 }}"
        yield f"{answer} {quoted(target)} if {met}"
    else:
        yield f"{answer} {quoted(target + (f'?{_url_format(action.query)}' if action.query else ''))} if {met}"


def _url_format(template: str) -> str:
    """A log format for a part of a URL with ELB's placeholders in it."""
    for placeholder, sample in _PLACEHOLDERS.items():
        before, found, after = template.partition(placeholder)
        if found:
            return f"{_url_format(before)}{sample}{_url_format(after)}"
    return literal_format(url_text(template))
