"""The event loop: one thread, two listening sockets, and the order in which requests, ticks and free running go."""

from __future__ import annotations

import itertools
import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from sb3_carla.simulator.connection import Connection
from sb3_carla.simulator.service import TICK, Service
from sb3_carla.simulator.subscribers import Streams, Subscriber
from sb3_carla.simulator.town import Atlas
from sb3_carla.simulator.traffic_manager import wake
from sb3_carla.simulator.wire.rpc import ProtocolError, Request
from sb3_carla.simulator.world import World

log = logging.getLogger(__name__)

_READ: Final = 256 * 1024  # [bytes] at once
_MOST_CONNECTIONS: Final = 900
_MOST_UNREAD: Final = 16 * 1024 * 1024  # replies that a client has not read, from which we stop reading from it [bytes]
_FINEST: Final = 1e-3  # the selector's resolution [s]
_LAZY: Final = 5e-3  # replies that nobody waits for are sent with the next one that is awaited, or after this time [s]
_WAKINGS_KEPT: Final = 8
_READABLE, _WRITABLE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """Serves clients until it is stopped.

    :param atlas: the maps
    :param host: address to listen on
    :param port: of the rpc server, 0 for any free one
    :param stream_port: of the streaming server (default: the next one, or any free one where that is taken)
    :raises OSError: when a port cannot be had
    """

    def __init__(self, atlas: Atlas, host: str, port: int, stream_port: int | None = None):
        self._selector = selectors.DefaultSelector()
        self._rpc = _listen(host, port)
        self.port: int = self._rpc.getsockname()[1]
        try:
            self._streaming = _listen(host, stream_port or (self.port + 1 if self.port < 65535 else 0))
        except OSError:
            if stream_port:
                self._rpc.close()
                raise
            self._streaming = _listen(host, 0)
        self.stream_port: int = self._streaming.getsockname()[1]
        self.streams = Streams(self._entered, self._watch_backlog, self._dismiss)
        self.service = Service(World(atlas, self.stream_port), self.streams)
        self._ids = itertools.count(1)
        self._connections: set[Connection] = set()
        self._subscribers: dict[Subscriber, None] = {}
        self._ticks: deque[tuple[Connection, Request, float]] = deque()  # that are to be run, with the time they came
        self._later: deque[tuple[float, Connection, bytes]] = deque()  # replies kept back, with the time they are due
        self._lazy: list[Connection] = []  # with replies that nobody waits for
        self._lazy_since = 0.0
        self._wakings: deque[socket.socket] = deque()  # kept open until their message was surely read
        self._selector.register(self._rpc, _READABLE, lambda mask: self._accept(self._rpc, self._welcome))
        self._selector.register(
            self._streaming, _READABLE, lambda mask: self._accept(self._streaming, self._welcome_subscriber)
        )

    @property
    def clients(self) -> int:
        """How many rpc connections are open."""
        return len(self._connections)

    def run(self, still_wanted: Callable[[], bool], every: float) -> None:
        """Serve.

        :param still_wanted: asked every so often; the loop ends when it says no
        :param every: how often to ask [s]
        """
        asked = time.monotonic()
        while True:
            now = time.monotonic()
            if now - asked >= every:
                asked = now
                if not still_wanted():
                    return
            events = self._selector.select(self._pause(now, asked + every))
            for key, mask in events:
                key.data(mask)
            self._run_ticks()
            if self._later or self._lazy:
                self._send_late(idle=not events)
            if self.service.traffic_managers.next_lost() <= now:
                self._wake_traffic_managers(now)
            due = self.service.until_free_run(time.monotonic())
            if due is not None and due <= 0.0:
                self.service.step()
                self.service.publish_pictures()

    def close(self) -> None:
        """Close all sockets."""
        for connection in tuple(self._connections):
            self._close(connection)
        for subscriber in tuple(self._subscribers):
            self._dismiss(subscriber)
        for sock in self._wakings:
            sock.close()
        self._selector.close()
        self._rpc.close()
        self._streaming.close()

    def _pause(self, now: float, latest: float) -> float:
        """How long the selector may sleep [s]."""
        pause = min(latest, self.service.traffic_managers.next_lost()) - now
        due = self.service.until_free_run(now)
        if due is not None:
            pause = min(pause, due)
        if self._lazy:
            pause = min(pause, _FINEST)
        if self._later:
            pause = min(pause, self._later[0][0] - now)
        if self._ticks:
            hold = self._hold(self._ticks[0][0], self._ticks[0][2], now)
            if 0.0 < hold < _FINEST:
                # The selector would round this up to a millisecond, which is a whole tick.
                time.sleep(hold)
                return 0.0
            pause = min(pause, hold)
        return max(pause, 0.0)

    # Ticks

    def _hold(self, connection: Connection, asked: float, now: float) -> float:
        return max(self.service.hold(connection.client, asked, now), self.streams.hold(asked, now))

    def _run_ticks(self) -> None:
        while self._ticks:
            connection, request, asked = self._ticks[0]
            if connection.closed:
                self._ticks.popleft()
                continue
            if self._hold(connection, asked, time.monotonic()) > 0.0:
                return
            self._ticks.popleft()
            connection.replies += self.service.answer(connection.client, request)
            self._flush(connection)
            self.service.publish_pictures()

    def _wake_traffic_managers(self, now: float) -> None:
        """Call those again that have missed a tick; only ever at the address that their own client came from."""
        for lost in self.service.traffic_managers.lost(now):
            for connection in self._connections:
                if connection.client.id == lost.connection:
                    log.info("the traffic manager on port %d missed a tick and is woken", lost.port)
                    sock = wake(connection.sock.getpeername()[0], lost.port)
                    if sock is not None:
                        self._wakings.append(sock)
        while len(self._wakings) > _WAKINGS_KEPT:
            self._wakings.popleft().close()

    # Rpc connections

    def _accept(self, listener: socket.socket, welcome: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("a connection could not be accepted: %s", error)
                time.sleep(0.01)
                return
            if len(self._connections) + len(self._subscribers) >= _MOST_CONNECTIONS:
                log.warning("more than %d connections: a new one was closed", _MOST_CONNECTIONS)
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        connection = Connection(sock, next(self._ids))
        self._connections.add(connection)
        connection.watched = _READABLE
        self._selector.register(sock, _READABLE, lambda mask: self._serve(connection, mask))

    def _serve(self, connection: Connection, mask: int) -> None:
        if mask & _WRITABLE:
            self._flush(connection)
        if mask & _READABLE and not connection.closed and not connection.requests:
            self._receive(connection)
        if connection.requests and not connection.closed:
            self._answer(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(_READ)
            if data:
                connection.requests.extend(connection.decoder.feed(data))
                return
        except BlockingIOError:
            return
        except ProtocolError as error:
            log.info("connection %d was closed: %s", connection.client.id, error)
        except OSError:
            pass
        self._close(connection)

    def _answer(self, connection: Connection) -> None:
        """Answer what came, as long as the peer reads the replies: a small request may have a large one."""
        awaited = False
        while connection.requests and len(connection.replies) < _MOST_UNREAD:
            request = connection.requests.popleft()
            if request.method == TICK:
                self._ticks.append((connection, request, time.monotonic()))
                continue
            reply = self.service.answer(connection.client, request)
            delay = self.service.delay(connection.client)
            if delay:
                self._later.append((time.monotonic() + delay, connection, reply))
                continue
            connection.replies += reply
            awaited = awaited or request.awaited
        if awaited or len(connection.replies) > _READ:
            self._flush(connection)
        elif connection.replies and not connection.lazy:
            # Most often the next request is a tick, whose reply takes this one along: one packet instead of two.
            self._lazy_since = self._lazy_since if self._lazy else time.monotonic()
            connection.lazy = True
            self._lazy.append(connection)

    def _send_late(self, *, idle: bool) -> None:
        """Send the replies that were kept back, when it is time."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, connection, reply = self._later.popleft()
            connection.replies += reply
            self._flush(connection)
        if self._lazy and (idle or now - self._lazy_since > _LAZY):
            for connection in self._lazy:
                connection.lazy = False
                self._flush(connection)
            self._lazy.clear()

    def _flush(self, connection: Connection) -> None:
        """Send replies and watch for what is to come: room to write, or requests as long as the client reads."""
        if connection.closed:
            return
        waited = bool(connection.replies)
        if not connection.flush():
            self._close(connection)
        elif waited:
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        unread = len(connection.replies)
        waiting = bool(connection.requests)
        wanted = (_WRITABLE if unread or waiting else 0) | (0 if waiting or unread >= _MOST_UNREAD else _READABLE)
        if connection.watched != wanted:
            connection.watched = wanted
            self._selector.modify(connection.sock, wanted, self._selector.get_key(connection.sock).data)

    def _close(self, connection: Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        self._connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self.service.disconnected(connection.client)

    # Subscribers

    def _welcome_subscriber(self, sock: socket.socket) -> None:
        subscriber = Subscriber(sock, self.streams)
        self._subscribers[subscriber] = None
        self._selector.register(sock, _READABLE, lambda mask: self._attend(subscriber, mask))

    def _attend(self, subscriber: Subscriber, mask: int) -> None:
        if subscriber not in self._subscribers:
            return
        if mask & _WRITABLE:
            if not subscriber.flush():
                self._dismiss(subscriber)
                return
            if not subscriber.backlog:
                self._selector.modify(subscriber.sock, _READABLE, self._selector.get_key(subscriber.sock).data)
        if mask & _READABLE and not subscriber.read():
            self._dismiss(subscriber)

    def _entered(self, stream_id: int) -> None:
        self.service.subscribed(stream_id)

    def _watch_backlog(self, subscriber: Subscriber) -> None:
        key = self._selector.get_key(subscriber.sock)
        self._selector.modify(subscriber.sock, _READABLE | _WRITABLE, key.data)

    def _dismiss(self, subscriber: Subscriber) -> None:
        if subscriber not in self._subscribers:
            return
        del self._subscribers[subscriber]
        self.streams.leave(subscriber)
        self._selector.unregister(subscriber.sock)
        subscriber.sock.close()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
