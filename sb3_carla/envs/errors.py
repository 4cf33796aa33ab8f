"""The errors of the environment: each message says what was wrong with which value, then what to do."""

from __future__ import annotations


class CarlaEnvError(RuntimeError):
    """Base class of everything that the environment raises on purpose."""


class ConfigurationError(CarlaEnvError, ValueError):
    """A scenario, option, address or map that cannot be used; raised before anything was started."""


class ClientDefectError(CarlaEnvError):
    """Something in the client process failed that should not; the message is its traceback. Please report it."""


class ServerUnavailableError(CarlaEnvError):
    """No usable CARLA server could be reached or started within the deadline."""
