"""The connection to a CARLA server: world, clock, actors, sensors. Runs in the client process.

Every wait has a deadline. Whatever is changed on the server (settings, actors, traffic manager) is put back by
:meth:`CarlaClient.close`.
"""

from __future__ import annotations

import queue
import time
from typing import Any

import carla
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.errors import ConfigurationError, ServerUnavailableError, did_you_mean
from sb3_carla.envs.route import LaneGraph
from sb3_carla.envs.scenario import Scenario
from sb3_carla.envs.traffic import NPC_ROLE, Traffic
from sb3_carla.envs.traffic_rules import TrafficRules

RPC_TIMEOUT = 10.0  # [s] for one call; CARLA's own advice for a busy server
LOAD_TIMEOUT = 60.0  # [s] to load a town, which takes a busy server longer
FRAME_TIMEOUT = 5.0  # [s] for a sensor's data after the tick that made it
ROUND_TRIPS = 5  # calls that are timed; a busy machine delays some of them
EGO_COLOUR = "190,45,35"  # R, G, B
EGO_ROLE = "sb3_carla_ego"  # by which actors of an earlier, lost run are found

CameraImage = npt.NDArray[np.uint8]  # (height, width, 4) BGRA


class LostFrameError(RuntimeError):
    """A sensor did not deliver the frame of the tick; a stale image is never used in its place."""


class Sensor:
    """A listening sensor whose data is taken by frame number."""

    def __init__(self, actor: carla.Sensor) -> None:
        self.actor = actor
        self._data: queue.SimpleQueue[Any] = queue.SimpleQueue()
        actor.listen(self._data.put)

    def at_frame(self, frame: int) -> Any:
        """The data of exactly this frame; older data is dropped.

        :raises LostFrameError: if it does not come in time, or a later frame comes instead
        """
        deadline = time.monotonic() + FRAME_TIMEOUT
        while True:
            try:
                data = self._data.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise LostFrameError(
                    f"{self.actor.type_id} sent nothing for frame {frame} in {FRAME_TIMEOUT:g} s"
                ) from None
            if data.frame == frame:
                return data
            if data.frame > frame:
                raise LostFrameError(f"{self.actor.type_id} skipped frame {frame}: the next one is {data.frame}")

    def before_frame(self, frame: int) -> list[Any]:
        """All data of frames earlier than ``frame`` that was not taken yet.

        An event of the newest frame may still be on its way when the tick returns; counting it one tick later makes
        the result independent of that race.
        """
        events: list[Any] = []
        pending: list[Any] = []
        while not self._data.empty():
            event = self._data.get_nowait()
            (events if event.frame < frame else pending).append(event)
        for event in pending:
            self._data.put(event)
        return events

    def clear(self) -> None:
        """Forget what was not taken yet."""
        while not self._data.empty():
            self._data.get_nowait()


def image_array(image: carla.Image) -> CameraImage:
    """The pixels of a CARLA image without a copy: (height, width, 4), BGRA."""
    return np.frombuffer(image.raw_data, dtype=np.uint8).reshape(image.height, image.width, 4)


class CarlaClient:
    """One client of one CARLA server in synchronous mode.

    :param host: name or address of the server
    :param port: RPC port of the server
    :param scenario: the weather and how long a tick is
    :param town: the map to load, one of the scenario's
    :raises ServerUnavailableError: when nothing usable answers at the address
    :raises ConfigurationError: for a town, weather or vehicle that the server does not have
    """

    def __init__(self, host: str, port: int, scenario: Scenario, town: str | None) -> None:
        self.scenario = scenario
        self._actors: list[carla.Actor] = []
        self._sensors: list[Sensor] = []
        weathers = [weather_preset(name) for name in scenario.weathers]
        self.client = carla.Client(host, port)
        self.client.set_timeout(RPC_TIMEOUT)
        try:
            self.server_version: str = self.client.get_server_version()
            self.world: carla.World = self.client.get_world()
        except RuntimeError as error:
            raise ServerUnavailableError(
                f"No CARLA server answered at {host}:{port} ({str(error).splitlines()[0]}). "
                "Start one there (CarlaUE4.sh -carla-rpc-port=N), or leave out server= to use the embedded simulator."
            ) from error
        require_same_version(self.client.get_client_version(), self.server_version, f"{host}:{port}")
        self._load(town)
        self.traffic = Traffic(self.client, self.world, scenario, self.tick, self._destroy)
        self._original_settings = self.world.get_settings()
        self._original_weather = self.world.get_weather()
        try:
            if self._destroy_leftovers():  # the settings are then those of a lost run of ours: nobody ticks this world
                self._original_settings.synchronous_mode = False
                self._original_settings.fixed_delta_seconds = None
            settings = self.world.get_settings()
            settings.synchronous_mode = True
            settings.fixed_delta_seconds = scenario.fixed_delta_seconds
            self.world.apply_settings(settings)
            self.world.set_weather(weathers[0])
            self.map: carla.Map = self.world.get_map()
            self.blueprints: carla.BlueprintLibrary = self.world.get_blueprint_library()
            self.spawn_points: list[carla.Transform] = self.map.get_spawn_points()
            if not self.spawn_points:
                raise ConfigurationError(f"The map {self.map.name} has no spawn points. Choose another town.")
            self.lanes = LaneGraph(self.map)
            self.rules = TrafficRules(self.world, self.map)
            if not scenario.traffic_rules:
                self.rules.hold_green()
        except BaseException:
            self.close()
            raise

    def round_trip(self) -> float:
        """How long the answer to a call that asks nothing of the server takes [s]: the shortest of a few."""
        seconds = []
        for _ in range(ROUND_TRIPS):
            begin = time.perf_counter()
            self.client.get_server_version()
            seconds.append(time.perf_counter() - begin)
        return min(seconds)

    def tick(self) -> int:
        """Advance the world by one tick and return its frame number; RuntimeError when the server does not answer."""
        frame = int(self.world.tick(RPC_TIMEOUT))
        self.traffic.forget_destroyed()
        return frame

    def spawn_ego(self, blueprint_id: str, candidates: list[carla.Transform]) -> carla.Vehicle:
        """Spawn the ego vehicle at the first of the candidate points that is free.

        :raises ConfigurationError: for an unknown blueprint, or when no candidate is free
        """
        blueprint = self._blueprint(blueprint_id)
        blueprint.set_attribute("role_name", EGO_ROLE)
        if blueprint.has_attribute("color"):
            blueprint.set_attribute("color", EGO_COLOUR)
        for transform in candidates:
            vehicle = self.world.try_spawn_actor(blueprint, transform)
            if vehicle is not None:
                self._actors.append(vehicle)
                return vehicle
        raise ConfigurationError(
            f"None of {len(candidates)} spawn points of {self.map.name} is free for {blueprint_id}. "
            "Remove other actors from the server, or use fewer NPCs."
        )

    def attach_sensor(
        self, sensor_id: str, parent: carla.Actor, mount: carla.Transform, **attributes: object
    ) -> Sensor:
        """Attach a sensor rigidly to an actor and listen to it.

        :param sensor_id: blueprint id
        :param parent: the actor that carries it
        :param mount: pose relative to the parent
        :param attributes: blueprint attributes
        """
        blueprint = self._blueprint(sensor_id)
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        actor = self.world.spawn_actor(blueprint, mount, attach_to=parent)
        self._actors.append(actor)
        sensor = Sensor(actor)
        self._sensors.append(sensor)
        return sensor

    def spawn_npc(self, pattern: str, number: int) -> carla.Actor:
        """Spawn a scripted road user somewhere; it is put into its place later.

        :param pattern: of blueprint ids
        :param number: which of the blueprints, in alphabetical order
        :raises ConfigurationError: when the server has no such blueprint or no room
        """
        blueprints = sorted(self.blueprints.filter(pattern), key=lambda blueprint: str(blueprint.id))
        if not blueprints:
            raise ConfigurationError(f"The server has no blueprint {pattern!r}. Choose a scenario without it.")
        blueprint = blueprints[number % len(blueprints)]
        blueprint.set_attribute("role_name", NPC_ROLE)
        if blueprint.has_attribute("is_invincible"):
            blueprint.set_attribute("is_invincible", "false")
        for point in self.spawn_points[::-1]:
            above = carla.Location(point.location.x, point.location.y, point.location.z + 1.0)
            actor = self.world.try_spawn_actor(blueprint, carla.Transform(above, point.rotation))
            if actor is not None:
                self._actors.append(actor)
                return actor
        raise ConfigurationError(f"No spawn point of {self.map.name} is free for {blueprint.id}. Use fewer NPCs.")

    def set_weather(self, name: str) -> None:
        """Change the weather to a preset by its name."""
        self.world.set_weather(weather_preset(name))

    def close(self) -> None:
        """Put everything back: no traffic, no sensors, no actors of ours, settings and weather as they were."""
        for step in (self.traffic.stop, self._close_sensors, self._destroy_own, self._restore_world):
            try:
                step()
            except RuntimeError:
                break  # the server is gone: there is nothing left to put back

    def _load(self, wanted: str | None) -> None:
        """Load a town; all of the scenario's are looked for, so that one that is missing is told at the start."""
        current = _short(self.world.get_map().name)
        others = [
            town for town in self.scenario.towns if town and not town.endswith(".xodr") and _short(town) != current
        ]
        available = sorted(map(_short, self.client.get_available_maps())) if others else []
        for town in others:
            if _short(town) not in available:
                raise ConfigurationError(f"The server has no map {town!r}. {did_you_mean(town, available)}")
        if wanted is None or wanted.endswith(".xodr") or _short(wanted) == current:
            return
        self.client.set_timeout(LOAD_TIMEOUT)
        self.world = self.client.load_world(wanted)
        self.client.set_timeout(RPC_TIMEOUT)

    def _destroy_leftovers(self) -> bool:
        """Destroy the actors that an earlier run of ours could not; whether there were any."""
        if self._original_settings.synchronous_mode:
            self.tick()  # a new client of a world that stands still has not seen its actors yet
        actors = self.world.get_actors()
        ours = {a.id for a in actors if a.attributes.get("role_name") in (EGO_ROLE, NPC_ROLE)}
        attached = [a for a in actors if a.parent is not None and a.parent.id in ours]
        self._destroy([*attached, *(a for a in actors if a.id in ours)])
        return bool(ours)

    def _blueprint(self, blueprint_id: str) -> carla.ActorBlueprint:
        known = [b.id for b in self.blueprints]
        if blueprint_id not in known:
            kind = [name for name in known if name.split(".")[0] == blueprint_id.split(".")[0]]
            raise ConfigurationError(
                f"The server has no blueprint {blueprint_id!r}. {did_you_mean(blueprint_id, kind)}"
            )
        return self.blueprints.find(blueprint_id)

    def _destroy(self, actors: list[carla.Actor]) -> None:
        if actors:
            self.client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in actors], False)

    def _close_sensors(self) -> None:
        for sensor in self._sensors:
            sensor.actor.stop()
        self._sensors = []

    def _destroy_own(self) -> None:
        self._destroy(self._actors[::-1])  # sensors before the vehicle that carries them
        self._actors = []

    def _restore_world(self) -> None:
        if hasattr(self, "rules") and not self.scenario.traffic_rules:
            self.rules.let_change()
        self.world.set_weather(self._original_weather)
        self.world.apply_settings(self._original_settings)


def _short(map_name: str) -> str:
    """The name of a map without its folders: servers say ``Carla/Maps/Town01``, users ``Town01``."""
    return map_name.rsplit("/", 1)[-1]


def require_same_version(client: str, server: str, address: str) -> None:
    """Refuse a server of another version: their calls differ, and the wheel can crash over it.

    :raises ServerUnavailableError: naming both versions
    """
    if client.split("-")[0] != server.split("-")[0]:  # what follows says how it was built
        raise ServerUnavailableError(
            f"The server at {address} is CARLA {server} and the installed client is {client}. "
            f"Start a CARLA {client} server."
        )


def weather_preset(name: str) -> carla.WeatherParameters:
    """A preset of ``carla.WeatherParameters`` by its name, e.g. ``"ClearNoon"``.

    :raises ConfigurationError: for an unknown name
    """
    presets = {
        key: value for key, value in vars(carla.WeatherParameters).items() if isinstance(value, carla.WeatherParameters)
    }
    if name not in presets:
        raise ConfigurationError(f"There is no weather preset {name!r}. {did_you_mean(name, presets)}")
    return presets[name]
