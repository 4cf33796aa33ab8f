"""Friction triggers: boxes in which tyres hold more or less than elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sb3_carla.simulator.actors import Actor
from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.road_users import Vehicle

TYPE_ID = "static.trigger.friction"


class FrictionTrigger(Actor):
    """While a vehicle's place is in the box, its tyres have the box's friction; then again their own.

    :param attributes: ``friction``, and half of the box's size in ``extent_x``, ``extent_y``, ``extent_z`` [cm]
    :raises ValueError: when one of them is not a number of zero or more
    """

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform):
        super().__init__(id, blueprint, attributes, pose)
        usual = {one.name: one.value for one in blueprint.attributes}
        x, y, z = (self._number(f"extent_{axis}", usual) for axis in "xyz")
        self.box_extent = (0.01 * x, 0.01 * y, 0.01 * z)
        self.friction = self._number("friction", usual)
        self._inside: dict[Vehicle, tuple[float, ...]] = {}  # with the friction of their own tyres

    def _number(self, name: str, usual: dict[str, str]) -> float:
        text = self.attributes.get(name, usual[name])
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0.0 <= number < math.inf:
            raise ValueError(f"{TYPE_ID} cannot have {name} {text!r:.40}; it takes numbers from 0")
        return number

    def act(self, vehicles: Iterable[Vehicle]) -> None:
        """See who came and who left."""
        turn = rotation_matrix(self.pose.pitch, self.pose.yaw, self.pose.roll)
        before, self._inside = self._inside, {}
        for vehicle in vehicles:
            motion, own = vehicle.motion, before.get(vehicle)
            place = (motion.x - self.pose.x, motion.y - self.pose.y, motion.z - self.pose.z) @ turn
            if all(abs(one) <= half for one, half in zip(place, self.box_extent, strict=True)):
                if own is None:
                    own = tuple(wheel.tire_friction for wheel in motion.drivetrain.physics.wheels)
                    _set_friction(vehicle, [self.friction] * len(own))
                self._inside[vehicle] = own
            elif own is not None:
                _set_friction(vehicle, own)

    def release(self) -> None:
        """Give all vehicles their own tyres back."""
        for vehicle, own in self._inside.items():
            _set_friction(vehicle, own)
        self._inside.clear()


def _set_friction(vehicle: Vehicle, values: Iterable[float]) -> None:
    physics = vehicle.motion.drivetrain.physics
    # As many as there are: the client may have changed the number of wheels in the meantime.
    wheels = [wheel._replace(tire_friction=one) for wheel, one in zip(physics.wheels, values, strict=False)]
    vehicle.set_physics(physics._replace(wheels=(*wheels, *physics.wheels[len(wheels) :])))
