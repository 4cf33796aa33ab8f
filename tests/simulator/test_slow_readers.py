"""Readers of a stream that are slow, or stop, neither block the world nor fill its memory."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from sb3_carla.simulator import subscribers
from sb3_carla.simulator.subscribers import Streams, Subscriber

STREAM = 7
MESSAGE = (bytes(1_000_000),)


class Room:
    """Streams with subscribers at the other end of socket pairs."""

    def __init__(self):
        self.gone = []
        self.streams = Streams(lambda stream: None, lambda one: None, self._dismiss)
        self.peers = []

    def _dismiss(self, subscriber):
        self.gone.append(subscriber)
        self.streams.leave(subscriber)

    def join(self):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        subscriber = Subscriber(ours, self.streams)
        theirs.sendall(struct.pack("<I", STREAM))
        assert subscriber.read()
        self.peers += [ours, theirs]
        return subscriber, theirs

    def publish(self, times):
        for _ in range(times):
            self.streams.publish(STREAM, MESSAGE)


@pytest.fixture
def room():
    room = Room()
    yield room
    for sock in room.peers:
        sock.close()


def read(subscriber, peer, size):
    """Let the peer read so many bytes while the server goes on to send."""
    data = bytearray()
    while len(data) < size:
        assert subscriber.flush()
        data += peer.recv(min(1 << 20, size - len(data)))
    return bytes(data)


def test_a_tick_waits_for_a_reader_that_is_behind_until_it_has_caught_up(room):
    subscriber, peer = room.join()
    now = time.monotonic()
    room.publish(5)
    assert room.streams.hold(now, now) <= 0.0
    room.publish(20)
    assert room.streams.hold(now, now) > 0.0
    read(subscriber, peer, 20_000_000)
    assert room.streams.hold(now, now) <= 0.0


def test_a_reader_that_has_stopped_is_waited_for_only_once(room):
    room.join()
    room.publish(25)
    later = time.monotonic() + 3.0
    assert room.streams.hold(later, later) <= 0.0
    room.publish(25)
    assert room.streams.hold(later, later) <= 0.0


def test_the_backlog_of_a_reader_that_has_stopped_stays_bounded_and_it_loses_whole_messages(room):
    subscriber, peer = room.join()
    room.publish(200)
    assert subscriber.backlog < 69_000_000
    assert subscriber.dropped > 100
    read(subscriber, peer, (200 - subscriber.dropped) * len(MESSAGE[0]))
    assert subscriber.backlog == 0


def test_many_readers_that_have_stopped_share_the_memory(room, monkeypatch):
    monkeypatch.setattr(subscribers, "_ALL", 20_000_000)
    readers = [room.join()[0] for _ in range(10)]
    room.publish(30)
    assert sum(one.backlog for one in readers) < 35_000_000


def test_a_reader_that_has_stopped_for_long_is_dismissed_and_others_are_not(room, monkeypatch):
    stopped, _ = room.join()
    reading, peer = room.join()
    room.publish(3)
    read(reading, peer, 3_000_000)
    stopped.progress -= 31.0
    room.publish(1)
    assert room.gone == [stopped]
    assert read(reading, peer, 1_000_000) == MESSAGE[0]
