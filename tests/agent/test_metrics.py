"""What Prometheus reads of an agent."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from awsorch.agent.metrics import AgentMetrics
from awsorch.agent.session import Registration
from awsorch.agent.usage import Traffic, Usage
from tests.agent.tasks import a_container
from tests.agent.test_measurements import Samples, running

REGISTRATION = Registration(cluster="c1", instance_arn="arn:i", zone_id="", docker_version="20")
USED = Usage(cpu=1.5, memory=2048, bytes_read=1, bytes_written=2, received=Traffic(bytes=3), sent=Traffic(bytes=4))


def read(*usages: Usage | None) -> dict[str, float]:
    """The figures of an agent with one running container, by name; labels are looked at elsewhere."""
    assignment = running(a_container())
    metrics = AgentMetrics(REGISTRATION, {assignment.arn: assignment}, Samples(*usages))
    families = text_string_to_metric_families(metrics.text().decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_what_containers_use_is_told() -> None:
    assert read(USED) == {
        "awsorch_agent_info": 1,
        "awsorch_agent_tasks": 1,
        "awsorch_agent_container_restarts_total": 0,
        "awsorch_agent_container_memory_bytes": 2048,
        "awsorch_agent_container_cpu_seconds_total": 1.5,
        "awsorch_agent_container_read_bytes_total": 1,
        "awsorch_agent_container_written_bytes_total": 2,
        "awsorch_agent_container_received_bytes_total": 3,
        "awsorch_agent_container_sent_bytes_total": 4,
    }


def test_what_is_not_known_is_left_out() -> None:
    assert "awsorch_agent_container_cpu_seconds_total" not in read(None)
    found = read(replace(USED, received=None, sent=None))
    assert "awsorch_agent_container_received_bytes_total" not in found
    assert found["awsorch_agent_container_cpu_seconds_total"] == 1.5


def test_a_container_is_named_by_its_task_family_and_name() -> None:
    assignment = running(a_container())
    text = AgentMetrics(REGISTRATION, {assignment.arn: assignment}, Samples(USED)).text().decode()
    task = assignment.arn.rpartition("/")[2]
    labels = f'{{container="app",family="web",task="{task}"}}'
    assert f"awsorch_agent_container_memory_bytes{labels} 2048.0" in text.replace(
        f'{{task="{task}",family="web",container="app"}}', labels
    )
