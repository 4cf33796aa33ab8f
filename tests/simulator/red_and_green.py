"""A client program: traffic manager cars in front of lights that stay red, then turn green. Status 0 when they obey."""

from __future__ import annotations

import os
import sys

import carla
from traffic import free_port

CARS, WAITING, GOING = 4, 160, 200  # cars, ticks at red, ticks at green


def main(port: int) -> int:
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(20.0)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    world.tick()
    lights = list(world.get_actors().filter("traffic.traffic_light*"))
    world.freeze_all_traffic_lights(True)
    for light in lights:
        light.set_state(carla.TrafficLightState.Red)
    manager = client.get_trafficmanager(free_port())
    manager.set_synchronous_mode(True)
    blueprint = world.get_blueprint_library().find("vehicle.audi.tt")
    cars = []
    for light in lights[:: len(lights) // CARS][:CARS]:
        pose = light.get_stop_waypoints()[0].previous(18.0)[0].transform
        pose.location.z += 0.3
        car = world.spawn_actor(blueprint, pose)
        car.set_autopilot(True, manager.get_port())
        cars.append(car)
    town = world.get_map()
    start = None
    for _ in range(WAITING):
        world.tick()
        start = start or [car.get_location() for car in cars]
    approached = [car.get_location().distance(place) for car, place in zip(cars, start or [], strict=True)]
    entered = [town.get_waypoint(car.get_location()).is_junction for car in cars]
    standing = [car.get_velocity().length() < 0.1 and car.is_at_traffic_light() for car in cars]
    for light in lights:
        light.set_state(carla.TrafficLightState.Green)
    crossed = [False] * len(cars)
    for _ in range(GOING):
        world.tick()
        for row, car in enumerate(cars):
            crossed[row] = crossed[row] or town.get_waypoint(car.get_location()).is_junction
    print(f"approached {approached}, entered at red {entered}, standing {standing}, crossed at green {crossed}")
    world.freeze_all_traffic_lights(False)
    world.reset_all_traffic_lights()
    manager.shut_down()
    client.apply_batch_sync([carla.command.DestroyActor(car) for car in cars], True)
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
    return 0 if all(standing) and all(crossed) and not any(entered) and min(approached) > 5.0 else 1


if __name__ == "__main__":
    status = main(int(sys.argv[1]))
    sys.stdout.flush()
    os._exit(status)
