"""What one measurement of each sensor costs the embedded simulator: processor time and bytes.

    python benchmarks/sensors.py [--map Town_Blocks] [--cars 50] [--repeat 20] [--only NAME]

The sensors are measured inside a world of parked cars, without a server and a client around it.
"""

from __future__ import annotations

import argparse
import time

from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.sensors import Sensor
from sb3_carla.simulator.town import Atlas
from sb3_carla.simulator.wire.values import ActorDescription
from sb3_carla.simulator.world import SpawnError, World

_LARGE = {"image_size_x": "800", "image_size_y": "600"}
_SMALL = {"image_size_x": "84", "image_size_y": "84"}
_CAMERAS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "optical_flow", "dvs")
# Title, blueprint, attributes.
CASES = [
    *((f"{kind} 84x84", f"sensor.camera.{kind}", _SMALL) for kind in _CAMERAS),
    *((f"{kind} 800x600", f"sensor.camera.{kind}", _LARGE) for kind in _CAMERAS),
    ("lidar 32 channels, 56 000 points/s", "sensor.lidar.ray_cast", {"range": "50"}),
    (
        "lidar 64 channels, 1 200 000 points/s",
        "sensor.lidar.ray_cast",
        {"range": "100", "channels": "64", "points_per_second": "1200000"},
    ),
    (
        "semantic lidar 128 channels, 1 200 000 points/s",
        "sensor.lidar.ray_cast_semantic",
        {"range": "100", "channels": "128", "points_per_second": "1200000"},
    ),
    ("radar 1 500 points/s", "sensor.other.radar", {}),
    ("gnss", "sensor.other.gnss", {}),
    ("imu", "sensor.other.imu", {}),
    ("obstacle 20 m", "sensor.other.obstacle", {"distance": "20"}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--map", default="Town_Blocks")
    parser.add_argument("--cars", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--only", default="", help="part of a title")
    arguments = parser.parse_args()
    world = World(Atlas(arguments.map), stream_port=1)
    places = world.town.roads.spawn_points[: arguments.cars]
    car, *_ = [world.spawn(ActorDescription("vehicle.tesla.model3", {}), place) for place in places]
    print(f"{arguments.map}, {len(places)} cars, steps of 0.05 s")
    print(f"{'sensor':50s} {'ms':>8s} {'kB':>8s}")
    for title, type_id, attributes in CASES:
        if arguments.only not in title:
            continue
        try:
            sensor = world.spawn(ActorDescription(type_id, attributes), Transform(x=1.5, z=2.4), car.id)
        except SpawnError as error:
            print(f"{title:50s} {error}")
            continue
        assert isinstance(sensor, Sensor)
        size, spent = 0, 0.0
        for repeat in range(-2, arguments.repeat):  # the first two fill caches
            world.step(0.05)
            began = time.process_time()
            message = sensor.measure(world)
            spent += time.process_time() - began if repeat >= 0 else 0.0
            size = sum(memoryview(part).nbytes for part in message or ())
        print(f"{title:50s} {1e3 * spent / arguments.repeat:8.2f} {size / 1000:8.0f}")
        world.destroy(sensor.id)


if __name__ == "__main__":
    main()
