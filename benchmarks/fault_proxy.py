"""A TCP proxy before a CARLA server that can be told to misbehave. Used by faults.py and slow_link.py."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import threading
import time

from sb3_carla.simulator.wire.layouts import MESSAGE_LENGTH, SensorType

CHUNK = 65536
IN_FLIGHT = 1024  # chunks that a slow link holds, from which its sender has to wait
Late = queue.Queue[tuple[float, bytes]]  # when it is due, and what; nothing ends it


class FaultProxy:
    """Forwards connections to a server; :attr:`mode` says how badly.

    - ``"pass"``: as it is
    - ``"silent"``: the server's answers are lost
    - ``"garbage"``: random bytes come in their place
    - ``"close"``: the next answer closes the connection
    - ``"delay"``: everything comes :attr:`seconds` late, in either direction; more can be under way meanwhile
    - ``"drop"``: the next camera picture of a stream is lost, and nothing after it

    :param port: of the server on this machine
    :param listen_at: address and port to listen at; port 0 is any free one
    """

    def __init__(self, port: int, listen_at: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.mode = "pass"
        self.seconds = 0.02
        self._target = port
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._host, self.port = listen_at
        self.listen()

    def listen(self) -> None:
        """Take connections, on the same port as before."""
        self._listener = socket.create_server((self._host, self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Close all connections and take no new ones."""
        if self._listener is not None:
            with contextlib.suppress(OSError):  # wakes the thread that waits in accept()
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for one in list(self._open):
            self._end(one)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            for source, sink, answers in ((client, server, False), (server, client, True)):
                late: Late = queue.Queue(IN_FLIGHT)
                threading.Thread(target=self._take, args=(source, late, answers), daemon=True).start()
                threading.Thread(target=self._deliver, args=(source, sink, late), daemon=True).start()

    def _take(self, source: socket.socket, late: Late, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if answers:
                    if self.mode == "silent":
                        continue
                    if self.mode == "close":
                        break
                    if self.mode == "garbage":
                        data = os.urandom(len(data))
                    if self.mode == "drop" and is_picture(data):
                        self.mode = "pass"
                        continue
                late.put((time.monotonic() + (self.seconds if self.mode == "delay" else 0.0), data))
        late.put((time.monotonic(), b""))

    def _deliver(self, source: socket.socket, sink: socket.socket, late: Late) -> None:
        while True:
            due, data = late.get()
            if not data:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                sink.sendall(data)
            except OSError:  # nobody takes it: what is still under way is lost
                self._end(source)
        self._end(source)
        self._end(sink)

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def is_picture(data: bytes) -> bool:
    """Whether this is one whole message of an RGB camera: its length, the sensor's header, the pixels."""
    length, kind = MESSAGE_LENGTH.size, struct.Struct("<Q")
    if len(data) < length + kind.size or MESSAGE_LENGTH.unpack_from(data)[0] != len(data) - length:
        return False
    return bool(kind.unpack_from(data, length)[0] == SensorType.RGB)


class Link:
    """Both ports of a server at an address of their own on this machine; a long link has answers take their time.

    A client asks for the streams at the host that it is connected to, and at the port that the server names: the
    proxies listen at the same ports of another loopback address (Linux has 127.0.0.0/8).

    :param port: of the server's calls
    :param stream_port: of its streams
    :param round_trip: [s] from a call to its answer; 0 is no delay at all
    """

    HOST = "127.0.0.2"

    def __init__(self, port: int, stream_port: int, round_trip: float = 0.0) -> None:
        self.address = f"{self.HOST}:{port}"
        self.calls, self.streams = (FaultProxy(one, (self.HOST, one)) for one in (port, stream_port))
        if round_trip > 0.0:
            for proxy in (self.calls, self.streams):
                proxy.mode, proxy.seconds = "delay", round_trip / 2.0

    def close(self) -> None:
        """End the link."""
        self.calls.refuse()
        self.streams.refuse()
