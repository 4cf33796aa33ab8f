"""The callbacks in rl_zoo3's YAML and under Optuna, in processes of their own: rl_zoo3 patches gymnasium."""

from __future__ import annotations

import pathlib
import subprocess
import sys

HERE = str(pathlib.Path(__file__).parent)


def run(program, *arguments, folder=None):
    code = f"import sys; sys.path.insert(0, {HERE!r})\n{program}"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=250, cwd=folder).stdout


def test_every_callback_can_be_named_in_yaml_with_and_without_arguments():
    made = run(
        """
import yaml
from rl_zoo3.utils import get_callback_list
text = '''
callback:
  - sb3_stability.StabilityMonitor
  - sb3_stability.StabilityMonitor: {margin: 2.0, max_abs_q: 1e4, grad_norm: null, check_freq: 100}
  - sb3_stability.StopTrainingOnLeakyActorLoss
  - sb3_stability.StopTrainingOnNonFinite: {check_freq: 5}
  - sb3_stability.HealthyCheckpoints: {folder: checkpoints, steps: [1000, 2000], every: 500}
  - sb3_stability.RollbackToHealthyCheckpoint: {folder: checkpoints, lr_factor: 0.5, max_rollbacks: 2}
  - sb3_stability.StagedTraining: {gates: [5000, 50000], min_episode_length: 20}
  - sb3_stability.StabilityPanel
'''
for callback in get_callback_list(yaml.safe_load(text)):
    print(type(callback).__name__, getattr(callback, 'limits', None) and callback.limits.max_abs_q)
"""
    ).splitlines()
    assert made == [
        "StabilityMonitor None",
        "StabilityMonitor 10000.0",
        "StopTrainingOnLeakyActorLoss None",
        "StopTrainingOnNonFinite None",
        "HealthyCheckpoints None",
        "RollbackToHealthyCheckpoint None",
        "StagedTraining None",
        "StabilityPanel None",
    ]


def test_a_stop_in_a_trial_of_rl_zoo3_prunes_it(tmp_path):
    # rl_zoo3's own objective, in which a run that was merely stopped counts as complete
    printed = run(
        """
import optuna, warnings
warnings.simplefilter("ignore")
import rl_zoo3.exp_manager as manager
from rl_zoo3.exp_manager import ExperimentManager
from small_models import InflatedTD3
from stable_baselines3 import TD3
from types import SimpleNamespace
kwargs = dict(policy="MlpPolicy", learning_starts=50, batch_size=64, policy_kwargs={"net_arch": [32, 32]})
manager.ALGOS["td3"] = InflatedTD3
manager.HYPERPARAMS_SAMPLER["td3"] = lambda trial, *rest: {}
zoo = ExperimentManager(SimpleNamespace(), "td3", "Pendulum-v1", "logs", n_timesteps=1500, n_eval_episodes=1,
                        n_evaluations=1, optimize_hyperparameters=True, verbose=0)
zoo._hyperparams, zoo.n_envs, zoo.n_actions, zoo.device = kwargs, 1, 1, "cpu"
zoo.specified_callbacks = [{"sb3_stability.StopTrainingOnQValueExplosion": {"verbose": 0, "check_freq": 5}}]
study = optuna.create_study(direction="maximize")
study.optimize(zoo.objective, n_trials=1)
print("state", study.trials[0].state.name)
""",
        folder=tmp_path,
    )
    assert printed.splitlines()[-1] == "state PRUNED"


def test_outside_of_a_trial_a_stop_is_no_exception():
    printed = run(
        """
import optuna
from small_models import InflatedTD3, small
from sb3_stability import StopTrainingOnQValueExplosion
stop = StopTrainingOnQValueExplosion(verbose=0, check_freq=5)
small(InflatedTD3).learn(1500, callback=stop)
print(stop.triggered)
"""
    )
    assert printed.splitlines()[-1] == "True"
