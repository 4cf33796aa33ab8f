"""The sockets of the streaming port: who listens to which stream, and what becomes of slow readers."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from sb3_carla.simulator.sensors import Message
from sb3_carla.simulator.wire.streams import Subscription, SubscriptionError

log = logging.getLogger(__name__)

_CONGESTED: Final = 16 * 1024 * 1024  # backlog of one subscriber from which ticks wait for it [bytes]
_FULL: Final = 64 * 1024 * 1024  # backlog from which whole messages are dropped [bytes]
_ALL: Final = 512 * 1024 * 1024  # backlog of all subscribers together, of which each may have an equal share [bytes]
_HOLD: Final = 2.0  # a tick waits at most so long for slow readers, and for none that reads nothing for so long [s]
_STUCK: Final = 30.0  # a subscriber with a backlog that reads nothing for so long is dismissed [s]


class Subscriber:
    """One connection to the streaming port.

    :param sock: connected, non-blocking
    :param streams: where it enters itself once it has said which stream it wants
    """

    def __init__(self, sock: socket.socket, streams: Streams):
        self.sock = sock
        self.stream_id: int | None = None
        self.dropped = 0  # messages
        self.progress = time.monotonic()  # when it last read something
        self._streams = streams
        self._handshake = Subscription()
        self._backlog = bytearray()

    @property
    def backlog(self) -> int:
        """Bytes that it has not taken yet."""
        return len(self._backlog)

    def read(self) -> bool:
        """Take what the peer sent; False when the connection is over."""
        try:
            data = self.sock.recv(64)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data or self.stream_id is not None:
            return False
        try:
            stream_id = self._handshake.feed(data)
        except SubscriptionError:
            return False
        if stream_id is not None:
            self.stream_id = stream_id
            self._streams.enter(self)
        return True

    def send(self, message: Message) -> bool:
        """Send one message, now or when the peer has read what came before; False when the connection is over."""
        if self._backlog:
            if time.monotonic() - self.progress > _STUCK:
                log.warning(
                    "a subscriber of stream %s has read nothing for %d s and is dismissed", self.stream_id, _STUCK
                )
                return False
            if len(self._backlog) > self._streams.share():
                self.dropped += 1
                return True
            for part in message:
                self._backlog += memoryview(part).cast("B")
            return True
        try:
            sent = self.sock.sendmsg(message) if len(message) > 1 else self.sock.send(message[0])
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        for part in message:
            view = memoryview(part).cast("B")
            if sent < len(view):
                self._backlog += view[sent:]
                sent = 0
            else:
                sent -= len(view)
        if self._backlog:
            self.progress = time.monotonic()
            self._streams.watch(self)
        return True

    def flush(self) -> bool:
        """Send of the backlog what the peer takes; False when the connection is over."""
        try:
            with memoryview(self._backlog) as view:
                sent = self.sock.send(view[: 1 << 20])
        except BlockingIOError:
            return True
        except OSError:
            return False
        del self._backlog[:sent]
        self.progress = time.monotonic()
        return True


class Streams:
    """All subscribers by stream.

    :param entered: called with the stream id when a subscriber has said which one it wants
    :param watch: called with a subscriber that has begun to have a backlog
    :param dismiss: called with a subscriber whose connection is over
    """

    def __init__(
        self,
        entered: Callable[[int], None],
        watch: Callable[[Subscriber], None],
        dismiss: Callable[[Subscriber], None],
    ):
        self.watch = watch
        self._entered = entered
        self._dismiss = dismiss
        self._by_stream: dict[int, list[Subscriber]] = {}
        self._behind: set[Subscriber] = set()  # those with a backlog when something was last sent to them

    def enter(self, subscriber: Subscriber) -> None:
        """A subscriber has said which stream it wants."""
        assert subscriber.stream_id is not None
        self._by_stream.setdefault(subscriber.stream_id, []).append(subscriber)
        self._entered(subscriber.stream_id)

    def leave(self, subscriber: Subscriber) -> None:
        """A subscriber has gone."""
        self._behind.discard(subscriber)
        if subscriber.stream_id is None:
            return
        others = self._by_stream.get(subscriber.stream_id, [])
        if subscriber in others:
            others.remove(subscriber)
        if not others:
            self._by_stream.pop(subscriber.stream_id, None)

    def listening(self, stream_id: int) -> bool:
        """Whether anyone subscribes to a stream."""
        return stream_id in self._by_stream

    def publish(self, stream_id: int, message: Message) -> None:
        """Send a message to all subscribers of a stream."""
        for subscriber in tuple(self._by_stream.get(stream_id, ())):
            if not subscriber.send(message):
                self._dismiss(subscriber)
            elif subscriber.backlog:
                self._behind.add(subscriber)
            else:
                self._behind.discard(subscriber)

    def share(self) -> int:
        """How much backlog each of those that are behind may have [bytes]."""
        return min(_FULL, _ALL // max(1, len(self._behind)))

    def hold(self, asked: float, now: float) -> float:
        """How long a tick may still wait for slow readers [s]; zero or less: not at all.

        One that has stopped to read is waited for once: then it loses messages, and at last its connection.

        :param asked: when the tick was asked for
        :param now: the time
        """
        slow = [one for one in self._behind if one.backlog > _CONGESTED and now - one.progress < _HOLD]
        return min(asked, max(one.progress for one in slow)) + _HOLD - now if slow else 0.0
