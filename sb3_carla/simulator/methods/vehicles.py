"""Calls for vehicles and walkers: control, physics, lights, telemetry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sb3_carla.simulator.drivetrain import GRAVITY, PhysicsControl, read_physics
from sb3_carla.simulator.methods.actors import find
from sb3_carla.simulator.methods.table import Refused, method
from sb3_carla.simulator.road_users import Vehicle, Walker
from sb3_carla.simulator.wire.values import (
    AckermannControl,
    Vector,
    VehicleControl,
    WalkerControl,
    read_ackermann,
    read_anything,
    read_bool,
    read_control,
    read_float,
    read_int,
    read_list,
    read_vector,
    read_walker_control,
)

if TYPE_CHECKING:
    from sb3_carla.simulator.service import Client, Service


def vehicle(service: Service, actor_id: int) -> Vehicle:
    """The vehicle of an id.

    :raises Refused: when there is none
    """
    actor = find(service, actor_id)
    if not isinstance(actor, Vehicle):
        raise Refused(f"Actor {actor_id} is a {actor.blueprint.type_id}, not a vehicle")
    return actor


def walker(service: Service, actor_id: int) -> Walker:
    """The walker of an id.

    :raises Refused: when there is none
    """
    actor = find(service, actor_id)
    if not isinstance(actor, Walker):
        raise Refused(f"Actor {actor_id} is a {actor.blueprint.type_id}, not a walker")
    return actor


@method("apply_control_to_vehicle", read_int, read_control, void=True)
def apply_control_to_vehicle(service: Service, client: Client, actor_id: int, control: VehicleControl) -> None:
    """Drive by this control until the next one."""
    vehicle(service, actor_id).command(control)


@method("apply_ackermann_control_to_vehicle", read_int, read_ackermann, void=True)
def apply_ackermann_control_to_vehicle(
    service: Service, client: Client, actor_id: int, control: AckermannControl
) -> None:
    """Drive towards a speed and a steering angle."""
    motion = vehicle(service, actor_id).motion
    motion.ackermann, motion.resting = control, False


@method("get_ackermann_controller_settings", read_int)
def get_ackermann_controller_settings(service: Service, client: Client, actor_id: int) -> tuple[float, ...]:
    """CARLA's default gains; the controller here has none to set."""
    vehicle(service, actor_id)
    return 0.15, 0.0, 0.25, 0.01, 0.0, 0.01


@method("apply_ackermann_controller_settings", read_int, read_anything, void=True)
def apply_ackermann_controller_settings(service: Service, client: Client, actor_id: int, settings: Any) -> None:
    """Accepted; the controller here needs no gains."""
    vehicle(service, actor_id)


@method("apply_control_to_walker", read_int, read_walker_control, void=True)
def apply_control_to_walker(service: Service, client: Client, actor_id: int, control: WalkerControl) -> None:
    """Walk by this control until the next one."""
    walker(service, actor_id).command(control)


@method("enable_actor_constant_velocity", read_int, read_vector, void=True)
def enable_actor_constant_velocity(service: Service, client: Client, actor_id: int, velocity: Vector) -> None:
    """Hold a velocity in the vehicle's own frame [m/s]."""
    motion = vehicle(service, actor_id).motion
    motion.constant, motion.resting = velocity, False


@method("disable_actor_constant_velocity", read_int, void=True)
def disable_actor_constant_velocity(service: Service, client: Client, actor_id: int) -> None:
    """Let the vehicle's physics decide its velocity again."""
    vehicle(service, actor_id).motion.constant = None


@method("get_physics_control", read_int)
def get_physics_control(service: Service, client: Client, actor_id: int) -> PhysicsControl:
    """The physics control."""
    return vehicle(service, actor_id).physics


@method("apply_physics_control", read_int, read_physics, void=True)
def apply_physics_control(service: Service, client: Client, actor_id: int, physics: PhysicsControl) -> None:
    """Change the physics."""
    vehicle(service, actor_id).set_physics(physics)


@method("get_telemetry_data", read_int)
def get_telemetry_data(service: Service, client: Client, actor_id: int) -> tuple[Any, ...]:
    """What the vehicle's parts do at this moment."""
    motion = vehicle(service, actor_id).motion
    drivetrain, control, speed = motion.drivetrain, motion.control, abs(motion.u)
    load = drivetrain.mass * GRAVITY / len(drivetrain.physics.wheels)
    wheels = []
    for wheel in drivetrain.physics.wheels:
        slip = math.degrees(math.atan2(motion.w - motion.r * drivetrain.rear, max(speed, 0.1)))
        torque = control.brake * wheel.max_brake_torque
        turning = motion.u / (0.01 * wheel.radius)
        side = motion.u * motion.r * load / GRAVITY
        wheels.append((wheel.tire_friction, slip, 0.0, turning, load, 1.0, torque, 0.0, side, 0.0, side / load))
    rpm = drivetrain.engine_rpm(abs(motion.gear), speed)
    drag = drivetrain.drag * speed * speed * drivetrain.mass
    return motion.u, control.steer, control.throttle, control.brake, rpm, motion.gear, drag, wheels


@method("get_vehicle_light_state", read_int)
def get_vehicle_light_state(service: Service, client: Client, actor_id: int) -> tuple[int]:
    """Which lights are on."""
    return (vehicle(service, actor_id).lights,)


@method("set_vehicle_light_state", read_int, read_list(read_int), void=True)
def set_vehicle_light_state(service: Service, client: Client, actor_id: int, state: list[int]) -> None:
    """Switch lights; the flags come as the only element of an array."""
    vehicle(service, actor_id).lights = (state[0] if state else 0) & 0xFFFFFFFF


@method("get_vehicle_light_states")
def get_vehicle_light_states(service: Service, client: Client) -> list[tuple[int, int]]:
    """Lights of all vehicles."""
    return [(one.id, one.lights) for one in service.world.vehicles]


@method("get_wheel_steer_angle", read_int, read_int)
def get_wheel_steer_angle(service: Service, client: Client, actor_id: int, wheel: int) -> float:
    """The angle of a wheel [deg]; the rear wheels do not steer."""
    motion = vehicle(service, actor_id).motion
    if wheel > 1:
        return 0.0
    return math.degrees(motion.control.steer * motion.drivetrain.steering[motion.drivetrain.bin(abs(motion.u))])


def _accepted(name: str, *extra: Any) -> None:
    """Enter a call that changes only what the simulator does not show."""

    @method(name, read_int, *extra, void=True)
    def accept(service: Service, client: Client, actor_id: int, *arguments: Any) -> None:
        find(service, actor_id)


# Wheels, doors, bones and debug overlays are not drawn; autopilot is the client's traffic manager.
_accepted("set_wheel_steer_direction", read_anything, read_float)
_accepted("open_vehicle_door", read_anything)
_accepted("close_vehicle_door", read_anything)
_accepted("show_vehicle_debug_telemetry", read_bool)
_accepted("set_actor_autopilot", read_bool)
_accepted("set_bones_transform", read_anything)
_accepted("blend_pose", read_anything)
_accepted("get_pose_from_animation")
