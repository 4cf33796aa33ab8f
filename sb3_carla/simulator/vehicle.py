"""The motion of one vehicle: a bicycle model with tyres that hold only so much, driven through its drivetrain.

State is the pose and the velocity in the body's own axes. In one step the engine, brakes, drag and slope change the
forward speed; the front wheels ask for a yaw rate and the rear axle for no side slip, and the tyres grant both as far
as their grip goes. Steps of 0.05 s are stable because everything that opposes motion is limited to stopping it.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from sb3_carla.simulator.drivetrain import GRAVITY, Drivetrain
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.wire.values import AckermannControl, Vector, VehicleControl

MAX_STEP: Final = 0.05  # [s]; longer frames are split
_TRAVEL: Final = 0.15  # the suspension keeps the wheels on uneven ground up to here [m]
_MAX_SPIN: Final = 12.0  # [rad/s]
_MIN_TURN_SPEED: Final = 0.5  # below it, grip does not limit the yaw rate [m/s]


class Ground(Protocol):
    """What a vehicle stands on."""

    def height(self, x: float, y: float, z: float | None = None) -> float:
        """Height of the ground [m] at a point [m] for something at height ``z``."""

    def slope(self, x: float, y: float, z: float | None = None) -> tuple[float, float]:
        """How steeply the ground rises along x and along y."""


class VehicleMotion:
    """Pose, velocity and controls of one vehicle.

    Pose and velocities are in the world's frame except ``u`` (forward), ``w`` (to the right) and ``r`` (yaw rate,
    clockwise seen from above), which are in the body's.

    :param pose: where it starts
    :param drivetrain: what it can do
    :param flat: whether the ground has the same height everywhere
    """

    __slots__ = (
        "ackermann",
        "airborne",
        "constant",
        "control",
        "drivetrain",
        "enforced_steer",
        "flat",
        "floor",
        "force",
        "gear",
        "gravity",
        "pitch",
        "r",
        "resting",
        "roll",
        "simulated",
        "torque",
        "u",
        "vx",
        "vy",
        "vz",
        "w",
        "x",
        "y",
        "yaw",
        "z",
    )

    def __init__(self, pose: Transform, drivetrain: Drivetrain, flat: bool):
        self.x, self.y, self.z, self.pitch, self.yaw, self.roll = pose
        self.drivetrain = drivetrain
        self.flat = flat
        self.u = self.w = self.r = 0.0  # [m/s], [m/s], [rad/s]
        self.vx = self.vy = self.vz = 0.0  # [m/s]
        self.control = VehicleControl()
        self.ackermann: AckermannControl | None = None
        self.enforced_steer = 0.0  # [rad], where the Ackermann controller's steering has got to
        self.constant: Vector | None = None  # body velocity that is held [m/s]
        self.simulated = True
        self.gravity = True
        self.force: Vector = (0.0, 0.0, 0.0)  # acts during the next step [N]
        self.torque = 0.0  # about the vertical, during the next step [N m]
        self.gear = 1
        self.floor: float | None = None  # height of the ground below [m]; None: not looked up since the last teleport
        self.airborne = True  # until the first step finds the ground
        self.resting = False  # nothing moves and nothing was commanded since

    @property
    def pose(self) -> Transform:
        """The pose."""
        return Transform(self.x, self.y, self.z, self.pitch, self.yaw, self.roll)

    def place(self, pose: Transform) -> None:
        """Teleport; as in CARLA, the velocity in the world stays what it was."""
        self.x, self.y, self.z, self.pitch, self.yaw, self.roll = pose
        self.floor = None
        self.set_velocity(self.vx, self.vy, self.vz)

    def command(self, control: VehicleControl) -> None:
        """Drive by this control until the next one."""
        self.control, self.ackermann, self.resting = control, None, False

    def set_velocity(self, vx: float, vy: float, vz: float) -> None:
        """Set the velocity in the world [m/s]."""
        yaw = math.radians(self.yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        self.vx, self.vy, self.vz = vx, vy, vz
        self.resting, self.airborne = False, True
        self.u, self.w = vx * c + vy * s, vy * c - vx * s

    def push(self, dvx: float, dvy: float, dvz: float, dr: float) -> None:
        """Change the velocities at once, as an impulse does [m/s], [rad/s]."""
        self.r += dr
        self.set_velocity(self.vx + dvx, self.vy + dvy, self.vz + dvz)

    def freeze(self) -> None:
        """Forget all motion; for vehicles whose physics is switched off."""
        self.u = self.w = self.r = self.vx = self.vy = self.vz = 0.0

    def advance(self, dt: float, ground: Ground) -> bool:
        """One step of at most :data:`MAX_STEP`.

        :param dt: length of the step [s]
        :param ground: what is under the wheels
        :return: whether the vehicle moved
        """
        if self.resting or not self.simulated:
            return False
        control = self.control if self.ackermann is None else self._ackermann_control(dt)
        u, w, r = self.u, self.w, self.r
        drivetrain = self.drivetrain
        if self.floor is None:
            self.floor = ground.height(self.x, self.y, self.z)
        touching = not self.airborne or self.z <= self.floor + _TRAVEL
        speed = abs(u)
        table = drivetrain.bin(speed)

        # Along the body: engine, air and slope push; brakes and rolling resistance only ever slow down.
        pull = self._pull(control, speed, table) if touching else 0.0
        fx, fy, fz = self.force
        yaw = math.radians(self.yaw)
        if fx or fy:
            c, s = math.cos(yaw), math.sin(yaw)
            pull += (fx * c + fy * s) / drivetrain.mass
            w += (fy * c - fx * s) / drivetrain.mass * dt
        slope = GRAVITY * math.sin(math.radians(self.pitch)) if touching and self.pitch else 0.0
        u_free = u + (pull - drivetrain.drag * u * speed - slope) * dt
        lateral_grip = 0.0
        if touching:
            resistance = control.brake * drivetrain.brake + drivetrain.rolling
            if control.hand_brake:
                resistance += drivetrain.hand_brake
            if control.throttle == 0.0:
                resistance += drivetrain.coasting
            grip = drivetrain.grip
            resistance = min(resistance, grip)
            angle = control.steer * drivetrain.steering[table]
            # What braking and driving leave of the friction circle.
            used = min(resistance + abs(pull), 0.95 * grip) if speed > 0.0 else 0.0
            lateral_grip = math.sqrt(grip * grip - used * used)
            r_asked = u_free * math.tan(angle) / drivetrain.wheelbase
            r_limit = lateral_grip / (speed if speed > _MIN_TURN_SPEED else _MIN_TURN_SPEED)
            if abs(r_asked) > r_limit:
                # Front wheels that slide sideways also brake.
                resistance += 0.5 * lateral_grip * abs(math.sin(angle)) * (1.0 - r_limit / abs(r_asked))
                r_asked = math.copysign(r_limit, r_asked)
            slowed = resistance * dt
            u_free = u_free - math.copysign(slowed, u_free) if abs(u_free) > slowed else 0.0
            change = drivetrain.yaw_grip * dt
            r = min(max(r_asked, r - change), r + change)
            if u_free == 0.0 and abs(r) <= change:
                r = 0.0
        r += self.torque / drivetrain.inertia * dt

        # Across the body: seen from the turning frame the velocity turns back, and the tyres pull it onto the track of
        # the rear axle. While they manage, the vehicle rolls and keeps its speed; otherwise it drifts.
        r = min(max(r, -_MAX_SPIN), _MAX_SPIN)
        turned = r * dt
        cos, sin = math.cos(turned), math.sin(turned)
        track = r * drivetrain.rear
        w_thrown = w * cos - u_free * sin
        pulled = lateral_grip * dt
        if abs(track - w_thrown) <= pulled:
            u_new, w_new = u_free + (w - track) * sin, track
            heading = yaw + 0.5 * turned
        else:
            u_new, w_new = u_free * cos + w * sin, w_thrown + math.copysign(pulled, track - w_thrown)
            heading = yaw + turned
        if self.constant is not None:
            u_new, w_new = self.constant[0], self.constant[1]

        # Velocity and position agree exactly: what moves the vehicle is what the snapshot reports.
        c, s = math.cos(heading), math.sin(heading)
        self.vx, self.vy = u_new * c - w_new * s, u_new * s + w_new * c
        self.x += self.vx * dt
        self.y += self.vy * dt
        if r:
            heading_deg = self.yaw + math.degrees(turned)
            self.yaw = math.remainder(heading_deg, 360.0) if abs(heading_deg) > 180.0 else heading_deg
        self.u, self.w, self.r = u_new, w_new, r
        if fx or fy or fz or self.torque:
            self.vz += fz / drivetrain.mass * dt
            self.force, self.torque = (0.0, 0.0, 0.0), 0.0
        self._stand(dt, ground)
        still = u_new == w_new == r == 0.0 and not self.airborne and self.ackermann is None
        self.resting = still and control.throttle == 0.0 and self.constant is None
        return True

    def _pull(self, control: VehicleControl, speed: float, table: int) -> float:
        """Acceleration by the engine along the body [m/s2]; also settles the gear."""
        drivetrain = self.drivetrain
        if control.manual_gear_shift:
            self.gear = control.gear
            strength = drivetrain.gear_pull(abs(control.gear), speed)
            return math.copysign(control.throttle * strength, control.gear)
        if control.reverse:
            self.gear = -1
            return -control.throttle * drivetrain.reverse_pull[table]
        self.gear = drivetrain.gears[table]
        return control.throttle * drivetrain.pull[table]

    def _stand(self, dt: float, ground: Ground) -> None:
        """Follow the ground, or fall until there is some."""
        old = self.z
        floor = self.floor = ground.height(self.x, self.y, old)
        if self.airborne or old > floor + _TRAVEL:
            self.airborne = True
            if self.gravity:
                self.vz -= GRAVITY * dt
            self.z = old + self.vz * dt
            if self.z > floor + (0.0 if self.flat or self.vz > 0.0 else _TRAVEL):
                return
            self.airborne = False
        self.z = floor
        if self.flat:
            self.vz = self.pitch = self.roll = 0.0
            return
        self.vz = (floor - old) / dt
        heading = math.radians(self.yaw)
        c, s = math.cos(heading), math.sin(heading)
        along_x, along_y = ground.slope(self.x, self.y, floor)
        self.pitch = math.degrees(math.atan(along_x * c + along_y * s))
        self.roll = math.degrees(math.atan(along_x * s - along_y * c))

    def _ackermann_control(self, dt: float) -> VehicleControl:
        """Throttle, brake and steer that bring the vehicle to the Ackermann target."""
        target = self.ackermann
        assert target is not None
        drivetrain = self.drivetrain
        table = drivetrain.bin(abs(self.u))
        reach = abs(target.steer_speed) * dt if target.steer_speed else math.inf
        self.enforced_steer += min(max(target.steer - self.enforced_steer, -reach), reach)
        steer = min(max(self.enforced_steer / (drivetrain.steering[table] or 1.0), -1.0), 1.0)
        wanted = (target.speed - self.u) / max(dt, 0.1)
        if target.acceleration:
            wanted = min(max(wanted, -abs(target.acceleration)), abs(target.acceleration))
        reverse = target.speed < 0.0 and self.u < 0.5
        along = -wanted if reverse else wanted
        along += drivetrain.drag * self.u * self.u + drivetrain.rolling
        if target.speed == 0.0 and abs(self.u) < 0.1:
            return VehicleControl(brake=1.0, steer=steer)
        if along > 0.0:
            pull = drivetrain.reverse_pull[table] if reverse else drivetrain.pull[table]
            return VehicleControl(throttle=min(1.0, along / pull) if pull else 1.0, steer=steer, reverse=reverse)
        return VehicleControl(
            brake=min(1.0, -along / drivetrain.brake) if drivetrain.brake else 1.0, steer=steer, reverse=reverse
        )
