"""Every Python sample and every command of the README and the documents, executed in a short form.

A block after a comment ``<!-- not run: REASON -->`` is left out. Trainings are cut to a few steps. Each command has a
process of its own, forked from one that has imported torch and rl_zoo3: imports are half of a short command's time.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sb3_carla.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]
BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```(?P<language>python|bash)\n(?P<code>.*?)```", re.DOTALL)
# What CI does by itself, what never ends by itself, and what the machine may not have.
ELSEWHERE = {"make", "source", "tensorboard", "git", "pytest", "python", "docker", "pip"}
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch._dynamo", "rl_zoo3.exp_manager", "sb3_carla.zoo", "sb3_carla.report"])
SHORT = ["-n", "40", "--no-video", "-params", "learning_starts:20", "batch_size:8", "buffer_size:200"]


def blocks(language: str) -> dict[Path, str]:
    """The blocks of each page, one below the other."""
    found: dict[Path, str] = {}
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if match["language"] == language and "<!-- not run:" not in match["before"]:
                found[page] = found.get(page, "") + match["code"]
    return found


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def name(case: object) -> str:
    return str(case.relative_to(ROOT)) if isinstance(case, Path) else ""


@pytest.mark.parametrize("page", blocks("python"), ids=name)
def test_the_samples_of_a_page_run_one_after_the_other(page: Path, tmp_path: Path) -> None:
    shortened = re.sub(r"\b\d+_000\b", "60", blocks("python")[page].replace("5_000", "20"))
    done = subprocess.run(
        [sys.executable, "-c", shortened], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{page}:\n{shortened}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The folder of an algorithm's first run in an environment, as an earlier page's command leaves one."""

    @functools.cache
    def train(algo: str, env_id: str) -> Path:
        folder = tmp_path_factory.mktemp(algo)
        run_command(["sb3-carla", "train", "--algo", algo, "--env", env_id], folder)
        return folder / "runs" / algo

    return train


@pytest.mark.parametrize("page", blocks("bash"), ids=name)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: Path, run_of: Callable[[str, str], Path], tmp_path: Path
) -> None:
    (tmp_path / "zoo_configs").symlink_to(ROOT / "zoo_configs")
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        (tmp_path / name).write_text(code)  # a sample that the page says to save
    lines = [line.split("  #")[0] for line in blocks("bash")[page].splitlines() if line.strip()]
    earlier = r"runs/(\w+)/(Carla-v0|CarlaChangingTown-v0)_1"  # what an earlier page trained
    for algo, env_id in sorted(set(re.findall(earlier, "\n".join(lines)))):
        shutil.copytree(run_of(algo, env_id), tmp_path / "runs" / algo, dirs_exist_ok=True)
    for line in lines:
        command = shlex.split(line)
        if command[0] not in ELSEWHERE:
            assert command[0] == "sb3-carla", f"{page}: {line!r} is run by no test. Mark its block or add its program."
            run_command(command, tmp_path)


def run_command(command: list[str], folder: Path) -> None:
    search = ["--n-trials", "1", "--eval-episodes", "1", "--env-kwargs", "max_episode_steps:20"]
    search += ["-params", "learning_starts:38"]  # one update: the network and the batch that are drawn may be large
    checkpoints = ["--save-freq", "20"]
    short = {
        "train": [
            *SHORT,
            *(search if "-optimize" in command else []),
            *(checkpoints if "--save-freq" in command else []),
        ],
        "choose": ["--episodes", "1", "--steps", "10"],
        "enjoy": ["-n", "40"],
        "evaluate": ["--episodes", "1", "--env-kwargs", "max_episode_steps:40"],
    }
    printed = folder / "printed.txt"
    printed.touch()
    process = FORKS.Process(target=run_in_fork, args=([*command[1:], *short.get(command[1], [])], folder, printed))
    process.start()
    process.join(280)
    process.kill()
    assert process.exitcode == 0, f"{shlex.join(command)}\n{printed.read_text()[-4000:]}"


def run_in_fork(arguments: list[str], folder: Path, printed: Path) -> None:
    os.chdir(folder)
    file = os.open(printed, os.O_WRONLY | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file, stream.fileno())
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    sys.exit(main(arguments))
