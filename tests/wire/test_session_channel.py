"""The data channel as frames, with a client that acknowledges, repeats itself, and is late."""

from __future__ import annotations

import contextlib
import json
import struct
import uuid
from base64 import b64decode, b64encode
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsorch.wire.errors import WireError
from awsorch.wire.exec_frames import Data, End, Size, Terminate, decode_said, encode_said
from awsorch.wire.session_channel import (
    ACKNOWLEDGE,
    CHALLENGE_REQUEST,
    CHALLENGE_RESPONSE,
    CHUNK,
    CLOSED,
    DATA,
    EXIT_CODE,
    FLAG,
    HANDSHAKE_COMPLETE,
    HANDSHAKE_REQUEST,
    HANDSHAKE_RESPONSE,
    INPUT,
    OUTPUT,
    SIZE,
    WINDOW,
    Ended,
    Failed,
    Frame,
    KeyMade,
    Resized,
    SessionChannel,
    Typed,
    decode,
    encode,
)


def a_frame(sequence: int, payload: bytes = b"", payload_type: int = DATA, kind: str = INPUT) -> bytes:
    return encode(
        Frame(kind=kind, sequence=sequence, flags=0, id=uuid.uuid4(), payload_type=payload_type, payload=payload)
    )


def acknowledgement(frame: Frame) -> bytes:
    said = {
        "AcknowledgedMessageType": frame.kind,
        "AcknowledgedMessageId": str(frame.id),
        "AcknowledgedMessageSequenceNumber": frame.sequence,
        "IsSequentialMessage": True,
    }
    return a_frame(0, json.dumps(said).encode(), 0, ACKNOWLEDGE)


def taken(channel: SessionChannel, acknowledge: bool = True) -> list[Frame]:
    """What the channel has for the client, which acknowledges it."""
    frames = [decode(each) for each in channel.outgoing()]
    if acknowledge:
        for each in frames:
            if each.kind == OUTPUT:
                channel.receive(acknowledgement(each), 0.0)
    return frames


def an_open_channel() -> SessionChannel:
    """One whose handshake is over: the client's next frame is number 1."""
    channel = SessionChannel("s")
    channel.open(0.0)
    (request,) = taken(channel)
    assert (request.kind, request.sequence, request.payload_type) == (OUTPUT, 0, HANDSHAKE_REQUEST)
    (action,) = json.loads(request.payload)["RequestedClientActions"]
    assert action["ActionParameters"]["SessionType"] == "Standard_Stream"
    assert not channel.may_send, "the client does not listen yet"
    assert channel.receive(a_frame(0, b'{"ClientVersion": "1.2"}', HANDSHAKE_RESPONSE), 0.5) == []
    answer, complete = taken(channel)
    assert json.loads(answer.payload)["AcknowledgedMessageSequenceNumber"] == 0
    assert (complete.sequence, complete.payload_type) == (1, HANDSHAKE_COMPLETE)
    assert json.loads(complete.payload)["HandshakeTimeToComplete"] == 500_000_000
    assert channel.may_send
    return channel


@given(
    st.sampled_from([INPUT, OUTPUT, ACKNOWLEDGE, CLOSED]),
    st.integers(min_value=0, max_value=2**62),
    st.binary(max_size=200),
    st.uuids(),
)
def test_frames_are_read_as_they_were_written(kind: str, sequence: int, payload: bytes, id: uuid.UUID) -> None:
    frame = Frame(kind=kind, sequence=sequence, flags=3, id=id, payload_type=1, payload=payload, created=17)
    assert decode(encode(frame)) == frame


def test_the_form_on_the_wire() -> None:
    """Fields where the plugin has them."""
    id = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    message = encode(Frame(kind=OUTPUT, sequence=5, flags=1, id=id, payload_type=1, payload=b"hi", created=258))
    assert message[:4] == struct.pack(">I", 116)
    assert message[4:36] == b"output_stream_data".ljust(32)
    assert message[36:64] == struct.pack(">IQqQ", 1, 258, 5, 1)
    assert message[64:80].hex() == "8899aabbccddeeff0011223344556677", "the halves of the id change places"
    assert message[112:] == struct.pack(">II", 1, 2) + b"hi"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(message: bytes) -> None:
    try:
        decode(message)
    except WireError:
        return
    raise AssertionError("nobody writes a digest by chance")


def test_a_payload_that_was_changed_is_refused() -> None:
    with pytest.raises(WireError, match="digest"):
        decode(a_frame(0, b"ls")[:-1] + b"x")
    channel = an_open_channel()
    assert channel.receive(a_frame(1, b"ls"), 0.0) == [Typed(b"ls")]


def test_input_comes_once_and_in_order_and_all_of_it_is_acknowledged() -> None:
    channel = an_open_channel()
    assert channel.receive(a_frame(3, b"c"), 0.0) == []
    assert channel.receive(a_frame(2, b"b"), 0.0) == []
    assert channel.receive(a_frame(1, b"a"), 0.0) == [Typed(b"a"), Typed(b"b"), Typed(b"c")]
    assert channel.receive(a_frame(2, b"b"), 0.0) == []
    said = [json.loads(each.payload)["AcknowledgedMessageSequenceNumber"] for each in taken(channel)]
    assert said == [3, 2, 1, 2]


def test_sizes_and_the_wish_to_end() -> None:
    channel = an_open_channel()
    assert channel.receive(a_frame(1, b'{"cols": 80, "rows": 24}', SIZE), 0.0) == [Resized(80, 24)]
    assert channel.receive(a_frame(2, b'{"cols": -1, "rows": "x"}', SIZE), 0.0) == []
    assert channel.receive(a_frame(3, b"nonsense", SIZE), 0.0) == []
    assert channel.receive(a_frame(4, struct.pack(">I", 2), FLAG), 0.0) == [Ended()]
    assert channel.receive(a_frame(5, b"?", 99), 0.0) == []


def test_output_is_numbered_cut_and_sent_again_until_it_is_acknowledged() -> None:
    channel = an_open_channel()
    channel.output(b"x" * (CHUNK + 1), 10.0)
    first, second = taken(channel, acknowledge=False)
    assert (first.sequence, len(first.payload), second.sequence, second.payload) == (2, CHUNK, 3, b"x")
    channel.tick(10.5)
    assert channel.outgoing() == []
    channel.receive(acknowledgement(first), 10.6)
    channel.tick(11.1)
    assert taken(channel, acknowledge=False) == [second]
    channel.reopen(11.2)
    assert taken(channel) == [second], "a client that comes again misses nothing"
    assert channel.is_idle


def test_a_client_that_takes_nothing_holds_output_up() -> None:
    channel = an_open_channel()
    for number in range(WINDOW):
        assert channel.may_send, number
        channel.output(b"x", 0.0)
    assert not channel.may_send
    taken(channel)
    assert channel.may_send


def test_the_end() -> None:
    channel = an_open_channel()
    channel.exit_code(3, 0.0)
    channel.close("bye", 0.0)
    code, closed = taken(channel)
    assert (code.payload_type, code.payload) == (EXIT_CODE, b"3")
    said = json.loads(closed.payload)
    assert (closed.kind, said["MessageType"], said["SessionId"], said["Output"]) == (CLOSED, CLOSED, "s", "bye")


class Mirror:
    """A cipher that turns what is said around, and puts a name before it."""

    def encrypt(self, data: bytes) -> bytes:
        return b"controller:" + data[::-1]

    def decrypt(self, data: bytes) -> bytes:
        if not data.startswith(b"client:"):
            raise ValueError("another's")
        return data.removeprefix(b"client:")[::-1]


def said_by_client(data: bytes) -> bytes:
    return b"client:" + data[::-1]


def an_offer(**action: object) -> bytes:
    """A client's answer to the handshake, whose action of encryption came to this."""
    done = {"ActionType": "KMSEncryption", "ActionStatus": 1, "ActionResult": None, "Error": "", **action}
    shell = {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}
    said = {"ClientVersion": "1.2", "ProcessedClientActions": [done, shell], "Errors": None}
    return a_frame(0, json.dumps(said).encode(), HANDSHAKE_RESPONSE)


OFFER = an_offer(ActionResult={"KMSCipherTextKey": "bG9ja2Vk", "KMSCipherTextHash": None})


def a_challenged_channel() -> tuple[SessionChannel, bytes]:
    """One that waits for its client to show that it has the key, and what it wants to hear."""
    channel = SessionChannel("s", kms_key="alias/exec")
    channel.open(0.0)
    (request,) = taken(channel)
    actions = json.loads(request.payload)["RequestedClientActions"]
    assert actions[0] == {"ActionType": "KMSEncryption", "ActionParameters": {"KMSKeyId": "alias/exec"}}
    assert actions[1]["ActionType"] == "SessionType"
    assert channel.receive(OFFER, 0.1) == [KeyMade(b"locked")]
    assert [each.kind for each in taken(channel)] == [ACKNOWLEDGE], "first the key has to be opened"
    channel.encrypt(Mirror(), 0.2)
    (asked,) = taken(channel)
    assert (asked.sequence, asked.payload_type) == (1, CHALLENGE_REQUEST)
    challenge = b64decode(json.loads(asked.payload)["Challenge"])
    assert challenge.startswith(b"controller:")
    return channel, challenge.removeprefix(b"controller:")[::-1]


def an_answer(said: bytes) -> bytes:
    return a_frame(1, json.dumps({"Challenge": b64encode(said).decode()}).encode(), CHALLENGE_RESPONSE)


def test_with_a_key_all_that_is_typed_and_printed_is_encrypted() -> None:
    channel, challenge = a_challenged_channel()
    assert not channel.may_send
    assert channel.receive(an_answer(said_by_client(challenge)), 0.5) == []
    _, complete = taken(channel)
    assert (complete.sequence, complete.payload_type) == (2, HANDSHAKE_COMPLETE)
    assert channel.may_send
    assert channel.receive(a_frame(2, said_by_client(b"ls")), 0.6) == [Typed(b"ls")]
    assert channel.receive(a_frame(3, b'{"cols": 80, "rows": 24}', SIZE), 0.6) == [Resized(80, 24)]
    taken(channel)
    channel.output(b"file", 0.7)
    channel.exit_code(0, 0.8)
    assert [(each.payload_type, each.payload) for each in taken(channel)] == [
        (DATA, b"controller:elif"),
        (EXIT_CODE, b"controller:0"),
    ]


@pytest.mark.parametrize("answer", [b"client:", said_by_client(b"x" * 32), b"", b"controller:"])
def test_who_does_not_have_the_key_is_found_out(answer: bytes) -> None:
    channel, _ = a_challenged_channel()
    (failed,) = channel.receive(an_answer(answer), 0.5)
    assert isinstance(failed, Failed)
    assert failed.words.endswith("it has not shown that it has the key.")
    assert not channel.may_send


def test_what_is_typed_without_encryption_ends_the_session() -> None:
    for sequence, is_shaken in ((1, False), (2, True)):
        channel, challenge = a_challenged_channel()
        if is_shaken:
            channel.receive(an_answer(said_by_client(challenge)), 0.5)
        (failed,) = channel.receive(a_frame(sequence, b"rm -rf /"), 0.6)
        assert isinstance(failed, Failed)
        assert failed.words.endswith("what was typed came without.")


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        (an_offer(ActionStatus=2, Error="Failed to process action KMSEncryption: denied"), "KMSEncryption: denied"),
        (an_offer(ActionStatus=3), "it has no data key of KMS."),
        (an_offer(ActionResult={"KMSCipherTextKey": 7}), "it has no data key of KMS."),
        (an_offer(ActionResult={"KMSCipherTextKey": "?"}), "it has no data key of KMS."),
        (an_offer(ActionResult="x"), "it has no data key of KMS."),
        (an_offer(ActionType="Another"), "it has no data key of KMS."),
        (a_frame(0, b'{"ProcessedClientActions": 7}', HANDSHAKE_RESPONSE), "it has no data key of KMS."),
        (a_frame(0, b"nonsense", HANDSHAKE_RESPONSE), "it has no data key of KMS."),
    ],
)
def test_a_client_that_has_no_key_is_told_so(offer: bytes, words: str) -> None:
    channel = SessionChannel("s", kms_key="k")
    channel.open(0.0)
    (failed,) = channel.receive(offer, 0.1)
    assert isinstance(failed, Failed)
    assert failed.words.endswith(words)
    assert not channel.may_send


def test_early_frames_are_bounded() -> None:
    channel = an_open_channel()
    for number in count(5):
        channel.receive(a_frame(number), 0.0)
        if not channel.outgoing():
            break
    assert number < 2000, "what is too early is not acknowledged, and comes again"


@pytest.mark.parametrize("said", [Data(b"\x00d"), Size(80, 24), Terminate(), End(3), End(None, "no such program")])
def test_what_agents_and_controllers_say(said: Data | Size | Terminate | End) -> None:
    assert decode_said(encode_said(said)) == said


@given(st.binary(max_size=50))
def test_agents_may_say_anything(message: bytes) -> None:
    with contextlib.suppress(WireError):
        assert decode_said(message) is not None
