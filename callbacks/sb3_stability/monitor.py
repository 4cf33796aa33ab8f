"""The callback that warns and logs, and never stops a training."""

from __future__ import annotations

from typing import Any

from sb3_stability.actor_loss_leak import LeakyActorLossError, UnprobedModelError, check_actor_loss
from sb3_stability.explanations import explain_warning
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings
from sb3_stability.watching import WatchingCallback

_NUMBERS = (
    "q_policy_mean",
    "q_replay_mean",
    "q_replay_std",
    "actor_loss",
    "saturated_share",
    "feature_norm",
)


class StabilityMonitor(WatchingCallback):
    """Watch all detectors: log what they see and say when one fires. Never stops a training.

    The names of the logged values are in the documentation of the package. A line is printed when a detector fires
    that was quiet before.

    :param check_leak: probe the actor loss before the first update (:func:`~sb3_stability.check_actor_loss`)
    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints warnings, 0 is silent
    :param limits: limits of the detectors, see :class:`~sb3_stability.watch.Limits`
    """

    def __init__(
        self, check_leak: bool = True, check_freq: int = 20, batch_size: int = 64, verbose: int = 1, **limits: Any
    ) -> None:
        super().__init__(check_freq, batch_size, verbose, **limits)
        self.check_leak = check_leak
        self.warnings: list[str] = []
        self._firing: set[str] = set()

    def _start(self, readings: Readings) -> None:
        super()._start(readings)
        self.warnings, self._firing = [], set()

    def _prepare(self, readings: Readings, scale: float | None) -> None:
        super()._prepare(readings, scale)
        if not self.check_leak or not readings.has_actor:
            return
        try:
            check_actor_loss(self.model)
        except UnprobedModelError as reason:
            self._say(str(reason))
            return
        except LeakyActorLossError as leak:
            self._log_alert("actor_loss_leak", True)
            self._say(str(leak))
            return
        self._log_alert("actor_loss_leak", False)

    def _see(self, reading: Reading) -> None:
        super()._see(reading)
        assert self._watch is not None
        for name in _NUMBERS:
            value = getattr(reading, name)
            if value is not None:
                self.logger.record(f"stability/{name}", value)
        for network in ("actor", "critic"):
            norm = reading.grad_norm(network)
            if norm is not None:
                self.logger.record(f"stability/{network}_grad_norm", norm)
        if self.limits.margin is not None:
            low, high = self._watch.q_limits(reading)
            self.logger.record("stability/q_limit_low", low)
            self.logger.record("stability/q_limit_high", high)
        gap = self._watch.states.get("q_gap")
        if gap is not None and gap.value is not None and gap.limit is not None:
            self.logger.record("stability/q_gap", gap.value)
            self.logger.record("stability/q_gap_limit", gap.limit)
        for state in self._watch.states.values():
            self._log_alert(state.name, state.alarm is not None)
            if state.alarm is None:
                self._firing.discard(state.name)
            elif state.name not in self._firing:
                self._firing.add(state.name)
                advice = explain_warning(state, reading)
                self._say(
                    f"alerts/{state.name} at step {self.model.num_timesteps}: "
                    f"{state.subject} was {state.alarm}. {advice}"
                )

    def _say(self, warning: str) -> None:
        self.warnings.append(warning)
        if self.verbose > 0:
            print(f"{type(self).__name__}: {warning}")
