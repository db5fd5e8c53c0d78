"""ACS and TCS messages: documented samples, and the Go-like reading of what is spelled differently."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsorch.wire import acs, tcs
from awsorch.wire.errors import WireError

PAYLOAD = {
    "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/c1",
    "containerInstanceArn": "arn:aws:ecs:us-east-1:123456789012:container-instance/c1/0123",
    "messageId": "6e5b",
    "generatedAt": 1760000000000,
    "seqNum": 5,
    "timeline": 5,
    "tasks": [
        {
            "arn": "arn:aws:ecs:us-east-1:123456789012:task/c1/00000000000000000000000000000001",
            "desiredStatus": "RUNNING",
            "family": "web",
            "version": "7",
            "overrides": "{}",
            "cpu": 0.25,
            "memory": 64,
            "roleCredentials": {"credentialsId": "cred-1", "expiration": "2030-01-01T00:00:00Z"},
            "volumes": [{"name": "v", "type": "host", "host": {}}],
            "containers": [
                {
                    "name": "app",
                    "image": "busybox:1",
                    "essential": True,
                    "environment": {"A": "b"},
                    "portMappings": [
                        {"containerPort": 80, "protocol": "tcp"},
                        {"containerPortRange": "9000-9002", "protocol": "tcp"},
                    ],
                    "dockerConfig": {"version": "1.18", "config": "{}", "hostConfig": "{}"},
                }
            ],
        }
    ],
}


def frame(kind: str, message: Any) -> str:
    return json.dumps({"type": kind, "message": message})


def swap_case(value: Any) -> Any:
    """Member names in the other case; keys of maps (environment) stay as they are."""
    if isinstance(value, list):
        return [swap_case(each) for each in value]
    if isinstance(value, dict):
        return {key.swapcase(): each if key == "environment" else swap_case(each) for key, each in value.items()}
    return value


def test_a_payload_reads_as_documented_and_writes_the_same_members():
    message = acs.decode_acs(frame("PayloadMessage", PAYLOAD))

    assert isinstance(message, acs.PayloadMessage)
    assert message.tasks[0].containers[0].port_mappings[1].container_port_range == "9000-9002"
    assert message.tasks[0].volumes[0].host == acs.HostVolume()
    assert message.tasks[0].containers[0].entry_point is None
    assert json.loads(acs.encode_acs(message)) == {"type": "PayloadMessage", "message": PAYLOAD}


def test_names_match_whatever_their_case_and_unknown_and_null_members_do_not_count():
    odd = swap_case(PAYLOAD) | {"somethingNew": {"deep": [1, None]}, "Timeline": None}
    odd["TASKS"][0]["pidMode"] = None
    odd["TASKS"][0]["CONTAINERS"][0]["Links"] = [None, "a:b", None]
    odd["TIMELINE"] = 5

    message = acs.decode_acs(json.dumps({"TYPE": "PayloadMessage", "Message": odd}))

    expected = acs.decode_acs(frame("PayloadMessage", PAYLOAD))
    assert isinstance(message, acs.PayloadMessage)
    assert isinstance(expected, acs.PayloadMessage)
    assert message.tasks[0].containers[0].links == ("a:b",)
    assert message.tasks[0].containers[0].environment == {"A": "b"}
    assert (message.seq_num, message.timeline, message.cluster_arn) == (5, 5, expected.cluster_arn)
    assert message.tasks[0].role_credentials == expected.tasks[0].role_credentials


@pytest.mark.parametrize(
    "text",
    [
        frame("PayloadMessage", {"seqNum": 6.5}),
        frame("PayloadMessage", {"seqNum": 5.0}),
        frame("PayloadMessage", {"seqNum": "6"}),
        frame("PayloadMessage", {"SEQNUM": True}),
        frame("PayloadMessage", {"seqNum": 2**63}),
        frame("PayloadMessage", {"tasks": {}}),
        frame("PayloadMessage", {"tasks": [{"containers": [{"environment": {"A": 1}}]}]}),
        frame("PayloadMessage", {"tasks": [{"containers": [{"environment": []}]}]}),
        frame("PayloadMessage", {"Tasks": [[]]}),
        frame("HeartbeatMessage", {"healthy": "true"}),
        frame("HeartbeatMessage", []),
        "",
        "[",
        "[]",
        "7",
        "{}",
        '{"type":5}',
        '{"type":"AckRequest","message":{"messageId":NaN}}',
        '{"type":"AckRequest","message":{"messageId":"\\ud800"}}',
        '{"type":"AckRequest","message":{"messageId":"\ud800"}}',
        "[" * 100_000,
        '{"type":"AckRequest","message":' + '{"a":' * 100_000,
        '{"type":"AckRequest","message":{"x":' + "1" * 10_000 + "}}",
    ],
)
def test_an_ill_typed_or_broken_message_is_refused_as_a_whole(text):
    with pytest.raises(WireError) as caught:
        acs.decode_acs(text)
    assert caught.value.code == "BadRequestException"


def test_an_unknown_type_is_not_an_error():
    assert acs.decode_acs(frame("SomethingNewMessage", {"a": 1})) is None
    assert acs.decode_acs('{"type":"SomethingNewMessage","message":7}') is None


def test_a_message_without_a_body_has_every_member_at_its_default():
    assert acs.decode_acs('{"type":"HeartbeatMessage"}') == acs.HeartbeatMessage()
    assert acs.decode_acs('{"type":"HeartbeatMessage","message":null}') == acs.HeartbeatMessage()


@pytest.mark.parametrize("kind", acs.ACSMessage.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_control_message_survives_the_wire(kind):
    message = kind()
    assert acs.decode_acs(acs.encode_acs(message)) == message


@pytest.mark.parametrize("kind", tcs.TCSMessage.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_telemetry_message_survives_the_wire(kind):
    message = kind()
    assert tcs.decode_tcs(tcs.encode_tcs(message)) == message
    assert tcs.decode_tcs(tcs.encode_tcs(message, {"Host": "h"})) == message


def test_a_telemetry_frame_carries_its_header_block():
    sent = tcs.PublishMetricsRequest(
        metadata=tcs.MetricsMetadata(cluster="c1", message_id="m", idle=True, fin=True),
        timestamp=1795367747.111,
    )
    text = tcs.encode_tcs(sent, {"Authorization": "AWS4-HMAC-SHA256 Credential=a:b", "Host": "127.0.0.1:46001"})

    headers, envelope = tcs.split_frame(text)

    assert headers == {"authorization": "AWS4-HMAC-SHA256 Credential=a:b", "host": "127.0.0.1:46001"}
    assert json.loads(envelope)["message"]["metadata"]["idle"] is True
    assert tcs.decode_tcs(text) == sent


def test_a_bare_telemetry_envelope_may_hold_an_empty_line_of_its_own():
    text = '{"type":"AckPublishMetric",\r\n\r\n"message":{"message":"ok"}}'
    assert tcs.decode_tcs(text) == tcs.AckPublishMetric(message="ok")


def test_metrics_keep_their_numbers():
    text = frame(
        "PublishMetricsRequest",
        {
            "metadata": {"messageId": "dd22"},
            "timestamp": 1795367747.111,
            "taskMetrics": [
                {
                    "taskArn": "t",
                    "containerMetrics": [
                        {
                            "containerName": "app",
                            "cpuStatsSet": {"max": 0.248, "min": 0, "sampleCount": 15, "sum": 3.27},
                            "networkStatsSet": {"rxBytes": {"max": 656, "overflowMax": 0, "sum": 8330}},
                            "restartStatsSet": {"restartCount": 2},
                        }
                    ],
                }
            ],
        },
    )
    message = tcs.decode_tcs(text)
    assert isinstance(message, tcs.PublishMetricsRequest)
    container = message.task_metrics[0].container_metrics[0]
    assert container.cpu_stats_set == tcs.DoubleStats(max=0.248, sample_count=15, sum=3.27)
    assert container.network_stats_set == tcs.NetworkStats(rx_bytes=tcs.LongStats(max=656, sum=8330))
    assert container.restart_stats_set == tcs.RestartStats(restart_count=2)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(PAYLOAD)), inner),
    max_leaves=20,
)


@given(kind=st.sampled_from([kind.__name__ for kind in acs.ACSMessage.__subclasses__()]), message=json_values)
def test_any_json_is_read_or_refused(kind, message):
    try:
        read = acs.decode_acs(frame(kind, message))
    except WireError:
        return
    assert read is not None
    assert acs.decode_acs(acs.encode_acs(read)) == read


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for decode in (acs.decode_acs, tcs.decode_tcs):
        with contextlib.suppress(WireError):
            decode(text)
