"""Tokens and the handshake of the streaming port."""

from __future__ import annotations

import struct

import pytest

from sb3_carla.simulator.wire.streams import Subscription, SubscriptionError, token


def test_a_token_names_stream_and_port_and_leaves_the_host_to_the_client():
    stream_id, port, protocol, address_kind, address = struct.unpack("<IHBB16s", token(513, 2001))
    assert (stream_id, port, protocol, address_kind) == (513, 2001, 1, 0)
    assert not any(address)


def test_a_subscription_is_complete_after_four_bytes():
    subscription = Subscription()
    assert [subscription.feed(bytes([byte])) for byte in (1, 2, 0, 0)] == [None, None, None, 513]


def test_a_subscriber_that_sends_more_is_no_carla_client():
    with pytest.raises(SubscriptionError):
        Subscription().feed(b"GET / HTTP/1.1")
