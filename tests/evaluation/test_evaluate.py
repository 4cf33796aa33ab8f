from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from sb3_carla import CarlaEnv
from sb3_carla.cli import main
from sb3_carla.evaluation import Driver, drive_episodes, make_driver, summary


@pytest.mark.parametrize(
    ("baseline", "scenario"),
    [("pursuit", "lane_following"), ("autopilot", "lane_following"), ("pursuit", "route"), ("autopilot", "route")],
)
def test_a_driver_who_knows_the_way_scores_near_100(baseline: str, scenario: str, address: str) -> None:
    driver = make_driver(baseline, "td3")
    options = {"observation": "dict", "state": "traffic", "route_length": 100.0, "image_size": 16}
    if scenario == "lane_following":
        options["max_episode_steps"] = 400
    env = CarlaEnv(address, scenario, **options)
    episodes = list(drive_episodes(env, driver, 2, seed=0, film=None))
    env.close()
    assert summary(episodes)["driving_score"] > 95.0, [episode.metrics for episode in episodes]


def test_random_actions_score_little(address: str) -> None:
    env = CarlaEnv(address, image_size=16)
    scores = summary(list(drive_episodes(env, make_driver("random", "td3"), 3, seed=0, film=None)))
    env.close()
    assert scores["driving_score"] < 50.0
    assert scores["success_rate"] == 0.0


def test_the_command_writes_leaderboard_json_csv_picture_and_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    options = ["--episodes", "2", "--out", str(out), "--video", "--env-kwargs", "max_episode_steps:15", "image_size:16"]
    assert main(["evaluate", "constant", "--scenarios", "lane_following", "rain", *options]) == 0
    printed = capsys.readouterr().out
    assert "driving score" in printed
    assert "rain" in printed
    board = json.loads((out / "rain.json").read_text())["_checkpoint"]
    assert board["progress"] == [2, 2]
    assert [record["route_id"] for record in board["records"]] == ["rain_0", "rain_1"]
    for record in board["records"]:
        scores = record["scores"]
        assert scores["score_composed"] == pytest.approx(scores["score_route"] * scores["score_penalty"])
    rows = list(csv.DictReader((out / "episodes.csv").open()))
    assert [(row["scenario"], row["seed"]) for row in rows] == [
        ("lane_following", "0"), ("lane_following", "1"), ("rain", "0"), ("rain", "1"),
    ]  # fmt: skip
    film = cv2.VideoCapture(str(out / "rain.mp4"))
    steps = sum(round(float(row["duration"]) / 0.05) for row in rows[2:])
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == steps + 2  # and the first frame of each episode
    picture = cv2.imread(str(out / "lane_following.png"))
    assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 50


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["persuit"], "pursuit"),
        (["pursuit", "--scenarios", "lane_folowing"], "lane_following"),
        (["pursuit", "--episodes", "0"], "--episodes"),
        (["pursuit", "--env-kwargs", "npc_vehicles"], "npc_vehicles"),
        (["pursuit", "--env-kwargs", "npc_vehicels:3"], "npc_vehicles"),
        (["pursuit", "--town", "Town99"], "Town99"),
        (["missing.zip"], "missing.zip"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    argv: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *argv]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert named in lines[0]


class KillOnce(Driver):
    """Drives straight on, and kills the server in its first episode."""

    def __init__(self) -> None:
        self.env: CarlaEnv | None = None
        self.killed = False

    def begin(self, env: CarlaEnv, seed: int) -> None:
        self.env = env

    def act(self, observation: object) -> np.ndarray:
        if not self.killed and self.env is not None and self.env.server_pid is not None:
            self.killed = True
            os.kill(self.env.server_pid, signal.SIGKILL)
        return np.array([0.0, 0.5], np.float32)


def test_an_episode_whose_server_was_lost_is_driven_again() -> None:
    env = CarlaEnv(max_episode_steps=5, image_size=16)
    episodes = list(drive_episodes(env, KillOnce(), 2, seed=0, film=None))
    env.close()
    assert [episode.seed for episode in episodes] == [0, 1]
    assert [len(episode.losses) for episode in episodes] == [1, 0]
