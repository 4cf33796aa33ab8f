"""CARLA code tested without CARLA: the fixtures of the simulator's pytest plugin.

Usage: pytest -p sb3_carla.simulator.pytest_plugin examples/test_my_carla_code.py
"""

from __future__ import annotations

import carla


def test_a_car_with_full_throttle_moves(carla_client: carla.Client) -> None:
    world = carla_client.get_world()
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    car.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(40):
        world.tick()
    assert car.get_velocity().length() > 3.0
    car.destroy()
