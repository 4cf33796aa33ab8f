from __future__ import annotations

import csv
import re

import cv2
import numpy as np
from progress_file import write_progress

from sb3_carla.report import make_report


def test_the_report_of_a_run_has_its_checklist_metrics_pictures_and_data(trained_run, tmp_path):
    page = make_report(trained_run, tmp_path / "out")
    assert page == tmp_path / "out" / "report.md"
    text = page.read_text()
    assert "1,200 environment steps" in text
    assert "| Q-values within what the rewards allow | pass |" in text
    assert "| No alert fired | pass | watched: q_value_explosion |" in text
    assert re.search(r"\| `train/critic_loss` \|.*\| 6 \|", text)
    picture = cv2.imread(str(page.parent / "overview.png"))
    assert picture.shape[0] > 600
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50  # not an empty canvas
    rows = list(csv.DictReader((page.parent / "episodes.csv").open()))
    assert [row["step"] for row in rows] == ["200", "400", "600", "800", "1000", "1200"]
    assert all(float(row["rollout/ep_len_mean"]) == 200.0 for row in rows)
    rows = list(csv.DictReader((page.parent / "q_values.csv").open()))
    assert float(rows[-1]["stability/q_policy_mean"]) < 0.0


def test_every_file_that_the_report_links_to_exists(trained_run):
    page = make_report(trained_run)
    assert page.parent == trained_run / "report"
    links = re.findall(r"\]\(([^)]+)\)", page.read_text())
    assert len(links) >= 5
    for link in links:
        assert (page.parent / link.replace("%20", " ")).exists(), link


def test_a_second_report_reads_nothing_of_the_first(trained_run):
    first = make_report(trained_run).read_text()
    assert make_report(trained_run).read_text() == first


def test_pictures_and_videos_in_the_folder_of_the_run_are_shown(tmp_path):
    run = write_progress(tmp_path / "run", {"rollout/ep_rew_mean": [1.0, 2.0]})
    (run / "stills").mkdir()
    cv2.imwrite(str(run / "stills" / "last episode.png"), np.zeros((4, 4, 3), np.uint8))
    (run / "drive.mp4").write_bytes(b"video")
    text = make_report(run).read_text()
    assert "![last episode](../stills/last%20episode.png)" in text
    assert "video: [drive.mp4](../drive.mp4)" in text


def test_a_run_of_any_other_algorithm_gets_a_report_that_says_what_is_not_logged(tmp_path):
    run = write_progress(tmp_path, {"train/entropy_loss": [-1.0, -0.9, -0.8], "train/value_loss": [3.0, 2.0, 1.0]})
    text = make_report(run).read_text()
    assert "no Q-values and no actor loss in the logs" in text
    assert "| `train/value_loss` | 3 | 1 |" in text
    assert "gradients.png" not in text


def test_values_over_many_decades_and_extreme_sizes_can_be_drawn(tmp_path):
    growth = [(-1.0) ** i * 10.0**i for i in range(150)]
    run = write_progress(tmp_path, {"train/q_policy_mean": growth, "train/critic_loss": np.abs(growth).tolist()})
    assert make_report(run).exists()


def test_a_run_of_one_row_can_be_drawn(tmp_path):
    run = write_progress(
        tmp_path, {"train/q_policy_mean": [1.0], "rollout/ep_len_mean": [3.0], "train/actor_loss": [0]}
    )
    assert "too few values" in make_report(run).read_text()


def test_gradient_norms_are_drawn_where_they_are_logged(tmp_path):
    run = write_progress(tmp_path, {"grad_norm/actor_cnn": [3.0, 4.0], "grad_norm_clipped/actor_cnn": [1.0, 1.0]})
    page = make_report(run)
    assert "gradients.png" in page.read_text()
    assert (page.parent / "gradients.png").stat().st_size > 10_000
