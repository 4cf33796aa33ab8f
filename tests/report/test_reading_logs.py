from __future__ import annotations

import numpy as np
import pytest
from progress_file import write_progress
from stable_baselines3 import TD3
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor

from sb3_carla.report import make_report, read_logs
from sb3_stability import StopTrainingOnQValueExplosion


def test_event_files_and_tables_say_the_same(trained_run, tmp_path):
    from_both = read_logs(trained_run)
    (tmp_path / "progress.csv").write_bytes((trained_run / "progress.csv").read_bytes())
    from_table = read_logs(tmp_path)
    assert {path.name for path in from_both.sources} > {path.name for path in from_table.sources}
    for name in ("rollout/ep_rew_mean", "train/critic_loss", "stability/q_policy_mean"):
        assert from_both.metrics[name].steps.tolist() == from_table.metrics[name].steps.tolist()
        assert from_both.metrics[name].values == pytest.approx(from_table.metrics[name].values, rel=1e-5)


def test_logs_may_lie_in_a_folder_below(trained_run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "deeper").symlink_to(trained_run)
    assert read_logs(tmp_path / "run" / "deeper").last_step == 1200
    write_progress(tmp_path / "other" / "TD3_1", {"train/actor_loss": [1.0]})
    assert read_logs(tmp_path / "other").last_step == 100


def test_a_table_without_steps_is_counted_by_rows_and_says_so(tmp_path):
    (tmp_path / "progress.csv").write_text("loss\n5\n4\n3\n")
    logs = read_logs(tmp_path)
    assert logs.metrics["loss"].steps.tolist() == [0.0, 1.0, 2.0]
    assert "no column of steps" in logs.notes[0]


def test_rewards_come_from_the_monitor_where_no_means_were_logged(tmp_path):
    import gymnasium as gym

    env = Monitor(gym.make("Pendulum-v1"), str(tmp_path / "0"))
    for _ in range(2):
        env.reset(seed=0)
        while not env.step(env.action_space.low)[3]:
            pass
    env.reset()
    env.close()
    write_progress(tmp_path, {"train/critic_loss": [1.0, 2.0]})
    logs = read_logs(tmp_path)
    assert logs.metrics["rollout/ep_len_mean"].values.tolist() == [200.0, 200.0]
    assert logs.metrics["rollout/ep_rew_mean"].steps.tolist() == [200.0, 400.0]


def test_the_reason_for_a_stop_is_in_the_report(tmp_path):
    model = TD3("MlpPolicy", "Pendulum-v1", learning_starts=50, batch_size=16, policy_kwargs={"net_arch": [8]}, seed=0)
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    stop = StopTrainingOnQValueExplosion(max_abs_q=0.01, verbose=0)
    model.learn(1000, callback=stop, log_interval=1)
    assert stop.triggered
    text = make_report(tmp_path).read_text()
    assert stop.message in text
    assert f"| No alert fired | **FAIL** | q_value_explosion at step {model.num_timesteps} |" in text


def test_evaluations_come_from_the_file_of_the_eval_callback(tmp_path):
    steps, rewards = np.array([100, 200]), np.array([[1.0, 3.0], [5.0, 7.0]])
    np.savez(tmp_path / "evaluations.npz", timesteps=steps, results=rewards, ep_lengths=np.array([[10, 20], [30, 40]]))
    logs = read_logs(tmp_path)
    assert logs.metrics["eval/mean_reward"].values.tolist() == [2.0, 6.0]
    assert logs.metrics["eval/mean_ep_length"].values.tolist() == [15.0, 35.0]
    assert logs.last_step == 200


def test_an_unreadable_file_of_evaluations_is_said_and_the_rest_is_read(tmp_path):
    write_progress(tmp_path, {"train/actor_loss": [1.0]})
    (tmp_path / "evaluations.npz").write_bytes(b"PK no archive")
    logs = read_logs(tmp_path)
    assert "evaluations.npz cannot be read" in logs.notes[0]
    assert "train/actor_loss" in logs.metrics
