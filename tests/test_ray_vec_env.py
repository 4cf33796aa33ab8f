"""Environments on the machines of a Ray cluster: two nodes on this machine, one of which is lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

from sb3_carla.envs import ConfigurationError
from sb3_carla.vec_env import CarlaVecEnv

ray = pytest.importorskip("ray", reason="needs the extra 'ray'")

THROTTLE = np.array([[0.0, 0.5], [0.0, 0.5]], np.float32)
SMALL: dict[str, Any] = {"image_size": 36, "frame_stack": 2, "max_episode_steps": 30}

pytestmark = pytest.mark.slow


def processes(text: str) -> int:
    listing = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return sum(text in line for line in listing.splitlines())


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.other = cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def pair() -> CarlaVecEnv:
    from sb3_carla.ray_vec_env import make_ray_vec_env

    return make_ray_vec_env(2, seed=0, cpus_per_env=1.0, **SMALL)


class LoseNode(BaseCallback):
    """Takes one of the two machines away in mid-training."""

    def __init__(self, cluster: Any, at: int) -> None:
        super().__init__()
        self.cluster, self.at = cluster, at
        self.lost: list[tuple[int, int, str]] = []  # row, env, what was said
        self.terminals = 0
        self.back = False

    def _on_step(self) -> bool:
        for index, (done, info) in enumerate(zip(self.locals["dones"], self.locals["infos"], strict=True)):
            if "carla" in info:
                assert done
                assert info["TimeLimit.truncated"]
                self.lost.append((self.n_calls - 1, index, info["carla"]))
        if self.n_calls == self.at:
            self.cluster.remove_node(self.cluster.other, allow_graceful=False)
        lost_until = self.lost[-1][0] if self.lost else self.n_calls
        self.back = self.n_calls - 1 - lost_until > 20
        return not self.back  # enough was driven on the machine that is left


def test_a_training_goes_on_when_one_of_two_machines_is_lost(cluster: Any) -> None:
    before = processes("sb3_carla.simulator.server")
    envs = pair()
    envs.reset()
    nodes = [info["node"] for info in envs.reset_infos]
    assert len(set(nodes)) == 2, "each env has a machine of its own"
    model = SAC("CnnPolicy", envs, buffer_size=100_000, learning_starts=10**9, seed=0, optimize_memory_usage=False)
    callback = LoseNode(cluster, at=40)
    model.learn(100_000, callback=callback)
    assert callback.back
    lost_env = {index for _, index, _ in callback.lost}
    assert len(lost_env) == 1, "the other env went on"
    assert "Ray actor was lost" in callback.lost[0][2]
    assert [envs.reset_infos[index]["node"] for index in range(2)] == [nodes[1 - lost_env.pop()]] * 2
    rows, columns = np.array([(row, index) for row, index, _ in callback.lost]).T
    assert model.replay_buffer is not None
    assert (model.replay_buffer.timeouts[rows, columns] == 1.0).all(), "no terminal state was invented"
    envs.close()
    deadline = time.monotonic() + 15.0
    while processes("sb3_carla.simulator.server") > before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes("sb3_carla.simulator.server") == before


def test_the_envs_drive_like_those_of_this_machine(cluster: Any) -> None:
    from sb3_carla.vec_env import make_carla_vec_env

    here, there = make_carla_vec_env(2, seed=0, **SMALL), pair()
    np.testing.assert_array_equal(here.reset(), there.reset())
    for _ in range(40):  # into the second episode
        one, other = here.step(THROTTLE), there.step(THROTTLE)
        for a, b in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(a, b)
    here.close()
    there.close()


def test_options_that_cannot_be_are_refused_before_anything_starts() -> None:
    from sb3_carla.ray_vec_env import make_ray_vec_env

    with pytest.raises(ConfigurationError, match="n_envs=0"):
        make_ray_vec_env(0)
    with pytest.raises(ConfigurationError, match="npc_vehicle"):
        make_ray_vec_env(1, npc_vehicle=3)
    assert not ray.is_initialized()
