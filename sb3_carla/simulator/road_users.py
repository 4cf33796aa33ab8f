"""Vehicles and walkers: how they move, what can be asked of them and how the snapshot records them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sb3_carla.simulator.actors import SolidActor, mounted
from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.catalogue import WALKER_HALF_HEIGHT, WALKER_RADIUS
from sb3_carla.simulator.collision import Box, Point
from sb3_carla.simulator.drivetrain import Drivetrain, PhysicsControl
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.vehicle import Ground, VehicleMotion
from sb3_carla.simulator.wire.layouts import ACTIVE, VEHICLE_RECORD, WALKER_RECORD
from sb3_carla.simulator.wire.values import Vector, VehicleControl, WalkerControl

if TYPE_CHECKING:
    from sb3_carla.simulator.traffic_lights import TrafficLight

_ZERO: Final[Vector] = (0.0, 0.0, 0.0)
_GREEN: Final = 2  # the light state of a vehicle that no traffic light concerns
_LIMIT_EVERY: Final = 2.0  # the speed limit is looked up again after so many metres
_WALKER_MASS: Final = 75.0  # [kg]
_JUMP: Final = 4.2  # speed with which it leaves the ground [m/s]
_GRAVITY: Final = 9.81  # [m/s2]
_KNOCK_DECAY: Final = 6.0  # how fast a walker that was hit slows down [m/s2]
# CARLA's semantic labels, by the base type of a vehicle.
_VEHICLE_TAGS: Final = {"car": 14, "van": 14, "truck": 15, "bus": 16, "motorcycle": 18, "bicycle": 19}
_WALKER_TAG: Final = 12


class Vehicle(SolidActor):
    """A vehicle with its motion, lights and what the snapshot says about the road it is on."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, flat: bool):
        model = blueprint.vehicle
        assert model is not None
        self.model = model
        self.motion = VehicleMotion(pose, Drivetrain.usual(model), flat)
        super().__init__(id, blueprint, attributes, pose)
        self.tag = _VEHICLE_TAGS[model.base_type]
        self.colour = _read_colour(attributes.get("color", model.colours[0]))
        self._shape(model.length, model.width, model.height)
        self.lights = 0
        self.light: TrafficLight | None = None  # before which it stands
        self.speed_limit_kmh = 0.0
        self._limit_at: Point | None = None
        self._acceleration: Vector = _ZERO
        self.sticky = attributes.get("sticky_control", "true") != "false"
        self._fresh = False  # a control came since the last step
        self._set_masses()

    @property
    def pose(self) -> Transform:
        """Where the motion has brought it."""
        return self.motion.pose

    @pose.setter
    def pose(self, pose: Transform) -> None:
        self.motion.place(pose)

    @property
    def velocity(self) -> Vector:
        """Velocity in the world [m/s]."""
        return self.motion.vx, self.motion.vy, self.motion.vz

    @property
    def angular_velocity(self) -> Vector:
        """Turning rates about the world's axes [deg/s]."""
        return 0.0, 0.0, math.degrees(self.motion.r)

    @property
    def acceleration(self) -> Vector:
        """Mean acceleration over the last step [m/s2]."""
        return self._acceleration

    @property
    def physics(self) -> PhysicsControl:
        """The physics control with the wheels where they are now, in centimetres as CARLA has them."""
        physics = self.motion.drivetrain.physics
        pose = self.pose
        wheels = []
        for wheel in physics.wheels:
            at = mounted(pose, Transform(*(0.01 * one for one in wheel.position)))
            wheels.append(wheel._replace(position=(100.0 * at.x, 100.0 * at.y, 100.0 * at.z)))
        return physics._replace(wheels=tuple(wheels))

    def set_physics(self, physics: PhysicsControl) -> None:
        """Change the physics; where the wheels are mounted stays as it is, as in CARLA."""
        mounts = self.motion.drivetrain.physics.wheels
        wheels = tuple(
            wheel._replace(position=mounts[min(i, len(mounts) - 1)].position) for i, wheel in enumerate(physics.wheels)
        )
        self.motion.drivetrain = Drivetrain(physics._replace(wheels=wheels), self.model)
        self.motion.resting = False
        self._set_masses()

    def command(self, control: VehicleControl) -> None:
        """Drive by this control until the next one."""
        self.motion.command(control)
        self.changed = self._fresh = True

    def forget(self) -> None:
        """Let go of the pedals unless a control came since the last call; for vehicles without sticky control."""
        if not self._fresh:
            self.motion.command(VehicleControl())
            self.changed = True
        self._fresh = False

    def simulate(self, on: bool) -> None:
        """Switch the physics on or off; without it the vehicle stays where it is put, and nothing moves it."""
        motion = self.motion
        if motion.simulated == on:
            return
        motion.simulated = on
        motion.freeze()
        motion.airborne, motion.resting = True, False
        self._acceleration = _ZERO
        self.changed = True
        self._set_masses()

    def _set_masses(self) -> None:
        drivetrain = self.motion.drivetrain
        self.inverse_mass = 1.0 / drivetrain.mass if self.motion.simulated else 0.0
        self.inverse_inertia = 1.0 / drivetrain.inertia if self.motion.simulated else 0.0

    def advance(self, dt: float, ground: Ground) -> None:
        """One step of motion.

        :param dt: length of the step [s]
        :param ground: what is under the wheels
        """
        motion = self.motion
        vx, vy, vz = motion.vx, motion.vy, motion.vz
        if motion.advance(dt, ground):
            self.moving = self.changed = True
            self._acceleration = ((motion.vx - vx) / dt, (motion.vy - vy) / dt, (motion.vz - vz) / dt)
            box, bottom = self.box, motion.z
            box.x, box.y, box.bottom, box.top = motion.x, motion.y, bottom, bottom + 2.0 * self.box_extent[2]
            yaw = math.radians(motion.yaw)
            box.c, box.s = math.cos(yaw), math.sin(yaw)
        elif self.moving:
            self.moving, self.changed, self._acceleration = False, True, _ZERO

    def needs_limit(self) -> bool:
        """Whether the vehicle has gone so far that its speed limit should be looked up."""
        at = self._limit_at
        return at is None or abs(self.motion.x - at[0]) + abs(self.motion.y - at[1]) > _LIMIT_EVERY

    def set_limit(self, limit_kmh: float) -> None:
        """The speed limit here [km/h]."""
        self.speed_limit_kmh = limit_kmh
        self._limit_at = self.motion.x, self.motion.y
        self.changed = True

    def velocity_at(self, x: float, y: float) -> Point:
        """Velocity of the body's point there [m/s]."""
        motion = self.motion
        return motion.vx - motion.r * (y - motion.y), motion.vy + motion.r * (x - motion.x)

    def push(self, jx: float, jy: float, spin: float) -> None:
        """Take an impulse [N s] and its moment about the centre [N m s]."""
        self.motion.push(jx * self.inverse_mass, jy * self.inverse_mass, 0.0, spin * self.inverse_inertia)
        self.changed = True

    def shift(self, dx: float, dy: float) -> None:
        """Move out of an overlap [m]."""
        if self.inverse_mass:
            self.motion.x += dx
            self.motion.y += dy
            self.box.x += dx
            self.box.y += dy
            self.changed = True

    def write(self, snapshot: bytearray, offset: int) -> None:
        """Write this vehicle's record into the snapshot."""
        motion = self.motion
        throttle, steer, brake, hand_brake, reverse, manual, gear = motion.control
        light = self.light
        VEHICLE_RECORD.pack_into(
            snapshot, offset, self.id, ACTIVE,
            motion.x, motion.y, motion.z, motion.pitch, motion.yaw, motion.roll,
            motion.vx, motion.vy, motion.vz, 0.0, 0.0, math.degrees(motion.r), *self._acceleration,
            throttle, steer, brake, hand_brake, reverse, manual, gear if manual else motion.gear,
            self.speed_limit_kmh,
            *((_GREEN, 0, 0) if light is None else (light.state, 1, light.id)), 0,
        )  # fmt: skip


class Walker(SolidActor):
    """A pedestrian: goes where its control says at the speed that it says; a hit knocks it away."""

    tag = _WALKER_TAG
    inverse_mass = 1.0 / _WALKER_MASS

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform):
        super().__init__(id, blueprint, attributes, pose)
        shade = 60 + 37 * (int(blueprint.type_id[-4:]) % 5)
        self.colour = (shade, 255 - shade, 120)
        self.box_extent = (WALKER_RADIUS, WALKER_RADIUS, WALKER_HALF_HEIGHT)
        self.box = Box(self, WALKER_RADIUS, WALKER_RADIUS)
        self.settle()
        self.control = WalkerControl()
        self.simulated = True
        self._knock: Point = (0.0, 0.0)  # velocity that a hit left [m/s]
        self._velocity: Vector = _ZERO
        self._landed = False  # stands on the ground, or was put somewhere without physics
        self._jump = False  # asked for and not done yet
        self._above = self._rise = 0.0  # height over the ground [m] and its change [m/s]
        self._led = False  # the client's navigation has moved it since the last step

    @property
    def velocity(self) -> Vector:
        """Velocity in the world [m/s]."""
        return self._velocity

    def command(self, control: WalkerControl) -> None:
        """Walk by this control until the next one; a jump is done once."""
        self.control, self.changed = control, True
        self._jump = control.jump

    def lead(self, pose: Transform, speed: float) -> None:
        """Go where the client's navigation has brought it.

        :param pose: on the ground
        :param speed: that it has there [m/s]
        """
        dx, dy = pose.x - self.pose.x, pose.y - self.pose.y
        moved = math.hypot(dx, dy)
        self._velocity = (dx / moved * speed, dy / moved * speed, 0.0) if moved > 1e-6 else _ZERO
        self._led = self._landed = True
        self.place(pose._replace(z=pose.z + WALKER_HALF_HEIGHT))

    def set_velocity(self, vx: float, vy: float) -> None:
        """Move at this velocity [m/s]; like a knock, it wears off."""
        self._knock = (vx, vy)

    def advance(self, dt: float, ground: Ground) -> None:
        """One step of motion."""
        direction, speed, _ = self.control
        kx, ky = self._knock
        length = math.hypot(direction[0], direction[1])
        if not self._landed and self.simulated:
            self._landed = True
            self.place(self.pose._replace(z=ground.height(*self.pose[:3]) + WALKER_HALF_HEIGHT))
        if self._led:
            self._led, self.moving, self.changed = False, True, True
            return
        if self._jump and self.simulated and self._above == 0.0:
            self._jump, self._rise = False, _JUMP
        still = (speed == 0.0 or length == 0.0) and kx == ky == self._above == self._rise == 0.0
        if not self.simulated or still:
            if self.moving:
                self.moving, self.changed, self._velocity = False, True, _ZERO
            return
        vx, vy, yaw = kx, ky, self.pose.yaw
        if speed and length:
            vx += direction[0] / length * speed
            vy += direction[1] / length * speed
            yaw = math.degrees(math.atan2(direction[1], direction[0]))
        x, y = self.pose.x + vx * dt, self.pose.y + vy * dt
        if self._above or self._rise:
            self._above = max(0.0, self._above + self._rise * dt)
            self._rise = self._rise - _GRAVITY * dt if self._above else 0.0
        z = ground.height(x, y, self.pose.z) + WALKER_HALF_HEIGHT + self._above
        self.pose = Transform(x, y, z, 0.0, yaw, 0.0)
        knocked = math.hypot(kx, ky)
        if knocked:
            left = max(0.0, knocked - _KNOCK_DECAY * dt) / knocked
            self._knock = (kx * left, ky * left)
        self._velocity = (vx, vy, self._rise)
        self.moving = self.changed = True
        self.settle()

    def push(self, jx: float, jy: float, spin: float) -> None:
        """Take an impulse [N s]."""
        self._knock = (self._knock[0] + jx / _WALKER_MASS, self._knock[1] + jy / _WALKER_MASS)

    def shift(self, dx: float, dy: float) -> None:
        """Move out of an overlap [m]."""
        self.place(self.pose._replace(x=self.pose.x + dx, y=self.pose.y + dy))

    def write(self, snapshot: bytearray, offset: int) -> None:
        """Write this walker's record into the snapshot."""
        direction, speed, jump = self.control
        WALKER_RECORD.pack_into(
            snapshot, offset, self.id, ACTIVE, *self.pose, *self._velocity, 0, 0, 0, 0, 0, 0, *direction, speed, jump
        )


def _read_colour(text: str) -> tuple[int, int, int]:
    try:
        red, green, blue = (min(255, max(0, int(part))) for part in text.split(","))
    except ValueError:
        return 128, 128, 128
    return red, green, blue
