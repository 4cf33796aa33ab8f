"""A real embedded server for the whole session, and two ways to speak to it: the carla client, and plain calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from plain_client import RawClient

from sb3_carla.simulator import EmbeddedServer
from sb3_carla.simulator.town import Atlas
from sb3_carla.simulator.world import World

carla = pytest.importorskip("carla")


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer("Town_Blocks") as server:
        yield server


@pytest.fixture
def raw(server: EmbeddedServer) -> Iterator[RawClient]:
    """A plain connection to a settled world."""
    client = RawClient(server.port)
    client.settle()
    yield client
    client.close()


@pytest.fixture
def place(raw: RawClient) -> Any:
    """The first spawn point of the map: [[x, y, z], [pitch, yaw, roll]]."""
    return raw.call("get_map_info")[1][0]


@pytest.fixture(scope="session")
def client(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real carla client."""
    client = carla.Client(server.host, server.port)
    client.set_timeout(20.0)
    client.set_files_base_folder(str(tmp_path_factory.mktemp("files")))  # not the user's cache
    return client


@pytest.fixture
def game(client: Any) -> Iterator[Any]:
    """The carla client's world, synchronous with steps of 0.05 s; what a test leaves in it is destroyed."""
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    world.tick()
    for actor in world.get_actors():
        if actor.type_id != "spectator" and not actor.type_id.startswith("traffic."):
            actor.destroy()
    world.tick()
    yield world
    for actor in world.get_actors():
        if actor.type_id.startswith("sensor."):
            actor.destroy()
    world.tick()
    for actor in world.get_actors():
        if actor.type_id != "spectator" and not actor.type_id.startswith("traffic."):
            actor.destroy()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)


@pytest.fixture(scope="session")
def atlas() -> Atlas:
    return Atlas("Town_Blocks")


@pytest.fixture
def world(atlas: Atlas) -> World:
    """A simulation of its own, without a server around it."""
    return World(atlas, stream_port=1)
