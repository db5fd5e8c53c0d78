"""What goes wrong between the gateway and an agent or a partition: stuck readers, silence, a store that fails."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from awsorch.engine.ports import StoreFailure
from awsorch.gateway import connection, control, control_lines, server
from awsorch.store.memory import MemoryStore
from awsorch.wire import acs, tcs
from tests.gateway.door import DEADLINE_S, Door, served, until


def run(scenario: Any, **options: Any) -> None:
    async def serve() -> None:
        async with served(**options) as door:
            await scenario(door)

    asyncio.run(serve())


def connected(door: Door, instance_id: str) -> bool:
    return bool(door.partition.state.instances[instance_id].agent_connected)


def test_an_agent_that_stops_answering_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket stays open and nothing comes: two heartbeats later the instance counts as disconnected."""
    monkeypatch.setattr(control, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(control, "SILENCE_S", 2.0)
    monkeypatch.setattr(server, "TURN_S", 0.1)

    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await until(lambda: connected(door, instance.id))
            await agent.next(acs.HeartbeatMessage)
            await until(lambda: not connected(door, instance.id))

    run(scenario)


def test_an_agent_that_answers_heartbeats_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(control, "SILENCE_S", 2.0)
    monkeypatch.setattr(server, "TURN_S", 0.1)

    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await agent.ack(agent.manifest)
            for _ in range(3):
                heartbeat = await agent.next(acs.HeartbeatMessage)
                assert heartbeat.healthy
                await agent.say(acs.HeartbeatAckRequest(message_id=heartbeat.message_id))
            assert connected(door, instance.id)

    run(scenario)


def test_a_payload_that_is_not_acknowledged_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awsorch.gateway.delivery.RESEND_S", 0.1)
    monkeypatch.setattr(server, "TURN_S", 0.1)

    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await agent.ack(agent.manifest)
            await until(lambda: connected(door, instance.id))
            task = await door.run_task()
            first = await agent.next(acs.PayloadMessage)
            second = await agent.next(acs.PayloadMessage)
            assert first.tasks == second.tasks
            assert first.tasks[0].arn == task.arn
            assert second.seq_num > first.seq_num

    run(scenario)


def test_an_agent_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SEND_TIMEOUT_S", 0.2)

    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await until(lambda: connected(door, instance.id))
            transport: Any = agent.ws._response.connection.transport
            transport.pause_reading()
            (line,) = door.gateway._control._lines.values()
            await line.connection.deliver("small")
            for _ in range(40):
                line.connection.send("x" * 1_000_000)
            # a heartbeat neither waits for the others nor overtakes them
            await asyncio.wait_for(line.connection.deliver("heartbeat"), 0.1)
            await until(lambda: not connected(door, instance.id))
            line.connection.send("too late")
            await line.connection.deliver("too late")
            transport.abort()

    run(scenario)


class FailingStore(MemoryStore):
    """A memory store that can be told to fail."""

    fails = False

    async def commit(self, *arguments: Any, **named: Any) -> None:
        if self.fails:
            raise StoreFailure("the disk is full")
        await super().commit(*arguments, **named)

    async def load(self, partition: str) -> Any:
        if self.fails:
            raise StoreFailure("the disk is full")
        return await super().load(partition)


def test_an_agent_that_cannot_be_recorded_is_asked_to_come_back() -> None:
    store = FailingStore()

    async def scenario(door: Door) -> None:
        instance = await door.register()
        store.fails = True
        async with door.client.ws_connect(door.acs_url(instance.arn)) as ws:
            closed = await asyncio.wait_for(ws.receive(), DEADLINE_S)
            while closed.type is aiohttp.WSMsgType.TEXT:
                closed = await asyncio.wait_for(ws.receive(), DEADLINE_S)
            assert closed.data == 1013
            assert "disk is full" in str(closed.extra)
        store.fails = False
        async with door.agent(instance.arn):
            await until(lambda: connected(door, instance.id))

    run(scenario, store=store)


def test_what_could_not_be_read_is_sent_when_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The partition fails under the gateway: nothing that may be undone is told, and nothing is forgotten."""
    monkeypatch.setattr(control_lines, "RETRY_S", 0.05)
    monkeypatch.setattr(server, "TURN_S", 0.1)
    store = FailingStore()

    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent, door.client.ws_connect(door.tcs_url(instance.arn)) as telemetry:
            await agent.ack(agent.manifest)
            await until(lambda: connected(door, instance.id))
            task = await door.run_task()
            await agent.ack(await agent.next(acs.PayloadMessage))
            reads: list[Any] = []

            async def read(look: Any) -> Any:
                reads.append(look)
                raise control_lines.Unavailable("the partition is loading")

            real_read = door.partition.read
            monkeypatch.setattr(door.partition, "read", read)
            door.gateway.send_tasks("default", instance.id, [task.id])
            await until(lambda: len(reads) == 1)
            question = acs.TaskStopVerificationMessage(
                message_id=agent.manifest.message_id,
                stop_candidates=(acs.TaskIdentifier(task_arn=task.arn.replace(task.id, "f" * 32)),),
            )
            await agent.say(question)
            await until(lambda: len(reads) >= 3)
            monkeypatch.setattr(door.partition, "read", real_read)
            payload = await agent.next(acs.PayloadMessage)
            assert payload.tasks[0].arn == task.arn

            state = door.partition._state
            door.partition._state = None
            await telemetry.send_str(tcs.encode_tcs(tcs.PublishHealthRequest()))
            answer = tcs.decode_tcs(await asyncio.wait_for(telemetry.receive_str(), DEADLINE_S))
            assert isinstance(answer, tcs.ServerException)
            async with door.client.get(door.acs_url(instance.arn)) as refused:
                assert (refused.status, list(await refused.json())) == (503, ["ServerException"])
            door.partition._state = state

    run(scenario, store=store)


def test_a_bug_in_making_a_payload_is_logged_and_the_connection_lives_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(door: Door) -> None:
        instance = await door.register()
        async with door.agent(instance.arn) as agent:
            await until(lambda: connected(door, instance.id))
            with monkeypatch.context() as broken:
                broken.setattr(control_lines, "news_for", lambda *arguments, **named: {"t": 1 / 0})
                await door.run_task()
                await until(lambda: "a bug in telling" in caplog.text)
            task = await door.run_task()
            payload = await agent.next(acs.PayloadMessage)
            assert [each.arn for each in payload.tasks] == [task.arn]

    run(scenario)


def test_commands_for_agents_that_are_not_there_are_no_harm() -> None:
    async def scenario(door: Door) -> None:
        door.gateway.send_tasks("default", "nobody", None)
        door.gateway.close_session("nowhere", "nobody", "why not")
        assert door.gateway.metrics_of("default", "nobody") == {}

    run(scenario)
