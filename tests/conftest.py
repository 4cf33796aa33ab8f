"""Fixtures that several folders of tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from sb3_carla import CarlaEnv
from sb3_carla.simulator import EmbeddedServer

torch.set_num_threads(1)  # tests run beside a server and a client process on two cores
hypothesis.settings.register_profile("ours", deadline=None, derandomize=True)  # a busy machine must not fail a test
hypothesis.settings.load_profile("ours")
logging.getLogger("sb3_carla").handlers.clear()  # pytest collects the log itself

MAPS = Path(__file__).parent.parent.parent / "shared" / "maps"  # CARLA's own towns, where they are at hand


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A simulator in Town_Blocks that tests use one after the other. Who loads another town takes one of its own."""
    with EmbeddedServer("Town_Blocks") as server:
        yield server


@pytest.fixture
def address(server: EmbeddedServer) -> str:
    return f"{server.host}:{server.port}"


@pytest.fixture
def env(address: str) -> Iterator[CarlaEnv]:
    """A lane-following env."""
    env = CarlaEnv(address, seed=0)
    yield env
    env.close()
