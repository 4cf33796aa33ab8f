"""How a vehicle moves: a person who drives would not be surprised, and nothing ever becomes infinite."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_carla.simulator.blueprints import BLUEPRINTS
from sb3_carla.simulator.drivetrain import Drivetrain, default_physics
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.vehicle import VehicleMotion
from sb3_carla.simulator.wire.values import AckermannControl, VehicleControl

STEP = 0.05
HERE = Transform()


class Plane:
    """Ground with the same slope along x everywhere."""

    def __init__(self, slope: float = 0.0):
        self._slope = slope

    def height(self, x, y, z=None):
        return self._slope * x

    def slope(self, x, y, z=None):
        return self._slope, 0.0


def make(type_id="vehicle.tesla.model3", pose=HERE, slope=0.0, **physics):
    model = BLUEPRINTS[type_id].vehicle
    motion = VehicleMotion(pose, Drivetrain(default_physics(model)._replace(**physics), model), flat=slope == 0.0)
    motion.advance(STEP, Plane(slope))
    return motion


def drive(motion, seconds, slope=0.0, **control):
    motion.command(VehicleControl(**control))
    for _ in range(round(seconds / STEP)):
        motion.advance(STEP, Plane(slope))


def seconds_to(motion, speed):
    motion.command(VehicleControl(throttle=1.0))
    for step in range(2000):
        if motion.u >= speed:
            return step * STEP
        motion.advance(STEP, Plane())
    return math.inf


@pytest.mark.parametrize(
    "type_id", [name for name, one in BLUEPRINTS.items() if one.vehicle and one.vehicle.base_type != "bicycle"]
)
def test_every_motor_vehicle_reaches_town_speed_and_stops_within_a_road_length(type_id):
    motion = make(type_id)
    assert 1.0 < seconds_to(motion, 50 / 3.6) < 25.0
    start = motion.x
    drive(motion, 5.0, brake=1.0)
    assert motion.u == 0.0
    assert 9.0 < motion.x - start < 20.0  # published braking distances from 50 km/h are 10 to 16 m


def test_a_bicycle_is_slower_than_a_car():
    motion = make("vehicle.bh.crossbike")
    drive(motion, 30.0, throttle=1.0)
    assert 4.0 < motion.u < 18.0


def test_throttle_drives_along_the_heading():
    motion = make(pose=Transform(yaw=90.0))
    drive(motion, 3.0, throttle=0.6)
    assert motion.y > 3.0
    assert abs(motion.x) < 1e-6


def test_steering_right_turns_right():
    motion = make()
    drive(motion, 2.0, throttle=0.4)
    drive(motion, 1.0, throttle=0.2, steer=0.4)
    assert motion.yaw > 5.0
    assert motion.r > 0.0
    assert motion.y > 0.0


def test_reverse_drives_backwards_and_steers_the_other_way():
    motion = make()
    drive(motion, 3.0, throttle=0.5, reverse=True, steer=0.2)
    assert motion.x < -1.0
    assert motion.yaw < 0.0
    assert motion.gear == -1


def test_the_hand_brake_stops():
    motion = make()
    drive(motion, 3.0, throttle=0.6)
    drive(motion, 5.0, hand_brake=True)
    assert motion.u == 0.0


def test_a_car_rolls_out_without_throttle_and_then_rests():
    motion = make()
    drive(motion, 2.0, throttle=0.5)
    speed = motion.u
    drive(motion, 2.0)
    assert 0.0 < motion.u < speed
    drive(motion, 120.0)
    assert motion.resting


def test_lateral_acceleration_never_exceeds_what_the_tyres_hold():
    motion = make()
    drive(motion, 6.0, throttle=1.0)
    motion.command(VehicleControl(throttle=0.3, steer=1.0))
    for _ in range(60):
        motion.advance(STEP, Plane())
        assert abs(motion.r * motion.u) <= motion.drivetrain.grip * 1.2


def test_the_velocity_is_what_the_position_changes_by():
    motion = make()
    motion.command(VehicleControl(throttle=0.8, steer=0.3))
    for _ in range(100):
        x, y = motion.x, motion.y
        motion.advance(STEP, Plane())
        assert (motion.x - x) / STEP == pytest.approx(motion.vx, abs=1e-9)
        assert (motion.y - y) / STEP == pytest.approx(motion.vy, abs=1e-9)


def test_half_the_step_gives_nearly_the_same_path():
    coarse, fine = make(), make()
    for motion, step in ((coarse, 0.05), (fine, 0.025)):
        motion.command(VehicleControl(throttle=0.6, steer=0.1))
        for _ in range(round(5.0 / step)):
            motion.advance(step, Plane())
    assert math.dist((coarse.x, coarse.y), (fine.x, fine.y)) < 0.03 * math.hypot(fine.x, fine.y)


def test_without_friction_and_drag_a_set_velocity_stays():
    motion = make()
    physics = motion.drivetrain.physics
    wheels = tuple(wheel._replace(tire_friction=0.0) for wheel in physics.wheels)
    motion.drivetrain = Drivetrain(
        physics._replace(wheels=wheels, drag_coefficient=0.0), BLUEPRINTS["vehicle.tesla.model3"].vehicle
    )
    motion.set_velocity(7.0, 2.0, 0.0)
    motion.command(VehicleControl(brake=1.0))
    for _ in range(100):
        motion.advance(STEP, Plane())
    assert (motion.vx, motion.vy) == pytest.approx((7.0, 2.0), abs=1e-6)


def test_a_sideways_velocity_is_stopped_by_the_tyres():
    motion = make()
    motion.set_velocity(0.0, 5.0, 0.0)
    drive(motion, 2.0)
    assert abs(motion.vy) < 0.1
    assert 0.5 < motion.y < 4.0


def test_a_dropped_vehicle_falls_onto_the_ground():
    motion = make(pose=Transform(z=2.0))
    heights = []
    for _ in range(30):
        motion.advance(STEP, Plane())
        heights.append(motion.z)
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == 0.0
    assert heights.index(0.0) * STEP == pytest.approx(math.sqrt(2 * 2.0 / 9.81), abs=0.15)


def test_a_vehicle_pitches_with_the_slope_and_rolls_down_without_brakes():
    motion = make(slope=0.1)
    drive(motion, 3.0, slope=0.1)
    assert motion.pitch == pytest.approx(math.degrees(math.atan(0.1)))
    assert motion.x < -1.0
    assert motion.z == pytest.approx(0.1 * motion.x)


def test_brakes_hold_on_a_slope():
    motion = make(slope=0.1)
    drive(motion, 3.0, slope=0.1, brake=1.0)
    assert abs(motion.x) < 0.2


def test_switched_off_physics_keeps_the_exact_pose():
    motion = make()
    motion.simulated = False
    pose = Transform(1.5, 2.25, 7.0, 3.0, 180.0, -4.0)
    motion.place(pose)
    drive(motion, 1.0, throttle=1.0)
    assert motion.pose == pose


def test_a_teleport_to_the_ground_comes_back_exactly():
    motion = make()
    motion.command(VehicleControl(brake=1.0))
    motion.place(Transform(12.5, -3.25, 0.0, 0.0, 180.0, 0.0))
    motion.set_velocity(0.0, 0.0, 0.0)
    motion.advance(STEP, Plane())
    assert motion.pose == Transform(12.5, -3.25, 0.0, 0.0, 180.0, 0.0)


def test_constant_velocity_is_held_in_the_bodys_frame():
    motion = make(pose=Transform(yaw=90.0))
    motion.constant = (5.0, 0.0, 0.0)
    drive(motion, 1.0, brake=1.0)
    assert motion.vy == pytest.approx(5.0)


@pytest.mark.parametrize("speed", [-3.0, 3.0, 12.0])
def test_ackermann_control_reaches_its_speed(speed):
    motion = make()
    motion.ackermann, motion.resting = AckermannControl(speed=speed), False
    for _ in range(300):
        motion.advance(STEP, Plane())
    assert motion.u == pytest.approx(speed, abs=0.4)


def test_a_lower_gear_by_hand_limits_the_speed():
    automatic, manual = make("vehicle.audi.tt"), make("vehicle.audi.tt")
    drive(automatic, 20.0, throttle=1.0)
    drive(manual, 20.0, throttle=1.0, manual_gear_shift=True, gear=1)
    assert manual.u < 0.5 * automatic.u


def test_a_force_accelerates_by_its_share_of_the_mass_for_one_step():
    motion = make()
    drive(motion, 1.0, throttle=0.5)
    other = make()
    drive(other, 1.0, throttle=0.5)
    motion.force = (10_000.0, 0.0, 0.0)
    for one in (motion, other):
        one.advance(STEP, Plane())
    assert motion.u - other.u == pytest.approx(10_000.0 / motion.drivetrain.mass * STEP, rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1), st.booleans(), st.booleans(), st.floats(-40, 40)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.0, 0.05, -0.2]),
)
def test_no_sequence_of_commands_makes_the_motion_infinite_or_faster_than_any_car(commands, slope):
    motion = make(slope=slope)
    for throttle, steer, brake, hand_brake, reverse, knock in commands:
        motion.push(knock, -knock, 0.1 * knock, 0.1 * knock)
        drive(
            motion,
            0.5,
            slope=slope,
            throttle=throttle,
            steer=steer,
            brake=brake,
            hand_brake=hand_brake,
            reverse=reverse,
        )
        assert all(math.isfinite(value) for value in (*motion.pose, motion.u, motion.w, motion.r))
        assert -180.0 <= motion.yaw <= 180.0
    assert math.hypot(motion.u, motion.w) < 40.0 * math.sqrt(2) * len(commands) + 60.0
