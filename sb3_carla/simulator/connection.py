"""The socket of one client's rpc connection: requests come in, replies wait until the peer takes them."""

from __future__ import annotations

import socket
from collections import deque

from sb3_carla.simulator.service import Client
from sb3_carla.simulator.wire.rpc import Request, RequestDecoder


class Connection:
    """One client's rpc connection.

    :param sock: connected, non-blocking
    :param id: unique among the connections of this server
    """

    def __init__(self, sock: socket.socket, id: int):
        self.sock = sock
        self.client = Client(id)
        self.decoder = RequestDecoder()
        self.requests: deque[Request] = deque()  # that came and are not answered yet
        self.replies = bytearray()
        self.lazy = False  # some of the replies may wait for the next awaited one
        self.watched = 0  # what the selector looks out for
        self.closed = False

    def flush(self) -> bool:
        """Send replies as far as the peer takes them; False when the connection is over."""
        if not self.replies:
            return True
        try:
            sent = self.sock.send(self.replies)
        except BlockingIOError:
            return True
        except OSError:
            return False
        del self.replies[:sent]
        return True
