from __future__ import annotations

import json
import re

import cv2
import pytest
from progress_file import write_progress

from sb3_carla.cli import main
from sb3_carla.report import ReportError, compare_runs
from sb3_carla.report.comparison import groups


@pytest.fixture(scope="module")
def three_runs(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("three")
    columns = {"train/q_policy_mean": [1.0, 2.0, 3.0], "rollout/ep_rew_mean": [1.0, 5.0, 9.0]}
    runs = [write_progress(tmp_path / "logs" / f"TD3_{i}", columns) for i in (1, 2)]
    diverged = {"train/q_policy_mean": [1.0, 1e4, 1e9], "alerts/q_value_explosion": [0, 1, 1]}
    return [*runs, write_progress(tmp_path / "logs" / "leaky", diverged)]


@pytest.fixture(scope="module")
def page(three_runs):
    return compare_runs(three_runs)


def test_the_comparison_has_a_row_per_run_and_a_column_per_run(page):
    text = page.read_text()
    assert "# Comparison of 3 runs" in text
    assert re.search(
        r"\| leaky \| 300 \| .*No alert fired.* \| q_value_explosion at step 200 \|.*\| 1 → 1e\+09 \|", text
    )
    assert "| metric | TD3_1 | TD3_2 | leaky |" in text
    assert "| `train/q_policy_mean` | 1 → 3 | 1 → 3 | 1 → 1e+09 |" in text
    assert cv2.imread(str(page.parent / "comparison.png")).shape[0] > 600


def test_every_run_has_its_own_report_that_the_comparison_links_to(page):
    links = re.findall(r"\]\(([^)]+)\)", page.read_text())
    assert len(links) == 7  # the picture, and two pages per run
    assert all((page.parent / link).is_file() for link in links)
    data = json.loads((page.parent / "comparison.json").read_text())
    assert list(data["runs"]) == ["TD3_1", "TD3_2", "leaky"]


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_compared(three_runs, tmp_path):
    (tmp_path / "empty").mkdir()
    text = compare_runs([three_runs[0], tmp_path / "empty"], tmp_path / "out").read_text()
    assert "# Comparison of 1 run\n" in text
    assert "**Not compared:**" in text
    assert "empty holds neither TensorBoard event files" in text


def test_if_no_run_can_be_read_every_reason_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ReportError, match=r"None of the runs.*a holds neither.*b is not a directory"):
        compare_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_given_twice_is_refused(three_runs, tmp_path):
    with pytest.raises(ReportError, match="was given twice"):
        compare_runs([three_runs[0], three_runs[0]], tmp_path / "out")


def test_runs_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    runs = [write_progress(tmp_path / name / "TD3_1", {"train/actor_loss": [1.0]}) for name in ("a", "b")]
    assert "| metric | a/TD3_1 | b/TD3_1 |" in compare_runs(runs, tmp_path / "out").read_text()


def test_settings_that_differ_are_listed(tmp_path):
    runs = [write_progress(tmp_path / name, {"train/actor_loss": [1.0]}) for name in ("a", "b")]
    for run, gamma in zip(runs, (0.9, 0.99), strict=True):
        (run / "config.yml").write_text(f"gamma: {gamma}\nlearning_rate: 1e-4\n")
    text = compare_runs(runs, tmp_path / "out").read_text()
    assert "| gamma | 0.9 | 0.99 |" in text
    assert "| learning_rate |" not in text


def test_repetitions_are_grouped_by_the_number_at_the_end_of_their_name():
    assert groups(["leaky_0", "leaky_1", "healthy_0"]) == {
        "leaky_0": "leaky",
        "leaky_1": "leaky",
        "healthy_0": "healthy_0",
    }
    assert groups(["TD3-seed1", "TD3-seed2", "1", "2"]) == {"TD3-seed1": "TD3", "TD3-seed2": "TD3", "1": "1", "2": "2"}


def test_the_command_compares_several_runs_and_reports_on_one(tmp_path, capsys):
    runs = [write_progress(tmp_path / name, {"train/actor_loss": [1.0]}) for name in ("a", "b")]
    assert main(["report", *map(str, runs)]) == 0
    page = tmp_path / "comparison" / "comparison.md"
    assert str(page) in capsys.readouterr().out
    assert page.with_suffix(".html").is_file()
    assert main(["report", str(runs[0])]) == 0
    assert (runs[0] / "report" / "report.html").is_file()


def test_the_command_says_what_is_wrong_with_an_empty_folder(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds neither TensorBoard event files" in capsys.readouterr().err
