"""Two servers that get the same commands send the same bytes: snapshots, pictures and events."""

from __future__ import annotations

import struct

from plain_client import RawClient

from sb3_carla.simulator import EmbeddedServer

STEPS = 150


def drive(port: int) -> list[bytes]:
    """A drive of several cars with a camera and a collision; every message of every stream."""
    client = RawClient(port)
    client.settle()
    points = client.call("get_map_info")[1]
    cars = [client.spawn("vehicle.tesla.model3", point)[0] for point in points[:4]]
    mount = [[1.5, 0.0, 2.4], [0.0, 0.0, 0.0]]
    records = [
        client.spawn("sensor.camera.rgb", mount, cars[0], image_size_x=84, image_size_y=84),
        client.spawn("sensor.camera.semantic_segmentation", mount, cars[0], image_size_x=40, image_size_y=30),
        client.spawn("sensor.other.imu", mount, cars[1], noise_accel_stddev_x=0.1, noise_seed=5),
        client.spawn("sensor.other.gnss", mount, cars[1], noise_lat_stddev=0.1, noise_seed=5),
        client.spawn("sensor.lidar.ray_cast", mount, cars[2], range=80, noise_stddev=0.1),
        client.spawn("sensor.lidar.ray_cast_semantic", mount, cars[2], range=80),
        client.spawn("sensor.other.radar", mount, cars[3]),
    ]
    streams = [client.subscribe(1), *(client.subscribe(struct.unpack_from("<I", one[5])[0]) for one in records)]
    messages = []
    for step in range(STEPS):
        for number, car in enumerate(cars):
            control = [0.8, 0.2 * ((step // 10 + number) % 5 - 2), 0.0, False, False, False, 0]
            client.request("apply_control_to_vehicle", car, control, awaited=False)
        frame = client.call("tick_cue")
        for stream in streams:
            message = stream.message()
            while struct.unpack_from("<Q", message, 8)[0] < frame:  # from before the drive, in asynchronous mode
                message = stream.message()
            # The frame depends on how long the server ran by itself before the drive.
            messages.append(message[:8] + message[16:])
    for one in (client, *streams):
        one.close()
    return messages


def test_the_same_commands_give_the_same_bytes_on_two_servers():
    with EmbeddedServer("Town_Curves") as one, EmbeddedServer("Town_Curves") as other:
        first, second = drive(one.port), drive(other.port)
    assert len(first) == 8 * STEPS
    differing = [number for number, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    assert differing == []
