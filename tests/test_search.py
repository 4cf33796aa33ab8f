"""The search for hyperparameters: rl_zoo3's, with the search space of our TD3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from sb3_carla.command_line import CommandError
from sb3_carla.td3.parts import PARTS
from sb3_carla.zoo import train
from sb3_carla.zoo.hyperparameters import packaged_preset, plain_numbers, preset_names, read_section
from sb3_carla.zoo.search_space import td3_arguments, td3_sampler

SECTION: dict[str, Any] = {
    "policy": "MlpPolicy",
    "policy_kwargs": {"net_arch": [8]},
    "n_timesteps": 60,
    "buffer_size": 100,
    "learning_starts": 20,
    "train_freq": 4,
}
SHORT = ["--env", "Pendulum-v1", "--conf-file", "section.yml", "-optimize", "--eval-episodes", "1", "--verbose", "0"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_section(**changes: Any) -> None:
    Path("section.yml").write_text(yaml.safe_dump({"Pendulum-v1": {**SECTION, **changes}}))


def drawn(section: dict[str, Any]) -> dict[str, Any]:
    """What the sampler draws in one trial."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    return dict(td3_sampler(section)(trial, 2, 1, {}))


def test_rates_and_limits_are_drawn_for_each_part() -> None:
    found = drawn({"policy": "CnnPolicy"})
    assert len(set(found["learning_rates"].values())) == len(set(found["max_grad_norm"].values())) == len(PARTS)
    assert set(found) == {"learning_rates", "max_grad_norm", "gamma", "batch_size", "tau", "n_steps", "policy"}


def test_without_images_no_cnn_is_drawn() -> None:
    found = drawn({"policy": "MlpPolicy"})
    assert set(found["learning_rates"]) == {"actor_mlp", "critic_mlp"}
    assert "policy" not in found


def test_for_a_critic_without_a_cnn_none_is_drawn() -> None:
    assert set(drawn({"policy": "AsymmetricPolicy"})["learning_rates"]) == {*PARTS} - {"critic_cnn"}


def test_an_extractor_that_the_section_names_is_left_alone() -> None:
    kwargs = {"features_extractor_class": "sb3_carla.NatureCNN"}
    assert "policy" not in drawn({"policy": "CnnPolicy", "policy_kwargs": kwargs})
    kwargs = {"features_extractor_kwargs": {"cell": "lstm"}}
    assert "policy" not in drawn({"policy": "GruCnnPolicy", "policy_kwargs": kwargs})
    kwargs = {"features_extractor_kwargs": {"filters": [16, 32, 32]}}
    assert "policy" in drawn({"policy": "CnnPolicy", "policy_kwargs": kwargs})


@pytest.mark.parametrize("name", sorted({*preset_names()} - {"mpg"}))
def test_the_search_space_holds_the_values_of_the_presets(name: str) -> None:
    section = plain_numbers(read_section(str(packaged_preset(name)), "Carla-v0"))
    trial = optuna.create_study().ask()
    td3_sampler()(trial, 2, 1, {})
    params = {"tau": section["tau"], "n_steps": section.get("n_steps", 1), "one_minus_gamma": 1 - section["gamma"]}
    for prefix, values in (("learning_rate", "learning_rates"), ("max_grad_norm", "max_grad_norm")):
        given = section.get(values, section.get(prefix))
        for part in PARTS:
            value = given.get(part) if isinstance(given, dict) else given
            if value is not None:
                params[f"{prefix}_{part}"] = float(str(value).removeprefix("lin_"))
    outside = {
        key: value
        for key, value in params.items()
        if not trial.distributions[key].low <= value <= trial.distributions[key].high
    }
    assert not outside


def test_two_workers_on_one_storage_make_one_study() -> None:
    write_section()
    command = [sys.executable, "-m", "sb3_carla.cli", "train", *SHORT, "-n", "60", "--n-trials", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [*command, "--storage", "study.log"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    printed = [worker.communicate(timeout=240)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("study.log"))
    trials = optuna.load_study(study_name="Pendulum-v1", storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    study = Path("runs/td3/Pendulum-v1_study")
    assert {"history.png", "slices.png", "timeline.png"} <= {path.name for path in study.glob("*.png")}

    best = max(trials, key=lambda trial: trial.value or 0.0)
    run = train(["--env", "Pendulum-v1", "--conf-file", str(study / "best.yml"), "-n", "40", "--verbose", "0"])
    assert run is not None
    saved = yaml.unsafe_load((run.folder / "Pendulum-v1/config.yml").read_text())
    assert {name: saved[name] for name in td3_arguments(best.params)} == td3_arguments(best.params)


def test_a_trial_that_a_stability_callback_stops_is_pruned() -> None:
    stop = {
        "sb3_stability.StopTrainingOnQValueExplosion": {"max_abs_q": 1e-9, "check_freq": 1, "patience": 1, "verbose": 0}
    }
    write_section(callback=stop)
    with pytest.raises(CommandError, match="The search has no result"):
        train([*SHORT, "--storage", "sqlite:///study.db", "--n-trials", "2"])
    trials = optuna.load_study(study_name="Pendulum-v1", storage="sqlite:///study.db").trials
    assert [trial.state.name for trial in trials] == ["PRUNED", "PRUNED"]


def test_an_algorithm_without_a_search_space_is_refused() -> None:
    with pytest.raises(CommandError, match="no search space for crossq"):
        train(["--algo", "crossq", "--env", "Carla-v0", "-optimize"])
