from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
from stable_baselines3 import PPO

from sb3_carla.envs import ConfigurationError, ServerUnavailableError
from sb3_carla.simulator import EmbeddedServer
from sb3_carla.vec_env import CarlaVecEnv, make_carla_vec_env, server_list

THROTTLE = np.array([[0.0, 0.6], [0.0, 0.6]], np.float32)


@pytest.fixture
def pair() -> Iterator[CarlaVecEnv]:
    envs = make_carla_vec_env(2, seed=0, image_size=36, frame_stack=2)
    yield envs
    envs.close()


def test_envs_of_different_seeds_see_different_places_and_step_together(pair: CarlaVecEnv) -> None:
    first = pair.reset()
    assert not np.array_equal(first[0], first[1])
    for _ in range(5):
        observations, rewards, dones, infos = pair.step(THROTTLE)
    assert observations.shape == (2, 2, 36, 36)
    assert (rewards > 0.0).all()
    assert not dones.any()
    assert all("reward_terms" in info for info in infos)


def test_one_dead_server_does_not_stop_the_others_and_comes_back(pair: CarlaVecEnv) -> None:
    pair.reset()
    pid = pair.envs[0].unwrapped.server_pid
    pair.step(THROTTLE)
    os.kill(pid, signal.SIGKILL)
    lost, driven = [], 0
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        observations, rewards, dones, infos = pair.step(THROTTLE)
        driven += not dones[1]
        if "carla" in infos[0]:
            lost.append(infos[0])
            assert (dones[0], rewards[0]) == (True, 0.0)
        elif lost:
            break
    assert driven > len(lost) * 0.5, "the other env went on"
    assert all(info["TimeLimit.truncated"] for info in lost)
    assert observations[0].any()
    assert pair.envs[0].unwrapped.server_pid not in (None, pid)


def test_ppo_trains_on_two_servers(pair: CarlaVecEnv) -> None:
    model = PPO("CnnPolicy", pair, n_steps=16, batch_size=16, n_epochs=1, seed=0)
    model.learn(64)
    assert model.num_timesteps == 64


def test_servers_at_addresses_are_used_one_per_env() -> None:
    with EmbeddedServer() as one, EmbeddedServer() as other:
        addresses = [f"127.0.0.1:{server.port}" for server in (one, other)]
        envs = make_carla_vec_env(2, addresses, image_size=16, seed=0)
        envs.reset()
        envs.step(THROTTLE)
        envs.close()
        assert one.is_alive()
        assert other.is_alive()


def test_a_missing_server_is_refused_and_the_others_are_closed() -> None:
    with pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1:9"):
        make_carla_vec_env(2, ["embedded", "127.0.0.1:9"], image_size=16)


@pytest.mark.parametrize(
    ("n_envs", "servers", "message"),
    [
        (0, None, "n_envs=0"),
        (2, ["embedded"], "1 servers for n_envs=2"),
        (2, ["localhost:2000", "localhost:2000"], "named twice"),
    ],
)
def test_servers_that_do_not_match_the_envs_are_refused(n_envs: int, servers: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        server_list(n_envs, servers)
