"""A trained run that the tests of the report read."""

from __future__ import annotations

import pytest
from stable_baselines3 import TD3
from stable_baselines3.common.logger import configure

from sb3_stability import StopTrainingOnQValueExplosion


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """A short TD3 run on Pendulum with TensorBoard and CSV logs and its saved model."""
    folder = tmp_path_factory.mktemp("trained")
    policy_kwargs = {"net_arch": [16, 16]}
    model = TD3(
        "MlpPolicy",
        "Pendulum-v1",
        learning_starts=100,
        batch_size=32,
        train_freq=4,
        policy_kwargs=policy_kwargs,
        seed=0,
    )
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    model.learn(1200, callback=StopTrainingOnQValueExplosion(verbose=0), log_interval=1)
    model.save(folder / "model.zip")
    model.logger.close()
    return folder
