"""What the stop callbacks share: when to look at a model, what to say and log, how to stop."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from stable_baselines3.common.callbacks import BaseCallback

from sb3_stability.detectors import AbsoluteLimit, Alarm, FeasibleBound, Finite
from sb3_stability.explanations import explain
from sb3_stability.readings import Reading, Readings

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


class StopTraining(BaseCallback):
    """What the stop callbacks share: when to look, what to say and log, how to stop.

    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first;
        a model that keeps a record of its last update is looked at after every update, since that costs nothing
    :param batch_size: transitions of the replay buffer that are read at each look
    :param verbose: 1 prints the reason for a stop, 0 is silent
    """

    alert: ClassVar[str]

    def __init__(self, check_freq: int = 20, batch_size: int = 64, verbose: int = 1) -> None:
        super().__init__(verbose)
        self.check_freq = int(positive("check_freq", check_freq) or 1)
        self.batch_size = int(positive("batch_size", batch_size) or 1)
        self.triggered = False
        self.message = ""
        self._readings: Readings | None = None
        self._prepared = False
        self._looked_at_update = 0
        self._looked_at_call = 0

    # -- what a child says ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _start_detectors(self) -> None:
        """Make fresh detectors for ``self.model``."""

    @abstractmethod
    def _detect(self, reading: Reading) -> Alarm | None:
        """Feed the detectors; record what should be logged."""

    @abstractmethod
    def _subject(self) -> str:
        """What is watched, as the subject of a sentence."""

    def _prepare(self, readings: Readings) -> None:
        """Take in what can be known just before the first update of this training."""

    # -- SB3's hooks ---------------------------------------------------------------------------------------------------

    def _on_training_start(self) -> None:
        self._readings = Readings.of(self.model, self.batch_size)
        self._readings.watch()
        self.triggered, self.message = False, ""
        self._prepared = False
        self._looked_at_update = self._readings.n_updates
        self._looked_at_call = self.n_calls
        self._start_detectors()
        self.logger.record(f"alerts/{self.alert}", 0)

    def _on_rollout_end(self) -> None:
        # The last moment before the first update: the floor of the bound is made from the untrained networks.
        starts = getattr(self.model, "learning_starts", 0)
        if self._prepared or self._readings is None or self.model.num_timesteps <= starts:
            return
        self._prepared = True
        self._prepare(self._readings)

    def _on_step(self) -> bool:
        if self._readings is None or self.triggered:
            return not self.triggered
        updates = self._readings.n_updates - self._looked_at_update
        calls = self.n_calls - self._looked_at_call
        if updates > 0 and (self._readings.is_free or max(updates, calls) >= self.check_freq):
            self._look()
        return not self.triggered

    def _on_training_end(self) -> None:
        # The updates after the last env step have not been seen yet. rl_zoo3 calls this hook twice.
        if self._readings is None:
            return
        if not self.triggered and self._readings.n_updates > self._looked_at_update:
            self._look()
        self._readings.unwatch()

    # -- looking and stopping ------------------------------------------------------------------------------------------

    def _look(self) -> None:
        assert self._readings is not None
        self._looked_at_update, self._looked_at_call = self._readings.n_updates, self.n_calls
        reading = self._readings.latest()
        if reading is None:
            return
        alarm = self._detect(reading)
        self.logger.record(f"alerts/{self.alert}", int(alarm is not None))
        if alarm is not None:
            self._stop(alarm, reading)

    def _stop(self, alarm: Alarm, reading: Reading) -> None:
        self.triggered = True
        self.message = (
            f"{type(self).__name__} stopped the training at step {self.num_timesteps} (update {reading.n_updates}): "
            f"{self._subject()} was {alarm}. {explain(alarm, reading)}"
        )
        if self.verbose > 0:
            print(self.message)
        text_is_for = ("stdout", "log", "json", "csv")
        self.logger.record("stability/message", self.message, exclude=text_is_for)
        # learn() ends without another dump: without this one the alert would be in no log.
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)


class StopOnBound(StopTraining):
    """A stop on one number that must stay feasible and finite."""

    def __init__(
        self,
        margin: float | None,
        patience: int,
        floor: float,
        threshold: float | None,
        threshold_name: str,
        check_freq: int,
        batch_size: int,
        verbose: int,
    ) -> None:
        super().__init__(check_freq, batch_size, verbose)
        self.margin = positive("margin", margin)
        self.patience = int(positive("patience", patience) or 1)
        self.floor = positive("floor", floor) or 0.0
        self.threshold = positive(threshold_name, threshold)
        if self.margin is None and self.threshold is None:
            raise ValueError(
                f"margin=None switches the feasible bound off and {threshold_name} is None too, so nothing but NaN "
                f"could stop the run. Give {threshold_name}, or use StopTrainingOnNonFinite."
            )

    def _start_detectors(self) -> None:
        gamma = float(getattr(self.model, "gamma", 1.0))
        self._finite = Finite()
        self._bound = None if self.margin is None else FeasibleBound(gamma, self.margin, self.patience, self.floor)
        self._absolute = None if self.threshold is None else AbsoluteLimit(self.threshold, self.patience)
        if self._bound is not None and gamma >= 1.0 and self._absolute is None and self.verbose > 0:
            print(
                f"{type(self).__name__}: gamma={gamma:g} leaves returns without a bound, so only NaN can stop "
                "this run. Give a fixed threshold."
            )

    def _prepare(self, readings: Readings) -> None:
        if self._bound is None:
            return
        if readings.n_updates == 0:
            reading = readings.before_training()
            if reading is not None:
                self._bound.start_from(reading.scale)
        elif readings.n_updates >= _WELL_TRAINED and readings.n_stored >= _WELL_TRAINED:
            # A resumed run: what its Q-values are now may already be an explosion, so the rewards alone set the limit.
            self._bound.start_from(0.0)

    def _observe(self, value: float, reading: Reading) -> Alarm | None:
        at = reading.n_updates
        alarms = [self._finite.observe(value, at=at)]
        if self._bound is not None:
            alarms.append(self._bound.observe(value, at=at, rewards=reading.rewards, bonus=reading.bonus))
            low, high = self._bound.limits(reading.rewards, reading.bonus)
            self.logger.record("stability/q_limit_low", low)
            self.logger.record("stability/q_limit_high", high)
        if self._absolute is not None:
            alarms.append(self._absolute.observe(value, at=at))
        return next((alarm for alarm in alarms if alarm is not None), None)
