from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from progress_file import write_progress

from sb3_carla.report import ReportError, analyse, make_report, read_logs
from sb3_carla.report.logs import bytes_cut_off


def test_a_folder_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(ReportError, match="nowhere is not a directory"):
        make_report(tmp_path / "nowhere")


def test_an_empty_folder_is_said_and_left_empty(tmp_path):
    with pytest.raises(ReportError, match=r"neither TensorBoard event files .* nor a progress\.csv"):
        make_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_logs_without_numbers_are_said(tmp_path):
    (tmp_path / "progress.csv").write_text("")
    with pytest.raises(ReportError, match=r"hold no numbers \(progress\.csv is empty\)"):
        make_report(tmp_path)
    (tmp_path / "progress.csv").write_text("time/fps,train/loss\n")
    with pytest.raises(ReportError, match="hold no numbers"):
        make_report(tmp_path)


def test_the_logs_of_several_runs_are_refused_by_name(tmp_path):
    for name in ("TD3_1", "TD3_2"):
        write_progress(tmp_path / name, {"train/actor_loss": [1.0]})
    with pytest.raises(ReportError, match=r"2 runs \(TD3_1, TD3_2\).*Give one of them"):
        make_report(tmp_path)


def test_a_truncated_event_file_gives_a_report_that_says_so(trained_run, tmp_path):
    (whole,) = trained_run.glob("*tfevents*")
    content = whole.read_bytes()
    (tmp_path / whole.name).write_bytes(content[: len(content) * 2 // 3])
    assert bytes_cut_off(whole) == 0
    text = make_report(tmp_path).read_text()
    assert "cut off in the middle of a record" in text
    assert "`stability/q_policy_mean`" in text


def test_an_event_file_of_garbage_is_said(tmp_path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ReportError, match="hold no numbers"):
        make_report(tmp_path)


@settings(deadline=None)
@given(share=st.floats(0.0, 1.0))
def test_an_event_file_cut_off_anywhere_is_read_or_refused_with_a_reason(trained_run, tmp_path_factory, share):
    (whole,) = trained_run.glob("*tfevents*")
    content = whole.read_bytes()
    folder = tmp_path_factory.mktemp("cut")
    (folder / whole.name).write_bytes(content[: int(share * len(content))])
    try:
        logs = read_logs(folder)
    except ReportError:
        return
    whole_metrics = read_logs(trained_run).metrics
    for name, series in logs.metrics.items():
        assert np.array_equal(series.steps, whole_metrics[name].steps[: len(series)])


def test_half_a_row_at_the_end_of_a_table_is_left_out_and_said(tmp_path):
    run = write_progress(tmp_path, {"train/actor_loss": [1.0, 2.0], "train/critic_loss": [3.0, 4.0]})
    with (run / "progress.csv").open("a") as file:
        file.write("300,5\0.")
    logs = read_logs(run)
    assert logs.metrics["train/actor_loss"].values.tolist() == [1.0, 2.0]
    assert "1 row(s) with another number of cells" in logs.notes[0]


def test_a_log_full_of_nan_gives_a_report_that_says_so(tmp_path):
    nan = [math.nan] * 8
    run = write_progress(tmp_path, {"train/q_policy_mean": nan, "train/critic_loss": nan, "rollout/ep_rew_mean": nan})
    text = make_report(run).read_text()
    assert "| Every logged number is finite | **FAIL** | train/critic_loss from step 100" in text
    assert "| `train/critic_loss` | - | - |" in text
    assert "no finite value" in text


def test_steps_that_go_back_are_put_in_order_and_said(tmp_path):
    steps = [100, 200, 300, 100, 200, 300, 400]
    run = write_progress(tmp_path, {"time/total_timesteps": steps, "train/actor_loss": [1, 2, 3, 4, 5, 6, 7]})
    logs = read_logs(run)
    assert logs.metrics["train/actor_loss"].steps.tolist() == [100, 100, 200, 200, 300, 300, 400]
    assert logs.metrics["train/actor_loss"].values.tolist() == [1, 4, 2, 5, 3, 6, 7]
    assert "go back 1 time(s)" in make_report(run).read_text()


def test_a_long_log_is_read_whole_and_drawn_from_its_extremes(tmp_path):
    values = np.random.default_rng(0).normal(size=50_000)
    values[31_234] = 1e5
    run = write_progress(tmp_path, {"train/critic_loss": values.tolist(), "rollout/ep_rew_mean": values.tolist()})
    text = make_report(run).read_text()
    assert "| 50000 |" in text
    assert "… 100000 |" in text


def test_an_event_file_of_one_record_and_a_table_of_text_are_no_hindrance(tmp_path):
    (tmp_path / "progress.csv").write_text("time/total_timesteps,note,train/critic_loss\n100,hello,1\n200,,2\n")
    assert list(read_logs(tmp_path).metrics) == ["time/total_timesteps", "train/critic_loss"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from([0.0, -0.0, 1.0, -3.0, 1e300, -1e300, 1e-300, math.nan, math.inf, -math.inf]),
        min_size=1,
        max_size=30,
    )
)
def test_any_numbers_are_analysed(tmp_path_factory, values):
    names = ["train/q_policy_mean", "train/q1_mean", "train/critic_loss", "grad_norm/actor_cnn", "grad_norm/actor_mlp"]
    names += ["rollout/ep_rew_mean", "rollout/ep_len_mean", "alerts/x", "train/ent_coef", "train/saturated_share"]
    run = write_progress(tmp_path_factory.mktemp("any"), dict.fromkeys(names, values))
    try:
        found = analyse(run)
    except ReportError:
        return
    assert all(math.isfinite(cause.score) for cause in found.causes)
