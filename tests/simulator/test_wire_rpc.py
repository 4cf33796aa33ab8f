"""msgpack-rpc: any split of the bytes gives the same requests, and nothing that a peer sends does harm."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_carla.simulator.wire import rpc

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
_calls = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.text(max_size=12), st.lists(_values, max_size=4)), max_size=5)


@given(_calls, st.data())
def test_requests_come_out_the_same_however_their_bytes_are_cut(calls, data):
    stream = b"".join(msgpack.packb([0, msgid, name, [[False], *arguments]]) for msgid, name, arguments in calls)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = rpc.RequestDecoder()
    requests = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        requests += decoder.feed(stream[start:end])
    assert [(one.msgid, one.method, one.params) for one in requests] == calls


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_either_taken_or_refused_as_a_protocol_error(data):
    decoder = rpc.RequestDecoder()
    try:
        for request in decoder.feed(data):
            assert isinstance(request.method, str)
    except rpc.ProtocolError:
        pass


@pytest.mark.parametrize(
    "message",
    [
        7,
        [],
        [0],
        [1, 2, None, None],
        [0, -1, "version", []],
        [0, 2**32, "version", []],
        [0, 1, 2, []],
        [0, 1, "version", 5],
        {"a": 1},
    ],
)
def test_a_message_that_is_no_request_is_a_protocol_error(message):
    with pytest.raises(rpc.ProtocolError):
        rpc.RequestDecoder().feed(msgpack.packb(message))


@pytest.mark.parametrize(
    "announcement",
    [
        b"\xdd\xff\xff\xff\xff",  # an array of 4 billion elements
        b"\xdf\xff\xff\xff\xff",  # a map of as many
        b"\x91" * 100_000,  # arrays within arrays
    ],
)
def test_an_oversized_announcement_is_refused_before_anything_is_reserved(announcement):
    with pytest.raises(rpc.ProtocolError):
        rpc.RequestDecoder().feed(announcement)


def test_a_message_that_never_ends_is_refused_at_the_limit():
    decoder = rpc.RequestDecoder()
    assert decoder.feed(b"\xdb\xff\xff\xff\xff") == []  # a text of 4 GB
    decoder.feed(bytes(rpc.MAX_MESSAGE))
    with pytest.raises(rpc.ProtocolError):
        decoder.feed(bytes(rpc.MAX_MESSAGE))


def test_a_notification_is_dropped_and_the_request_behind_it_is_not():
    data = msgpack.packb([2, "hello", []]) + msgpack.packb([0, 5, "version", [[False]]])
    assert [one.msgid for one in rpc.RequestDecoder().feed(data)] == [5]


def test_a_request_says_whether_its_reply_is_awaited():
    data = (
        msgpack.packb([0, 1, "a", [[True], 1]])
        + msgpack.packb([0, 2, "b", [[False], 1]])
        + msgpack.packb([0, 3, "c", []])
    )
    assert [one.awaited for one in rpc.RequestDecoder().feed(data)] == [False, True, True]


def test_each_kind_of_reply_has_the_form_that_the_client_decodes():
    assert msgpack.unpackb(rpc.value_reply(3, "x")) == [1, 3, None, [[1, "x"]]]
    assert msgpack.unpackb(rpc.void_reply(3)) == [1, 3, None, [[False]]]
    assert msgpack.unpackb(rpc.refusal(3, "no", void=False)) == [1, 3, None, [[0, ["no"]]]]
    assert msgpack.unpackb(rpc.refusal(3, "no", void=True)) == [1, 3, None, [[True, ["no"]]]]
    assert msgpack.unpackb(rpc.bare_reply(3, [1])) == [1, 3, None, [1]]
    assert msgpack.unpackb(rpc.failure(3, "no")) == [1, 3, "no", None]
