from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from stable_baselines3 import PPO

from sb3_carla.cli import main

SHORT = ["-n", "200", "-params", "learning_starts:100", "batch_size:8", "buffer_size:1000"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, on the embedded simulator."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SB3_CARLA_SERVER", raising=False)
    monkeypatch.delenv("SB3_CARLA_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nothing listens on: it is bound, so nobody else gets it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def refused(argv: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error with which a command refuses bad input."""
    capfd.readouterr()
    assert main(argv) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(("sb3-carla: ", "sb3-carla serve: "))
    assert lines[0].count(". ") >= 1, "a second sentence says what to do"
    return lines[0]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["train", "--env", "Carla-v7"], "Carla-v0"),
        (["train", "--env-kwargs", "server:\"'nohost.invalid:2000'\""], "nohost.invalid:2000"),
        (["train", "--env-kwargs", "server:'somewhere'"], "somewhere"),
        (["train", "--env-kwargs", "server:localhost:2000"], "quotes"),
        (["train", "--env-kwargs", "scenario:'lane_folowing'"], "lane_following"),
        (["train", "--env-kwargs", "npc_vehicels:3"], "npc_vehicles"),
        (["train", "--env-kwargs", "town:'not_a_map.xodr'"], "OpenDRIVE"),
        (["train", "--env-kwargs", "town:'Town99'"], "Town99"),
        (["train", "-params", "gama:0.9"], "gamma"),
        (["train", "-params", "learning_rates:dict(actor_cn=1e-4)"], "actor_cnn"),
        (["train", "--conf-file", "missing.yml"], "missing.yml"),
        (["train", "--conf-file", "broken.yml"], "broken.yml"),
        (["train", "--conf-file", "unknown_key.yml"], "learning_starts"),
        (["train", "--progrss"], "--progress"),
        (["train", "-n", "many"], "many"),
        (["train", "-i", "missing.zip"], "missing.zip"),
        (["train", "-i", "ppo.zip"], "PPO"),
        (["enjoy"], "runs"),
        (["enjoy", "--model", "missing.zip"], "missing.zip"),
        (["enjoy", "--model", "ppo.zip"], "PPO"),
        (["enjoy", "--model", "broken.yml"], "broken.yml"),
        (["enjoy", "--pretrained", "lane_folowing"], "lane_following"),
        (["enjoy", "--video", "film.avi"], "film.avi"),
        (["enjoy", "--episodes", "0"], "--episodes"),
        (["report", "no_such_run"], "no_such_run"),
        (["serve", "--prot", "2000"], "--prot"),
        (["trian"], "train"),
        ([], "COMMAND"),
    ],
)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(
    argv: list[str], named: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "not_a_map.xodr").write_text("<html>not a map</html>")
    (folder / "broken.yml").write_text("Carla-v0: [1\n}")
    (folder / "unknown_key.yml").write_text(
        "Carla-v0: {policy: CnnPolicy, n_timesteps: 100, learning_start: 10, env_kwargs: {npc_vehicles: 0}}"
    )
    if "ppo.zip" in argv:
        PPO("MlpPolicy", "Pendulum-v1").save("ppo.zip")
    before = sorted(folder.rglob("*"))
    assert named in refused(argv, capfd)
    assert sorted(folder.rglob("*")) == before


def test_a_port_where_nothing_listens_is_refused(
    closed_port: int, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{closed_port}"
    assert address in refused(["train", "--env-kwargs", f"server:'{address}'"], capfd)
    assert not list(folder.iterdir())


def test_the_server_variable_is_refused_like_the_option(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SB3_CARLA_SERVER", f"127.0.0.1:{closed_port}")
    assert str(closed_port) in refused(["train"], capfd)
    assert not list(folder.iterdir())


def test_the_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_CARLA_DEBUG", "1")
    with pytest.raises(ValueError, match="Carla-v7"):
        main(["train", "--env", "Carla-v7"])


def test_help_lists_the_commands_and_the_options_of_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in ("train", "enjoy", "evaluate", "report", "serve", "doctor"))
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--no-video" in text
    assert "--conf-file" in text
    assert main(["enjoy", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--video" in text
    assert "--exp-id" in text


def test_train_ends_with_model_log_report_and_video_and_enjoy_replays_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--env", "Carla-v0", "--seed", "1", *SHORT]) == 0
    output = capsys.readouterr().out
    assert "embedded simulator" in output.splitlines()[0]
    run = Path("runs/td3/Carla-v0_1")
    assert (run / "Carla-v0.zip").is_file()
    assert f"{run}/Carla-v0.zip" in output
    assert list(run.rglob("events.out.tfevents.*"))
    reports = list(run.rglob("*.md"))
    assert len(reports) == 1
    assert str(reports[0]) in output
    film = cv2.VideoCapture(str(run / "policy.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == 10  # one frame per action of 0.1 s
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) > 1

    assert main(["enjoy", "--env", "Carla-v0", "--no-render", "--episodes", "2"]) == 0
    output = capsys.readouterr().out
    assert "episode 2: reward " in output
    assert " m" in output.split("episode 2:")[1].splitlines()[0]

    assert main(["report", str(run)]) == 0
    assert ".md" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        # Another gym id than the training's: the camera and the actions come from what lies beside the model.
        ["enjoy", "--env", "CarlaLaneFollowing-v0", "--no-render", "--episodes", "1", "--pretrained"],
        ["evaluate", "--episodes", "1"],
    ],
)
def test_the_policy_that_comes_with_the_package_drives(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "lane_following", "--env-kwargs", "max_episode_steps:100"]) == 0
    (metres,) = re.findall(r", (\d+) m\b", capsys.readouterr().out)
    assert float(metres) > 70, "10 seconds at 30 km/h are 83 m"


def test_ctrl_c_ends_a_training_with_its_model_and_without_processes_left(folder: Path) -> None:
    # A process group of its own gets the signal as a whole, as a terminal would send it.
    options = ["train", "--env", "Carla-v0", "--no-video", *SHORT, "-n", "100000"]
    command = [sys.executable, "-m", "sb3_carla.cli", *options]
    with open("output.txt", "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    monitor = Path("runs/td3/Carla-v0_1/0.monitor.csv")
    try:
        deadline = time.monotonic() + 120
        while not (monitor.exists() and len(list(csv.reader(monitor.open()))) > 3):
            assert time.monotonic() < deadline, Path("output.txt").read_text()
            assert process.poll() is None, Path("output.txt").read_text()
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        assert process.poll() == 0, Path("output.txt").read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    text = Path("output.txt").read_text()
    assert "Traceback" not in text
    assert "Stopped after" in text
    assert Path("runs/td3/Carla-v0_1/Carla-v0.zip").is_file()
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(process.pid, 0)


def test_serve_listens_where_it_is_told_and_ends_by_ctrl_c() -> None:
    command = [sys.executable, "-m", "sb3_carla.cli", "serve", "--port", "0", "--map", "Town_Curves"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["map"] == "Town_Curves"
        socket.create_connection((ready["host"], ready["port"]), timeout=5).close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 0
        assert "Traceback" not in process.stdout.read()
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--map", "not_a_map.xodr", "OpenDRIVE"),
        ("--map", "missing.xodr", "missing.xodr"),
        ("--port", "in use", "in use"),
    ],
)
def test_serve_refuses_bad_input_in_one_line(option: str, value: str, named: str, folder: Path) -> None:
    (folder / "not_a_map.xodr").write_text("<html>not a map</html>")
    with socket.create_server(("127.0.0.1", 0)) as other:
        if value == "in use":
            value = str(other.getsockname()[1])
        command = [sys.executable, "-m", "sb3_carla.cli", "serve", "--port", "0", option, value]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("sb3-carla serve: ")
    assert named in done.stderr
