"""All detectors together: what each of them says of a model at a look.

:class:`Limits` holds their limits and which of them are on. The defaults are the detectors that catch explosions
without false alarms in ``benchmarks/detectors.py``, and warnings that are right about what they name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sb3_stability.detectors import (
    AbsoluteLimit,
    ActionSaturation,
    Alarm,
    Detector,
    EpisodeCollapse,
    Finite,
    GradientNorm,
    Growth,
    PolicyGap,
    Range,
)
from sb3_stability.feasible_value import FeasibleValue
from sb3_stability.looking import magnitude, positive
from sb3_stability.reading import Reading
from sb3_stability.readings import networks

EXPLOSIONS = ("q_value_explosion", "actor_loss_explosion", "non_finite")
"""The alerts that mean that a training has to be stopped; all others are warnings."""


@dataclass(frozen=True)
class Limits:
    """Limits of all detectors. None switches a detector off.

    :param margin: factor on the feasible bound of Q(s, pi(s)) and of minus the actor loss
    :param patience: looks in a row that must be beyond a limit
    :param floor: factor on the magnitude of Q before training; no limit on Q is nearer to zero than that
    :param max_abs_q: fixed threshold on the magnitude of Q(s, pi(s)), beyond which it counts as an explosion
    :param max_abs_loss: fixed threshold on the magnitude of the actor loss, beyond which it counts as an explosion
    :param large_q: magnitude of Q(s, pi(s)) that is worth a warning (the founding user's)
    :param large_loss: magnitude of the actor's or the critic's loss that is worth a warning (the founding user's)
    :param gap: Q(s, pi(s)) may differ from Q on replayed actions by this many times the size of the latter
    :param saturated_share: largest share of saturated components of the actions
    :param feature_growth: largest norm of the actor's features, as a multiple of the norm at the first looks
    :param grad_norm: gradient norm that is worth a warning, for rewards of at most 1
    :param critical_grad_norm: gradient norm that is critical, for rewards of at most 1
    :param loss_growth: largest magnitude of the actor loss, as a multiple of the one at the first looks
    :param collapse: share of the longest mean episode length under which episodes count as collapsed
    """

    margin: float | None = 1.5
    patience: int = 3
    floor: float = 10.0
    max_abs_q: float | None = None
    max_abs_loss: float | None = None
    large_q: float | None = 1e4
    large_loss: float | None = 1e6
    gap: float | None = 2.0
    saturated_share: float | None = 0.97
    feature_growth: float | None = None
    grad_norm: float | None = 5e4
    critical_grad_norm: float | None = 1e5
    loss_growth: float | None = None
    collapse: float | None = 1.0 / 3.0

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, positive(field.name, getattr(self, field.name)))
        object.__setattr__(self, "patience", int(self.patience))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Limits:
        """Limits given by name.

        :param given: keyword arguments of a callback
        :raises ValueError: a name that is not a limit, or a value that is no positive number
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise ValueError(f"There is no limit or option called {name!r}. The limits are {', '.join(known)}.")
        return cls(**given)


@dataclass(frozen=True)
class State:
    """What one detector says at the latest look.

    :param name: as in ``alerts/<name>``
    :param subject: what is watched, as the subject of a sentence
    :param value: what it saw; None where there was nothing to see
    :param limit: its limit; None where there is none to name
    :param looks: looks in a row beyond the limit
    :param alarm: None as long as all is well
    """

    name: str
    subject: str
    value: float | None
    limit: float | None
    looks: int
    alarm: Alarm | None

    @property
    def is_explosion(self) -> bool:
        """Whether an alarm of this detector means that the training has to be stopped."""
        return self.name in EXPLOSIONS


class Watch:
    """Feeds all detectors with the readings and the episodes of one model.

    :param model: the model
    :param limits: limits of the detectors
    """

    def __init__(self, model: Any, limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self.initial_scale: float | None = None
        self.states: dict[str, State] = {}
        gamma = float(getattr(model, "gamma", 1.0))
        self._q = FeasibleValue(gamma, limits.margin, limits.patience, limits.floor, limits.max_abs_q)
        self._loss = FeasibleValue(gamma, limits.margin, limits.patience, limits.floor, limits.max_abs_loss)
        self._finite: dict[str, Finite] = {}
        self._gap = None if limits.gap is None else PolicyGap(limits.gap, limits.patience, limits.floor)
        share, growth, loss_growth = limits.saturated_share, limits.feature_growth, limits.loss_growth
        self._saturation = None if share is None else ActionSaturation(share)
        self._features = None if growth is None else Growth(growth, limits.patience)
        self._loss_growth = None if loss_growth is None else Growth(loss_growth, limits.patience)
        self._grad_limits = {"gradient_norm": limits.grad_norm, "gradient_norm_critical": limits.critical_grad_norm}
        self._gradients: dict[tuple[str, str], GradientNorm] = {}
        q, loss = limits.large_q, limits.large_loss
        large = {"the mean Q(s, pi(s))": q, "the actor loss": loss, "the critic loss": loss}
        self._large = {
            subject: AbsoluteLimit(limit, limits.patience) for subject, limit in large.items() if limit is not None
        }
        self._collapse = None if limits.collapse is None else EpisodeCollapse(limits.collapse)
        self._collapsed: Alarm | None = None

    def start_from(self, scale: float) -> None:
        """Say how large the Q-values of the untrained network are.

        :param scale: magnitude; 0 switches the floor off
        """
        self.initial_scale = scale
        self._q.start_from(scale)
        self._loss.start_from(scale)
        if self._gap is not None:
            self._gap.start_from(scale)

    def forget(self) -> None:
        """Start all counts of looks anew, after the model was put back to an earlier state."""
        own = (self._gap, self._saturation, self._features, self._loss_growth, self._collapse)
        by_name = (*self._gradients.values(), *self._finite.values(), *self._large.values())
        for detector in (self._q, self._loss, *own, *by_name):
            if detector is not None:
                detector.forget()
        self.states, self._collapsed = {}, None

    def q_limits(self, reading: Reading) -> Range:
        """The feasible range of the Q-values, widened by the margin; the bound must not be switched off.

        :param reading: gives the rewards
        """
        return self._q.limits(reading)

    @property
    def explosion(self) -> State | None:
        """The first state that means that the training has to be stopped."""
        return next((state for state in self.states.values() if state.is_explosion and state.alarm is not None), None)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing that would mean a stop has been beyond its limit at the latest look, not even once."""
        return bool(self.states) and all(state.looks == 0 for state in self.states.values() if state.is_explosion)

    def episode(self, length: float, earned: float) -> None:
        """Feed a finished episode.

        :param length: in steps
        :param earned: its return
        """
        if self._collapse is not None:
            self._collapsed = self._collapse.observe(length, earned, at=int(getattr(self._model, "_n_updates", 0)))

    def observe(self, reading: Reading) -> Mapping[str, State]:
        """Feed a reading.

        :param reading: of the model
        :return: the state of each detector that is on, by the name of its alert
        """
        self.states = {state.name: state for state in self._states(reading)}
        return self.states

    def _states(self, reading: Reading) -> Iterator[State]:
        at = reading.n_updates
        minus_loss = None if reading.actor_loss is None else -reading.actor_loss
        yield self._feasible("q_value_explosion", "the mean Q(s, pi(s))", self._q, reading.q_policy_mean, reading)
        yield self._feasible("actor_loss_explosion", "minus the actor loss", self._loss, minus_loss, reading)
        yield self._non_finite(reading)
        if self._gap is not None:
            alarm, gap = None, None
            if reading.q_policy_mean is not None and reading.q_replay_mean is not None:
                spread = reading.q_replay_std or 0.0
                numbers = (reading.q_policy_mean, reading.q_replay_mean, spread, reading.rewards.magnitude)
                alarm = self._gap.observe(*numbers, at=at)
                gap = self._gap
            yield _state("q_gap", "the gap between Q(s, pi(s)) and Q on replayed actions", gap, alarm)
        for name, subject, detector, value in (
            ("action_saturation", "the share of saturated actions", self._saturation, reading.saturated_share),
            ("feature_norm", "the norm of the actor's features", self._features, reading.feature_norm),
            ("actor_loss_growth", "the actor loss", self._loss_growth, reading.actor_loss),
        ):
            if detector is not None:
                alarm = None if value is None else detector.observe(value, at=at)
                yield _state(name, subject, None if value is None else detector, alarm)
        yield from self._large_states(reading)
        yield from self._gradient_states(reading)
        if self._collapse is not None:
            subject = "the mean length of the latest episodes"
            yield _state("episode_collapse", subject, self._collapse, self._collapsed)

    def _feasible(
        self, name: str, subject: str, detector: FeasibleValue, value: float | None, reading: Reading
    ) -> State:
        if value is None:
            return State(name, subject, None, None, 0, None)
        alarm = detector.observe(value, reading)
        return State(name, subject, value, detector.limit, detector.looks, alarm)

    def _non_finite(self, reading: Reading) -> State:
        watched = {
            "the mean Q(s, pi(s))": reading.q_policy_mean,
            "the mean Q on replayed actions": reading.q_replay_mean,
            "the actor loss": reading.actor_loss,
            "the critic loss": reading.critic_loss,
        }
        for name, network in networks(self._model).items():
            watched[f"the sum of the magnitudes of the {name}'s parameters"] = magnitude(network)
        for subject, value in watched.items():
            if value is not None and not math.isfinite(value):
                detector = self._finite.setdefault(subject, Finite())
                return _state("non_finite", subject, detector, detector.observe(value, at=reading.n_updates))
        return State("non_finite", "a number", None, None, 0, None)

    def _large_states(self, reading: Reading) -> Iterator[State]:
        for name, values in (
            ("large_q_value", {"the mean Q(s, pi(s))": reading.q_policy_mean}),
            ("large_loss", {"the actor loss": reading.actor_loss, "the critic loss": reading.critic_loss}),
        ):
            states = []
            for subject, value in values.items():
                detector = self._large.get(subject)
                if detector is not None and value is not None:
                    states.append(_state(name, subject, detector, detector.observe(value, at=reading.n_updates)))
            yield from _worst(states)

    def _gradient_states(self, reading: Reading) -> Iterator[State]:
        for name, limit in self._grad_limits.items():
            if limit is None:
                continue
            states = []
            for part, norm in reading.grad_norms.items():
                detector = self._gradients.setdefault((name, part), GradientNorm(limit, self._limits.patience))
                alarm = detector.observe(norm, at=reading.n_updates, rewards=reading.rewards)
                states.append(_state(name, f"the norm of the gradient of {part}", detector, alarm))
            yield from _worst(states)


def _worst(states: list[State]) -> Iterator[State]:
    """The state that says most of those that share a name."""
    if states:
        yield max(states, key=lambda state: (state.alarm is not None, abs(state.value or 0.0)))


def _state(name: str, subject: str, detector: Detector | None, alarm: Alarm | None) -> State:
    if detector is None:
        return State(name, subject, None, None, 0, None)
    limit = None if math.isnan(detector.limit) else detector.limit
    seen = None if math.isnan(detector.value) and detector.looks == 0 else detector.value
    return State(name, subject, seen, limit, detector.looks, alarm)
