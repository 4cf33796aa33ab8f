from __future__ import annotations

import csv
from pathlib import Path

import pytest
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.logger import configure

from sb3_carla import CarlaEnv
from sb3_carla.driving_log import DrivingLog


@pytest.mark.parametrize("algorithm", [PPO, SAC, DQN])
def test_sb3s_algorithms_train_on_the_env_and_log_its_metrics(algorithm: type, address: str, tmp_path: Path) -> None:
    actions = "discrete" if algorithm is DQN else "continuous"
    small = {"image_size": 36, "frame_stack": 2, "max_episode_steps": 12, "action_repeat": 2}
    env = CarlaEnv(address, actions=actions, seed=0, **small)
    options = {"n_steps": 32, "n_epochs": 1} if algorithm is PPO else {"buffer_size": 200, "learning_starts": 16}
    model = algorithm("CnnPolicy", env, batch_size=16, seed=0, **options)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(96, callback=DrivingLog(), log_interval=1)
    env.close()
    after = list(model.policy.parameters())
    assert any(not old.equal(new) for old, new in zip(before, after, strict=True))
    rows = list(csv.DictReader((tmp_path / "progress.csv").open()))
    logged = {name: float(value) for row in rows for name, value in row.items() if value}
    assert 0.0 <= logged["driving/driving_score"] <= 100.0
    assert logged["driving/distance"] > 0.0
    assert logged["reward/progress"] != 0.0
    # The terms add up to the return that SB3 reports over the same episodes.
    terms = sum(value for name, value in logged.items() if name.startswith("reward/"))
    assert terms == pytest.approx(logged["rollout/ep_rew_mean"], abs=1e-3)
