"""The data channel as frames, with a client that acknowledges, repeats itself, and is late."""

from __future__ import annotations

import contextlib
import json
import struct
import uuid
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsorch.wire.errors import WireError
from awsorch.wire.exec_frames import Data, End, Size, Terminate, decode_said, encode_said
from awsorch.wire.session_channel import (
    ACKNOWLEDGE,
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
    Frame,
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
