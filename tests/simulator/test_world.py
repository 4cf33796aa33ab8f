"""The world without a server around it: actors, episodes, clock."""

from __future__ import annotations

import pytest
from plain_client import read_snapshot

from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.roads import MapError
from sb3_carla.simulator.wire.values import ActorDescription, VehicleControl
from sb3_carla.simulator.world import SpawnError, World

CAR = ActorDescription("vehicle.tesla.model3", {})


def snapshot(world):
    return read_snapshot(bytes(world.snapshot()[4:]))


def points(world):
    return world.town.roads.spawn_points


def made_by_hand(world, records):
    """The ids of a snapshot that are neither the spectator nor a light or sign of the map."""
    given = {world.spectator.id, *(one.id for one in (*world.signals.lights, *world.signals.signs))}
    return [id for id in records["id"].tolist() if id not in given]


def test_every_spawn_point_is_free_of_scenery_for_every_vehicle(world):
    for pose in points(world):
        for type_id in ("vehicle.tesla.model3", "vehicle.mitsubishi.fusorosa", "vehicle.bh.crossbike"):
            actor = world.spawn(ActorDescription(type_id, {}), pose)
            world.destroy(actor.id)


def test_an_occupied_place_refuses_a_spawn_with_the_words_of_carla(world):
    world.spawn(CAR, points(world)[0])
    with pytest.raises(SpawnError, match="Spawn failed because of collision at spawn position"):
        world.spawn(CAR, points(world)[0])


@pytest.mark.parametrize(
    ("type_id", "attributes", "complaint"),
    [
        ("vehicle.no.such", {}, "no blueprint"),
        ("sensor.camera.rgb", {"image_size_x": "0"}, "image_size_x"),
        ("sensor.camera.rgb", {"image_size_x": "wide"}, "image_size_x"),
        ("sensor.camera.rgb", {"fov": "180"}, "fov"),
        ("sensor.camera.rgb", {"fov": "0.01"}, "fov is 0.01, it must be between"),
        ("sensor.other.imu", {"noise_accel_stddev_x": "nan"}, "noise_accel_stddev_x"),
    ],
)
def test_an_impossible_spawn_says_why_and_leaves_nothing_behind(world, type_id, attributes, complaint):
    before = set(world.actors)
    with pytest.raises(SpawnError, match=complaint):
        world.spawn(ActorDescription(type_id, attributes), points(world)[0])
    assert set(world.actors) == before


def test_ids_are_never_used_again(world):
    seen = set()
    for _ in range(5):
        actor = world.spawn(CAR, points(world)[0])
        assert actor.id not in seen
        seen.add(actor.id)
        world.destroy(actor.id)


def test_the_snapshot_lists_every_living_actor_and_no_other(world):
    car = world.spawn(CAR, points(world)[0])
    camera = world.spawn(ActorDescription("sensor.other.imu", {}), Transform(), car.id)
    invasion = world.spawn(ActorDescription("sensor.other.lane_invasion", {}), Transform(), car.id)
    world.step(0.05)
    assert made_by_hand(world, snapshot(world)[2]) == [car.id, camera.id, invasion.id]
    world.destroy(camera.id)
    world.step(0.05)
    assert made_by_hand(world, snapshot(world)[2]) == [car.id, invasion.id]


def test_the_frame_grows_by_one_and_the_time_by_the_step(world):
    world.step(0.05)
    first, _, _ = snapshot(world)
    world.step(0.1)
    second, episode, _ = snapshot(world)
    assert second["frame"] == first["frame"] + 1
    assert second["timestamp"] - first["timestamp"] == pytest.approx(0.1)
    assert episode["delta"] == pytest.approx(0.1)


def test_a_mounted_sensor_follows_its_parent(world):
    car = world.spawn(CAR, points(world)[0])
    sensor = world.spawn(ActorDescription("sensor.other.gnss", {}), Transform(x=2.0, z=1.0), car.id)
    car.motion.command(VehicleControl(throttle=0.7))
    for _ in range(40):
        world.step(0.05)
    forward = Transform(*car.pose).compose(Transform(x=2.0, z=1.0))
    assert sensor.pose[:3] == pytest.approx(forward[:3], abs=1e-6)
    assert snapshot(world)[2]["location"][-1] == pytest.approx(sensor.pose[:3], abs=1e-3)


def test_a_sensor_stays_where_it_was_when_its_parent_is_destroyed(world):
    car = world.spawn(CAR, points(world)[0])
    sensor = world.spawn(ActorDescription("sensor.other.gnss", {}), Transform(z=1.0), car.id)
    pose = sensor.pose
    world.destroy(car.id)
    world.step(0.05)
    assert sensor.pose == pose
    assert sensor.record()[1] == 0


def test_a_new_episode_keeps_only_the_spectator_and_the_maps_signals_and_goes_on_counting_frames(world):
    world.spawn(CAR, points(world)[0])
    world.step(0.05)
    frame, episode = world.frame, world.episode_id
    world.load("", reset_settings=True)
    world.step(0.05)
    header, head, records = snapshot(world)
    assert records["id"][0] == world.spectator.id
    assert made_by_hand(world, records) == []
    assert head["episode"] != episode
    assert head["flags"] == 1
    assert header["frame"] == frame + 1
    world.step(0.05)
    assert snapshot(world)[1]["flags"] == 0


def test_an_unknown_map_is_refused_and_the_present_one_kept(world):
    town, episode = world.town, world.episode_id
    with pytest.raises(MapError, match="NoSuchTown"):
        world.load("NoSuchTown", reset_settings=True)
    assert (world.town, world.episode_id) == (town, episode)


def test_a_car_that_hits_another_is_told_to_its_collision_sensor_with_the_impulse_on_itself(world):
    pose = points(world)[0]
    car = world.spawn(CAR, pose)
    sensor = world.spawn(ActorDescription("sensor.other.collision", {}), Transform(), car.id)
    other = world.spawn(CAR, pose.compose(Transform(x=9.0)))
    car.motion.command(VehicleControl(throttle=1.0))
    for _ in range(60):
        world.step(0.05)
        told = world.collisions()
        if told:
            break
    ((detector, hit, impulse),) = told
    assert (detector, hit) == (sensor, other)
    forward = Transform().compose(Transform(yaw=pose.yaw)).compose(Transform(x=1.0))
    assert impulse[0] * forward.x + impulse[1] * forward.y < -1000.0
    assert other.motion.u > 0.5


def test_a_walker_goes_where_its_control_says(world):
    from sb3_carla.simulator.wire.values import WalkerControl

    pose = points(world)[0]
    walker = world.spawn(ActorDescription("walker.pedestrian.0001", {}), pose._replace(z=pose.z + 1.0))
    walker.command(WalkerControl((0.0, 1.0, 0.0), 1.5))
    for _ in range(40):
        world.step(0.05)
    assert walker.pose.y - pose.y == pytest.approx(3.0, abs=0.05)
    assert walker.pose.x == pytest.approx(pose.x, abs=1e-6)
    assert walker.velocity == pytest.approx((0.0, 1.5, 0.0))


def test_a_walker_stands_on_the_ground_after_its_first_step(world):
    pose = points(world)[0]
    walker = world.spawn(ActorDescription("walker.pedestrian.0002", {}), pose._replace(z=pose.z + 3.0))
    world.step(0.05)
    bottom = walker.pose.z - walker.box_extent[2]
    assert bottom == pytest.approx(world.town.roads.height(pose.x, pose.y), abs=1e-6)


def test_without_sticky_control_a_command_lasts_one_step(world):
    car = world.spawn(ActorDescription("vehicle.tesla.model3", {"sticky_control": "false"}), points(world)[0])
    car.command(VehicleControl(throttle=0.5))
    world.step(0.1)
    assert car.motion.control.throttle == 0.5
    world.step(0.1)
    assert car.motion.control.throttle == 0.0


def test_a_vehicle_without_collisions_goes_through_another(world):
    pose = points(world)[0]
    car = world.spawn(CAR, pose)
    world.spawn(CAR, pose.compose(Transform(x=9.0)))
    world.set_collides(car, False)
    car.motion.command(VehicleControl(throttle=1.0))
    for _ in range(60):
        world.step(0.05)
        assert not world.hits


def run(atlas, steps):
    """A short drive with traffic contact; all bytes that it publishes."""
    world = World(atlas, stream_port=1)
    cars = [world.spawn(CAR, pose) for pose in points(world)[:6]]
    output = []
    for step in range(steps):
        for number, car in enumerate(cars):
            car.motion.command(VehicleControl(throttle=0.9, steer=0.1 * ((step + number) % 5 - 2)))
        world.step(0.05)
        output.append(bytes(world.snapshot()))
    return output


def test_equal_commands_give_equal_bytes(atlas):
    assert run(atlas, 200) == run(atlas, 200)
