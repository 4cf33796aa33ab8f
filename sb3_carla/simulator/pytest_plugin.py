"""Pytest fixtures for projects that test CARLA programs: a server for the session, and a client of it.

Put this into the project's ``conftest.py``; nothing starts before a test asks for it::

    pytest_plugins = ["sb3_carla.simulator.pytest_plugin"]

and write tests such as::

    def test_my_agent_stops_at_red(carla_client):
        world = carla_client.load_world("Town_Blocks")
        ...

``pytest --carla-map PATH`` serves another map: a built-in town, an OpenDRIVE file or a folder of such files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sb3_carla.simulator.embedded import EmbeddedServer

if TYPE_CHECKING:
    import carla


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses the map."""
    parser.getgroup("carla").addoption(
        "--carla-map", default="Town_Blocks", help="map of the embedded CARLA server (default: %(default)s)"
    )


@pytest.fixture(scope="session")
def carla_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """An embedded CARLA 0.9.16 server on a free port; it ends with the session, or with the test process.

    Its ``host`` and ``port`` are what ``carla.Client`` wants.
    """
    with EmbeddedServer(request.config.getoption("--carla-map")) as server:
        yield server


@pytest.fixture
def carla_client(carla_server: EmbeddedServer) -> Any:
    """A ``carla.Client`` of that server; each test begins a new episode, so it meets an empty world."""
    import carla

    client: carla.Client = carla.Client(carla_server.host, carla_server.port)
    client.set_timeout(20.0)
    client.reload_world()
    return client
