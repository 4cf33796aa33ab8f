"""What all sensors share: a stream, attributes, and when they measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from sb3_carla.simulator.actors import Actor
from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.wire.layouts import SensorType
from sb3_carla.simulator.wire.streams import HEADED, write_head
from sb3_carla.simulator.wire.values import Vector

if TYPE_CHECKING:
    from sb3_carla.simulator.town import Town
    from sb3_carla.simulator.world import World

# One message as the parts that the socket sends one after the other.
Message = Sequence[Any]

_SLACK: Final = 1e-6  # [s]; a sensor_tick of two steps must not miss its time by a rounding error


class AttributeRefused(ValueError):
    """A blueprint attribute has a value that the sensor cannot work with."""


class Sensor(Actor):
    """A sensor that measures on the server.

    :param stream_id: of the stream that carries the data
    """

    late: ClassVar[bool] = False  # takes long: measured when the tick has been answered

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose)
        assert blueprint.sensor is not None
        self.kind: SensorType = blueprint.sensor
        self.stream_id = stream_id
        self._interval = max(0.0, self.number("sensor_tick", 0.0))
        self._next = -math.inf

    def number(self, name: str, default: float, least: float = -math.inf, most: float = math.inf) -> float:
        """An attribute as a number.

        :param name: of the attribute
        :param default: where the client sent none
        :param least: smallest value that the sensor can work with
        :param most: largest such value
        :raises AttributeRefused: when it is none, or out of that range
        """
        text = self.attributes.get(name)
        try:
            value = default if text is None else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise AttributeRefused(f"{self.blueprint.type_id}: attribute {name} is {text!r}, it must be a number")
        if not least <= value <= most:
            allowed = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
            raise AttributeRefused(f"{self.blueprint.type_id}: attribute {name} is {value:g}, it must be {allowed}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """An attribute as a truth value."""
        return self.attributes.get(name, str(default)).lower() in ("true", "1")

    def random(self) -> np.random.Generator:
        """A new generator, seeded by the attribute ``noise_seed``: equal seeds give equal noise."""
        return np.random.default_rng(int(self.number("noise_seed", 0)) & 0xFFFFFFFF)

    def due(self, time: float) -> bool:
        """Whether it is time to measure; asking counts as measuring.

        :param time: simulation time [s]
        """
        if self._interval == 0.0:
            return True
        if time < self._next - _SLACK:
            return False
        # Keep the rhythm; only a sensor that was not asked for long starts a new one.
        self._next = self._next + self._interval if time < self._next + self._interval else time + self._interval
        return True

    def silence(self) -> None:
        """Never measure again."""
        self._interval, self._next = 1.0, math.inf

    def span(self, world: World) -> float:
        """The simulated time that one measurement stands for [s]."""
        return max(self._interval, world.delta)

    def carrier(self) -> Actor:
        """The actor at the bottom of what the sensor is mounted on; the sensor itself when it stands alone."""
        carrier: Actor = self
        while carrier.parent is not None:
            carrier = carrier.parent
        return carrier

    def velocity_here(self) -> Vector:
        """The velocity of the carrier's point where the sensor is mounted [m/s]."""
        carrier = self.carrier()
        turning = np.radians(carrier.angular_velocity)
        arm = np.subtract(self.pose[:3], carrier.pose[:3])
        x, y, z = (np.asarray(carrier.velocity) + np.cross(turning, arm)).tolist()
        return x, y, z

    def prepare(self, town: Town) -> None:
        """Make ready to measure in a town."""

    def measure(self, world: World) -> Message | None:
        """The message for this frame, or None when there is nothing to tell."""
        return None

    def message(self, world: World, payload: bytes) -> Message:
        """A message whose payload is new each time."""
        head = bytearray(HEADED)
        write_head(head, len(payload), self.kind, world.frame, world.elapsed, self.pose)
        return head, payload
