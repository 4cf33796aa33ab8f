"""A server at the other end of a slow link: the env works, says so, and waits no longer than it has to."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from sb3_carla import CarlaEnv
from sb3_carla.envs import carla_env
from sb3_carla.simulator import EmbeddedServer

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from fault_proxy import Link

THROTTLE = np.array([0.0, 0.5], np.float32)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the link needs a second loopback address")


def linked(server: EmbeddedServer, round_trip: float) -> Link:
    return Link(server.port, server.stream_port, round_trip)


def test_an_env_drives_with_traffic_over_a_slow_link_and_says_how_slow_it_is(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    link = linked(server, 0.04)
    with caplog.at_level(logging.WARNING, "sb3_carla"):
        env = CarlaEnv(link.address, seed=0, image_size=16, npc_vehicles=2)
    (message,) = (record.getMessage() for record in caplog.records)
    milliseconds = re.search(rf"a call to {link.address} takes (\d+) ms", message)
    assert milliseconds is not None
    assert 40 <= int(milliseconds[1]) < 400
    env.reset()
    for _ in range(5):
        *_, truncated, info = env.step(THROTTLE)
        assert not truncated
        assert "carla" not in info
    env.close()
    link.close()


def test_pictures_and_rewards_do_not_depend_on_the_link(server: EmbeddedServer) -> None:
    seen = []
    link = linked(server, 0.03)
    for address in (f"127.0.0.1:{server.port}", link.address):
        env = CarlaEnv(address, seed=3, image_size=16)
        observation, _ = env.reset()
        steps = [env.step(THROTTLE) for _ in range(5)]
        seen.append((observation, [step[0] for step in steps], [step[1] for step in steps]))
        env.close()
    link.close()
    (first, pictures, rewards), (first_far, pictures_far, rewards_far) = seen
    np.testing.assert_array_equal(first, first_far)
    np.testing.assert_array_equal(pictures, pictures_far)
    assert rewards == rewards_far


def test_nothing_is_said_about_a_fast_link(server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sb3_carla"):
        CarlaEnv(f"127.0.0.1:{server.port}", image_size=16).close()
    assert [record.getMessage() for record in caplog.records] == []


def test_a_step_that_takes_longer_than_the_deadline_only_because_of_the_link_is_waited_for(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = linked(server, 0.06)
    env = CarlaEnv(link.address, seed=0, image_size=16, action_repeat=6)
    env.reset()
    monkeypatch.setattr(carla_env, "STEP_TIMEOUT", 0.01)  # six ticks take 0.36 s over this link
    assert not env.step(THROTTLE)[3]
    env.close()
    link.close()
