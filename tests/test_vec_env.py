from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from sb3_carla import vec_env
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


class LossyEnv(gym.Env[Any, Any]):
    """Loses its server in its first step if it is told so; the new one is there once ``is_back`` is set."""

    observation_space = gym.spaces.Box(0, 255, (2, 36, 36), np.uint8)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, loses: bool) -> None:
        self.loses, self.is_back = loses, threading.Event()
        self.episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        assert self.episodes == 0 or self.is_back.wait(60.0)
        self.episodes += 1
        return np.full((2, 36, 36), self.episodes, np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        lost = self.loses and self.episodes == 1
        return np.ones((2, 36, 36), np.uint8), 1.0, False, lost, {"carla": "lost"} if lost else {}


def test_black_steps_are_few_while_an_env_is_away_and_its_return_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy, steady = LossyEnv(True), LossyEnv(False)
    envs = CarlaVecEnv([lambda: lossy, lambda: steady])
    envs.reset()
    envs.step(THROTTLE)
    begin = time.monotonic()
    for _ in range(5):
        observations, rewards, dones, infos = envs.step(THROTTLE)
        assert not observations[0].any()
        assert "carla" in infos[0]
        assert (list(rewards), list(dones)) == ([0.0, 1.0], [True, False]), "the other env goes on"
    assert time.monotonic() - begin > 0.9, "a few steps a second"
    monkeypatch.setattr(vec_env, "BLACK_STEP_SECONDS", 60.0)
    threading.Timer(0.2, lossy.is_back.set).start()
    begin = time.monotonic()
    observations, *_ = envs.step(THROTTLE)
    assert (observations[0] == 2).all()
    for _ in range(5):
        _, rewards, _, infos = envs.step(THROTTLE)
        assert list(rewards) == [1.0, 1.0]
        assert "carla" not in infos[0]
    assert time.monotonic() - begin < 30.0, "nobody waits for an env that is there"
    envs.close()


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
