from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
import torch as th
from rich.console import Console
from small_models import ALGORITHMS, InflatedTD3, LeakyTD3, NoiseFrames, SmallCNN, camera_model, small
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecNormalize

import sb3_stability
from sb3_stability import StabilityMonitor, StabilityPanel, StagedTraining


def logged(model, folder, **learn):
    model.set_logger(configure(str(folder), ["csv"]))
    model.learn(log_interval=1, **learn)
    lines = (folder / "progress.csv").read_text().splitlines()
    keys = lines[0].split(",")
    return [dict(zip(keys, line.split(","), strict=True)) for line in lines[1:]]


def documented(prefix):
    return set(re.findall(rf"``({prefix}/\w+)``", sb3_stability.__doc__))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_monitor_logs_what_the_documentation_lists(algorithm, tmp_path):
    rows = logged(small(algorithm), tmp_path, total_timesteps=410, callback=StabilityMonitor())
    keys = {key for key in rows[-1] if key.startswith(("alerts/", "stability/"))}
    assert keys <= documented("alerts") | documented("stability")
    expected = {"q_value_explosion", "actor_loss_explosion", "non_finite", "actor_loss_leak", "q_gap"}
    expected |= {"action_saturation", "gradient_norm", "gradient_norm_critical", "episode_collapse"}
    expected |= {"large_q_value", "large_loss"}
    assert {f"alerts/{name}" for name in expected} <= keys
    numbers = {"q_policy_mean", "q_replay_mean", "q_replay_std", "q_limit_low", "q_limit_high", "q_gap", "q_gap_limit"}
    numbers |= {"actor_loss", "saturated_share", "actor_grad_norm", "critic_grad_norm"}
    assert {f"stability/{name}" for name in numbers} <= keys
    assert {row[f"alerts/{name}"] for row in rows for name in expected} <= {"0", "0.0", ""}
    assert float(rows[-1]["stability/critic_grad_norm"]) > 0.0


def test_the_monitor_never_stops_and_says_a_thing_once(capsys):
    model, monitor = small(InflatedTD3), StabilityMonitor(check_freq=5)
    model.learn(900, callback=monitor)
    assert model.num_timesteps == 900
    explosions = [warning for warning in monitor.warnings if "alerts/q_value_explosion" in warning]
    assert len(explosions) == 1
    assert "since update" in explosions[0]
    assert capsys.readouterr().out.count("alerts/q_value_explosion") == 1


def test_a_short_alert_is_not_lost_before_the_log_is_written(tmp_path):
    monitor = StabilityMonitor(check_freq=1, verbose=0, max_abs_q=1e-9, patience=1)

    class Relax(BaseCallback):
        def _on_step(self):
            if self.num_timesteps == 100:
                monitor._watch._q._absolute.threshold = 1e9
            return True

    rows = logged(small(TD3), tmp_path, total_timesteps=199 + 2, callback=[monitor, Relax()])
    assert float(rows[0]["alerts/q_value_explosion"]) == 1.0
    assert monitor.states["q_value_explosion"].alarm is None


def test_large_values_have_tags_of_their_own_and_stop_nothing(tmp_path):
    monitor = StabilityMonitor(verbose=0, large_q=1e-9, large_loss=1e-9, patience=1)
    rows = logged(small(TD3), tmp_path, total_timesteps=410, callback=monitor)
    assert {float(rows[-1][f"alerts/{name}"]) for name in ("large_q_value", "large_loss")} == {1.0}
    assert float(rows[-1]["alerts/q_value_explosion"]) == 0.0
    assert not any(state.is_explosion and state.alarm for state in monitor.states.values())


def test_a_leak_on_images_opens_the_gap_and_is_named():
    model, monitor = camera_model(LeakyTD3), StabilityMonitor(verbose=0)
    model.learn(700, callback=monitor)
    fired = {re.match(r"alerts/(\w+)", warning).group(1) for warning in monitor.warnings if "alerts/" in warning}
    assert {"q_gap", "q_value_explosion"} <= fired


def test_gradient_norms_are_those_of_the_update(tmp_path):
    model, monitor = small(TD3), StabilityMonitor(check_freq=1, check_leak=False)
    norms = []

    class Compare(BaseCallback):
        def _on_rollout_start(self):
            if self.model._n_updates % 2 == 0 and self.model._n_updates > 2:
                gradients = [parameter.grad for parameter in self.model.actor.parameters()]
                state = monitor._readings.latest()
                norms.append((state.grad_norm("actor"), float(th.nn.utils.get_total_norm(gradients))))

        def _on_step(self):
            return True

    model.learn(70, callback=[monitor, Compare()])
    assert norms
    assert all(mine == pytest.approx(theirs, rel=1e-5) for mine, theirs in norms)


def test_the_monitor_works_with_several_envs_normalisation_n_step_and_images():
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    small(SAC, env, n_steps=3, gradient_steps=2).learn(300, callback=StabilityMonitor())
    env = make_vec_env(NoiseFrames, n_envs=2, seed=0)
    policy_kwargs = {"net_arch": [32], "features_extractor_class": SmallCNN}
    model = SAC("CnnPolicy", env, learning_starts=50, seed=0, buffer_size=500, policy_kwargs=policy_kwargs)
    monitor = StabilityMonitor(verbose=0)
    model.learn(300, callback=monitor)
    assert model.logger.name_to_value["stability/feature_norm"] > 0.0
    assert monitor.warnings == []


def test_sac_that_turns_into_nan_ends_with_the_reason_and_not_with_an_error():
    class NaNSAC(SAC):
        def train(self, gradient_steps, batch_size=64):
            super().train(gradient_steps, batch_size)
            if self._n_updates == 30:
                with th.no_grad():
                    for parameter in self.policy.parameters():
                        parameter.fill_(float("nan"))
                self.logger.record("train/critic_loss", float("nan"))

    model, stop = small(NaNSAC), sb3_stability.StopTrainingOnNonFinite(verbose=0)
    model.learn(500, callback=stop)
    assert stop.triggered
    assert model._n_updates == 30
    assert "_sample_action" not in model.__dict__


def test_a_name_that_is_no_limit_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"no limit or option called 'margn'.*margin"):
        StabilityMonitor(margn=2)
    with pytest.raises(ValueError, match="gap='far' is not a number"):
        StabilityMonitor(gap="far")


# -- panel -------------------------------------------------------------------------------------------------------------


def test_the_panel_shows_every_detector_in_a_terminal(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    small(TD3).learn(150, callback=StabilityPanel(console=console))
    shown = console.file.getvalue()
    for name in ("q_value_explosion", "q_gap", "action_saturation", "non_finite"):
        assert name in shown
    assert "EXPLOSION" not in shown


@pytest.mark.parametrize(("terminal", "ci"), [(False, ""), (True, "true")])
def test_the_panel_is_quiet_outside_of_a_terminal_and_in_ci(terminal, ci, monkeypatch):
    monkeypatch.setenv("CI", ci)
    console = Console(file=io.StringIO(), force_terminal=terminal)
    panel = StabilityPanel(console=console)
    small(TD3).learn(100, callback=panel)
    assert console.file.getvalue() == ""
    assert panel.states["q_value_explosion"].value is not None


def test_the_panel_and_sb3s_progress_bar_go_together(monkeypatch):
    program = """
import io, sys
sys.path.insert(0, {tests!r})
import rich
from rich.console import Console
rich._console = Console(force_terminal=True, width=100)
from small_models import small
from stable_baselines3 import TD3
from sb3_stability import StabilityPanel
small(TD3).learn(150, callback=StabilityPanel(), progress_bar=True)
"""
    monkeypatch.delenv("CI", raising=False)
    code = program.format(tests=str(__import__("pathlib").Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "q_value_explosion" in done.stdout
    assert "150/150" in done.stdout


# -- stages ------------------------------------------------------------------------------------------------------------


def test_a_healthy_run_passes_its_gates(capsys):
    model, stages = small(TD3), StagedTraining(gates=(150, 300))
    model.learn(320, callback=stages)
    assert not stages.triggered
    assert list(stages.checklists) == [150, 300]
    assert "the gate at 300 steps is passed" in capsys.readouterr().out
    assert [check.passed for check in stages.checklists[300]] == [True, True, None, True]


def test_an_exploding_run_fails_at_the_gate_with_the_list(tmp_path):
    model, stages = small(InflatedTD3), StagedTraining(gates=(100, 900), verbose=0)
    rows = logged(model, tmp_path, total_timesteps=2000, callback=stages)
    assert stages.triggered
    assert model.num_timesteps == 901
    assert "the gate at 900 steps is not passed, for: Q in range" in stages.message
    assert "[FAIL] Q in range" in stages.message
    assert float(rows[-1]["alerts/failed_gate"]) == 1.0


def test_episodes_shorter_than_asked_for_fail_at_the_gate():
    model = camera_model(TD3)  # episodes of 20 steps
    stages = StagedTraining(gates=(250,), min_episode_length=30, verbose=0)
    model.learn(400, callback=stages)
    assert "20 steps, less than min_episode_length=30" in stages.message


def test_an_actor_without_any_gradient_fails_at_the_gate():
    class DeadTD3(TD3):
        def train(self, gradient_steps, batch_size=100):
            with th.no_grad():
                self.actor.mu[-2].bias.fill_(1e3)
            super().train(gradient_steps, batch_size)

    stages = StagedTraining(gates=(150,), verbose=0)
    small(DeadTD3).learn(200, callback=stages)
    assert "[FAIL] learning signal: the gradient of actor was exactly 0" in stages.message


def test_a_gate_at_the_last_step_is_judged():
    stages = StagedTraining(gates=(150, 300), verbose=0)
    small(TD3).learn(300, callback=stages)
    assert list(stages.checklists) == [150, 300]
    failing = StagedTraining(gates=(900,), verbose=0)
    small(InflatedTD3).learn(900, callback=failing)
    assert failing.triggered
    assert "the gate at 900 steps is not passed, for: Q in range" in failing.message


def test_gates_before_the_start_of_a_continued_run_are_left_out():
    model = small(TD3).learn(120)
    stages = StagedTraining(gates=(100, 200), verbose=0)
    model.learn(100, callback=stages, reset_num_timesteps=False)
    assert list(stages.checklists) == [200]
