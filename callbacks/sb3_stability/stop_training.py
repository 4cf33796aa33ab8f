"""What the stop callbacks share: what to say and log, how to stop."""

from __future__ import annotations

from abc import abstractmethod
from types import MethodType
from typing import Any, ClassVar

import numpy as np

from sb3_stability.detectors import Alarm
from sb3_stability.explanations import explain
from sb3_stability.feasible_value import FeasibleValue
from sb3_stability.looking import LookingCallback, is_finite, positive
from sb3_stability.pruning import prune_if_in_trial
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings


class StoppingCallback(LookingCallback):
    """A callback that can end the training with a reason.

    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints the reason for a stop, 0 is silent
    """

    alert: ClassVar[str | None] = None
    """The name under which a stop is logged; None if the callback logs by other names."""

    def __init__(self, check_freq: int = 20, batch_size: int = 64, verbose: int = 1) -> None:
        super().__init__(check_freq, batch_size, verbose)
        self.triggered = False
        self.message = ""
        self._reason: str | None = None
        self._acts_at_random = False

    def _on_training_start(self) -> None:
        self.triggered, self.message, self._reason = False, "", None
        super()._on_training_start()
        self._log_stop(False)

    def _on_step(self) -> bool:
        self._act_normally()
        if self._reason is not None:
            self._stop(self._reason)
        return not self.triggered

    def _on_training_end(self) -> None:
        self._act_normally()
        if not self.triggered:
            super()._on_training_end()
            if self._reason is not None:
                self._stop(self._reason)
        elif self._readings is not None:
            self._readings.unwatch()

    def _stop_because(self, reason: str) -> None:
        """End the training at the next env step, which is where SB3 allows it.

        :param reason: the end of the sentence "... stopped the training at step 7 (update 5): "
        """
        self._reason = reason
        self._log_stop(True)
        if not is_finite(getattr(self.model, "actor", None)):
            # SB3 takes one more step, for which a Gaussian policy of NaN has no action: SAC would raise a ValueError.
            self.model._sample_action = MethodType(_random_action, self.model)  # type: ignore[attr-defined]
            self._acts_at_random = True

    def _log_stop(self, fired: bool) -> None:
        if self.alert is not None:
            self._log_alert(self.alert, fired)

    def _act_normally(self) -> None:
        if self._acts_at_random:
            self.model.__dict__.pop("_sample_action", None)
            self._acts_at_random = False

    def _stop(self, reason: str) -> None:
        assert self._readings is not None
        self.triggered, self._reason = True, None
        at = f"at step {self.model.num_timesteps} (update {self._readings.n_updates})"
        self.message = f"{type(self).__name__} stopped the training {at}: {reason}"
        if self.verbose > 0:
            print(self.message)
        self._log_stop(True)
        text_is_for = ("stdout", "log", "json", "csv")
        self.logger.record("stability/message", self.message, exclude=text_is_for)
        # learn() ends without another dump: without this one the alert would be in no log.
        self.logger.record("time/total_timesteps", self.model.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.model.num_timesteps)
        try:
            prune_if_in_trial(self, self.message)
        except BaseException:
            self._readings.unwatch()
            raise


def _random_action(model: Any, *args: Any, **kwargs: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    action = np.array([model.action_space.sample() for _ in range(model.n_envs)])
    return action, model.policy.scale_action(action)


class StopTraining(StoppingCallback):
    """A stop on one alarm."""

    @abstractmethod
    def _detect(self, reading: Reading) -> Alarm | None:
        """Feed the detectors; record what should be logged."""

    @abstractmethod
    def _subject(self) -> str:
        """What is watched, as the subject of a sentence."""

    def _see(self, reading: Reading) -> None:
        alarm = self._detect(reading)
        self._log_stop(alarm is not None)
        if alarm is not None and not self.triggered:
            self._stop_because(f"{self._subject()} was {alarm}. {explain(alarm, reading)}")


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

    def _start(self, readings: Readings) -> None:
        gamma = float(getattr(self.model, "gamma", 1.0))
        self._watched = FeasibleValue(gamma, self.margin, self.patience, self.floor, self.threshold)
        if self.margin is not None and gamma >= 1.0 and self.threshold is None and self.verbose > 0:
            print(
                f"{type(self).__name__}: gamma={gamma:g} leaves returns without a bound, so only NaN can stop "
                "this run. Give a fixed threshold."
            )

    def _prepare(self, readings: Readings, scale: float | None) -> None:
        if scale is not None:
            self._watched.start_from(scale)

    def _observe(self, value: float, reading: Reading) -> Alarm | None:
        alarm = self._watched.observe(value, reading)
        if self.margin is not None:
            low, high = self._watched.limits(reading)
            self.logger.record("stability/q_limit_low", low)
            self.logger.record("stability/q_limit_high", high)
        return alarm
