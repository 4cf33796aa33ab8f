"""Fixtures that several folders of tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from sb3_carla import CarlaEnv

torch.set_num_threads(1)  # tests run beside a server and a client process on two cores
hypothesis.settings.register_profile("ours", deadline=None, derandomize=True)  # a busy machine must not fail a test
hypothesis.settings.load_profile("ours")
logging.getLogger("sb3_carla").handlers.clear()  # pytest collects the log itself

MAPS = Path(__file__).parent.parent.parent / "shared" / "maps"  # CARLA's own towns, where they are at hand


@pytest.fixture
def env() -> Iterator[CarlaEnv]:
    """A lane-following env on its own embedded simulator."""
    env = CarlaEnv(seed=0)
    yield env
    env.close()
