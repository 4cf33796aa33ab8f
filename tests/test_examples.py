from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables with which ``sb3-carla`` is found, installed or not."""
    scripts = Path(sys.executable).parent
    if not (scripts / "sb3-carla").exists():
        scripts = tmp_path / "scripts"
        scripts.mkdir()
        (scripts / "sb3-carla").write_text(f'#!/bin/sh\nexec {sys.executable} -m sb3_carla.cli "$@"\n')
        (scripts / "sb3-carla").chmod(0o755)
    return {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_in_python_trains_and_saves_a_model(tmp_path: Path, environment: dict[str, str]) -> None:
    run([sys.executable, str(EXAMPLES / "train_from_code.py"), "--steps", "120"], tmp_path, environment)
    assert (tmp_path / "lane_following.zip").is_file()


def test_the_example_with_yaml_trains_and_films(tmp_path: Path, environment: dict[str, str]) -> None:
    short = ["-n", "150", "-params", "learning_starts:50", "batch_size:8", "--no-video"]
    run(["sh", str(EXAMPLES / "train_from_yaml.sh"), *short], tmp_path, environment)
    assert (tmp_path / "runs/td3/Carla-v0_1/Carla-v0.zip").is_file()
    assert (tmp_path / "drive.mp4").stat().st_size > 0
    assert list(tmp_path.rglob("*.md"))


def test_the_callbacks_watch_a_training_that_has_nothing_to_do_with_carla(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    output = run([sys.executable, str(EXAMPLES / "callbacks_elsewhere.py"), "--steps", "160"], tmp_path, environment)
    assert "160 steps without an explosion." in output


def test_the_founding_explosion_is_stopped_and_its_cure_is_not(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, str(EXAMPLES / "founding_explosion.py"), "--short", "--out", str(tmp_path / "out")]
    rows = [line.split("|") for line in run(command, tmp_path, environment).splitlines() if ", seed" in line]
    stopped = {row[1].split(",")[0].strip(): row[3].strip() for row in rows}
    assert stopped == {"leaky": "yes", "healthy": "no"}
    assert (tmp_path / "out/report/comparison.html").is_file()


@pytest.mark.parametrize("name", ["custom_scenario", "custom_extractor", "several_servers"])
def test_the_examples_of_own_parts_train(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    run([sys.executable, str(EXAMPLES / f"{name}.py"), "--steps", "60"], tmp_path, environment)


def test_the_example_of_an_evaluation_scores_and_films(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, str(EXAMPLES / "evaluate_and_film.py"), "--drivers", "pursuit", "--episodes", "1"]
    output = run([*command, "--max-steps", "60"], tmp_path, environment)
    assert "pursuit in rain: driving score" in output
    assert (tmp_path / "evaluations/pursuit/lane_following.mp4").stat().st_size > 0


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, environment: dict[str, str]) -> None:
    # It holds plain Python only, so no Jupyter, which is some thirty packages, is needed to run it.
    cells = json.loads((EXAMPLES / "first_drive.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    code = re.sub(r"\b\d+_000\b|\b300\b", "40", code).replace("batch_size=64", "batch_size=8")
    code = code.replace("learning_starts=40", "learning_starts=20")
    printed = run([sys.executable, "-c", code], tmp_path, {**environment, "MPLBACKEND": "agg"})
    assert "critic_cnn" in printed


def test_the_example_of_a_test_suite_passes(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "sb3_carla.simulator.pytest_plugin", "-c", "/dev/null"]
    assert "1 passed" in run([*command, str(EXAMPLES / "test_my_carla_code.py")], tmp_path, environment)
