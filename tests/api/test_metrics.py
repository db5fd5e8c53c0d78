"""GET /metrics of the controller: what Prometheus reads of a whole one, and who may look."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from awsorch.api.request_figures import RequestFigures
from tests.support.served_app import ServedApp

Sample = tuple[str, tuple[tuple[str, str], ...]]


def scrape(served: ServedApp, token: str = "", method: str = "GET") -> dict[Sample, float]:
    """Every sample by its name and labels."""
    request = urllib.request.Request(served.url + "/metrics", method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def refusal(served: ServedApp, token: str = "", method: str = "GET") -> int:
    with pytest.raises(urllib.error.HTTPError) as refused:
        scrape(served, token, method)
    with refused.value:
        return refused.value.code


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


def test_a_controller_tells_what_it_has_and_does(tmp_path: Path) -> None:
    served = ServedApp(tmp_path, store="memory")
    try:
        served.ecs.create_cluster(clusterName="web")
        served.ecs.register_container_instance(
            cluster="web", totalResources=[{"name": "CPU", "type": "INTEGER", "integerValue": 1024}]
        )
        with pytest.raises(ClientError):
            served.ecs.describe_services(cluster="none", services=["a"])
        found = scrape(served)
        assert found["awsorch_container_instances", labels(cluster="web", status="ACTIVE")] == 1
        assert found["awsorch_api_requests_total", labels(operation="CreateCluster", code="OK")] == 1
        code = labels(operation="DescribeServices", code="ClusterNotFoundException")
        assert found["awsorch_api_requests_total", code] == 1
        calls = "awsorch_api_request_seconds"
        assert found[f"{calls}_bucket", labels(operation="CreateCluster", le="+Inf")] == 1
        assert found[f"{calls}_count", labels(operation="CreateCluster")] == 1
        assert 0 < found[f"{calls}_sum", labels(operation="CreateCluster")] < 30
        partition = labels(partition="cluster/web")
        assert found["awsorch_partition_commits_total", partition] >= 1
        assert found["awsorch_partition_events_total", partition] >= 1
        assert found["awsorch_partition_commit_seconds_total", partition] > 0
        assert found["awsorch_partition_bugs_total", partition] == 0
        assert found["awsorch_partition_inbox", labels(partition="registry")] == 0
        assert found["awsorch_connected_agents", labels(connection="control")] == 0
    finally:
        served.close()


def test_two_controllers_in_a_process_count_for_themselves(tmp_path: Path) -> None:
    one, other = ServedApp(tmp_path / "1", store="memory"), ServedApp(tmp_path / "2", store="memory")
    try:
        one.ecs.create_cluster(clusterName="web")
        made = ("awsorch_api_requests_total", labels(operation="CreateCluster", code="OK"))
        assert made in scrape(one)
        assert made not in scrape(other)
    finally:
        one.close()
        other.close()


def test_with_a_token_only_who_shows_it_may_look(tmp_path: Path) -> None:
    served = ServedApp(tmp_path, store="memory", metrics_token="let-me-in")
    try:
        assert refusal(served) == 401
        assert refusal(served, "let-me-in-too") == 401
        assert scrape(served, "let-me-in")
        assert refusal(served, "let-me-in", "DELETE") == 405
    finally:
        served.close()


def test_an_operation_that_does_not_exist_is_no_new_label(tmp_path: Path) -> None:
    served = ServedApp(tmp_path, store="memory")
    try:
        assert served.call("POST", "/")[0] == 400
        codes = {labels for name, labels in scrape(served) if name == "awsorch_api_requests_total"}
        assert {dict(each)["operation"] for each in codes} == {"unknown"}
    finally:
        served.close()


def test_a_call_is_in_every_class_of_latency_above_its_own() -> None:
    figures = RequestFigures()
    for seconds in (0.0005, 0.004, 100.0):
        figures.count("RunTask", "OK", seconds)
    ((operation, upto, seconds),) = figures.latencies()
    assert operation == "RunTask"
    assert dict(upto)["0.001"] == 1
    assert dict(upto)["0.005"] == 2
    assert dict(upto)["10.0"] == 2
    assert dict(upto)["+Inf"] == 3
    assert seconds == pytest.approx(100.0045)
