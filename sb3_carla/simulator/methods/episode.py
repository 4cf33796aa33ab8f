"""Calls about the server and the episode: version, maps, settings, weather, streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sb3_carla.simulator.blueprints import definitions
from sb3_carla.simulator.methods.table import Refused, method
from sb3_carla.simulator.roads import MapError
from sb3_carla.simulator.weather import Weather
from sb3_carla.simulator.wire.layouts import WORLD_STREAM
from sb3_carla.simulator.wire.streams import token
from sb3_carla.simulator.wire.values import (
    EpisodeSettings,
    read_anything,
    read_bool,
    read_float,
    read_int,
    read_list,
    read_settings,
    read_str,
    wire_transform,
)

if TYPE_CHECKING:
    from sb3_carla.simulator.service import Client, Service

VERSION: Final = "0.9.16"


@method("version")
def version(service: Service, client: Client) -> str:
    """Which CARLA this server speaks like."""
    return VERSION


@method("get_episode_info")
def get_episode_info(service: Service, client: Client) -> tuple[Any, ...]:
    """Episode id and the token of the world stream."""
    return service.world.episode_id, (token(WORLD_STREAM, service.world.stream_port),)


@method("get_sensor_token", read_int)
def get_sensor_token(service: Service, client: Client, stream_id: int) -> tuple[bytes]:
    """Where to subscribe to a stream; the client will do so presently, and ticks wait for it."""
    if stream_id != WORLD_STREAM and stream_id not in service.world.sensors:
        raise Refused(f"There is no stream {stream_id}: its sensor does not exist any more")
    service.announce(stream_id)
    return (token(stream_id, service.world.stream_port),)


@method("get_episode_settings")
def get_episode_settings(service: Service, client: Client) -> list[Any]:
    """The world settings."""
    return service.world.settings.to_wire()


@method("set_episode_settings", read_settings)
def set_episode_settings(service: Service, client: Client, settings: EpisodeSettings) -> int:
    """Change the world settings; returns the last frame that was sent."""
    service.world.settings = settings
    return service.world.frame


@method("get_map_info")
def get_map_info(service: Service, client: Client) -> tuple[Any, ...]:
    """Name and spawn points."""
    town = service.world.town
    return f"Carla/Maps/{town.name}", [wire_transform(point) for point in town.spawn_points]


@method("get_map_data")
def get_map_data(service: Service, client: Client) -> str:
    """The OpenDRIVE text."""
    return service.world.town.roads.opendrive


@method("get_required_files", read_str)
def get_required_files(service: Service, client: Client, folder: str) -> list[str]:
    """Files that the client should keep: the mesh on which it moves walkers. It builds what it needs else itself."""
    town = service.world.town
    return [town.navigation_file] if folder == "Nav" and town.navigation else []


@method("request_file", read_str)
def request_file(service: Service, client: Client, name: str) -> bytes:
    """The content of a file; empty when there is none of that name."""
    town = service.world.town
    return town.navigation if name == town.navigation_file else b""


@method("get_navigation_mesh")
def get_navigation_mesh(service: Service, client: Client) -> bytes:
    """The mesh on which the client moves walkers."""
    return service.world.town.navigation


@method("get_available_maps")
def get_available_maps(service: Service, client: Client) -> list[str]:
    """Full names of the maps."""
    return service.world.atlas.names()


@method("load_new_episode", read_str, read_bool, read_int, void=True)
def load_new_episode(service: Service, client: Client, name: str, reset_settings: bool, layers: int) -> None:
    """Begin a new episode; an empty name means the present map."""
    try:
        service.world.load(name, reset_settings=reset_settings)
    except MapError as error:
        raise Refused(str(error)) from None


@method("copy_opendrive_to_file", read_str, read_anything, void=True)
def copy_opendrive_to_file(service: Service, client: Client, opendrive: str, parameters: Any) -> None:
    """Take a map from the client; the next ``load_new_episode`` of ``OpenDriveMap`` uses it."""
    try:
        service.world.atlas.receive(opendrive)
    except MapError as error:
        raise Refused(str(error)) from None


@method("get_actor_definitions")
def get_actor_definitions(service: Service, client: Client) -> list[Any]:
    """The blueprint library."""
    return definitions()


@method("tick_cue")
def tick_cue(service: Service, client: Client) -> int:
    """One step of the world; returns its frame."""
    service.step()
    return service.world.frame


@method("get_weather_parameters")
def get_weather_parameters(service: Service, client: Client) -> Weather:
    """The weather."""
    return service.world.weather


def _read_weather(value: Any) -> Weather:
    return Weather(*read_list(read_float)(value)[: len(Weather._fields)])


@method("set_weather_parameters", _read_weather, void=True)
def set_weather_parameters(service: Service, client: Client, weather: Weather) -> None:
    """Change the weather."""
    service.world.weather = weather


@method("get_imui_gravity")
def get_imui_gravity(service: Service, client: Client) -> float:
    """What IMU sensors take for gravity [m/s2]."""
    return service.world.gravity


@method("set_imui_gravity", read_float, void=True)
def set_imui_gravity(service: Service, client: Client, gravity: float) -> None:
    """Change what IMU sensors take for gravity."""
    service.world.gravity = gravity


@method("is_weather_enabled")
def is_weather_enabled(service: Service, client: Client) -> bool:
    """Whether the map has weather."""
    return True
