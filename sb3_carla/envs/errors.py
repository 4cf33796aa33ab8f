"""The errors of the environment: each message says what was wrong with which value, then what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CarlaEnvError(RuntimeError):
    """Base class of everything that the environment raises on purpose."""


class ConfigurationError(CarlaEnvError, ValueError):
    """A scenario, option, address or map that cannot be used; raised before anything was started."""


class ClientDefectError(CarlaEnvError):
    """Something in the client process failed that should not; the message is its traceback. Please report it."""


class ServerUnavailableError(CarlaEnvError):
    """No usable CARLA server could be reached or started within the deadline."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The second sentence of an error about an unknown name: the nearest known one, or all of them.

    >>> did_you_mean("lane_folowing", ["lane_following", "light_traffic"])
    "Did you mean 'lane_following'?"
    >>> did_you_mean("?", ["b", "a"])
    'Known are: a, b.'
    """
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(names)}."
