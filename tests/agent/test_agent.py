"""A whole agent with simulated containers, and everything it says to ECS on the wire."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from awsorch.agent import api, session, telemetry
from awsorch.agent.api import APIError, TerminalError
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.engine import EngineUnavailableError
from awsorch.agent.settings import SettingError
from awsorch.wire import acs, tcs
from tests.agent.backend import CLUSTER_ARN
from tests.agent.bench import Bench, play
from tests.agent.tasks import a_container, a_task, stop


class TestRegistration:
    def test_what_a_new_instance_says(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start(
                ECS_INSTANCE_ATTRIBUTES='{"stack": "blue"}',
                ECS_CONTAINER_INSTANCE_TAGS='{"team": "x"}',
                ECS_RESERVED_MEMORY="100",
                AWSORCH_INSTANCE_CPU="4096",
                AWSORCH_INSTANCE_MEMORY="8000",
            )
            request = bench.backend.calls("RegisterContainerInstance")[0]
            assert request["cluster"] == "c1"
            assert "containerInstanceArn" not in request
            assert (request["instanceIdentityDocument"], request["instanceIdentityDocumentSignature"]) == ("", "")
            assert request["totalResources"] == [
                {"name": "CPU", "type": "INTEGER", "integerValue": 4096},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": 7900},
                {
                    "name": "PORTS",
                    "type": "STRINGSET",
                    "stringSetValue": ["22", "2375", "2376", "51678", "51679"],
                },
                {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
            ]
            assert request["attributes"][0] == {"name": "stack", "value": "blue"}
            assert {"name": "ecs.os-type", "value": "linux"} in request["attributes"]
            assert {"name": "com.amazonaws.ecs.capability.logging-driver.json-file"} in request["attributes"]
            assert request["tags"] == [{"key": "team", "value": "x"}]
            assert bench.backend.control_queries[0] == {
                "agentHash": f"awsorch-{version('awsorch')}",
                "agentVersion": "1.105.1",
                "clusterArn": "c1",
                "containerInstanceArn": bench.backend.instance_arn,
                "dockerVersion": "DockerVersion: 20.10.24",
                "protocolVersion": "2",
                "seqNum": "1",
                "sendCredentials": "true",
                "awsorchExec": "true",
            }

        play(tmp_path, scenario)

    def test_the_same_instance_after_a_restart(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start(ECS_INSTANCE_ATTRIBUTES='{"stack": "blue"}')
            arn = bench.backend.instance_arn
            await bench.stop()
            await bench.start(ECS_INSTANCE_ATTRIBUTES='{"stack": "blue"}')
            first, second = bench.backend.calls("RegisterContainerInstance")
            assert second["containerInstanceArn"] == arn == bench.backend.instance_arn
            assert {"name": "stack", "value": "blue"} not in second["attributes"]
            assert first["clientToken"] != second["clientToken"]

        play(tmp_path, scenario)

    def test_another_cluster_on_the_same_state_is_final(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.stop()
            with pytest.raises(TerminalError, match="registered in cluster c1"):
                await bench.start(ECS_CLUSTER="c2")

        play(tmp_path, scenario)

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (400, "InvalidParameterException", TerminalError),
            (400, "ClientException", TerminalError),
            (400, "AccessDeniedException", APIError),
        ],
    )
    def test_refusals(self, tmp_path: Path, status: int, code: str, error: type[Exception]) -> None:
        async def scenario(bench: Bench) -> None:
            bench.backend.failures["RegisterContainerInstance"] = [(status, code, "no")]
            with pytest.raises(error, match="no"):
                await bench.start()

        play(tmp_path, scenario)

    def test_trouble_that_passes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api, "REGISTRATION_DELAYS", (0.01, 0.02))
        monkeypatch.setattr(api, "RETRY_DELAY", 0.001)

        async def scenario(bench: Bench) -> None:
            bench.backend.failures["RegisterContainerInstance"] = [
                *[(500, "ServerException", "later")] * 4,
                (400, "ThrottlingException", "slower"),
            ]
            await bench.start()

        play(tmp_path, scenario)

    def test_the_default_cluster_is_made_when_it_is_not_there(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            bench.backend.failures["RegisterContainerInstance"] = [
                (400, "ClusterNotFoundException", "Cluster not found.")
            ]
            await bench.start(ECS_CLUSTER="")
            assert bench.backend.calls("CreateCluster") == [{"clusterName": "default"}]

        play(tmp_path, scenario)

    def test_an_attribute_that_comes_back_changed_is_final(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            async def answer(operation: str, body: dict[str, Any]) -> dict[str, Any]:
                return {"containerInstance": {"containerInstanceArn": "arn:x", "attributes": []}}

            bench.backend._answer = answer  # type: ignore[method-assign]
            with pytest.raises(TerminalError, match=r"AttributeError: attribute ecs\.os-type"):
                await bench.start()

        play(tmp_path, scenario)

    def test_no_region_is_a_setting_error(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            with pytest.raises(SettingError, match="AWS_DEFAULT_REGION"):
                await bench.start(AWS_DEFAULT_REGION="")

        play(tmp_path, scenario)

    def test_nothing_to_sign_with(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            with pytest.raises(NoCredentialsError, match="AWS_ACCESS_KEY_ID"):
                await bench.start(AWS_ACCESS_KEY_ID="", AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:9")

        play(tmp_path, scenario)


class TestControl:
    def test_a_task_from_payload_to_cleanup(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            task = a_task()
            await bench.backend.acknowledged(await bench.backend.send_tasks(task))
            await bench.backend.reported(task.arn, "RUNNING")
            ack = next(each for each in bench.backend.from_control if isinstance(each, acs.AckRequest))
            assert (ack.cluster, ack.container_instance) == (CLUSTER_ARN, bench.backend.instance_arn)
            await bench.backend.acknowledged(await bench.backend.send_tasks(stop(task)))
            await bench.backend.reported(task.arn, "STOPPED")

        play(tmp_path, scenario)

    def test_an_empty_payload_is_acknowledged(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.backend.acknowledged(await bench.backend.send_tasks())

        play(tmp_path, scenario)

    def test_a_bad_task_is_reported_and_its_payload_is_not_acknowledged(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            bad = a_task(a_container(overrides="{"))
            message = await bench.backend.send_tasks(bad)
            assert (await bench.backend.reported(bad.arn, "STOPPED"))["reason"].startswith("UnrecogniedTaskError: ")
            await bench.backend.acknowledged(await bench.backend.send_tasks())
            assert message not in bench.backend.acks()

        play(tmp_path, scenario)

    def test_heartbeats_are_acknowledged_and_nonsense_does_no_harm(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            for nonsense in ("", "{", '{"type":"Unheard","message":{}}', '{"type":"HeartbeatMessage","message":7}'):
                await bench.backend.controls[-1].send_str(nonsense)
            await bench.backend.send(acs.CloseMessage(message="bye"))
            await bench.backend.send(acs.HeartbeatMessage(message_id="beat", healthy=True))
            ack = acs.HeartbeatAckRequest(message_id="beat")
            await bench.backend.until(lambda: ack in bench.backend.from_control)
            assert len(bench.backend.control_queries) == 1

        play(tmp_path, scenario)

    def test_credentials_are_acknowledged_and_not_stored(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            secret = acs.IAMRoleCredentials(credentials_id="c", secret_access_key="hush", expiration="2030")
            task = a_task(role_credentials=secret)
            message = await bench.backend.send_tasks(task)
            first = acs.IAMRoleCredentialsAckRequest(message_id=message, credentials_id="c", expiration="2030")
            await bench.backend.until(lambda: first in bench.backend.from_control)
            await bench.backend.send(
                acs.IAMRoleCredentialsMessage(
                    message_id="r", task_arn=task.arn, role_type="TaskApplication", role_credentials=secret
                )
            )
            again = acs.IAMRoleCredentialsAckRequest(message_id="r", credentials_id="c", expiration="2030")
            await bench.backend.until(lambda: again in bench.backend.from_control)
            stored = b"".join(each.read_bytes() for each in tmp_path.iterdir())
            assert task.arn.encode() in stored
            assert b"hush" not in stored

        play(tmp_path, scenario)

    def test_the_whole_exchange_about_a_manifest(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            backend = bench.backend
            kept, extra, spared = a_task(), a_task(), a_task()
            await backend.acknowledged(await backend.send_tasks(kept, extra, spared))
            for task in (kept, extra, spared):
                await backend.reported(task.arn, "RUNNING")
            manifest = acs.TaskManifestMessage(
                message_id="manifest",
                cluster_arn=CLUSTER_ARN,
                container_instance_arn=backend.instance_arn,
                timeline=backend.next_sequence(),
                tasks=(acs.TaskIdentifier(task_arn=kept.arn, desired_status="RUNNING"),),
            )
            await backend.send(manifest)
            asked = await backend.until(
                lambda: next(
                    (each for each in backend.from_control if isinstance(each, acs.TaskStopVerificationMessage)), None
                )
            )
            assert asked.message_id == "manifest"
            assert {each.task_arn for each in asked.stop_candidates} == {extra.arn, spared.arn}
            assert "manifest" in backend.acks()
            wrong_id = acs.TaskStopVerificationAck(
                message_id="other", stop_tasks=(acs.TaskIdentifier(task_arn=kept.arn),)
            )
            await backend.send(wrong_id)
            await backend.send(
                acs.TaskStopVerificationAck(message_id="manifest", stop_tasks=(acs.TaskIdentifier(task_arn=extra.arn),))
            )
            await backend.reported(extra.arn, "STOPPED")
            assert [each["status"] for each in backend.reports(spared.arn)] == ["RUNNING"]
            assert [each["status"] for each in backend.reports(kept.arn)] == ["RUNNING"]

        play(tmp_path, scenario)

    def test_updates_are_declined(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.backend.send(acs.PerformUpdateMessage(message_id="u", cluster_arn="c"))
            nack = acs.NackRequest(message_id="u", cluster="c", reason="Updates are disabled")
            await bench.backend.until(lambda: nack in bench.backend.from_control)

        play(tmp_path, scenario)


class TestConnections:
    def test_a_cut_connection_is_opened_again_and_work_goes_on(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            task = a_task()
            message = await bench.backend.send_tasks(task)
            await bench.backend.cut_control()
            await bench.backend.connected(2)
            assert bench.backend.control_queries[1]["sendCredentials"] == "false"
            await bench.backend.send_tasks(task, message_id=message)
            await bench.backend.acknowledged(message)
            await bench.backend.reported(task.arn, "RUNNING")
            assert len(bench.engine.starts) == 1

        play(tmp_path, scenario)

    def test_an_orderly_close_is_answered_by_a_new_connection(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.backend.controls[-1].close(code=1001)
            await bench.backend.connected(2)

        play(tmp_path, scenario)

    def test_a_silent_server_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "INACTIVITY", (0.3, 0.35))

        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.backend.connected(3)

        play(tmp_path, scenario)

    def test_an_old_connection_is_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "OLDEST", (0.3, 0.35))

        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.backend.connected(2)

        play(tmp_path, scenario)

    def test_refused_handshakes_are_tried_again(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            bench.backend.refuse_control = [(500, "{}"), (400, '{"InvalidClusterException": "no"}')]
            await bench.start()
            assert bench.backend.refuse_control == []

        play(tmp_path, scenario)

    def test_an_instance_that_is_not_active_waits_for_an_hour(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session, "INACTIVE_INSTANCE_WAIT", 0.3)

        async def scenario(bench: Bench) -> None:
            bench.backend.refuse_control = [(400, '{"InactiveInstanceException": "gone"}')]
            began = time.monotonic()
            await bench.start()
            assert time.monotonic() - began >= 0.3

        play(tmp_path, scenario)

    def test_the_poll_endpoint_is_asked_for_once(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.backend.controls[-1].close()
            await bench.backend.connected(2)
            calls = bench.backend.calls("DiscoverPollEndpoint")
            assert calls[0] == {"cluster": "c1", "containerInstance": bench.backend.instance_arn, "zoneId": ""}
            assert len(calls) <= 2, "once for each of the two websockets at most, when they ask at the same time"

        play(tmp_path, scenario)

    def test_a_known_endpoint_is_used_while_the_call_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api, "POLL_ENDPOINT_SECONDS", 0.0)
        monkeypatch.setattr(api, "RETRY_DELAY", 0.001)

        async def scenario(bench: Bench) -> None:
            await bench.start()
            bench.backend.failures["DiscoverPollEndpoint"] = [(500, "ServerException", "later")] * 1000
            await bench.backend.controls[-1].close()
            await bench.backend.connected(2)

        play(tmp_path, scenario)


class TestReports:
    def test_one_that_is_refused_for_good_is_dropped(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            bench.backend.failures["SubmitTaskStateChange"] = [(400, "InvalidParameterException", "unknown task")]
            task = a_task()
            await bench.backend.send_tasks(task)
            await bench.backend.until(lambda: not bench.backend.failures["SubmitTaskStateChange"])
            await bench.backend.send_tasks(stop(task))
            await bench.backend.reported(task.arn, "STOPPED")
            assert [each["status"] for each in bench.backend.reports(task.arn)] == ["STOPPED"]

        play(tmp_path, scenario)

    def test_one_that_meets_trouble_is_sent_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api, "RETRY_DELAY", 0.001)

        async def scenario(bench: Bench) -> None:
            await bench.start()
            bench.backend.failures["SubmitTaskStateChange"] = [
                (500, "ServerException", "later"),
                (400, "ThrottlingException", "slower"),
            ]
            task = a_task()
            await bench.backend.send_tasks(task)
            await bench.backend.reported(task.arn, "RUNNING")

        play(tmp_path, scenario)


class TestTelemetry:
    def test_idle_metrics_and_the_instance_s_status_come_first(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            await bench.backend.until(lambda: len(bench.backend.from_telemetry) >= 2)
            metrics, status = bench.backend.from_telemetry[:2]
            assert isinstance(metrics, tcs.PublishMetricsRequest)
            assert metrics.metadata is not None
            assert (metrics.metadata.idle, metrics.metadata.fin) == (True, True)
            assert metrics.metadata.container_instance == bench.backend.instance_arn
            assert isinstance(status, tcs.PublishInstanceStatusRequest)
            assert [(each.type, each.status) for each in status.statuses] == [("ContainerRuntime", "OK")]
            headers, _ = tcs.split_frame(bench.backend.telemetry_frames[0])
            assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
            assert set(headers) == {"authorization", "host", "x-amz-date"}

        play(tmp_path, scenario)

    def test_an_engine_that_does_not_answer_is_told(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            bench.engine.fail_next("ping", EngineUnavailableError("connection refused"))
            await bench.start()
            status = await bench.backend.until(
                lambda: next(
                    (m for m in bench.backend.from_telemetry if isinstance(m, tcs.PublishInstanceStatusRequest)), None
                )
            )
            assert status.statuses[0].status == "IMPAIRED"
            assert status.statuses[0].status_reason == "DockerStateError: connection refused"

        play(tmp_path, scenario)

    def test_metrics_of_many_tasks_come_in_tens(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(telemetry, "PERIOD", 0.2)

        async def scenario(bench: Bench) -> None:
            await bench.start()
            tasks = [a_task() for _ in range(12)]
            await bench.backend.send_tasks(*tasks)

            def rounds() -> list[list[tcs.PublishMetricsRequest]] | None:
                by_id: dict[str, list[tcs.PublishMetricsRequest]] = {}
                for each in bench.backend.from_telemetry:
                    if isinstance(each, tcs.PublishMetricsRequest) and each.metadata is not None:
                        by_id.setdefault(each.metadata.message_id, []).append(each)
                full = [each for each in by_id.values() if sum(len(m.task_metrics) for m in each) == 12]
                return full or None

            first, last = (await bench.backend.until(rounds))[0]
            assert first.metadata is not None
            assert last.metadata is not None
            assert (len(first.task_metrics), first.metadata.fin, first.metadata.idle) == (10, False, False)
            assert (len(last.task_metrics), last.metadata.fin) == (2, True)
            container = first.task_metrics[0].container_metrics[0]
            assert container.cpu_stats_set is not None
            assert container.cpu_stats_set.sum > 0
            assert container.memory_stats_set == tcs.DoubleStats(min=64, max=64, sample_count=1, sum=64)

        play(tmp_path, scenario)

    def test_health_is_published_when_it_changes(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            await bench.start()
            environment = {"SIMULATED_HEALTH": "healthy:0.2"}
            task = a_task(a_container(environment=environment, health_check_type="docker"))
            await bench.backend.send_tasks(task)
            published = await bench.backend.until(
                lambda: next((m for m in bench.backend.from_telemetry if _says(m, "HEALTHY")), None), patience=10.0
            )
            assert isinstance(published, tcs.PublishHealthRequest)
            assert published.tasks[0].task_arn == task.arn
            assert published.tasks[0].containers[0].container_name == "app"

        play(tmp_path, scenario)

    def test_an_idle_agent_of_a_fleet_is_not_connected_until_it_has_tasks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telemetry, "PERIOD", 0.1)

        async def scenario(bench: Bench) -> None:
            await bench.start(telemetry_when_idle=False)
            assert bench.backend.from_telemetry == []
            task = a_task(a_container(environment={"SIMULATED_RUN_SECONDS": "0.5"}))
            await bench.backend.send_tasks(task)
            await bench.backend.reported(task.arn, "STOPPED")
            await bench.backend.until(
                lambda: any(
                    isinstance(each, tcs.PublishMetricsRequest) and each.metadata is not None and each.metadata.idle
                    for each in bench.backend.from_telemetry
                )
            )

        play(tmp_path, scenario)


def _says(message: tcs.TCSMessage, health: str) -> bool:
    return isinstance(message, tcs.PublishHealthRequest) and any(
        container.health_status == health for task in message.tasks for container in task.containers
    )
