"""What the server does for traffic managers, which run inside the client programs.

A registry tells other clients where a traffic manager listens. And the server paces synchronous ones: in the 0.9.16
client ``World.tick()`` and the traffic manager's thread wake each other without holding a lock, so a tick that comes
while that thread is about to sleep can be lost and both wait for ever. The faster the server, the likelier that is.
The server therefore watches the thread's calls and holds the next tick until the thread has had time to fall asleep.
"""

from __future__ import annotations

import math
from typing import Final

_TO_SLEEP: Final = 300e-6  # from the answer of the thread's last call until it surely sleeps [s]
_PATIENCE: Final = 0.020  # how long a tick is held for a thread that does not finish its step [s]
_MISSES: Final = 3  # after so many ticks without the thread's step, ticks are not held any more
_POLLS: Final = 3  # so many settings calls in a row come from an asynchronous traffic manager that polls
_POLL_DELAY: Final = 2e-3  # what each further one is made to wait, or it would take a whole processor [s]
# The calls of one step of the thread, in this order; the last one is made just before it sleeps.
_STEP_CALLS: Final = ("get_vehicle_light_states", "get_weather_parameters", "apply_batch", "get_episode_settings")


class Pacing:
    """Follows the calls of one connection and says when its traffic manager can take the next tick.

    All times are readings of one monotonic clock [s].
    """

    def __init__(self) -> None:
        self._seen = 0  # calls of the thread's step seen so far
        self._working = False  # the world ticked and the thread has not finished its step
        self._finished = -math.inf  # when it last did
        self._polls = 0
        self._misses = _MISSES  # until a first step was seen there is nothing to wait for

    def ticked(self) -> None:
        """The world moved on: the thread begins a step."""
        if self._working:
            self._misses += 1
        self._working = True
        self._seen = 0

    def called(self, method: str, now: float) -> None:
        """A call of this connection was answered."""
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
        self._pacing.setdefault(connection, Pacing())
        return True

    def remove(self, port: int) -> bool:
        """Forget one; False when there was none."""
        entry = self._by_port.pop(port, None)
        if entry is None:
            return False
        if all(connection != entry[1] for _, connection in self._by_port.values()):
            self._pacing.pop(entry[1], None)
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

    def ticked(self) -> None:
        """The world moved on."""
        for pacing in self._pacing.values():
            pacing.ticked()

    def wait(self, asked: float, now: float) -> float:
        """How long a tick is still to be held for any of them [s]."""
        return max((pacing.wait(asked, now) for pacing in self._pacing.values()), default=0.0)
