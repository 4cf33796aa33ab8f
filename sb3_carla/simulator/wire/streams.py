"""The streaming port without input or output: tokens, the subscription handshake and message framing.

A subscriber connects, sends the stream id in four bytes and then only reads: each message is a 32 bit length and the
payload, which starts with the sensor header.
"""

from __future__ import annotations

from typing import Final

from sb3_carla.simulator.wire.layouts import MESSAGE_LENGTH, SENSOR_HEADER, SUBSCRIPTION, TOKEN, SensorType

_TCP: Final = 1
_NO_ADDRESS: Final = 0  # the client then uses the host that it is connected to
HEADED: Final = MESSAGE_LENGTH.size + SENSOR_HEADER.size  # [bytes] of a message in front of its payload proper


class SubscriptionError(ValueError):
    """A subscriber sent more than the stream id; it is no CARLA client."""


def token(stream_id: int, port: int) -> bytes:
    """The 24 bytes that tell a client where to subscribe to a stream.

    :param stream_id: 1 for the world snapshot, one of its own for each sensor
    :param port: TCP port of the streaming server
    """
    return TOKEN.pack(stream_id, port, _TCP, _NO_ADDRESS, bytes(16))


class Subscription:
    """The receiving half of one subscriber: collects the four bytes of the stream id.

    >>> subscription = Subscription()
    >>> subscription.feed(bytes([9, 0])), subscription.feed(bytes([0, 0]))
    (None, 9)
    """

    def __init__(self) -> None:
        self._received = b""

    def feed(self, data: bytes) -> int | None:
        """Take bytes as they came; the stream id once it is complete, else None.

        :raises SubscriptionError: when more bytes come than the handshake has
        """
        self._received += data
        if len(self._received) > SUBSCRIPTION.size:
            raise SubscriptionError("a subscriber sends four bytes, the stream id, and nothing else")
        if len(self._received) < SUBSCRIPTION.size:
            return None
        return int(SUBSCRIPTION.unpack(self._received)[0])


def write_head(
    message: bytearray,
    payload_size: int,
    kind: SensorType,
    frame: int,
    time: float,
    pose: tuple[float, float, float, float, float, float],
) -> None:
    """Write length and sensor header into the first :data:`HEADED` bytes of ``message``.

    :param message: buffer of at least that size, kept by the caller from frame to frame
    :param payload_size: bytes that follow the sensor header
    :param kind: which Python class the client makes of it
    :param frame: the step that the data belongs to
    :param time: simulation time of that step [s]
    :param pose: world pose of the sensor [m, deg]
    """
    MESSAGE_LENGTH.pack_into(message, 0, SENSOR_HEADER.size + payload_size)
    SENSOR_HEADER.pack_into(message, MESSAGE_LENGTH.size, kind, frame, time, *pose)
