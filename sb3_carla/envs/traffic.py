"""The vehicles that CARLA's traffic manager drives: the NPCs, and the ego vehicle when it is asked to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator

import carla
import numpy as np

from sb3_carla.envs.errors import ConfigurationError
from sb3_carla.envs.scenario import Scenario

NPC_ROLE = "sb3_carla_npc"  # by which actors of an earlier, lost run are found


class Traffic:
    """The NPC vehicles of one world and their traffic manager.

    :param client: connection to the server
    :param world: its world
    :param scenario: how they drive
    :param tick: advances the world
    :param destroy: destroys actors
    """

    def __init__(
        self,
        client: carla.Client,
        world: carla.World,
        scenario: Scenario,
        tick: Callable[[], int],
        destroy: Callable[[list[carla.Actor]], None],
    ) -> None:
        self._client, self._world, self._scenario = client, world, scenario
        self._tick, self._destroy = tick, destroy
        self._manager: carla.TrafficManager | None = None
        self.vehicles: list[carla.Actor] = []

    def start(self, count: int, seed: int, points: list[carla.Transform]) -> None:
        """Fill the roads with ``count`` cars; replaces earlier ones.

        :param count: number of cars
        :param seed: seeds the traffic manager and the choice of cars
        :param points: spawn points to use, in this order
        :raises ConfigurationError: when the map has no room for so many
        """
        self.stop()
        if count == 0:
            return
        manager = self._started(seed)
        cars = sorted(
            (
                b
                for b in self._world.get_blueprint_library().filter("vehicle.*")
                if b.get_attribute("base_type").as_str() == "car"
            ),
            key=lambda blueprint: str(blueprint.id),
        )
        rng = np.random.default_rng(seed)
        for point in points:
            if len(self.vehicles) == count:
                break
            blueprint = cars[int(rng.integers(len(cars)))]
            blueprint.set_attribute("role_name", NPC_ROLE)
            vehicle = self._world.try_spawn_actor(blueprint, point)
            if vehicle is not None:
                self.vehicles.append(vehicle)
        if len(self.vehicles) < count:
            placed = len(self.vehicles)
            self.stop()
            raise ConfigurationError(
                f"The map {self._world.get_map().name} has room for {placed} NPC vehicles, not for {count}. "
                "Ask for fewer, or choose a larger town."
            )
        self._tick()  # actors are visible to the traffic manager after a tick
        scenario = self._scenario
        for vehicle in self.vehicles:
            vehicle.set_autopilot(True, manager.get_port())
            manager.vehicle_percentage_speed_difference(vehicle, scenario.npc_speed_difference)
            manager.ignore_lights_percentage(vehicle, scenario.npc_ignore_lights)
            manager.auto_lane_change(vehicle, scenario.npc_lane_changes)

    def forget_destroyed(self) -> None:
        """Drop cars that are gone; to be called after every tick. See :func:`still_there`."""
        if self.vehicles:
            present = self._world.get_snapshot()
            self.vehicles = [vehicle for vehicle in self.vehicles if present.has_actor(vehicle.id)]

    def take(self, vehicle: carla.Vehicle, seed: int, speed_kmh: float, path: list[carla.Location] | None) -> None:
        """Have the traffic manager drive a vehicle that is not one of the NPCs, until :meth:`release`.

        :param vehicle: the vehicle
        :param seed: seeds the traffic manager if it does not run yet
        :param speed_kmh: [km/h] to drive at
        :param path: points to pass; None: wherever the road leads
        """
        manager = self._started(seed)
        vehicle.set_autopilot(True, manager.get_port())
        manager.set_desired_speed(vehicle, speed_kmh)
        manager.auto_lane_change(vehicle, False)
        if not self._scenario.traffic_rules:
            manager.ignore_lights_percentage(vehicle, 100.0)
            manager.ignore_signs_percentage(vehicle, 100.0)
        if path is not None:
            manager.set_path(vehicle, path)

    def release(self, vehicle: carla.Vehicle) -> None:
        """Take a vehicle back from the traffic manager."""
        if self._manager is not None:
            vehicle.set_autopilot(False, self._manager.get_port())

    def stop(self) -> None:
        """Shut the traffic manager down, then destroy its cars (in this order: it aborts the process otherwise)."""
        if self._manager is not None:
            self._manager.shut_down()
            self._manager = None
        self._destroy(self.vehicles)
        self.vehicles = []

    def _started(self, seed: int) -> carla.TrafficManager:
        if self._manager is None:
            manager = self._client.get_trafficmanager(_free_port())
            manager.set_synchronous_mode(True)  # first of all: an asynchronous one polls the server without pause
            manager.set_random_device_seed(seed % 2**31)
            manager.set_global_distance_to_leading_vehicle(self._scenario.npc_distance)
            self._manager = manager
            # What it began before it heard of the mode ends with this tick. A car given to it earlier would be driven
            # by that step, too, or not, as the machine has it.
            self._tick()
        return self._manager


def _free_port() -> int:
    """A port for the traffic manager that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def still_there(actors: Iterable[carla.Actor]) -> Iterator[tuple[carla.Actor, carla.Transform, carla.Vector3D]]:
    """Actors with their pose and velocity, without those that are gone.

    The traffic manager itself destroys a car that has stood for 90 s, at a red light for 180 s (LibCarla 0.9.16,
    ``ALSM.cpp``). It does so in a thread of its own, so a car that is in the latest snapshot may be gone at any moment,
    and its handle raises an error then.

    :param actors: road users
    """
    for actor in actors:
        try:
            transform, velocity = actor.get_transform(), actor.get_velocity()
        except RuntimeError:
            continue
        yield actor, transform, velocity
