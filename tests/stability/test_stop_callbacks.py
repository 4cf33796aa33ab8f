from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest
from small_models import (
    InflatedTD3,
    all_three,
    small,
)
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from sb3_stability import (
    StopTrainingOnActorLossExplosion,
    StopTrainingOnGradientExplosion,
    StopTrainingOnQValueExplosion,
    UnreadableModelError,
)


def logged(model, folder):
    """Read the CSV log of a model as a list of rows."""
    lines = (folder / "progress.csv").read_text().splitlines()
    keys = lines[0].split(",")
    return [dict(zip(keys, line.split(","), strict=True)) for line in lines[1:]]


def test_the_alert_is_logged_as_0_before_and_1_at_the_stop(tmp_path):
    model = small(InflatedTD3)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model.learn(3000, callback=stop, log_interval=1)
    rows = logged(model, tmp_path)
    alerts = [float(row["alerts/q_value_explosion"]) for row in rows]
    assert alerts[-1] == 1.0
    assert set(alerts[:-1]) == {0.0}
    last = rows[-1]
    assert float(last["stability/q_policy_mean"]) < float(last["stability/q_limit_low"]) < 0.0


@dataclass(frozen=True)
class Record:
    n_updates: int
    q_policy_mean: float | None
    actor_loss: float | None
    q_replay_mean: float = 0.5
    q_replay_std: float = 0.1
    critic_loss: float = 0.1
    reward_min: float = -1.0
    reward_max: float = 1.0


class RecordingTD3(TD3):
    """Keeps a record of its last update, which says something else than its networks."""

    last_update = None

    def train(self, gradient_steps, batch_size=100):
        super().train(gradient_steps, batch_size)
        updates = self._n_updates
        value = None if updates < 5 else 1.0 if updates < 80 else 1e5
        self.last_update = Record(updates, value, None if value is None else -value)


@pytest.mark.parametrize("callback", [StopTrainingOnQValueExplosion, StopTrainingOnActorLossExplosion])
def test_the_record_of_a_model_that_keeps_one_is_believed_at_every_update(callback):
    model = small(RecordingTD3)
    stop = callback(verbose=0, check_freq=1000)
    model.learn(500, callback=stop)
    assert stop.triggered
    assert model._n_updates == 80


def test_a_run_can_be_continued_with_the_same_callback_after_a_stop():
    model = small(TD3)
    stop = StopTrainingOnQValueExplosion(max_abs_q=2.0, verbose=0)
    model.learn(1000, callback=stop)
    assert stop.triggered
    stop.threshold = None
    steps = model.num_timesteps
    model.learn(50, callback=stop, reset_num_timesteps=False)
    assert not stop.triggered
    assert stop.message == ""
    assert model.num_timesteps == steps + 50


def test_a_model_without_a_critic_of_actions_is_refused_with_a_reason():
    model = PPO("MlpPolicy", "Pendulum-v1", n_steps=64)
    with pytest.raises(UnreadableModelError, match="PPO has no Q-values and replay buffer"):
        model.learn(64, callback=StopTrainingOnQValueExplosion())


def test_numbers_that_yaml_reads_as_strings_are_numbers():
    assert StopTrainingOnQValueExplosion(max_abs_q="1e4").threshold == 1e4
    assert StopTrainingOnActorLossExplosion(max_abs_loss="1e6", margin="2").margin == 2.0


@pytest.mark.parametrize("margin", ["fast", -1, 0, math.nan])
def test_a_margin_that_is_no_positive_number_is_refused(margin):
    with pytest.raises(ValueError, match=r"margin=.* is not a number greater than 0"):
        StopTrainingOnQValueExplosion(margin=margin)


def test_a_callback_without_any_limit_is_refused():
    with pytest.raises(ValueError, match="Give max_abs_loss"):
        StopTrainingOnActorLossExplosion(margin=None)


def test_a_discount_of_one_is_said_to_leave_nothing_to_check(capsys):
    small(TD3, gamma=1.0).learn(60, callback=StopTrainingOnQValueExplosion())
    assert "gamma=1 leaves returns without a bound" in capsys.readouterr().out


def test_rl_zoo3_makes_the_callbacks_from_yaml():
    # In a process of its own, because importing rl_zoo3 patches gymnasium.
    program = """
import yaml
from rl_zoo3.utils import get_callback_list
text = '''
callback:
  - sb3_stability.StopTrainingOnQValueExplosion: {margin: 2.5, max_abs_q: 1e4}
  - sb3_stability.StopTrainingOnActorLossExplosion
'''
q, loss = get_callback_list(yaml.safe_load(text))
print(type(q).__name__, q.margin, q.threshold, type(loss).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    expected = "StopTrainingOnQValueExplosion 2.5 10000.0 StopTrainingOnActorLossExplosion"
    assert done.stdout.splitlines()[-1] == expected


def test_importing_the_package_imports_neither_carla_nor_rl_zoo3():
    program = "import sys, sb3_stability; print([m for m in ('carla', 'rl_zoo3', 'sb3_carla') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_a_model_can_be_saved_and_loaded_while_it_is_watched(tmp_path):
    class Saver(BaseCallback):
        def _on_step(self):
            if self.num_timesteps == 100:
                self.model.save(tmp_path / "model.zip")
            return True

    small(TD3).learn(120, callback=[*all_three(), Saver()])
    assert TD3.load(tmp_path / "model.zip").num_timesteps == 100


@pytest.mark.parametrize("algorithm", [TD3, SAC])
def test_a_gradient_beyond_its_limit_stops_the_run_and_the_message_names_it(algorithm, tmp_path):
    model, stop = small(algorithm), StopTrainingOnGradientExplosion(max_norm=1e-6, verbose=0)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(2000, callback=stop)
    assert stop.triggered
    assert re.search(r"the norm of the gradient of (actor|critic) was", stop.message)
    assert float(logged(model, tmp_path)[-1]["alerts/gradient_explosion"]) == 1.0


def test_gradients_below_the_limit_stop_nothing():
    model, stop = small(TD3), StopTrainingOnGradientExplosion(verbose=0)
    model.learn(400, callback=stop)
    assert not stop.triggered
    assert model.num_timesteps == 400
