"""When a callback looks at a model, and what it does with a number that a user gave."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from sb3_stability.reading import Reading
from sb3_stability.readings import Readings

_WELL_TRAINED = 1000  # updates, and stored transitions, from which the floor of the bound is not needed any more


def positive(name: str, value: float | str | None, *, least: float = 0.0) -> float | None:
    """A number given by a user. YAML reads ``1e4`` as a string, so strings that are numbers are taken as such.

    :raises ValueError: not a number greater than ``least``
    """
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not number > least:
        raise ValueError(f"{name}={value!r} is not a number greater than {least:g}. Give one, or leave {name} out.")
    return number


class LookingCallback(BaseCallback):
    """Looks at a model from time to time while it trains: after updates, before the next action is chosen.

    SB3 calls ``on_rollout_start`` right after the updates. Looking there, and not one env step later, sees a policy
    of NaN before it is asked for an action.

    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first;
        a model that keeps a record of its last update is looked at after every update, since that costs nothing
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints what there is to say, 0 is silent
    """

    def __init__(self, check_freq: int = 20, batch_size: int = 64, verbose: int = 1) -> None:
        super().__init__(verbose)
        self.check_freq = int(positive("check_freq", check_freq) or 1)
        self.batch_size = int(positive("batch_size", batch_size) or 1)
        self._readings: Readings | None = None
        self._prepared = False
        self._looked_at_update = 0
        self._looked_at_call = 0

    # -- what a child says ---------------------------------------------------------------------------------------------

    def _start(self, readings: Readings) -> None:
        """A training starts: make fresh detectors for ``self.model``."""

    def _prepare(self, readings: Readings, scale: float | None) -> None:
        """Take in what can be known just before the first update of this training.

        :param readings: of the model
        :param scale: magnitude of the Q-values before training, 0 for a model that has trained long; None if unknown
        """

    @abstractmethod
    def _see(self, reading: Reading) -> None:
        """Take in a reading."""

    # -- SB3's hooks ---------------------------------------------------------------------------------------------------

    def _on_training_start(self) -> None:
        self._readings = Readings.of(self.model, self.batch_size)
        self._readings.watch()
        self._prepared = False
        self._looked_at_update = self._readings.n_updates
        self._looked_at_call = self.n_calls
        self._start(self._readings)

    def _on_rollout_end(self) -> None:
        # The last moment before the first update: the floor of the bound is made from the untrained networks.
        if self._prepared or self._readings is None:
            return
        if self.model.num_timesteps <= getattr(self.model, "learning_starts", 0):
            return
        self._prepared = True
        self._prepare(self._readings, _initial_scale(self._readings))

    def _on_rollout_start(self) -> None:
        if self._readings is None:
            return
        updates = self._readings.n_updates - self._looked_at_update
        if updates < 0:  # another callback has put the model back to an earlier state
            self._looked_at_update = self._readings.n_updates
        calls = self.n_calls - self._looked_at_call
        if updates > 0 and (self._readings.is_free or max(updates, calls) >= self.check_freq or self._losses_broke()):
            self._look(self._readings.latest())

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        # The updates after the last env step have not been seen yet. rl_zoo3 calls this hook twice.
        if self._readings is None:
            return
        if self._readings.n_updates > self._looked_at_update:
            self._look(self._readings.latest() if self._readings.is_free else self._readings.afresh())
        self._readings.unwatch()

    # -- looking -------------------------------------------------------------------------------------------------------

    def _look(self, reading: Reading | None) -> None:
        assert self._readings is not None
        self._looked_at_update, self._looked_at_call = self._readings.n_updates, self.n_calls
        if reading is not None:
            self._see(reading)

    def _losses_broke(self) -> bool:
        """Whether the losses that SB3 has just logged are not finite; NaN cannot wait for the next look."""
        logged = self.logger.name_to_value
        losses = (logged.get("train/critic_loss"), logged.get("train/actor_loss"))
        return any(isinstance(loss, (float, np.floating)) and not math.isfinite(loss) for loss in losses)

    def _log_alert(self, name: str, fired: bool) -> None:
        """Log 0 or 1; a 1 stays until SB3 has written it."""
        key = f"alerts/{name}"
        self.logger.record(key, max(int(fired), int(self.logger.name_to_value.get(key, 0))))


def _initial_scale(readings: Readings) -> float | None:
    if readings.n_updates == 0:
        reading = readings.afresh()
        return None if reading is None else reading.scale
    if readings.n_updates >= _WELL_TRAINED and readings.n_stored >= _WELL_TRAINED:
        # A resumed run: what its Q-values are now may already be an explosion, so the rewards alone set the limit.
        return 0.0
    return None


def is_finite(module: th.nn.Module | None) -> bool:
    """Whether all parameters are finite.

    :param module: None is finite
    """
    return module is None or math.isfinite(magnitude(module))


def magnitude(module: th.nn.Module) -> float:
    """The sum of the magnitudes of all parameters.

    :param module: a network
    """
    with th.no_grad():
        return float(th.nn.utils.get_total_norm(list(module.parameters()), norm_type=1.0))
