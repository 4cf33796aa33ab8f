"""From CARLA's ``VehiclePhysicsControl`` to the accelerations that a vehicle can reach.

CARLA hands PhysX an engine curve, gears and wheels. Here the same figures are turned once, when they are set, into
tables over speed, so that a simulation step only looks up.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sb3_carla.simulator.catalogue import VehicleModel
from sb3_carla.simulator.wire.values import Vector, read_bool, read_float, read_vector

GRAVITY: Final = 9.81  # [m/s2]
_AIR_DENSITY: Final = 1.2  # [kg/m3]
_ROLLING: Final = 0.015 * GRAVITY  # rolling resistance of tyres on asphalt [m/s2]
_USUAL_FRICTION: Final = 3.5  # CARLA's default tyre friction, which holds about 1 g
_DRIVE_EFFICIENCY: Final = 0.9
_DRIVEN_SHARE: Final = 0.6  # of the weight lies on driven wheels
_BINS_PER_MS: Final = 2  # table entries per m/s
_BINS: Final = 240
_RPM: Final = 60.0 / (2.0 * math.pi)


class Wheel(NamedTuple):
    """WheelPhysicsControl, wire order."""

    tire_friction: float = _USUAL_FRICTION
    damping_rate: float = 0.25
    max_steer_angle: float = 70.0  # [deg]
    radius: float = 35.0  # [cm]
    max_brake_torque: float = 1500.0  # [N m]
    max_handbrake_torque: float = 3000.0  # [N m]
    lat_stiff_max_load: float = 2.0
    lat_stiff_value: float = 17.0
    long_stiff_value: float = 1000.0
    position: Vector = (0.0, 0.0, 0.0)  # [cm], world


class Gear(NamedTuple):
    """GearPhysicsControl, wire order."""

    ratio: float = 1.0
    down_ratio: float = 0.5
    up_ratio: float = 0.65


class PhysicsControl(NamedTuple):
    """VehiclePhysicsControl, wire order."""

    torque_curve: tuple[tuple[float, float], ...]  # (rpm, N m)
    max_rpm: float
    moi: float = 1.0
    damping_rate_full_throttle: float = 0.15
    damping_rate_zero_throttle_clutch_engaged: float = 2.0
    damping_rate_zero_throttle_clutch_disengaged: float = 0.35
    use_gear_autobox: bool = True
    gear_switch_time: float = 0.5  # [s]
    clutch_strength: float = 10.0
    final_ratio: float = 4.0
    forward_gears: tuple[Gear, ...] = (Gear(),)
    mass: float = 1500.0  # [kg]
    drag_coefficient: float = 0.3
    center_of_mass: Vector = (0.0, 0.0, 0.0)  # [m]
    steering_curve: tuple[tuple[float, float], ...] = (
        (0.0, 1.0),
        (20.0, 0.9),
        (60.0, 0.8),
        (120.0, 0.7),
    )  # (km/h, share)
    wheels: tuple[Wheel, ...] = (Wheel(), Wheel(), Wheel(), Wheel())
    use_sweep_wheel_collision: bool = False


# Torque over engine speed relative to the peak; top engine speed; gear ratios; final ratio.
_ENGINES: Final[dict[str, tuple[tuple[tuple[float, float], ...], float, tuple[float, ...], float]]] = {
    "electric": (((0.0, 1.0), (5500.0, 1.0), (10000.0, 0.5), (16000.0, 0.25)), 16000.0, (1.0,), 9.0),
    "petrol": (
        ((0.0, 0.7), (1500.0, 0.85), (3500.0, 1.0), (5500.0, 0.9), (6500.0, 0.6)),
        6500.0,
        (3.8, 2.1, 1.4, 1.05, 0.85),
        3.9,
    ),
    "sport": (
        ((0.0, 0.7), (1800.0, 0.95), (3500.0, 1.0), (6000.0, 0.95), (7200.0, 0.7)),
        7200.0,
        (3.6, 2.2, 1.6, 1.25, 1.0, 0.8),
        3.7,
    ),
    "diesel": (((0.0, 0.7), (1200.0, 1.0), (2200.0, 0.9), (3200.0, 0.5)), 3200.0, (6.0, 3.6, 2.2, 1.5, 1.0, 0.8), 4.1),
    "motorbike": (
        ((0.0, 0.7), (5000.0, 0.95), (8000.0, 1.0), (11000.0, 0.8)),
        11000.0,
        (2.8, 2.0, 1.6, 1.3, 1.15),
        4.5,
    ),
    "pedals": (((0.0, 1.0), (60.0, 0.9), (120.0, 0.4), (160.0, 0.0)), 160.0, (2.6, 1.6, 1.0, 0.7, 0.5), 1.0),
}


def default_physics(model: VehicleModel) -> PhysicsControl:
    """The physics control that a vehicle of this model is spawned with."""
    curve, max_rpm, ratios, final = _ENGINES[model.power]
    radius = model.wheel_radius
    half_base, half_track = 0.5 * model.wheelbase, 0.4 * model.width
    # Brakes strong enough for 0.95 g, whatever the wheels.
    brake = round(0.95 * GRAVITY * model.mass * radius / 4.0, -1)
    wheels = tuple(
        Wheel(
            max_steer_angle=70.0 if front else 0.0,
            radius=100.0 * radius,
            max_brake_torque=brake,
            max_handbrake_torque=0.0 if front else 2.0 * brake,
            position=(100.0 * (half_base if front else -half_base), 100.0 * side * half_track, 100.0 * radius),
        )
        for front in (True, False)
        for side in (-1.0, 1.0)
    )
    return PhysicsControl(
        torque_curve=tuple((rpm, share * model.torque) for rpm, share in curve),
        max_rpm=max_rpm,
        final_ratio=final,
        forward_gears=tuple(Gear(ratio) for ratio in ratios),
        mass=model.mass,
        drag_coefficient=0.6 if model.base_type in ("truck", "bus", "bicycle", "motorcycle") else 0.3,
        wheels=wheels,
    )


def read_physics(value: Any) -> PhysicsControl:
    """A client's VehiclePhysicsControl.

    :raises ValueError: for figures with which nothing can be computed (no wheels, mass of zero or less)
    """
    values = dict(zip(PhysicsControl._fields, value, strict=False))
    readers: dict[str, Any] = {
        "torque_curve": _read_curve,
        "use_gear_autobox": read_bool,
        "forward_gears": _read_gears,
        "center_of_mass": read_vector,
        "steering_curve": _read_curve,
        "wheels": lambda wheels: tuple(_read_wheel(wheel) for wheel in wheels),
        "use_sweep_wheel_collision": read_bool,
    }
    physics = PhysicsControl(**{name: readers.get(name, read_float)(one) for name, one in values.items()})
    if not physics.wheels or min(wheel.radius for wheel in physics.wheels) <= 0.0:
        raise ValueError("a vehicle needs wheels with a radius above zero")
    if physics.mass <= 0.0:
        raise ValueError(f"a vehicle's mass is {physics.mass} kg, it must be above zero")
    return physics


def _read_gears(value: Any) -> tuple[Gear, ...]:
    return tuple(Gear(*(read_float(one) for one in gear)) for gear in value) or (Gear(),)


def _read_wheel(value: Any) -> Wheel:
    *numbers, position = value
    return Wheel(**dict(zip(Wheel._fields, map(read_float, numbers), strict=False)), position=read_vector(position))


def _read_curve(value: Any) -> tuple[tuple[float, float], ...]:
    return tuple(sorted((read_float(x), read_float(y)) for x, y in value)) or ((0.0, 1.0),)


def interpolate(curve: Sequence[tuple[float, float]], x: float) -> float:
    """A piecewise linear curve at ``x``, constant beyond its ends.

    >>> interpolate([(0.0, 1.0), (20.0, 0.5)], 10.0), interpolate([(0.0, 1.0)], 99.0)
    (0.75, 1.0)
    """
    right = bisect_right(curve, x, key=lambda point: point[0])
    if right == 0:
        return curve[0][1]
    if right == len(curve):
        return curve[-1][1]
    (x0, y0), (x1, y1) = curve[right - 1], curve[right]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


class Drivetrain:
    """What a physics control means for motion: accelerations [m/s2], angles [rad], lengths [m].

    :param physics: the figures as the client sees them
    :param model: the vehicle's size
    """

    def __init__(self, physics: PhysicsControl, model: VehicleModel):
        self.physics = physics
        mass, wheels = physics.mass, physics.wheels
        radius = sum(wheel.radius for wheel in wheels) / len(wheels) / 100.0
        self.mass = mass
        self.inertia = mass * (model.length**2 + model.width**2) / 12.0  # [kg m2]
        self.wheelbase = model.wheelbase
        self.rear = 0.5 * model.wheelbase
        # What the tyres hold, whatever the direction.
        self.grip = GRAVITY * sum(wheel.tire_friction for wheel in wheels) / len(wheels) / _USUAL_FRICTION
        self.yaw_grip = self.grip * self.rear * mass / self.inertia  # [rad/s2]
        self.max_steer = math.radians(max(wheel.max_steer_angle for wheel in wheels))
        self.brake = sum(wheel.max_brake_torque for wheel in wheels) / radius / mass
        self.hand_brake = sum(wheel.max_handbrake_torque for wheel in wheels) / radius / mass
        self.rolling = min(_ROLLING, self.grip)
        self.coasting = min(0.15 * physics.damping_rate_zero_throttle_clutch_engaged, self.grip)
        area = model.width * model.height
        self.drag = 0.5 * _AIR_DENSITY * physics.drag_coefficient * area / mass  # [1/m]
        self._turns = _RPM / radius * physics.final_ratio  # engine rpm per m/s in a gear of ratio 1
        self._pull = physics.final_ratio * _DRIVE_EFFICIENCY / radius / mass  # m/s2 per N m in a gear of ratio 1
        self.steering = [
            interpolate(physics.steering_curve, 3.6 * bin_ / _BINS_PER_MS) * self.max_steer for bin_ in range(_BINS)
        ]
        self.gears = [self._automatic_gear(bin_ / _BINS_PER_MS) for bin_ in range(_BINS)]
        self.pull = [self.gear_pull(gear, bin_ / _BINS_PER_MS) for bin_, gear in enumerate(self.gears)]
        self.reverse_pull = [self.gear_pull(1, bin_ / _BINS_PER_MS) for bin_ in range(_BINS)]

    @staticmethod
    @cache
    def usual(model: VehicleModel) -> Drivetrain:
        """What a vehicle of this model is spawned with; shared, for a drivetrain never changes."""
        return Drivetrain(default_physics(model), model)

    @staticmethod
    def bin(speed: float) -> int:
        """The table entry for a speed [m/s] of zero or more."""
        index = int(speed * _BINS_PER_MS)
        return index if index < _BINS else _BINS - 1

    def engine_rpm(self, gear: int, speed: float) -> float:
        """Engine speed [rpm] at a speed [m/s] in a forward gear, counted from 1."""
        gears = self.physics.forward_gears
        return self._turns * gears[min(max(gear, 1), len(gears)) - 1].ratio * speed

    def gear_pull(self, gear: int, speed: float) -> float:
        """Acceleration at full throttle in a forward gear, counted from 1, as far as the tyres carry it."""
        rpm = self.engine_rpm(gear, speed)
        if gear < 1 or rpm > self.physics.max_rpm:
            return 0.0
        gears = self.physics.forward_gears
        torque = max(0.0, interpolate(self.physics.torque_curve, rpm))
        return min(torque * gears[min(gear, len(gears)) - 1].ratio * self._pull, _DRIVEN_SHARE * self.grip)

    def _automatic_gear(self, speed: float) -> int:
        """The lowest gear that does not turn the engine beyond its shifting speed."""
        gears = self.physics.forward_gears
        for number, gear in enumerate(gears[:-1], start=1):
            if self.engine_rpm(number, speed) < gear.up_ratio * self.physics.max_rpm:
                return number
        return len(gears)
