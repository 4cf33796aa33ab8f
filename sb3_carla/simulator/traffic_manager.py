"""What the server does for traffic managers, which run inside the client programs.

A registry tells other clients where a traffic manager listens. And synchronous ones are kept from hanging: in the
0.9.16 client ``World.tick()`` and the traffic manager's thread wake each other without holding a lock. A tick that
comes while that thread is about to sleep is lost to it, and both wait for ever. The server does two things:

- it watches the thread's calls and holds the next tick until the thread has had time to fall asleep (pacing);
- when the thread does not begin its step after a tick all the same, the server wakes it through the traffic manager's
  own rpc server: ``set_synchronous_mode`` off and on again signals what the thread waits for (:func:`wake`).
"""

from __future__ import annotations

import math
import socket
from typing import Final, NamedTuple

import msgpack

_TO_SLEEP: Final = 150e-6  # from the answer of the thread's last call until it surely sleeps [s]
_PATIENCE: Final = 0.020  # how long a tick is held for a thread that does not finish its step [s]
_MISSES: Final = 3  # after so many ticks without the thread's step, ticks are not held any more
# A thread that has not begun its step so long after a tick has missed it [s]. One that a busy machine only keeps
# waiting must not be woken: it would do a step too many, and the cars would no longer drive as they do in other runs.
_LOST: Final = 2.0
_WAKINGS: Final = 3  # how often one tick's step is called for, each time after four times as long
_POLLS: Final = 3  # so many settings calls in a row come from an asynchronous traffic manager that polls
_POLL_DELAY: Final = 2e-3  # what each further one is made to wait, or it would take a whole processor [s]
# The calls of one step of the thread, in this order; the last one is made just before it sleeps.
_STEP_CALLS: Final = ("get_vehicle_light_states", "get_weather_parameters", "apply_batch", "get_episode_settings")


class Pacing:
    """Follows the calls of one connection and says when its traffic manager can take the next tick.

    All times are readings of one monotonic clock [s].

    :param port: of the traffic manager's own rpc server
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._ticked = -math.inf  # when the world last moved on
        self._quiet = False  # no call came since
        self._wakings = 0
        self._seen = 0  # calls of the thread's step seen so far
        self._working = False  # the world ticked and the thread has not finished its step
        self._finished = -math.inf  # when it last did
        self._polls = 0
        self._misses = _MISSES  # until a first step was seen there is nothing to wait for

    def ticked(self, now: float) -> None:
        """The connection's tick was run: the thread begins a step."""
        if self._working:
            self._misses += 1
        self._working = self._quiet = True
        self._ticked = now
        self._wakings = 0
        self._seen = 0

    def called(self, method: str, now: float) -> None:
        """A call of this connection was answered."""
        self._quiet = False
        self._polls = self._polls + 1 if method == _STEP_CALLS[-1] else 0
        if method == _STEP_CALLS[self._seen]:
            self._seen += 1
            if self._seen == len(_STEP_CALLS):
                self._seen = 0
                self._working = False
                self._misses = 0
                self._finished = now
        elif method == _STEP_CALLS[0]:
            self._seen = 1

    @property
    def lost_at(self) -> float:
        """When the thread is to be taken for one that has missed the last tick; infinite when it has not."""
        if self._quiet and self._working and self._misses == 0 and self._wakings < _WAKINGS:
            return self._ticked + _LOST * 4.0**self._wakings
        return math.inf

    def woken(self) -> None:
        """The thread was called again."""
        self._wakings += 1

    @property
    def delay(self) -> float:
        """How long the answer to the last call should be kept back [s]."""
        return _POLL_DELAY if self._polls >= _POLLS else 0.0

    def wait(self, asked: float, now: float) -> float:
        """How long the next tick is still to be held [s]; zero or less: not at all.

        :param asked: when the tick was asked for
        :param now: the time
        """
        if self._misses >= _MISSES:
            return 0.0
        if self._working:
            return asked + _PATIENCE - now
        return self._finished + _TO_SLEEP - now


class Lost(NamedTuple):
    """A traffic manager that has missed a tick."""

    connection: int
    port: int


class TrafficManagers:
    """Which traffic manager ports exist, and which connection announced them."""

    def __init__(self) -> None:
        self._by_port: dict[int, tuple[str, int]] = {}  # port -> (host, connection)
        self._pacing: dict[int, Pacing] = {}  # by connection

    def add(self, host: str, port: int, connection: int) -> bool:
        """Register one; False when the port is taken."""
        if port in self._by_port:
            return False
        self._by_port[port] = (host, connection)
        self._pacing.setdefault(connection, Pacing(port))
        return True

    def remove(self, port: int) -> bool:
        """Forget one; False when there was none."""
        entry = self._by_port.pop(port, None)
        if entry is None:
            return False
        left = [other for other, (_, connection) in self._by_port.items() if connection == entry[1]]
        if left:
            self._pacing[entry[1]].port = left[0]
        else:
            del self._pacing[entry[1]]
        return True

    def drop(self, connection: int) -> None:
        """Forget those of a connection that has closed: a later client must not wait for a dead one."""
        for port in [port for port, (_, owner) in self._by_port.items() if owner == connection]:
            self.remove(port)

    def host(self, port: int) -> str | None:
        """Where the traffic manager of a port runs."""
        entry = self._by_port.get(port)
        return entry[0] if entry is not None else None

    def pacing(self, connection: int) -> Pacing | None:
        """The pacing of a connection that has a traffic manager."""
        return self._pacing.get(connection)

    def next_lost(self) -> float:
        """When :meth:`lost` is to be asked next; infinite when there is no need."""
        if not self._pacing:
            return math.inf
        return min(pacing.lost_at for pacing in self._pacing.values())

    def lost(self, now: float) -> list[Lost]:
        """Those that have missed a tick and are to be woken; asking counts as waking."""
        found = []
        for connection, pacing in self._pacing.items():
            if pacing.lost_at <= now:
                pacing.woken()
                found.append(Lost(connection, pacing.port))
        return found


def wake(host: str, port: int) -> socket.socket | None:
    """Signal a traffic manager's sleeping thread.

    The thread still runs one synchronous step and then finds the mode as it was.

    :param host: where its client process runs
    :param port: of its rpc server
    :return: the connection, to be closed when the message has surely been read; None when there is nobody
    """
    calls = ((0, 0, "set_synchronous_mode", (False,)), (0, 1, "set_synchronous_mode", (True,)))
    try:
        sock = socket.create_connection((host, port), timeout=0.2)
        sock.sendall(b"".join(msgpack.packb(call) for call in calls))
    except OSError:
        return None
    return sock
