"""The gateway over real websockets: what an agent sees, and what the partition hears of it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from awsorch.core.events import AskAgentUpdate, DeregisterInstance, StopTask, TaskReported
from awsorch.core.model import AgentPackage
from awsorch.core.utilization import Used
from awsorch.gateway import server
from awsorch.wire import acs, tcs
from awsorch.wire.sigv4 import Credentials, Verifier, sign
from tests.gateway.door import DEADLINE_S, Door, publish, served, until
from tests.support.builders import a_definition

#: The registered instance's id under another account.
ELSEWHERE = f"arn:aws:ecs:us-east-1:999999999999:container-instance/default/{1:032x}"


def run(scenario: Any, **options: Any) -> None:
    async def serve() -> None:
        async with served(**options) as door:
            await scenario(door)

    asyncio.run(serve())


def test_a_connected_agent_gets_its_manifest_and_then_its_tasks() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            assert agent.manifest.tasks == ()
            assert agent.manifest.cluster_arn == "arn:aws:ecs:us-east-1:123456789012:cluster/default"
            assert agent.manifest.container_instance_arn == instance.arn
            await agent.ack(agent.manifest)
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            known = door.partition.state.instances[instance.id]
            assert (known.agent_version, known.agent_hash) == ("1.105.1", "a8b3e7d3")
            assert known.docker_version == "DockerVersion: 20.10.24"

            task = await door.run_task()
            payload = await agent.next(acs.PayloadMessage)
            assert [each.arn for each in payload.tasks] == [task.arn]
            assert payload.tasks[0].desired_status == "RUNNING"
            assert payload.seq_num > agent.manifest.timeline
            assert abs(payload.generated_at - datetime.now(UTC).timestamp() * 1000) < 60_000
            await agent.ack(payload)

            await door.partition.submit(TaskReported(task_id=task.id, status="RUNNING"))
            await door.partition.submit(StopTask(task_id=task.id))
            stop = await agent.next(acs.PayloadMessage)
            assert stop.tasks == (
                acs.Task(arn=task.arn, desired_status="STOPPED", task_cluster_arn=agent.manifest.cluster_arn),
            )
        await until(lambda: not door.partition.state.instances[instance.id].agent_connected)

    run(scenario)


def test_a_reconnecting_agent_is_told_again_what_it_has_not_settled() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            running, pending = await door.run_task(), await door.run_task()
            await agent.next(acs.PayloadMessage)
            await door.partition.submit(TaskReported(task_id=running.id, status="RUNNING"))
        async with door.agent(instance.arn) as agent:
            assert {each.task_arn for each in agent.manifest.tasks} == {running.arn, pending.arn}
            payload = await agent.next(acs.PayloadMessage)
            assert [each.arn for each in payload.tasks] == [pending.arn]

    run(scenario)


def test_an_agent_of_ours_is_told_to_update_itself_and_its_answers_are_heard() -> None:
    package = AgentPackage(version="2.0", location="https://example.com/a.whl", signature="a" * 64)
    told = acs.UpdateInfo(location=package.location, signature=package.signature)

    async def scenario(door: Door) -> None:
        instance = await door.register()

        def status() -> str | None:
            return door.partition.state.instances[instance.id].agent_update_status

        async with door.agent(instance.arn, agentHash="awsorch-1.0", awsorchExec="true") as agent:
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            await door.partition.submit(AskAgentUpdate(instance_id=instance.id, package=package))
            stage = await agent.next(acs.StageUpdateMessage)
            assert (stage.update_info, stage.container_instance_arn) == (told, instance.arn)
            await agent.ack(stage)
            perform = await agent.next(acs.PerformUpdateMessage)
            assert (perform.update_info, perform.cluster_arn) == (told, agent.manifest.cluster_arn)
            await agent.ack(perform)
            await until(lambda: status() == "UPDATING")
        async with door.agent(instance.arn, agentHash="awsorch-2.0", awsorchExec="true"):
            await until(lambda: status() == "UPDATED")

        newer = AgentPackage(version="3.0", location=package.location, signature="b" * 64)
        async with door.agent(instance.arn, agentHash="awsorch-2.0", awsorchExec="true") as agent:
            await door.partition.submit(AskAgentUpdate(instance_id=instance.id, package=newer))
            stage = await agent.next(acs.StageUpdateMessage)
            await agent.say(acs.NackRequest(message_id=stage.message_id, reason="Updates are disabled"))
            await until(lambda: status() == "FAILED")

    run(scenario)


def test_a_new_connection_replaces_the_old_one() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as old, door.agent(instance.arn) as new:
            closed = await asyncio.wait_for(old.ws.receive(), DEADLINE_S)
            assert closed.type is aiohttp.WSMsgType.CLOSE
            assert closed.data == 1008
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            await door.run_task()
            await new.next(acs.PayloadMessage)
            assert door.partition.state.instances[instance.id].agent_connected

    run(scenario)


def test_a_deregistered_instance_is_sent_away_and_not_let_in_again() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent, door.client.ws_connect(door.tcs_url(instance.arn)) as telemetry:
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            await door.partition.submit(DeregisterInstance(instance_id=instance.id))
            closed = await asyncio.wait_for(agent.ws.receive(), DEADLINE_S)
            assert (closed.data, closed.extra) == (1008, "InactiveInstanceException")
            closed = await asyncio.wait_for(telemetry.receive(), DEADLINE_S)
            assert closed.data == 1008
        async with door.client.get(door.acs_url(instance.arn)) as answer:
            assert answer.status == 400
            assert "InactiveInstanceException" in await answer.json()

    run(scenario)


@pytest.mark.parametrize(
    ("arn", "query", "code"),
    [
        ("", {}, "InvalidInstanceException"),
        ("nonsense", {}, "InvalidInstanceException"),
        ("arn:aws:ecs:us-east-1:123456789012:task/default/1", {}, "InvalidInstanceException"),
        ("arn:aws:ecs:us-east-1:123456789012:container-instance/default/ff", {}, "InvalidInstanceException"),
        ("arn:aws:ecs:us-east-1:123456789012:container-instance/other/ff", {}, "InvalidClusterException"),
        (
            "arn:aws:ecs:us-east-1:123456789012:container-instance/other/ff",
            {"clusterArn": "other"},
            "InvalidClusterException",
        ),
        (ELSEWHERE, {}, "InvalidInstanceException"),
    ],
)
def test_who_is_not_known_is_refused_in_words_that_agents_read(arn: str, query: dict[str, str], code: str) -> None:
    async def scenario(door: Door) -> None:
        await door.register()
        async with door.client.get(door.acs_url(arn, **query)) as answer:
            body = json.loads(await answer.text())
            assert (answer.status, list(body)) == (400, [code])
            assert answer.content_type == "application/json"

    run(scenario)


def test_a_request_that_is_no_upgrade_is_refused() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.client.get(door.acs_url(instance.arn)) as answer:
            assert answer.status == 400
        assert not door.partition.state.instances[instance.id].agent_connected

    run(scenario)


def test_with_keys_configured_every_connection_must_be_signed() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        for secret, admitted in (("right", True), ("wrong", False)):
            for plain_url in (door.acs_url(instance.arn), door.tcs_url(instance.arn)):
                url = plain_url.replace("+", "%20")
                headers = sign(
                    method="GET",
                    url=url,
                    headers={},
                    body=b"",
                    credentials=Credentials(access_key_id="AK", secret_access_key=secret),
                    region="us-east-1",
                    service="ecs",
                    now=datetime.now(UTC),
                )
                connect = door.client.ws_connect(aiohttp.client.URL(url, encoded=True), headers=headers)
                if admitted:
                    async with connect:
                        pass
                else:
                    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                        await connect
        async with door.client.get(door.acs_url(instance.arn)) as answer:
            assert answer.status == 403
            assert "MissingAuthenticationTokenException" in (await answer.json())["AccessDeniedException"]

    run(scenario, verifier=Verifier({"AK": "right"}, clock=lambda: datetime.now(UTC)))


def test_the_agent_asks_before_it_stops_what_the_manifest_lacks() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            kept = await door.run_task()
            payload = await agent.next(acs.PayloadMessage)
            await agent.ack(payload)
            stray = kept.arn.replace(kept.id, "f" * 32)
            candidates = tuple(acs.TaskIdentifier(task_arn=arn, desired_status="STOPPED") for arn in (kept.arn, stray))
            stale = acs.TaskStopVerificationMessage(message_id="another", stop_candidates=candidates)
            await agent.say(stale)
            question = acs.TaskStopVerificationMessage(message_id=agent.manifest.message_id, stop_candidates=candidates)
            await agent.say(question)
            answer = await agent.next(acs.TaskStopVerificationAck)
            assert answer.message_id == agent.manifest.message_id
            assert [(each.task_arn, each.desired_status) for each in answer.stop_tasks] == [(stray, "STOPPED")]

    run(scenario)


@pytest.mark.parametrize(
    "text", ["", "[", "{}", '{"type":"Unknown","message":{}}', '{"type":"AckRequest","message":{"messageId":7}}']
)
def test_a_message_that_makes_no_sense_is_dropped_and_the_connection_stays(text: str) -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await agent.ws.send_str(text)
            await agent.ws.send_bytes(b"\x00")
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            await door.run_task()
            await agent.next(acs.PayloadMessage)

    run(scenario)


def test_a_message_that_is_too_large_ends_the_connection() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await agent.ws.send_str("x" * (1024 * 1024 + 1))
            closed = await asyncio.wait_for(agent.ws.receive(), DEADLINE_S)
            assert closed.data == 1009
        await until(lambda: not door.partition.state.instances[instance.id].agent_connected)

    run(scenario)


def test_telemetry_is_acknowledged_and_its_news_reaches_the_state() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        definition = a_definition(cpu=16, memory=16)
        definition.definition["containerDefinitions"][0]["healthCheck"] = {"command": ["CMD", "true"]}
        async with door.agent(instance.arn), door.client.ws_connect(door.tcs_url(instance.arn)) as ws:
            await until(lambda: door.partition.state.instances[instance.id].agent_connected)
            task = await door.run_task(definition=definition)
            idle = tcs.PublishMetricsRequest(metadata=tcs.MetricsMetadata(idle=True, fin=True))
            assert isinstance(await publish(ws, idle), tcs.AckPublishMetric)
            health = tcs.PublishHealthRequest(
                tasks=(
                    tcs.TaskHealth(
                        task_arn=task.arn,
                        containers=(tcs.ContainerHealth(container_name="app", health_status="HEALTHY"),),
                    ),
                )
            )
            assert isinstance(await publish(ws, health), tcs.AckPublishHealth)
            await until(lambda: door.task(task.id).health_status == "HEALTHY")
            revision = door.partition.state.revision
            assert isinstance(await publish(ws, health), tcs.AckPublishHealth)
            status = tcs.PublishInstanceStatusRequest(
                statuses=(tcs.InstanceStatus(type="ContainerRuntime", status="OK", last_updated=5.0),)
            )
            assert isinstance(await publish(ws, status), tcs.AckPublishInstanceStatus)
            await until(lambda: door.partition.state.instances[instance.id].health)
            assert door.partition.state.revision == revision + 1
            await ws.send_str("{")
            answer = tcs.decode_tcs(await asyncio.wait_for(ws.receive_str(), DEADLINE_S))
            assert isinstance(answer, tcs.BadRequestException)

    run(scenario)


def test_what_tasks_used_is_told_once_by_cluster() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        stats = tcs.DoubleStats(min=5.0, max=5.0, sum=5.0, sample_count=1)
        metric = tcs.ContainerMetric(container_name="app", cpu_stats_set=stats, memory_stats_set=stats)
        task = tcs.TaskMetric(task_arn="arn:aws:ecs:us-east-1:1:task/default/7", container_metrics=(metric,))
        async with door.client.ws_connect(door.tcs_url(instance.arn)) as ws:
            message = tcs.PublishMetricsRequest(metadata=tcs.MetricsMetadata(fin=True), task_metrics=(task,))
            await publish(ws, message)
            assert list(door.gateway.take_usage("another")) == []
            assert list(door.gateway.take_usage("default")) == [{"7": Used(cpu=5.0, memory=5.0)}]
            assert list(door.gateway.take_usage("default")) == [{}]
            assert door.gateway.connections == {"control": 0, "telemetry": 1}

    run(scenario)


def test_metrics_are_kept_while_the_agent_is_there() -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        metric = tcs.ContainerMetric(container_name="app", cpu_stats_set=tcs.DoubleStats(max=1.5))
        async with door.client.ws_connect(door.tcs_url(instance.arn)) as ws:
            await publish(
                ws,
                tcs.PublishMetricsRequest(
                    metadata=tcs.MetricsMetadata(fin=True),
                    task_metrics=(tcs.TaskMetric(task_arn="t", container_metrics=(metric,)),),
                ),
            )
            assert door.gateway.metrics_of("default", instance.id) == {("t", "app"): metric}
        await until(lambda: not door.gateway.metrics_of("default", instance.id))

    run(scenario)


def test_agents_come_back_to_the_next_controller_on_the_same_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop the instances count as connected until they had time to come back; those that do not, do not."""
    monkeypatch.setattr(server, "RECONNECT_S", 0.2)

    async def scenario() -> None:
        async with served() as first:
            here, away = await first.register(), await first.register()
            async with first.agent(here.arn) as one, first.agent(away.arn) as other:
                await until(lambda: all(i.agent_connected for i in first.partition.state.instances.values()))
                await first.gateway.close()
                for agent in (one, other):
                    closed = await asyncio.wait_for(agent.ws.receive(), DEADLINE_S)
                    assert closed.data == 1001
            assert all(i.agent_connected for i in first.partition.state.instances.values())
            store, timeline = first.store, one.manifest.timeline
        async with served(store=store) as second:
            instances = second.partition.state.instances
            assert instances[here.id].agent_connected
            async with second.agent(here.arn) as agent:
                assert agent.manifest.timeline > timeline
                await until(lambda: not instances[away.id].agent_connected)
                assert instances[here.id].agent_connected

    asyncio.run(scenario())
