from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sb3_contrib import QRDQN, TQC
from stable_baselines3 import DQN, PPO, SAC

from sb3_carla import TD3, CarlaEnv
from sb3_carla.command_line import CommandError
from sb3_carla.evaluation import make_driver

SMALL = {"image_size": 40, "frame_stack": 2}


@pytest.fixture(scope="module")
def envs() -> Iterator[dict[str, CarlaEnv]]:
    all_envs = {kind: CarlaEnv(actions=kind, seed=0, **SMALL) for kind in ("continuous", "discrete")}
    all_envs["dict"] = CarlaEnv(observation="dict", seed=0, **SMALL)
    yield all_envs
    for env in all_envs.values():
        env.close()


@pytest.mark.parametrize(
    ("algorithm", "policy", "kind"),
    [
        *((algorithm, "CnnPolicy", "continuous") for algorithm in (TD3, SAC, TQC, PPO)),
        *((algorithm, "CnnPolicy", "discrete") for algorithm in (DQN, QRDQN)),
        (TD3, "AsymmetricPolicy", "dict"),
    ],
)
def test_a_model_of_every_kind_acts_values_and_shows_where_it_looks(
    algorithm: type, policy: str, kind: str, envs: dict[str, CarlaEnv], tmp_path: Path
) -> None:
    env = envs[kind]
    options = {"n_steps": 8} if algorithm is PPO else {"buffer_size": 100}
    algorithm(policy, env, seed=0, **options).save(tmp_path / "model.zip")
    driver = make_driver(str(tmp_path / "model.zip"), algorithm.__name__.lower())
    driver.begin(env, seed=0)
    observation, _ = env.reset(seed=0)
    action = driver.act(observation)
    assert env.action_space.contains(action if np.ndim(action) else int(action))
    value, heat = driver.value(observation, action), driver.saliency(observation)
    assert value is not None
    assert np.isfinite(value)
    assert heat is not None
    assert heat.shape == (40, 40)
    assert heat.max() == pytest.approx(1.0)
    assert heat.std() > 0.0


def test_a_model_that_does_not_fit_the_env_is_refused(envs: dict[str, CarlaEnv], tmp_path: Path) -> None:
    DQN("CnnPolicy", envs["discrete"], buffer_size=100).save(tmp_path / "model.zip")
    driver = make_driver(str(tmp_path / "model.zip"), "dqn")
    with pytest.raises(CommandError, match="action space"):
        driver.begin(envs["continuous"], seed=0)


def test_a_misspelt_baseline_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(CommandError, match="Did you mean 'pursuit'"):
        make_driver("persuit", "td3")


def test_what_a_run_gave_its_env_goes_with_its_model(envs: dict[str, CarlaEnv], tmp_path: Path) -> None:
    TD3("CnnPolicy", envs["continuous"], buffer_size=100).save(tmp_path / "Carla-v0.zip")
    run = tmp_path / "Carla-v0"
    run.mkdir()
    (run / "config.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n- - - env_kwargs\n    - {action_repeat: 2, npc_vehicles: 7}\n"
    )
    kwargs = make_driver(str(tmp_path / "Carla-v0.zip"), "td3").env_kwargs
    assert (kwargs["action_repeat"], kwargs["camera_z"], kwargs["max_brake"]) == (2, 1.5, 0.3)  # or the scenario's
    assert "npc_vehicles" not in kwargs  # belongs to the training's own task
    (run / "args.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n- - - env_kwargs\n    - {action_repeat: 3, camera_z: 2.0}\n"
    )
    kwargs = make_driver(str(tmp_path / "Carla-v0.zip"), "td3").env_kwargs
    assert (kwargs["action_repeat"], kwargs["camera_z"], kwargs["max_brake"]) == (3, 2.0, 0.3)
