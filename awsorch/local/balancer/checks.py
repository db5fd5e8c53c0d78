"""Health checks: a target group's as HAProxy's words, and what HAProxy found as ELB's.

States, reason codes and descriptions are those of DescribeTargetHealth (ELB API 2015-12-01, TargetHealth).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from awsorch.local.balancer.model import HealthCheck, Pool, ServerHealth
from awsorch.local.balancer.text import quoted, url_text

FIRST_CHECK_MILLISECONDS = 200
"""How soon a new server is checked. HAProxy has no setting for that: it is the pause between the checks of a server
that is down (`downinter`), which a new one is at first. So one that is down is looked at this often too, until it
answers.
"""
_FULL_WEIGHT = 100
_USER_AGENT = "ELB-HealthChecker/2.0"

HEALTHY = ServerHealth(state="healthy")
REGISTERING = ServerHealth(
    state="initial", reason="Elb.RegistrationInProgress", description="Target registration is in progress"
)
DRAINING = ServerHealth(
    state="draining", reason="Target.DeregistrationInProgress", description="Target deregistration is in progress"
)
UNUSED = ServerHealth(
    state="unused",
    reason="Target.NotInUse",
    description="Target group is not configured to receive traffic from the load balancer",
)
_CHECKING = ServerHealth(
    state="initial", reason="Elb.InitialHealthChecking", description="Initial health checks in progress"
)
_FAILED = ServerHealth(state="unhealthy", reason="Target.FailedHealthChecks", description="Health checks failed")
_LATE = ServerHealth(state="unhealthy", reason="Target.Timeout", description="Request timed out")


def check_lines(check: HealthCheck) -> Iterator[str]:
    """How a back end's servers are asked; nothing for a check that only connects.

    Raises ValueError for a path or matcher that cannot be given to the balancer.
    """
    if not check.enabled:
        return
    yield f"timeout check {_milliseconds(check.timeout_seconds)}"
    if check.protocol == "TCP":
        return
    yield "option httpchk"
    yield (
        f"http-check send meth GET uri {quoted(url_text(check.path))} ver HTTP/1.1 hdr Host localhost "
        f"hdr User-Agent {_USER_AGENT} hdr Connection close"
    )
    yield f"http-check expect status {_codes(check.matcher)}"


def server_arguments(pool: Pool, port: int) -> str:
    """What follows the address and port of a server: how it is spoken to and how it is checked.

    Three connections refused in a row take a server out before its next check would: what was sent to it goes to
    another.
    """
    check = pool.check
    words = ["ssl verify none"] if pool.protocol == "HTTPS" else []
    if pool.slow_start_seconds:
        words.append(f"weight {_FULL_WEIGHT}")
    if not check.enabled:
        return " ".join(words)
    words.append(f"check inter {_milliseconds(check.interval_seconds)}")
    words.append(f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}")
    words.append("observe layer4 error-limit 3 on-error mark-down")
    # With a port of its own a check is plain unless it says otherwise; without one it is as the traffic is.
    words.append(f"port {check.port or port}")
    if check.protocol == "HTTPS":
        words.append("check-ssl verify none")
    return " ".join(words)


def read_health(row: Mapping[str, str]) -> ServerHealth:
    """What a server's row of `show stat` says, in ELB's words."""
    status = row["status"].split(" ")[0]
    found = row["check_status"].removeprefix("* ")
    if status in {"UP", "no"}:
        return HEALTHY
    if status == "NOLB":
        return REGISTERING if found == "INI" else _CHECKING
    if status == "MAINT":
        return REGISTERING
    if found == "L7STS":
        code = row["check_code"]
        return ServerHealth(
            state="unhealthy",
            reason="Target.ResponseCodeMismatch",
            description=f"Health checks failed with these codes: [{code}]",
        )
    return _LATE if found.endswith("TOUT") else _FAILED


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _codes(matcher: str) -> str:
    """ELB's list of codes and ranges, which is HAProxy's too. Raises ValueError where it is none."""
    codes = matcher.replace(" ", "")
    if not codes or not all(part.isdecimal() for each in codes.split(",") for part in each.split("-", 1)):
        raise ValueError(f'{matcher!r} is not a list of status codes such as "200", "200-299" or "200,301-302"')
    return codes
