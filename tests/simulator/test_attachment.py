"""How mounted actors hang on their parents: rigidly, on spring arms, on parents that vanish."""

from __future__ import annotations

import math

import carla
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_carla.simulator.attachment import Attachment, SpringArm
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.wire.values import ActorDescription

CHASE = Transform(-6.0, 0.0, 3.0, pitch=8.0)
LOOKS_DOWN = -math.degrees(math.atan2(3.0, 6.0))


def free(start, end):
    return 1.0


@given(yaw=st.floats(-180, 180), pitch=st.floats(-30, 30), roll=st.floats(-30, 30))
def test_an_arm_holds_its_end_where_the_mount_says_and_keeps_level(yaw, pitch, roll):
    end = SpringArm(CHASE, ghost=True).end(Transform(10.0, 20.0, 1.0, pitch, yaw, roll), 0.0, free)
    x, y = 10.0 - 6.0 * math.cos(math.radians(yaw)), 20.0 - 6.0 * math.sin(math.radians(yaw))
    assert end[:3] == pytest.approx((x, y, 4.0))
    assert (end.pitch, end.roll) == (pytest.approx(LOOKS_DOWN), 0.0)
    assert math.remainder(end.yaw - yaw, 360.0) == pytest.approx(0.0, abs=1e-9)


def test_an_arm_turns_after_its_parent_and_catches_up():
    arm = SpringArm(CHASE, ghost=True)
    arm.end(Transform(), 0.0, free)
    headings = [arm.end(Transform(yaw=90.0), 0.05, free).yaw for _ in range(60)]
    assert headings == sorted(headings)
    assert 20.0 < headings[0] < 45.0
    assert arm.settled
    assert headings[-1] == pytest.approx(90.0)


def test_an_arm_turns_the_short_way():
    arm = SpringArm(CHASE, ghost=True)
    arm.end(Transform(yaw=170.0), 0.0, free)
    heading = arm.end(Transform(yaw=-170.0), 0.05, free).yaw
    assert 170.0 < heading % 360.0 < 190.0


def test_only_an_arm_that_is_no_ghost_is_drawn_in():
    def half(start, end):
        return 0.5

    ghost, solid = (SpringArm(Transform(-4.0), ghost=ghost).end(Transform(), 0.0, half) for ghost in (True, False))
    assert ghost[:3] == pytest.approx((-4.0, 0.0, 0.0))
    assert solid[:3] == pytest.approx((-2.0, 0.0, 0.3))


@pytest.fixture
def car(world):
    car = world.spawn(ActorDescription("vehicle.tesla.model3", {}), world.town.roads.spawn_points[0])
    for _ in range(30):
        world.step(0.05)
    return car


def mount(world, car, kind, pose=CHASE):
    return world.spawn(ActorDescription("sensor.other.gnss", {}), pose, car.id, kind)


def test_an_arm_is_drawn_in_by_what_stands_behind_the_car(world, car):
    def distance(kind):
        sensor = mount(world, car, kind, Transform(-8.0, 0.0, 1.0))
        car.place(car.pose)
        world.step(0.05)
        return math.dist(sensor.pose[:2], car.pose[:2])

    assert distance(Attachment.SPRING_ARM) == pytest.approx(8.0, abs=0.1)
    world.spawn(ActorDescription("static.prop.container", {}), car.pose.compose(Transform(x=-7.0)))
    assert distance(Attachment.SPRING_ARM) == pytest.approx(4.0, abs=0.3)
    assert distance(Attachment.SPRING_ARM_GHOST) == pytest.approx(8.0, abs=0.1)


def test_what_hangs_on_an_arm_looks_along_it_turned_by_the_mounts_rotation(world, car):
    sensor = mount(world, car, Attachment.SPRING_ARM_GHOST)
    assert sensor.pose.pitch == pytest.approx(LOOKS_DOWN + 8.0)
    assert sensor.pose.yaw == pytest.approx(car.pose.yaw, abs=1e-6)


def test_a_rigid_mount_keeps_its_rotation_and_its_heading_between_minus_180_and_180(world, car):
    car.place(car.pose._replace(yaw=90.0))
    sensor = mount(world, car, Attachment.RIGID, Transform(1.0, 2.0, 3.0, 10.0, 180.0, 20.0))
    assert sensor.pose[:3] == pytest.approx((car.pose.x - 2.0, car.pose.y + 1.0, car.pose.z + 3.0))
    assert sensor.pose[3:] == pytest.approx((10.0, -90.0, 20.0))


def test_a_sensor_whose_parent_was_destroyed_stays_and_goes_on_measuring(world, car):
    sensor = mount(world, car, Attachment.SPRING_ARM)
    pose = sensor.pose
    world.destroy(car.id)
    world.step(0.05)
    assert sensor.pose == pose
    assert sensor.measure(world) is not None


def test_the_clients_kinds_of_attachment_are_known_by_their_numbers():
    assert [int(carla.AttachmentType.values[kind]) for kind in (0, 1, 2)] == [int(kind) for kind in Attachment]


@pytest.mark.parametrize("kind", ["Rigid", "SpringArm", "SpringArmGhost"])
def test_the_client_sees_a_mounted_sensor_follow_its_parent(game, kind):
    library = game.get_blueprint_library()
    car = game.spawn_actor(library.find("vehicle.tesla.model3"), game.get_map().get_spawn_points()[0])
    place = carla.Transform(carla.Location(x=-5.0, z=2.0))
    camera = game.spawn_actor(library.find("sensor.other.imu"), place, car, getattr(carla.AttachmentType, kind))
    game.tick()
    before = camera.get_location()
    car.set_target_velocity(10.0 * car.get_transform().get_forward_vector())
    for _ in range(20):
        game.tick()
    moved = camera.get_location().distance(before)
    assert moved == pytest.approx(10.0, abs=1.0)
    assert camera.parent.id == car.id
    assert camera.get_location().distance(car.get_location()) == pytest.approx(math.hypot(5, 2), abs=0.35)


@pytest.mark.parametrize("yaw", [180.0, -180.0, 90.0, 0.1])
def test_a_transform_comes_back_exactly_as_it_was_given(game, yaw):
    given = carla.Transform(carla.Location(1.5, -2.25, 30.125), carla.Rotation(12.5, yaw, -7.25))
    sensor = game.spawn_actor(game.get_blueprint_library().find("sensor.other.gnss"), given)
    game.tick()
    assert sensor.get_transform() == given
    given.location.x = 7.5
    sensor.set_transform(given)
    game.tick()
    assert sensor.get_transform() == given
