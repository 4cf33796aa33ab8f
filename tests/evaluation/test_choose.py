"""Which checkpoint of a run drives best."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sb3_carla import CarlaEnv
from sb3_carla.cli import main
from sb3_carla.evaluation.choose import Drive, choose

RANDOM, PURSUIT = Path("random"), Path("pursuit")  # drivers by name, in place of model files


@pytest.mark.parametrize("candidates", [[RANDOM, PURSUIT], [PURSUIT, RANDOM]])
def test_who_drives_without_infractions_is_chosen(candidates: list[Path], address: str) -> None:
    with CarlaEnv(address, observation="dict", image_size=16, max_episode_steps=400) as env:
        best = choose(env, candidates, "td3", 3, 0, lambda _: None)
    assert best.model == PURSUIT
    assert best.failures == 0
    assert -best.minus_metres > 100


def test_who_is_worse_than_the_best_so_far_drives_no_further(address: str) -> None:
    drives: list[Drive] = []
    with CarlaEnv(address, observation="dict", image_size=16, max_episode_steps=400) as env:
        choose(env, [PURSUIT, RANDOM, RANDOM], "td3", 3, 0, drives.append)
    assert [drive.failures for drive in drives] == [0, 1, 1]
    assert drives[1] == drives[2]  # the same start


def test_the_command_copies_the_best_of_the_latest_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-n", "90", "--save-freq", "30", "--no-video", "--verbose", "0", "-f", str(tmp_path)]
    assert main(["train", "--env", "CarlaRain-v0", *options]) == 0
    folder = tmp_path / "td3" / "CarlaRain-v0_1"
    assert main(["choose", str(folder), "--last", "2", "--episodes", "1", "--steps", "5"]) == 0
    printed = capsys.readouterr().out
    assert "rl_model_90_steps.zip: " in printed
    assert "rl_model_60_steps.zip: " in printed
    assert "rl_model_30_steps.zip" not in printed
    named = re.search(r"best_model.zip is (rl_model_(?:60|90)_steps.zip)", printed)
    assert named is not None
    assert (folder / "best_model.zip").read_bytes() == (folder / named[1]).read_bytes()


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", str(tmp_path)]) == 2
    assert "--save-freq" in capsys.readouterr().err


def test_checkpoints_that_are_of_no_run_in_carla_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rl_model_10_steps.zip").touch()
    assert main(["choose", str(tmp_path)]) == 2
    assert "no run of 'sb3-carla train'" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--last", "--episodes", "--steps"])
def test_numbers_that_cannot_be_are_refused(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", str(tmp_path), option, "0"]) == 2
    assert f"{option} 0 is not a positive number" in capsys.readouterr().err
