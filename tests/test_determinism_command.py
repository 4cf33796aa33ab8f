"""The command that compares two runs finds no difference where there is none, and finds the ones that there are."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "determinism.py"


@pytest.fixture(scope="module")
def determinism():
    spec = importlib.util.spec_from_file_location("determinism", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["determinism"] = module  # its processes find what they run by this name
    sys.path.insert(0, str(SCRIPT.parent))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPT.parent))
    del sys.modules["determinism"]


def test_the_same_traffic_under_the_real_traffic_manager_gives_the_same_bytes(determinism):
    streams = determinism.side_by_side("Town_Blocks", 40, 8, (7, 7))
    assert len(streams) == 19
    assert {name: stream.verdict() for name, stream in streams.items() if stream.first is not None} == {}
    assert all(streams[name].messages == 40 for name in ("snapshot", "camera.rgb", "lidar.ray_cast", "other.imu"))
    assert list(determinism.origin(streams)) == []


def test_a_difference_that_the_client_makes_is_found_and_blamed_on_it(determinism):
    streams = determinism.side_by_side("Town_Blocks", 60, 8, (7, None))
    assert streams["vehicles: controls"].first is not None
    assert streams["snapshot"].first is not None
    (reason,) = determinism.origin(streams)
    assert "came from the client" in reason


def compared(determinism, one, other):
    stream = determinism.Stream()
    stream.add(0, one)
    stream.add(1, other)
    stream.end()
    return stream.first


def test_every_kind_of_difference_is_found_with_its_tick_and_size(determinism):
    a, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 3.0])
    assert compared(determinism, [(1, a), (2, a)], [(1, a), (2, a)]) is None
    assert compared(determinism, [(1, a), (2, a)], [(1, a), (2, b)]) == (2, "1 of 3 values, at most 0.5")
    assert compared(determinism, [(1, a)], [(1, a[:2])]) == (1, "3 and 2 values")
    assert compared(determinism, [(4, a)], [(6, a)]) == (4, "in tick 6 of the other run")
    assert compared(determinism, [(1, a), (5, a)], [(1, a)]) == (5, "1 messages in one run only")
    assert compared(determinism, [(1, np.array([0.0]))], [(1, np.array([-0.0]))]) == (1, "0 of 1 values, at most 0")
