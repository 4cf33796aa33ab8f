"""A client program with a synchronous traffic manager; its exit status says whether the traffic did what it should."""

from __future__ import annotations

import math
import os
import socket
import sys

import carla

NPCS, STEPS = 8, 300


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def main(port: int) -> int:
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(20.0)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    manager = client.get_trafficmanager(free_port())
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(7)
    town = world.get_map()
    points = town.get_spawn_points()
    blueprint = world.get_blueprint_library().find("vehicle.audi.tt")
    # The last third of the points may stand before traffic lights.
    cars = [world.spawn_actor(blueprint, point) for point in points[:: 2 * len(points) // 3 // NPCS][:NPCS]]
    for car in cars:
        car.set_autopilot(True, manager.get_port())
    world.tick()
    travelled, off_lane = dict.fromkeys(range(NPCS), 0.0), 0.0
    for _ in range(STEPS):
        before = [car.get_location() for car in cars]
        world.tick()
        for number, car in enumerate(cars):
            here = car.get_location()
            travelled[number] += here.distance(before[number])
            lane = town.get_waypoint(here).transform.location
            off_lane = max(off_lane, math.hypot(lane.x - here.x, lane.y - here.y))
    print(f"travelled {travelled}, at most {off_lane:.2f} m from the middle of a lane")
    manager.shut_down()
    client.apply_batch_sync([carla.command.DestroyActor(car) for car in cars], True)
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
    return 0 if max(travelled.values()) > 60.0 and min(travelled.values()) > 5.0 and off_lane < 2.5 else 1


if __name__ == "__main__":
    status = main(int(sys.argv[1]))
    sys.stdout.flush()
    os._exit(status)
