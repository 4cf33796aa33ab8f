"""A TCP proxy before a CARLA server's RPC port that can be told to misbehave. Used by faults.py."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

CHUNK = 65536


class FaultProxy:
    """Forwards connections to a server; :attr:`mode` says how badly.

    - ``"pass"``: as it is
    - ``"silent"``: the server's answers are lost
    - ``"garbage"``: random bytes come in their place
    - ``"close"``: the next answer closes the connection
    - ``"delay"``: every answer comes :attr:`seconds` late

    :param port: of the server on this machine
    """

    def __init__(self, port: int) -> None:
        self.mode = "pass"
        self.seconds = 0.02
        self._target = port
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Take connections, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
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
            self._open |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if answers:
                    if self.mode == "silent":
                        continue
                    if self.mode == "close":
                        break
                    if self.mode == "garbage":
                        data = os.urandom(len(data))
                    if self.mode == "delay":
                        time.sleep(self.seconds)
                sink.sendall(data)
        self._end(source)
        self._end(sink)

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
