"""A plain msgpack-rpc client, so that a test sees the very bytes that a server sends."""

from __future__ import annotations

import itertools
import socket
import struct
from typing import Any

import msgpack
import numpy as np

from sb3_carla.simulator.wire.layouts import ACTOR_DTYPE, EPISODE_HEADER_DTYPE, SENSOR_HEADER_DTYPE


class RawClient:
    """Speaks msgpack-rpc without the carla client, so that a test sees the bytes."""

    def __init__(self, port: int):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        self._ids = itertools.count()

    def request(self, method: str, *arguments: Any, awaited: bool = True) -> int:
        """Send a request; returns its id."""
        msgid = next(self._ids)
        self.sock.sendall(msgpack.packb([0, msgid, method, [[not awaited], *arguments]]))
        return msgid

    def reply(self, msgid: int) -> tuple[Any, Any]:
        """Wait for a reply: its rpc error and its result."""
        while True:
            for kind, answered, error, result in self._unpacker:
                assert kind == 1
                if answered == msgid:
                    return error, result
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._unpacker.feed(data)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call and unwrap the result; an error of either kind raises."""
        error, result = self.reply(self.request(method, *arguments))
        if error is not None:
            raise RuntimeError(error)
        if method == "apply_batch":
            return result
        (response,) = result
        if response[0] is False:
            return None
        if response[0] is True or response[0] == 0:
            raise RuntimeError(response[1][0])
        return response[1]

    def subscribe(self, stream_id: int) -> Stream:
        """Listen to a stream as the client does: ask for the token, then connect."""
        (token,) = self.call("get_sensor_token", stream_id)
        stream_id, port = struct.unpack_from("<IH", token)
        return Stream(port, stream_id)

    def spawn(self, type_id: str, pose: Any, parent: int = 0, **attributes: Any) -> list[Any]:
        """Make an actor and return its record; the pose is [[x, y, z], [pitch, yaw, roll]]."""
        description = [0, type_id, [[name, 4, str(value)] for name, value in attributes.items()]]
        if parent:
            record = self.call("spawn_actor_with_parent", description, pose, parent, 0, "")
        else:
            record = self.call("spawn_actor", description, pose)
        assert isinstance(record, list)
        return record

    def settle(self) -> None:
        """Bring the world to where a test expects it: synchronous, steps of 0.05 s, without actors."""
        self.call("set_episode_settings", [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True])
        self.call("load_new_episode", "", False, 65535)

    def close(self) -> None:
        self.sock.close()


def ask(port: int, method: str, *arguments: Any) -> Any:
    """One call over a connection of its own."""
    client = RawClient(port)
    try:
        return client.call(method, *arguments)
    finally:
        client.close()


class Stream:
    """One subscription to the streaming port."""

    def __init__(self, port: int, stream_id: int):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        self.sock.sendall(struct.pack("<I", stream_id))

    def message(self) -> bytes:
        """The next message, without its length."""
        return self._read(struct.unpack("<I", self._read(4))[0])

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise ConnectionError("the server closed the stream")
            data += part
        return data

    def close(self) -> None:
        self.sock.close()


def read_snapshot(message: bytes) -> tuple[Any, Any, Any]:
    """Sensor header, episode header and actor records of a world snapshot."""
    header = np.frombuffer(message, SENSOR_HEADER_DTYPE, 1)[0]
    episode = np.frombuffer(message, EPISODE_HEADER_DTYPE, 1, SENSOR_HEADER_DTYPE.itemsize)[0]
    start = SENSOR_HEADER_DTYPE.itemsize + EPISODE_HEADER_DTYPE.itemsize
    return header, episode, np.frombuffer(message, ACTOR_DTYPE, offset=start)
