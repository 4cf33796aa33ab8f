"""A model that reads the state vector drives with the statistics that it was trained with, wherever its file lies."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_carla.cli import main
from sb3_carla.command_line import CommandError
from sb3_carla.evaluation.drivers import make_driver
from sb3_carla.zoo import enjoy, train
from sb3_carla.zoo.models import interface_of, normalizer_of
from sb3_carla.zoo.options import own_time_limit

SMALL = ["-params", "learning_starts:20", "batch_size:4", "buffer_size:100", "n_timesteps:60", "train_freq:20"]
TINY = ["--env-kwargs", "image_size:36", "frame_stack:2", "max_episode_steps:25"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run along routes, with checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    options = ["--save-freq", "30", "--no-video", "--verbose", "0", "-f", str(folder)]
    trained = train(["--env", "CarlaRoute-v0", *options, *SMALL, *TINY])
    assert trained is not None
    return trained.folder


def count(path: Path | None) -> float:
    """How many observations the statistics are of."""
    assert path is not None
    return float(pickle.loads(path.read_bytes()).obs_rms["state"].count)


def test_each_checkpoint_has_the_statistics_of_its_moment(run: Path) -> None:
    early, late, last = (run / name for name in ("rl_model_30_steps.zip", "rl_model_60_steps.zip", "CarlaRoute-v0.zip"))
    assert count(normalizer_of(early)) < count(normalizer_of(late)) <= count(normalizer_of(last))
    driver = make_driver(str(early), "td3")
    state = np.full(15, 7.0, np.float32)
    seen = driver._normalized({"image": np.zeros((2, 36, 36), np.uint8), "state": state})  # type: ignore[attr-defined]
    statistics = pickle.loads((run / "rl_model_vecnormalize_30_steps.pkl").read_bytes())
    assert seen["state"] == pytest.approx(statistics.normalize_obs({"image": seen["image"], "state": state})["state"])
    assert not np.allclose(seen["state"], state)


def test_the_chosen_checkpoint_takes_its_statistics_along(run: Path) -> None:
    assert main(["choose", str(run), "--last", "2", "--episodes", "1", "--steps", "5"]) == 0
    statistics = normalizer_of(run / "best_model.zip")
    assert statistics == run / "best_model_vecnormalize.pkl"
    chosen = next(
        path for path in run.glob("rl_model_*_steps.zip") if path.read_bytes() == (run / "best_model.zip").read_bytes()
    )
    assert count(statistics) == count(normalizer_of(chosen))


def test_a_model_whose_statistics_are_gone_is_refused_everywhere(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("*vecnormalize*"))
    model = str(copy / "CarlaRoute-v0.zip")
    for command in (
        lambda: make_driver(model, "td3"),
        lambda: enjoy(["--env", "CarlaIntersection-v0", "--model", model, "--no-render"]),
        lambda: train(["--env", "CarlaIntersection-v0", "-i", model, "-f", str(tmp_path), *SMALL]),
    ):
        with pytest.raises(CommandError, match=r"normalised observations, and their statistics \(vecnormalize.pkl\)"):
            command()


def test_another_scenario_is_replayed_and_trained_in_with_the_same_statistics(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, loaded, load = run / "CarlaRoute-v0.zip", [], VecNormalize.load

    def noted(path: str, venv: VecEnv) -> VecNormalize:
        loaded.append(Path(path))
        return load(path, venv)

    monkeypatch.setattr(VecNormalize, "load", staticmethod(noted))
    short = ["--env", "CarlaIntersection-v0", "--env-kwargs", "max_episode_steps:9"]
    enjoy([*short, "--model", str(model), "--no-render", "--episodes", "1"])
    trained = train([*short, "-i", str(model), "--no-video", "--verbose", "0", "-f", str(tmp_path), *SMALL])
    assert loaded == [run / "CarlaRoute-v0" / "vecnormalize.pkl"] * 2
    assert trained is not None
    assert count(normalizer_of(trained.model)) > count(normalizer_of(model))


def test_what_a_model_sees_and_does_includes_what_its_scenario_says(run: Path) -> None:
    interface = interface_of(run / "CarlaRoute-v0.zip")
    assert interface["max_brake"] == 1.0  # of the scenario; 0.3 in lane following
    assert (interface["image_size"], interface["frame_stack"], interface["actions"]) == (36, 2, "speed")
    assert "max_episode_steps" not in interface


def test_a_limit_of_steps_is_the_envs_own_and_its_metrics_know_of_it(address: str) -> None:
    before = gym.spec("Carla-v0").kwargs
    with own_time_limit("Carla-v0", {"max_episode_steps": 7, "image_size": 36, "server": address}) as left:
        env = gym.make("Carla-v0", **left)
    assert gym.spec("Carla-v0").kwargs == before
    env.reset(seed=0)
    ends = [env.step(np.array([0.0, 1.0], np.float32))[2:] for _ in range(7)]
    env.close()
    assert [truncated for _, truncated, _ in ends] == [False] * 6 + [True]
    assert "route_completion" in ends[-1][2]["metrics"]
