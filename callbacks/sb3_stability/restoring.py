"""Put a living model back to a checkpoint, in place: callbacks, env, logger and the call of ``learn()`` go on."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from stable_baselines3.common.save_util import load_from_pkl, load_from_zip_file, recursive_setattr
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_stability.checkpoint import Checkpoint

# Numbers of a model that belong to the run and not to the state of learning
_OF_THE_RUN = {
    "_total_timesteps",
    "_num_timesteps_at_start",
    "start_time",
    "learning_rate",
    "verbose",
    "seed",
    "n_envs",
}

# What some algorithms remember of their last update and leave out when they save
_RECORDS = ("last_update", "_last_actor_update")


def restore(model: Any, checkpoint: Checkpoint) -> str | None:
    """Put parameters, target networks, optimizers, counters, replay buffer and VecNormalize back to a checkpoint.

    The learning rates stay what they are; so do the random generators, so that the run does not repeat itself. If the
    replay buffer was not saved, the present one is kept: what it got since the checkpoint is true experience. So it is
    where the saved one refuses with a ValueError to be loaded, as one does whose frames lie in a file that later ones
    have overwritten. Any other error of loading it is raised before anything is changed.

    :param model: the model that the checkpoint was made of
    :param checkpoint: where to go back to
    :return: why the saved replay buffer could not be put back; None where there was none, or it was
    """
    saved_buffer, refusal = None, None
    if checkpoint.replay_buffer_path is not None:
        try:
            saved_buffer = load_from_pkl(checkpoint.replay_buffer_path)
        except ValueError as error:
            refusal = str(error)
    data, parameters, variables = load_from_zip_file(checkpoint.model_path, device=model.device)
    assert data is not None
    model.set_parameters(parameters, exact_match=True, device=model.device)
    for name, value in (variables or {}).items():
        if value is not None:
            recursive_setattr(model, f"{name}.data", value.data)
    for name, value in data.items():
        is_number = isinstance(value, (int, float)) and name in model.__dict__ and name not in _OF_THE_RUN
        if is_number or name in ("ep_info_buffer", "ep_success_buffer"):
            model.__dict__[name] = value
    for name in _RECORDS:
        if name in model.__dict__:
            model.__dict__[name] = None
    if model.action_noise is not None:
        model.action_noise.reset()
    if saved_buffer is not None:
        _restore_buffer(model, saved_buffer)
    if checkpoint.vec_normalize_path is not None:
        _restore_normalizer(model, checkpoint)
    if model.use_sde:
        model.actor.reset_noise(model.n_envs)
    return refusal


def _restore_buffer(model: Any, saved: Any) -> None:
    buffer = model.replay_buffer
    # In place: SB3's collect_rollouts() holds a reference to the buffer
    env = getattr(buffer, "env", None)
    buffer.__dict__.update(saved.__dict__)
    buffer.device = model.device
    if isinstance(buffer, HerReplayBuffer):
        buffer.env = env
        buffer.truncate_last_trajectory()
    elif buffer.size() > 0:
        # What is stored next does not follow on what is stored last
        last = (buffer.pos - 1) % buffer.buffer_size
        if getattr(buffer, "optimize_memory_usage", False):
            buffer.dones[last] = 1.0
        elif isinstance(getattr(buffer, "timeouts", None), np.ndarray):
            buffer.timeouts[last] = np.where(buffer.dones[last] > 0, buffer.timeouts[last], 1.0)


def _restore_normalizer(model: Any, checkpoint: Checkpoint) -> None:
    normalizer = model.get_vec_normalize_env()
    if normalizer is None or checkpoint.vec_normalize_path is None:
        return
    with checkpoint.vec_normalize_path.open("rb") as file:
        saved = pickle.load(file)
    normalizer.obs_rms, normalizer.ret_rms = saved.obs_rms, saved.ret_rms
    normalizer.returns = np.where(np.isfinite(normalizer.returns), normalizer.returns, 0.0)
    model._last_obs = normalizer.normalize_obs(model._last_original_obs)


class ScaledSchedule:
    """A learning rate schedule times a factor. A class and no lambda, so that the model can be saved.

    :param schedule: the schedule
    :param factor: the factor
    """

    def __init__(self, schedule: Any, factor: float) -> None:
        self.schedule, self.factor = schedule, factor

    def __call__(self, progress_remaining: float) -> float:
        """Compute the rate.

        :param progress_remaining: from 1 (start) to 0
        """
        return float(self.schedule(progress_remaining)) * self.factor


def scale_learning_rates(model: Any, factor: float) -> None:
    """Multiply all learning rates of a model, now and for the rest of its schedule, and in what it saves.

    :param model: has ``learning_rate``, and possibly ``learning_rates`` (a mapping or one value)
    :param factor: the factor
    """
    model.learning_rate = _scaled(model.learning_rate, factor)
    rates = getattr(model, "learning_rates", None)
    if isinstance(rates, dict):
        model.learning_rates = {part: _scaled(rate, factor) for part, rate in rates.items()}
    elif rates is not None:
        model.learning_rates = _scaled(rates, factor)
    model._setup_lr_schedule()


def _scaled(rate: Any, factor: float) -> Any:
    if rate is None:
        return None
    if isinstance(rate, str):  # rl_zoo3's "lin_1e-4"
        kind, _, number = rate.rpartition("_")
        return f"{kind}_{float(number) * factor!r}" if kind else float(number) * factor
    if isinstance(rate, ScaledSchedule):
        return ScaledSchedule(rate.schedule, rate.factor * factor)
    return ScaledSchedule(rate, factor) if callable(rate) else float(rate) * factor
