"""capacity and plan against the real API: what the one tells the other understands."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Awsorch


def test_a_cluster_with_a_service_and_what_more_of_it_would_take(awsorch: Awsorch, define: Callable[..., str]) -> None:
    define("web")
    awsorch("run", "web", "--count", "2")
    shown = awsorch("capacity").stdout.splitlines()
    assert shown[0].startswith("cluster default: 2 instances; 2 tasks; CPU ")
    planned = awsorch("plan", "--add", "web=2,web:1=90000000")
    assert planned.exit_code == 1
    assert "count should be a whole number from 1 to 5000." in planned.output
    planned = awsorch("plan", "--add", "web=2,web:1=4000", "--exit-code")
    assert planned.exit_code == 2
    assert "2 on " in planned.stdout
    assert "Nothing would be launched." in planned.stdout
    assert "no instance has room, and no capacity provider launches any for them (too little CPU is free on 2" in (
        " ".join(planned.stdout.split())
    )
